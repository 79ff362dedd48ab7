//! A copy of a request on its way to the pool that mirrors its route. It is sent once, its response
//! is read and dropped, and no client hears of it.

use std::cell::Cell;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

use tokio::time::timeout;

use super::body::{BodyParts, Duplex, Pace, Pieces, Ready, Sent, Waits};
use super::download::persists;
use super::second::{Brought, Copied, Second, upward};
use super::snapshot::WorkerSnapshot;
use super::switched::Backend;
use super::terms::Terms;
use super::under_way::UnderWay;
use super::upward::Upward;
use super::worker::Worker;
use crate::h1::Framing;
use crate::message::{Edited, Fields};
use crate::route::{Rule, RuleMirror};
use crate::upstream::{AttemptOutcome, Doubt, RequestLimit, RequestPlace, WorkerPool};

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
            under_way.failed();
        }
    }
}

/// Sends a copy to a backend of the pool, and drops the response. Returns whether there was one.
async fn send(
    (worker, view): (&Worker, &WorkerSnapshot),
    rule: &Rule,
    mirror: &RuleMirror,
    mut request: Copied,
) -> bool {
    let position = {
        let mut rng = worker.rng.borrow_mut();
        view.pools.choose(mirror.pool, &[], &mut rng)
    };
    let (Some(pool), Some(position)) = (view.pools.pool(mirror.pool), position) else {
        return false;
    };
    let Some(_places) = places(pool, position) else {
        return false;
    };
    // Its own, and not that of the backend which got the request itself.
    request.head.name_backend(|| pool.authority(position));
    let own = rule.timeouts.as_deref();
    let terms = Terms {
        timeouts: own.unwrap_or(&view.settings.timeouts),
        ..Terms::new(worker, &view.settings)
    };
    let patience = (terms.timeouts.connect, terms.timeouts.response);
    let second = Second {
        lease: pool.lease(position),
        held: (None, None),
        request,
        may_connect: true,
        is_certain: true,
        patience,
    };
    let is_answered = Cell::new(false);
    let sending = exchange(terms, second, rule.preserve_case, &is_answered);
    // All in all: a response that comes byte by byte would take for ever. It has been reported when
    // it is cut off.
    let most = patience.0.saturating_add(patience.1);
    let _ = timeout(most, Box::pin(sending)).await;
    is_answered.get()
}

/// What a request needs where requests are limited; `None` if there is no place. Nothing waits for
/// one: what does is a request with a client.
fn places(pool: &WorkerPool, position: u32) -> Option<[Option<RequestPlace>; 2]> {
    let take = |limit: Option<&Arc<RequestLimit>>| match limit {
        None => Some(None),
        Some(limit) => limit.take().map(Some),
    };
    let of_pool = take(pool.topology.requests.as_ref())?;
    Some([of_pool, take(pool.request_limit(position))?])
}

async fn exchange(
    terms: Terms<'_>,
    second: Second<'_>,
    preserve_case: bool,
    is_answered: &Cell<bool>,
) {
    let client = second.request.head.client;
    match second.attempt(terms, preserve_case).await {
        Ok(brought) => {
            is_answered.set(true);
            drop_response(terms, brought, client).await;
        }
        Err((lease, outcome)) => lease.finish(outcome, &mut Doubt::default(), client),
    }
}

/// Reports a response, and reads its body, so that the connection can carry another request.
async fn drop_response(terms: Terms<'_>, brought: Brought<'_>, client: IpAddr) {
    let Brought {
        lease,
        mut backend,
        mut buffer,
        response,
        meta,
        duplex,
        ..
    } = brought;
    let pool = lease.pool();
    let is_failure = pool.topology.health.counts(response.status);
    lease.endpoint().answered(duplex.since_whole(), is_failure);
    let outcome = match is_failure {
        true => AttemptOutcome::FailureStatus,
        false => AttemptOutcome::Answered,
    };
    let _in_flight = lease.goes_on();
    lease.finish(outcome, &mut Doubt::default(), client);
    let upward = upward(&mut backend, &mut buffer);
    let is_read = is_read(terms, upward, meta.framing, &duplex).await;
    terms.worker.buffers.take_back(buffer);
    let is_reusable = is_read
        && meta.framing != Framing::UntilClose
        && duplex.sent() == Sent::WHOLE
        && persists(&meta, response.version);
    if let (true, Backend::Connection(connection)) = (is_reusable, backend) {
        connection.keep(terms.worker.timers.now(), pool.topology.max_idle);
    }
}

/// Reads a body. Whether all of it came, and not too much.
async fn is_read(terms: Terms<'_>, upward: Upward<'_>, framing: Framing, duplex: &Duplex) -> bool {
    let (timer, mut up) = (terms.worker.timers.register(), Vec::new());
    let (mut reader, sink) = upward.open(terms, &timer, &mut up, duplex);
    let mut progress = reader.progress_of_response(framing);
    let (mut trailers, edited, pace) = (Fields::new(), Edited::default(), Pace::default());
    let mut body = reader.body(BodyParts {
        progress: &mut progress,
        trailers: &mut trailers,
        edited: &edited,
        duplex,
        // Nothing but the sender is waited for.
        waits: Waits::ForClient {
            pace: &pace,
            timeouts: terms.timeouts,
            reads_by: None,
        },
    });
    let mut read = 0;
    loop {
        match body.ready() {
            Ok(Ready::Content(n)) => {
                body.consume(n);
                read += n;
            }
            Ok(Ready::End) => return body.is_drained(),
            Ok(Ready::Nothing) if read <= MOST_READ && body.fill(&sink).await.is_ok() => {}
            Ok(Ready::Nothing) | Err(_) => return false,
        }
    }
}
