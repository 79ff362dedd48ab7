//! What a route answers itself: redirects and fixed responses.

use super::exchange::Exchange;
use super::forwarding::Contradiction;
use super::refusal::{LocalReply, Refusal};
use crate::config::{RouteAnswer, RouteRedirect};
use crate::message::{Malformed, RequestHead};
use crate::route::{self, Answer};

impl Exchange<'_> {
    /// The answer of a route that needs no backend.
    #[cold]
    pub(super) fn of_route(&mut self, of: &Answer) -> Box<LocalReply> {
        if let Err(refusal) = self.meet_client() {
            return refusal.into();
        }
        self.note_route(of.number, None);
        match &of.answer {
            RouteAnswer::Fixed(response) => Box::new(LocalReply::Fixed(response.status, of.index)),
            RouteAnswer::Redirect(redirect) => redirected(redirect, &self.scratch.head),
        }
    }

    /// Settles which scheme the client used, and who it is, for a request without a backend.
    #[cold]
    pub(super) fn meet_client(&mut self) -> Result<(), Refusal> {
        let (head, settings) = (&mut self.scratch.head, &self.view.settings);
        let info = self.client.info();
        let set = settings.forwarding.set_fields(head, self.facts.notes, info);
        set.map_err(|Contradiction| Refusal::Contradiction)
    }
}

fn redirected(redirect: &RouteRedirect, head: &RequestHead) -> Box<LocalReply> {
    if head.host.is_empty() && redirect.to.names_host() {
        return Refusal::Malformed(Malformed::HostMissing).into();
    }
    let mut location = route::fill(&redirect.to, &redirect.path, head);
    if let Some(query) = head.query().filter(|_| redirect.keeps_query) {
        location.push('?');
        location.push_str(query);
    }
    Box::new(LocalReply::Redirect(redirect.status, location))
}
