//! Connections that are passed on as they are: what a route and a listener say of that.

use std::fmt;
use std::sync::Arc;

use super::HostPattern;

/// What a route says whose connections are passed on, and nothing in them is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Layer4 {
    /// Which connections are the route's.
    pub takes: Layer4Match,
    /// `proxy-protocol`: the header that backends get first; `None` if they get none.
    pub proxy_protocol: Option<ProxyHeader>,
}

impl Layer4 {
    /// Writes what the route is called.
    pub(super) fn write_name(&self, host: &HostPattern, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.takes {
            Layer4Match::ServerName => write!(f, "passthrough {host}"),
            Layer4Match::Listener(forward) => write!(f, "tcp {}", forward.pool),
        }
    }
}

/// Which connections are passed on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layer4Match {
    /// `passthrough`: those of a listener with TLS whose client asks for the route's host (SNI).
    ServerName,
    /// `tcp`: those of the listeners that say this.
    Listener(Arc<TcpForward>),
}

/// `tcp` of a listener.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct TcpForward {
    /// `pool`
    pub pool: String,
    /// `policies`; `None` if the key is missing.
    pub policies: Option<Vec<String>>,
    /// `proxy-protocol`
    pub proxy_protocol: Option<ProxyHeader>,
}

/// The version of a PROXY header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ProxyHeader {
    /// `"v1"`: a line of text.
    V1,
    /// `"v2"`: binary.
    V2,
}

impl fmt::Display for ProxyHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::V1 => "v1",
            Self::V2 => "v2",
        })
    }
}
