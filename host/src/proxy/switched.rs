//! A request that has become a tunnel, from the 101 on until the tunnel runs.

use std::fmt;
use std::time::Duration;

use http::Method;

use super::forward_proxy::TunnelPlace;
use super::h2::BackendStream;
use super::layer4::Layer4;
use crate::config::LoggedRequests;
use crate::message::{Fields, RequestHead, Scheme, TraceContext, Version};
use crate::net::Buffer;
use crate::observe::Outcome;
use crate::stats::WorkerShard;
use crate::upstream::{Connection as Upstream, InFlight};

/// The backend's side of a tunnel, and what is kept of its request.
pub(super) struct Switched {
    pub backend: Backend,
    /// What the backend has sent behind its 101.
    pub received: Buffer,
    /// The endpoint counts the tunnel among its exchanges.
    pub in_flight: InFlight,
    pub patience: Patience,
    pub logged: LoggedRequests,
    pub request: Option<Request>,
    /// What it counts as, if a client of the forward proxy has asked for it.
    pub place: Option<TunnelPlace>,
    /// The connection carries no request: it was passed on at once.
    pub layer4: Option<Layer4>,
}

/// What carries a tunnel on the backend's side.
pub(super) enum Backend {
    /// A connection.
    Connection(Upstream),
    /// A stream of HTTP/2.
    Stream(BackendStream),
}

/// How long a tunnel waits.
#[derive(Debug, Clone, Copy)]
pub(super) struct Patience {
    /// While no byte moves, or for a side that takes none.
    pub idle: Duration,
    /// While no byte moves, after one side has ended.
    pub ending: Duration,
}

/// What the log says of the request.
pub(super) struct Request {
    pub outcome: Outcome,
    pub method: Method,
    pub version: Version,
    pub host: Box<str>,
    pub target: Box<str>,
    pub scheme: Scheme,
    pub id: Box<str>,
    pub trace: Option<TraceContext>,
    pub fields: Fields,
}

/// Fields that the log has of every request.
const LOGGED: [&str; 2] = ["user-agent", "referer"];
/// What of each is kept as long as a tunnel is open.
const KEPT: usize = 1_024;

impl Request {
    /// What happened, and the head as far as the log writes it.
    pub(super) fn parts(self) -> (Outcome, RequestHead) {
        let head = RequestHead {
            method: self.method,
            version: self.version,
            host: self.host.into(),
            target: self.target.into(),
            scheme: self.scheme,
            fields: self.fields,
            id: self.id.into(),
            trace: self.trace,
            ..RequestHead::default()
        };
        (self.outcome, head)
    }
}

impl Switched {
    /// The request has ended, and the tunnel begins.
    pub(super) fn begin(&mut self, shard: &WorkerShard, outcome: Outcome, head: &RequestHead) {
        outcome.count(shard);
        self.keep(outcome, head);
    }

    /// What the log is to say of it.
    pub(super) fn keep(&mut self, outcome: Outcome, head: &RequestHead) {
        let mut fields = Fields::default();
        for name in LOGGED {
            if let Some(value) = head.fields.first(name) {
                fields.append(name.as_bytes(), &value[..value.len().min(KEPT)]);
            }
        }
        self.request = Some(Request {
            fields,
            scheme: head.scheme,
            id: head.id.as_str().into(),
            trace: head.trace,
            outcome,
            method: head.method.clone(),
            version: head.version,
            host: head.host.as_str().into(),
            target: head.target.as_str().into(),
        });
    }
}

impl fmt::Debug for Switched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Switched").finish_non_exhaustive()
    }
}
