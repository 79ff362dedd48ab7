//! A copy of a request on its way to the pool that mirrors its route. It is sent once, its response
//! is read and dropped, and no client hears of it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::timeout;

use super::body::{BodyParts, MessageReader, MessageSink, Pace, Pieces, Ready, Sent, Waits};
use super::download::persists;
use super::second::{Brought, Copied, Second, upward};
use super::snapshot::WorkerSnapshot;
use super::switched::Backend;
use super::terms::Terms;
use super::worker::Worker;
use crate::h1::Framing;
use crate::message::Fields;
use crate::route::{Rule, RuleMirror};
use crate::stats::PoolShard;
use crate::upstream::{AttemptOutcome, Doubt, WorkerPool};

/// So much of a response's body is read, to keep its connection; after more that is closed.
const MOST_READ: usize = 1 << 20;

/// A copy of a request on its way.
pub(super) struct Mirrored {
    pub worker: Rc<Worker>,
    pub view: Rc<WorkerSnapshot>,
    /// The number of its route.
    pub route: u32,
    pub request: Copied,
    pub under_way: UnderWay,
}

/// Counts a copy as under way until it is dropped, also by a panic.
pub(super) struct UnderWay(Arc<PoolShard>);

impl UnderWay {
    pub(super) fn new(shard: Arc<PoolShard>) -> Self {
        shard.mirror.under_way.increment();
        Self(shard)
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.mirror.under_way.decrement();
    }
}

impl Mirrored {
    /// Sends it, and waits for its end.
    pub(super) async fn run(self) {
        let Self {
            worker,
            view,
            route,
            request,
            under_way,
        } = self;
        let rule = view.snapshot.routes.of_number(route);
        let mirror = rule.and_then(|rule| Some((rule, rule.mirror.as_deref()?)));
        let is_answered = match mirror {
            None => false,
            Some((rule, mirror)) => send((&worker, &view), rule, mirror, request).await,
        };
        if !is_answered {
            under_way.0.mirror.failed.increment();
        }
    }
}

/// Sends a copy to a backend of the pool, and drops the response. Returns whether there was one.
async fn send(
    (worker, view): (&Worker, &WorkerSnapshot),
    rule: &Rule,
    mirror: &RuleMirror,
    request: Copied,
) -> bool {
    let Some(pool) = view.pools.pool(mirror.pool) else {
        return false;
    };
    let own = rule.timeouts.as_deref();
    let terms = Terms {
        timeouts: own.unwrap_or(&view.settings.timeouts),
        ..Terms::new(worker, &view.settings)
    };
    let position = {
        let mut rng = worker.rng.borrow_mut();
        view.pools.choose(mirror.pool, &[], &mut rng)
    };
    // In no queue: what is waited for there are requests with a client.
    let limits = [
        pool.topology.requests.as_ref(),
        position.and_then(|at| pool.request_limit(at)),
    ];
    let mut places = [None, None];
    for (place, limit) in places.iter_mut().zip(limits) {
        if let Some(limit) = limit {
            *place = limit.take();
            if place.is_none() {
                return false;
            }
        }
    }
    let Some(position) = position else {
        return false;
    };
    let (connect, response) = (terms.timeouts.connect, terms.timeouts.response);
    let client = request.head.client;
    let second = Second {
        lease: pool.lease(position),
        held: (None, None),
        request,
        may_connect: true,
        is_certain: true,
        patience: (connect, response),
    };
    let is_answered = Cell::new(false);
    let sending = async {
        match second.attempt(terms, rule.preserve_case).await {
            Ok(brought) => {
                is_answered.set(true);
                drop_response(terms, pool, brought, client).await;
            }
            Err((second, outcome)) => {
                let lease = second.lease;
                lease.finish(outcome, &mut Doubt::default(), client);
            }
        }
    };
    // All in all: a response that comes byte by byte would take for ever. It has been reported when
    // it is cut off.
    let _ = timeout(connect.saturating_add(response), Box::pin(sending)).await;
    is_answered.get()
}

/// Reports a response, and reads its body, so that the connection can carry another request.
async fn drop_response(terms: Terms<'_>, pool: &WorkerPool, brought: Brought<'_>, client: IpAddr) {
    let Brought {
        lease,
        mut backend,
        mut buffer,
        response,
        meta,
        duplex,
        ..
    } = brought;
    let is_failure = pool.topology.health.counts(response.status);
    let endpoint = lease.endpoint();
    endpoint.answered(duplex.since_whole(), is_failure);
    let outcome = match is_failure {
        true => AttemptOutcome::FailureStatus,
        false => AttemptOutcome::Answered,
    };
    let _in_flight = lease.goes_on();
    lease.finish(outcome, &mut Doubt::default(), client);
    let timer = terms.worker.timers.register();
    let is_read = {
        let mut up = Vec::new();
        let upward = upward(&mut backend, &mut buffer);
        let (mut reader, sink) = upward.open(terms, &timer, &mut up, &duplex);
        let mut progress = reader.progress_of_response(meta.framing);
        let (mut trailers, edited) = (Fields::new(), Default::default());
        let parts = BodyParts {
            progress: &mut progress,
            trailers: &mut trailers,
            edited: &edited,
            duplex: &duplex,
            waits: Waits::ForClient {
                pace: &Pace::default(),
                timeouts: terms.timeouts,
                reads_by: None,
            },
        };
        read_up(&mut reader, parts, &sink).await
    };
    terms.worker.buffers.take_back(buffer);
    let is_reusable = is_read
        && meta.framing != Framing::UntilClose
        && duplex.sent() == Sent::WHOLE
        && persists(&meta, response.version);
    if let (true, Backend::Connection(connection)) = (is_reusable, backend) {
        connection.keep(terms.worker.timers.now(), pool.topology.max_idle);
    }
}

/// Whether all of a body came, and not too much.
async fn read_up(
    reader: &mut MessageReader<'_>,
    parts: BodyParts<'_>,
    sink: &MessageSink<'_>,
) -> bool {
    let mut body = reader.body(parts);
    let mut read = 0;
    loop {
        match body.ready() {
            Ok(Ready::Content(n)) => {
                body.consume(n);
                read += n;
                if read > MOST_READ {
                    return false;
                }
            }
            Ok(Ready::End) => return body.is_drained(),
            Ok(Ready::Nothing) => {
                if body.fill(sink).await.is_err() {
                    return false;
                }
            }
            Err(_) => return false,
        }
    }
}
