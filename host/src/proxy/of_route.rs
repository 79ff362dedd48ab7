//! What a route answers itself: redirects and fixed responses.

use super::exchange::Exchange;
use super::forwarding::Contradiction;
use super::refusal::{LocalReply, Refusal};
use crate::config::{Parts, RouteAnswer, RouteRedirect};
use crate::message::{Malformed, RequestHead};
use crate::route::{Answer, rest};

impl Exchange<'_> {
    /// The answer of a route that needs no backend.
    #[cold]
    pub(super) fn of_route(&mut self, of: &Answer) -> Box<LocalReply> {
        let (head, settings) = (&mut self.scratch.head, &self.view.settings);
        let info = self.client.info();
        // Which scheme the client used, and who it is.
        let set = settings.forwarding.set_fields(head, self.facts.notes, info);
        if let Err(Contradiction) = set {
            return Refusal::Contradiction.into();
        }
        match &of.answer {
            RouteAnswer::Fixed(response) => Box::new(LocalReply::Fixed(response.status, of.index)),
            RouteAnswer::Redirect(redirect) => redirected(redirect, head),
        }
    }
}

fn redirected(redirect: &RouteRedirect, head: &RequestHead) -> Box<LocalReply> {
    if head.host.is_empty() && redirect.to.names_host() {
        return Refusal::Malformed(Malformed::HostMissing).into();
    }
    let path = head.path();
    let rest = rest(&redirect.prefix, path).and_then(|rest| std::str::from_utf8(rest).ok());
    let mut location = redirect.to.fill(Parts {
        scheme: head.scheme.as_str(),
        host: &head.host,
        path,
        rest: rest.unwrap_or_default(),
    });
    if let Some(query) = head.query().filter(|_| redirect.keeps_query) {
        location.push('?');
        location.push_str(query);
    }
    Box::new(LocalReply::Redirect(redirect.status, location))
}
