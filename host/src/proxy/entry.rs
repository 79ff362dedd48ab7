//! What a listener does with the connections that it accepts.

use std::sync::Arc;

use super::challenges::HttpChallenges;
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
    /// What is done with requests before the routes are asked; `None` if nothing is.
    pub(super) before_routes: Option<BeforeRoutes>,
}

/// What a plain listener does with requests before the routes are asked.
#[derive(Debug, Clone)]
pub(super) struct BeforeRoutes {
    /// The port to which requests are redirected; `None` if they are served.
    pub(super) redirect_to_https: Option<u16>,
    /// What certificate authorities are answered; `None` if they don't ask here.
    pub(super) challenges: Option<HttpChallenges>,
}

impl Entry {
    /// As the operator has described it. One with TLS needs an acceptor. Authorities ask plain
    /// listeners for the answers to their challenges, where there are any.
    pub fn new(
        listener: &Listener,
        tls: Option<Acceptor>,
        challenges: Option<HttpChallenges>,
    ) -> Self {
        let before_routes = BeforeRoutes {
            redirect_to_https: listener.redirect_to_https,
            challenges: challenges.filter(|_| listener.tls.is_none()),
        };
        let is_needed =
            before_routes.redirect_to_https.is_some() || before_routes.challenges.is_some();
        Self {
            tls,
            protocols: listener.protocols,
            proxy_protocol: listener.proxy_protocol.clone().map(Arc::new),
            before_routes: is_needed.then_some(before_routes),
        }
    }

    /// Whether requests may come at once: no PROXY header and no handshake before them.
    #[inline]
    pub(super) fn begins_at_once(&self) -> bool {
        self.proxy_protocol.is_none() && self.tls.is_none()
    }
}
