//! What plain listeners answer before the routes are asked: certificate authorities, and clients
//! that are sent to HTTPS.

use http::Method;

use super::entry::BeforeRoutes;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::message::{Malformed, RequestHead};

/// What a certificate authority asks for, by plain HTTP (RFC 8555 section 8.3).
const ACME: &str = "/.well-known/acme-challenge/";
/// The type of its answer.
const OCTETS: &str = "application/octet-stream";
/// The port that an `https` URL without one has.
const HTTPS: u16 = 443;

impl Exchange<'_> {
    /// The answer of a listener that redirects or knows the answer to a challenge; nothing on other
    /// listeners.
    #[inline]
    pub(super) fn before_routes(&self) -> Result<(), Box<LocalReply>> {
        match &self.client.entry().before_routes {
            None => Ok(()),
            Some(rules) => self.follow(rules),
        }
    }

    /// A request of a certificate authority is not redirected. One whose token is unknown goes on
    /// to the routes: another client of ACME may be behind them.
    #[inline(never)]
    fn follow(&self, rules: &BeforeRoutes) -> Result<(), Box<LocalReply>> {
        let head = &self.scratch.head;
        if let Some(token) = token(head) {
            let is_read = matches!(head.method, Method::GET | Method::HEAD);
            let challenges = rules.challenges.as_ref().filter(|_| is_read);
            return match challenges.and_then(|challenges| challenges.find(token)) {
                None => Ok(()),
                Some(answer) => Err(Box::new(LocalReply::Page {
                    content_type: OCTETS,
                    body: answer.into_bytes(),
                })),
            };
        }
        match rules.redirect_to_https {
            None => Ok(()),
            Some(port) => self.redirect_to(port),
        }
    }

    #[cold]
    fn redirect_to(&self, port: u16) -> Result<(), Box<LocalReply>> {
        self.check()?;
        let head = &self.scratch.head;
        if head.host.is_empty() {
            return Err(Refusal::Malformed(Malformed::HostMissing).into());
        }
        let location = location(&head.host, port, &head.target);
        // The method stays (RFC 9110 section 15.4.9).
        Err(Box::new(LocalReply::Redirect(308, location)))
    }
}

/// The token of a challenge, if the path is one's as it was received: what else would be read as
/// this path is no challenge.
fn token(head: &RequestHead) -> Option<&str> {
    let token = head.raw_path().strip_prefix(ACME)?;
    (!head.path_notes.is_ambiguous()).then_some(token)
}

/// The same request by HTTPS. `*` has no URL of its own.
fn location(host: &str, port: u16, target: &str) -> String {
    let target = match target.starts_with('/') {
        true => target,
        false => "/",
    };
    match port {
        HTTPS => format!("https://{host}{target}"),
        port => format!("https://{host}:{port}{target}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_has_a_port_only_where_it_is_not_that_of_https() {
        for (host, port, target, location_of_it) in [
            ("a.test", 443, "/x?y=1", "https://a.test/x?y=1"),
            ("a.test", 8443, "/", "https://a.test:8443/"),
            ("[::1]", 8443, "/a//b", "https://[::1]:8443/a//b"),
            ("a.test", 443, "*", "https://a.test/"),
        ] {
            assert_eq!(location(host, port, target), location_of_it);
        }
    }
}
