//! Why a forward proxy refuses a request.

use std::sync::Arc;

use crate::stats::ForwardRefused;

/// Why a forward proxy refuses a request, beside what any proxy refuses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardRefusal {
    /// Its target is a path.
    NotToProxy,
    /// Its target is a URL of `https`, which would be read here.
    Https,
    /// Its target has no port, or one that is none.
    NoPort,
    /// Its host is neither a name nor an address as all write it.
    Host,
    /// It is a `CONNECT` with a body.
    Body,
    /// The client has not said who it is, or not rightly.
    Unauthorised {
        /// The value of `Proxy-Authenticate`.
        challenge: Arc<str>,
        /// It has said something.
        wrong: bool,
    },
    /// The client's passwords were wrong too often.
    TooManyPasswords,
    /// Too many passwords are being checked.
    Busy,
    /// No entry of `allow` has the host and the port.
    Destination,
    /// None has an address of the host.
    Address,
    /// A policy has answered a `CONNECT` by this status, which would be a tunnel.
    Success(u16),
    /// It is this proxy.
    Itself,
    /// The name has no address.
    NoAddress,
    /// The name could not be looked up.
    NameFailed,
    /// The same: no answer came in time.
    NameTimeout,
    /// Too many names are being looked up.
    TooManyNames,
    /// There are as many tunnels as there may be.
    TooManyTunnels,
    /// This client has as many as it may.
    TooManyOfClient,
}

impl ForwardRefusal {
    /// The status that the client gets.
    pub(in crate::proxy) fn status(&self) -> u16 {
        match self {
            Self::NotToProxy | Self::Https | Self::NoPort | Self::Host | Self::Body => 400,
            Self::Unauthorised { .. } => 407,
            Self::Destination | Self::Address | Self::Itself | Self::Success(_) => 403,
            Self::TooManyPasswords | Self::TooManyOfClient => 429,
            Self::Busy | Self::TooManyNames | Self::TooManyTunnels => 503,
            Self::NoAddress | Self::NameFailed => 502,
            Self::NameTimeout => 504,
        }
    }

    /// The sentence for the client. Which addresses a name has is none of its business.
    pub(in crate::proxy) fn sentence(&self) -> &'static str {
        match self {
            Self::NotToProxy => {
                "This is a forward proxy: the request line must have the whole URL \
                 (http://host/path), or be a CONNECT with host and port."
            }
            Self::Https => "A URL of https is reached by CONNECT with host and port.",
            Self::NoPort => "The destination needs a port from 1 to 65535.",
            Self::Host => "The destination's host is neither a name nor a plain IP address.",
            Self::Body => "A CONNECT has no body: Content-Length and Transfer-Encoding don't fit.",
            Self::Unauthorised { wrong: false, .. } => {
                "This proxy wants a user name and a password."
            }
            Self::Unauthorised { wrong: true, .. } => "The user name or the password is wrong.",
            Self::TooManyPasswords => {
                "Too many wrong passwords came from this client; try again in a minute."
            }
            Self::Busy => "Too many passwords are being checked; try again later.",
            Self::Destination | Self::Address | Self::Itself | Self::Success(_) => {
                "This proxy may not be used to reach this destination."
            }
            Self::NoAddress => "The destination's name has no address.",
            Self::NameFailed => "The destination's name could not be looked up.",
            Self::NameTimeout => "The destination's name could not be looked up in time.",
            Self::TooManyNames => "Too many names are being looked up; try again later.",
            Self::TooManyTunnels => {
                "As many tunnels are open as there may be at a time; try again later."
            }
            Self::TooManyOfClient => "This client has as many tunnels open as it may.",
        }
    }

    /// The reason in the access log.
    pub(in crate::proxy) fn reason(&self) -> String {
        let more = match self {
            Self::Destination => "no entry of `forward.allow` has this host and port",
            Self::Address => {
                "no address of the host is public, or in a `network` of an entry of \
                 `forward.allow` for this host and port"
            }
            Self::Itself => "it is a listener of this proxy",
            Self::Success(status) => {
                return format!(
                    "a policy has answered the CONNECT with {status}, which would be a tunnel; \
                     answer with a status of 400 or more"
                );
            }
            _ => return self.sentence().to_owned(),
        };
        format!("the destination is not allowed: {more}")
    }

    /// What `Proxy-Status` says (RFC 9209 section 2.3).
    pub(in crate::proxy) fn error_type(&self) -> &'static str {
        match self {
            Self::NotToProxy | Self::Https | Self::NoPort | Self::Host | Self::Body => {
                "http_request_error"
            }
            Self::Unauthorised { .. }
            | Self::TooManyPasswords
            | Self::TooManyOfClient
            | Self::Success(_) => "http_request_denied",
            Self::Destination | Self::Address => "destination_ip_prohibited",
            Self::Itself => "proxy_loop_detected",
            Self::NoAddress | Self::NameFailed => "dns_error",
            Self::NameTimeout => "dns_timeout",
            Self::Busy | Self::TooManyNames | Self::TooManyTunnels => "connection_limit_reached",
        }
    }

    /// The field that an answer with it has beside those of every refusal.
    pub(in crate::proxy) fn field(&self) -> Option<(&'static str, &str)> {
        match self {
            // RFC 9110 section 15.5.8.
            Self::Unauthorised { challenge, .. } => Some(("proxy-authenticate", challenge)),
            Self::TooManyPasswords => Some(("retry-after", "60")),
            refusal if matches!(refusal.status(), 429 | 503) => Some(("retry-after", "1")),
            _ => None,
        }
    }

    /// What it is counted as.
    pub(in crate::proxy) fn counted(&self) -> ForwardRefused {
        match self {
            Self::NotToProxy | Self::Https | Self::NoPort | Self::Host | Self::Body => {
                ForwardRefused::Request
            }
            Self::Unauthorised { .. } => ForwardRefused::Authentication,
            Self::TooManyPasswords | Self::Busy => ForwardRefused::Unchecked,
            Self::Destination => ForwardRefused::Destination,
            Self::Success(_) => ForwardRefused::Policy,
            Self::Address | Self::Itself => ForwardRefused::Address,
            Self::NoAddress | Self::NameFailed | Self::NameTimeout | Self::TooManyNames => {
                ForwardRefused::Name
            }
            Self::TooManyTunnels | Self::TooManyOfClient => ForwardRefused::Tunnels,
        }
    }
}
