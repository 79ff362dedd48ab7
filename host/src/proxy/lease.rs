//! A connection for an attempt: a pooled one, a new one, or one that was waited for.

use std::time::{Duration, Instant};

use super::body::{Duplex, MessageSink, Reader};
use super::boxed::boxed;
use super::client::Client;
use super::exchange::Exchange;
use super::settings::RESPONSE_LIMITS;
use super::terms::Terms;
use super::tries::Tries;
use super::worker::Worker;
use crate::net::{Buffer, TimedIo, Timer, Wait};
use crate::stats::PoolShard;
use crate::upstream::{
    AttemptOutcome, Carrier, Connection as Upstream, Lease, Place, RequestLimit, RequestPlace,
    SlowPlace, Turn, WorkerEndpoint, WorkerPool,
};

/// How often a request that waits for a new connection looks whether others avoid the backend by
/// now: then nobody connects to it, and the request goes to another one.
const LOOK: Duration = Duration::from_millis(100);

impl Exchange<'_> {
    /// Where connections are limited, waits for the beginning of a body, a buffer full or all of
    /// it, before the request takes one: a client that sends slowly should not hold it meanwhile.
    /// Not for long: some wait for the response before they send on. A client that expects 100
    /// sends nothing before it has that.
    pub(super) async fn gather(&mut self, pool: &WorkerPool) {
        let patience = pool.topology.body_wait;
        if patience.is_zero() || !pool.is_limited() || self.body_in_hand().is_some() {
            return;
        }
        // In a box, because few bodies are waited for.
        Box::pin(self.gather_for(patience)).await;
    }

    async fn gather_for(&mut self, patience: Duration) {
        if self.facts.notes.expect_continue && self.client.awaits_body() {
            self.slow = true;
            return;
        }
        let (settings, length) = (&self.view.settings, self.facts.body);
        self.slow |= !self.client.gather(settings, length, patience).await;
    }

    /// The right of a slow upload to a place at this endpoint; others need none.
    async fn slow_place(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
    ) -> Result<Option<SlowPlace>, AttemptOutcome> {
        let (pool, endpoint) = (lease.pool(), lease.endpoint());
        if endpoint.is_unlimited() {
            return Ok(None);
        }
        let waited = self
            .wait_in_queue(worker, pool, endpoint.wait_slowly(pool.topology.queue))
            .await;
        waited.map(Some).ok_or(AttemptOutcome::NoPlace)
    }

    /// What the request needs before it takes a connection here: the right to be under way, where
    /// requests are limited, and that of a slow upload. `None` if the client leaves meanwhile.
    #[cold]
    pub(super) async fn places(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Option<Result<(Option<RequestPlace>, Option<SlowPlace>), AttemptOutcome>> {
        let (pool, mut place) = (lease.pool(), None);
        if let Some(limit) = pool.request_limit(lease.position()) {
            let may_wait = may_wait(lease, tries);
            match self.request_place(worker, pool, limit, may_wait).await? {
                Ok(taken) => place = Some(taken),
                Err(outcome) => return Some(Err(outcome)),
            }
        }
        if !self.slow_place {
            return Some(Ok((place, None)));
        }
        let slow = self.presence().during(self.slow_place(worker, lease));
        Some(slow.await?.map(|slow| (place, slow)))
    }

    /// The right to have the request under way here, at once or by waiting for it; `None` if the
    /// client leaves meanwhile.
    #[cold]
    pub(super) async fn request_place(
        &self,
        worker: &Worker,
        pool: &WorkerPool,
        limit: &RequestLimit,
        may_wait: bool,
    ) -> Option<Result<RequestPlace, AttemptOutcome>> {
        if let Some(place) = limit.take() {
            return Some(Ok(place));
        }
        if !may_wait {
            return Some(Err(AttemptOutcome::NoPlace));
        }
        let waiting = self.wait_in_queue(worker, pool, limit.wait(pool.topology.queue));
        let waited = self.presence().during(Box::pin(waiting)).await?;
        Some(waited.ok_or(AttemptOutcome::NoPlace))
    }

    /// Waits for as long as the request may still wait for connections.
    async fn wait_in_queue<T>(
        &self,
        worker: &Worker,
        pool: &WorkerPool,
        turn: impl Future<Output = Option<T>>,
    ) -> Option<T> {
        let left = pool
            .topology
            .queue_timeout
            .saturating_sub(self.queued.get());
        if left.is_zero() {
            return None;
        }
        let began = Instant::now();
        let waiting = InQueue::new(&pool.shard);
        // In a box, because hardly any request waits.
        let turn = Box::pin(turn);
        let turn = worker
            .timers
            .limit(self.client.timer(), Wait::UpstreamWrite, left, turn)
            .await;
        drop(waiting);
        self.queued.set(self.queued.get() + began.elapsed());
        let turn = turn.ok().flatten();
        if turn.is_some() {
            pool.shard.waits.increment();
        }
        turn
    }

    /// A connection to the endpoint where none lies in the pool, or a stream.
    pub(super) async fn open(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Result<Carrier, AttemptOutcome> {
        let mut place = None;
        if lease.endpoint().has_streams() {
            let opened = self.open_stream(worker, lease, tries).await;
            return match opened {
                // Only now it is known that it has no streams.
                Ok(Carrier::H1(_)) if !self.may_connect(lease.endpoint()) => {
                    Err(AttemptOutcome::NoShare)
                }
                opened => opened,
            };
        }
        if !lease.endpoint().is_unlimited() {
            match self.place(worker, lease, tries).await? {
                Turn::Connection(given) if !self.fresh && given.is_quiet(self.is_fragile()) => {
                    worker.shard.upstream_reuses.increment();
                    return Ok(Carrier::H1(given));
                }
                Turn::Connection(given) => place = given.into_place(),
                Turn::Place(free) => place = Some(free),
            }
        }
        self.connect((worker, tries), lease, place).await
    }

    /// A stream of a connection that has to be made, or that others have filled.
    async fn open_stream(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Result<Carrier, AttemptOutcome> {
        let (pool, endpoint) = (lease.pool(), lease.endpoint());
        loop {
            match self.connect((worker, tries), lease, None).await {
                Err(AttemptOutcome::NoPlace) if endpoint.is_full() && may_wait(lease, tries) => {}
                opened => return opened,
            }
            self.wait_in_queue(worker, pool, endpoint.wait_for_stream(pool.topology.queue))
                .await
                .ok_or(AttemptOutcome::NoPlace)?;
        }
    }

    /// A connection that lies in the pool, or a stream of one that is there.
    pub(super) fn pooled(&self, worker: &Worker, lease: &Lease<'_>) -> Option<Carrier> {
        // Of a connection of HTTP/2 it is known when it has ended.
        if self.fresh && !lease.endpoint().has_streams() {
            return None;
        }
        let carrier = lease.pooled(self.is_fragile())?;
        worker.shard.upstream_reuses.increment();
        Some(carrier)
    }

    /// Whether a connection that has ended would cost the request more than another attempt.
    fn is_fragile(&self) -> bool {
        !self.may_repeat() || self.body_in_hand().is_none()
    }

    /// The right to a new connection, at once or by waiting for it.
    #[cold]
    async fn place(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Result<Turn, AttemptOutcome> {
        let (pool, endpoint) = (lease.pool(), lease.endpoint());
        if let Some(place) = endpoint.place() {
            return Ok(Turn::Place(place));
        }
        if !may_wait(lease, tries) {
            return Err(AttemptOutcome::NoPlace);
        }
        let client = self.scratch.head.client;
        loop {
            let turn = self
                .wait_in_queue(worker, pool, endpoint.wait(pool.topology.queue, client))
                .await
                .ok_or(AttemptOutcome::NoPlace)?;
            // While it waited another request of its client may have been broken off. Dropped, the
            // place passes on.
            if !endpoint
                .places()
                .is_some_and(|places| places.gives_way(client))
            {
                return Ok(turn);
            }
        }
    }

    /// Whether the request needs one of the places for slow uploads first: an upload with an
    /// incomplete body that has to wait must not block complete requests.
    pub(super) fn waits_slowly(&self, lease: &Lease<'_>, tries: &Tries<'_>) -> bool {
        self.slow
            || (self.body_in_hand().is_none()
                && lease.endpoint().is_full()
                && may_wait(lease, tries))
    }

    /// Whether the request may have a connection to this backend, if it needs one for itself.
    #[inline]
    pub(super) fn may_connect(&self, endpoint: &WorkerEndpoint) -> bool {
        match &self.client {
            // The client's connection stands for one.
            Client::H1(_) => true,
            Client::H2(stream) => {
                endpoint.has_streams() || stream.may_connect(&self.view.settings.limits)
            }
        }
    }

    /// Makes a connection. Where the process may have no more, or the machine has nothing left for
    /// one, an idle connection to any endpoint goes.
    async fn connect(
        &self,
        (worker, tries): (&Worker, &Tries<'_>),
        lease: &Lease<'_>,
        place: Option<Place>,
    ) -> Result<Carrier, AttemptOutcome> {
        let (pools, endpoint) = (&self.view.pools, lease.endpoint());
        pools.make_room_for_one();
        match self.connect_once((worker, tries), lease, place).await {
            Err(AttemptOutcome::OutOfResources)
                if endpoint.is_unlimited() && pools.close_oldest() =>
            {
                self.connect_once((worker, tries), lease, None).await
            }
            connected => connected,
        }
    }

    async fn connect_once(
        &self,
        (worker, tries): (&Worker, &Tries<'_>),
        lease: &Lease<'_>,
        place: Option<Place>,
    ) -> Result<Carrier, AttemptOutcome> {
        let room = lease.room().await?;
        let patience = tries.within(self.timeouts.connect);
        let timer = self.client.timer();
        // In a box, because what is waited for is kept twice.
        let mut connect = boxed(|| lease.connect((place, room), patience));
        let (began, mut look) = (Instant::now(), LOOK.min(patience));
        loop {
            let connected = worker
                .timers
                .limit(timer, Wait::UpstreamWrite, look, connect.as_mut())
                .await;
            if let Ok(connected) = connected {
                return connected;
            }
            let left = patience.saturating_sub(began.elapsed());
            let better = || tries.pool.has_better(lease.position(), tries.failed);
            if left.is_zero() || (lease.is_avoided() && !tries.is_last() && better()) {
                break;
            }
            look = LOOK.min(left);
        }
        Err(match lease.endpoint().has_streams() {
            // One connection is made at a time, within a limit of its own, and has the blame for
            // itself: what took too long is the wait for others.
            true => AttemptOutcome::NoPlace,
            false => AttemptOutcome::ConnectTimedOut,
        })
    }
}

/// Whether a request waits for a place at this endpoint, which is full, rather than try another.
fn may_wait(lease: &Lease<'_>, tries: &Tries<'_>) -> bool {
    tries.is_last_look() || lease.pool().should_wait(lease.position(), tries.failed)
}

/// A connection to a backend as it is read and written for one exchange.
pub(super) fn open<'a>(
    terms: Terms<'a>,
    timer: &'a Timer,
    connection: &'a mut Upstream,
    buffer: &'a mut Buffer,
    up: &'a mut Vec<u8>,
    duplex: &'a Duplex,
) -> (Reader<'a>, MessageSink<'a>) {
    let (read, write) = connection.stream.split();
    let Terms {
        worker, timeouts, ..
    } = terms;
    let timers = &worker.timers;
    let reader = Reader {
        read: TimedIo {
            half: read,
            timers,
            timer,
            wait: Wait::UpstreamRead,
            patience: timeouts.response,
            bytes: &worker.shard.bytes_from_backends,
        },
        buffer,
        buffers: &worker.buffers,
        limits: RESPONSE_LIMITS,
    };
    let write = TimedIo {
        half: write,
        timers,
        timer,
        wait: Wait::UpstreamWrite,
        patience: timeouts.response,
        bytes: &worker.shard.bytes_to_backends,
    };
    let sink = MessageSink::to_backend(write, up, duplex, timeouts.send);
    (reader, sink)
}

/// Counts a request for as long as it waits.
struct InQueue<'a>(&'a PoolShard);

impl<'a> InQueue<'a> {
    fn new(shard: &'a PoolShard) -> Self {
        shard.waiting.increment();
        Self(shard)
    }
}

impl Drop for InQueue<'_> {
    fn drop(&mut self) {
        self.0.waiting.decrement();
    }
}
