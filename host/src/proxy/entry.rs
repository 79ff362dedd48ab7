//! What a listener does with the connections that it accepts.

use std::sync::Arc;

use crate::config::{Listener, Protocols, TrustedPeers};
use crate::net::tls::Acceptor;

/// A listener, ready for use. Each worker has one of its own, which its connections share.
#[derive(Debug, Clone)]
pub struct Entry {
    /// Makes TLS sessions; `None` for a plain listener.
    pub(super) tls: Option<Acceptor>,
    /// The versions of HTTP that are served.
    pub(super) protocols: Protocols,
    /// The peers that begin with a PROXY header; `None` if no peer may send one.
    pub(super) proxy_protocol: Option<Arc<TrustedPeers>>,
    /// The port to which requests are redirected; `None` if they are served.
    pub(super) redirect_to_https: Option<u16>,
}

impl Entry {
    /// As the operator has described it. One with TLS needs an acceptor.
    pub fn new(listener: &Listener, tls: Option<Acceptor>) -> Self {
        Self {
            tls,
            protocols: listener.protocols,
            proxy_protocol: listener.proxy_protocol.clone().map(Arc::new),
            redirect_to_https: listener.redirect_to_https,
        }
    }

    /// Whether requests may come at once: no PROXY header and no handshake before them.
    #[inline]
    pub(super) fn begins_at_once(&self) -> bool {
        self.proxy_protocol.is_none() && self.tls.is_none()
    }
}
