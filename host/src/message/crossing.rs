//! Which fields the proxy forwards, and which instructions the fields of a head hold for it.

use super::names::{self, Owned, Owner};
use super::{Malformed, Version, syntax};

/// Whether a field goes on to the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// It does.
    Yes,
    /// It ends here.
    No,
}

/// Which side's head this is: a few rules differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// A client's.
    Request,
    /// A backend's.
    Response,
}

/// Instructions for the proxy in a head's fields, noted while they are read: a request without such
/// fields is not searched for them.
#[derive(Debug, Clone, Copy, Default)]
pub struct Notes {
    /// `Expect: 100-continue`.
    pub expect_continue: bool,
    /// `TE: trailers`.
    pub te_trailers: bool,
    /// A field about the client (`Forwarded`, `X-Forwarded-*`, `X-Real-IP`, ...) is among the
    /// fields.
    pub forwarding: bool,
    /// A `Via` or a `CDN-Loop` field is among the fields.
    pub via: bool,
    /// A `Range` field is among the fields.
    pub range: bool,
    /// An `X-Waypost-Explain` field is among the fields.
    pub explain: bool,
    /// A `Max-Forwards` field is among the fields.
    pub max_forwards: bool,
    /// A `Proxy-Status` field is among the fields of a response.
    pub proxy_status: bool,
}

impl Notes {
    /// Notes a field of a request, whose name is in lower case, and decides whether it crosses.
    ///
    /// # Errors
    ///
    /// It asks for something that no proxy can promise.
    #[inline]
    pub fn request_field(
        &mut self,
        name: &[u8],
        value: &[u8],
        version: Version,
    ) -> Result<Keep, Malformed> {
        match name {
            b"range" => {
                self.range = true;
                Ok(Keep::Yes)
            }
            b"expect" => self.expectation(value, version).map(|()| Keep::No),
            _ => Ok(self.field(name, value, Side::Request)),
        }
    }

    /// Notes a field of a response, whose name is in lower case, and decides whether it crosses.
    #[inline]
    pub fn response_field(&mut self, name: &[u8], value: &[u8]) -> Keep {
        self.field(name, value, Side::Response)
    }

    /// RFC 9110 section 10.1.1: HTTP/1.0 has no expectations. The proxy itself passes them on.
    fn expectation(&mut self, value: &[u8], version: Version) -> Result<(), Malformed> {
        if version == Version::Http10 {
            return Ok(());
        }
        let is_continue = |member: &[u8]| member.eq_ignore_ascii_case(b"100-continue");
        let mut members = syntax::list(value);
        self.expect_continue = members.next().is_some_and(is_continue) && members.all(is_continue);
        match self.expect_continue {
            true => Ok(()),
            false => Err(Malformed::Expect),
        }
    }

    #[inline]
    fn field(&mut self, name: &[u8], value: &[u8], side: Side) -> Keep {
        match names::owned(name) {
            Some(owned) => self.owned_field(name, value, owned, side),
            None => Keep::Yes,
        }
    }

    fn owned_field(&mut self, name: &[u8], value: &[u8], owned: Owned, side: Side) -> Keep {
        let Owned { owner, look_alike } = owned;
        let keep = match (owner, side) {
            (Owner::Trailer, _) => true,
            // What became of a request on its way (RFC 9209) is for the client.
            (Owner::Hop, Side::Response) if name == b"proxy-status" => {
                self.proxy_status = true;
                true
            }
            (Owner::Hop, _) => {
                self.te_trailers |= name == b"te"
                    && syntax::list(value).any(|member| member.eq_ignore_ascii_case(b"trailers"));
                false
            }
            (Owner::Trace, _) => {
                self.via |= !look_alike;
                !look_alike
            }
            (Owner::Reach, Side::Request) => {
                self.max_forwards |= !look_alike;
                !look_alike
            }
            (Owner::Client(_), Side::Request) => {
                self.forwarding |= !look_alike;
                !look_alike
            }
            // A backend has no client to speak of.
            (Owner::Reach | Owner::Client(_), Side::Response) => true,
            (Owner::Waypost, Side::Request) if name == b"x-waypost-explain" => {
                self.explain = true;
                true
            }
            (Owner::Waypost, _) => false,
        };
        if keep { Keep::Yes } else { Keep::No }
    }
}
