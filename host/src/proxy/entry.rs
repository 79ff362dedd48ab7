//! What a listener does with the connections that it accepts.

use std::cell::{Cell, RefCell};
use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{AbortHandle, Id, JoinHandle, try_id};

use super::challenges::HttpChallenges;
use crate::config::{Listener, Protocols, TcpForward, TrustedPeers};
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
    /// Whether it is a forward proxy.
    pub(super) is_forward: bool,
    /// Where its connections are passed on to; `None` if they carry requests.
    pub(super) tcp: Option<Arc<TcpForward>>,
    /// What is done with requests before the routes are asked; `None` if nothing is.
    pub(super) before_routes: Option<BeforeRoutes>,
    /// Whether its connections end after their present request: the listener is another one now, or
    /// gone.
    replaced: Cell<bool>,
    /// Since when its idle connections end too: the listener is gone.
    gone: Cell<Option<Instant>>,
    /// What serves each of its connections.
    tasks: RefCell<HashMap<Id, AbortHandle>>,
}

/// A connection that was accepted just before a drain may still send its first request for so long.
pub const GRACE: Duration = Duration::from_millis(500);

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
            is_forward: listener.forward,
            tcp: listener.tcp.clone(),
            before_routes: is_needed.then_some(before_routes),
            replaced: Cell::new(false),
            gone: Cell::new(None),
            tasks: RefCell::default(),
        }
    }

    /// From now on its connections end after their present request.
    pub fn replace(&self) {
        self.replaced.set(true);
    }

    /// From now on those that are idle end as well: after a moment, in which a request that is on
    /// its way arrives.
    pub fn drain(&self) {
        self.replaced.set(true);
        self.gone.set(Some(Instant::now()));
    }

    /// Ends the connections that there are still, in the middle of what they carry. Returns how
    /// many that were.
    pub fn cut(&self) -> usize {
        let tasks = self.tasks.take();
        tasks.values().for_each(AbortHandle::abort);
        tasks.len()
    }

    /// Whether any connection of it is open.
    pub fn has_connections(&self) -> bool {
        !self.tasks.borrow().is_empty()
    }

    /// A task serves a connection of it, and says so at its end by [`Entry::served`].
    pub(super) fn serves(&self, task: &JoinHandle<()>) {
        let handle = task.abort_handle();
        self.tasks.borrow_mut().insert(task.id(), handle);
    }

    /// The task that calls this serves no connection any more.
    pub(super) fn served(&self) {
        if let Some(id) = try_id() {
            self.tasks.borrow_mut().remove(&id);
        }
    }

    /// Whether its connections end after their present request.
    #[inline]
    pub(super) fn is_replaced(&self) -> bool {
        self.replaced.get()
    }

    /// Whether clients that have connected and said nothing have had the time to, too.
    pub(super) fn is_past_grace(&self) -> bool {
        self.gone
            .get()
            .is_some_and(|since| since.elapsed() >= GRACE)
    }

    /// Whether requests may come at once: no PROXY header and no handshake before them.
    #[inline]
    pub(super) fn begins_at_once(&self) -> bool {
        self.proxy_protocol.is_none() && self.tls.is_none() && self.tcp.is_none()
    }
}
