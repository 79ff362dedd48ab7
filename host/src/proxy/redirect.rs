//! Plain listeners that send their clients to HTTPS.

use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::message::Malformed;

/// What a certificate authority asks for, by plain HTTP (RFC 8555 section 8.3).
const ACME: &str = "/.well-known/acme-challenge/";
/// The port that an `https` URL without one has.
const HTTPS: u16 = 443;

impl Exchange<'_> {
    /// The answer of a listener that redirects; nothing on other listeners, and nothing to a
    /// certificate authority, whose requests are served.
    #[inline]
    pub(super) fn redirect(&self) -> Result<(), Box<LocalReply>> {
        match self.client.entry().redirect_to_https {
            None => Ok(()),
            Some(port) => self.redirect_to(port),
        }
    }

    #[cold]
    fn redirect_to(&self, port: u16) -> Result<(), Box<LocalReply>> {
        self.check()?;
        let head = &self.scratch.head;
        // As it was received: what else would be read as this path is no challenge.
        if head.raw_path().starts_with(ACME) && !head.path_notes.is_ambiguous() {
            return Ok(());
        }
        if head.host.is_empty() {
            return Err(Refusal::Malformed(Malformed::HostMissing).into());
        }
        let location = location(&head.host, port, &head.target);
        Err(Box::new(LocalReply::Redirect { location }))
    }
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
