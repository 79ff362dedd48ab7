//! One endpoint as one worker sees it: its connections, its health, its counters. A connection of
//! HTTP/1.1 is for one exchange at a time; those of HTTP/2 are in [`super::streams`].

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::health::{WorkerHealth, microseconds};
use super::places::{self, Place, Places, Queue, SlowPlace};
use super::seldom::Seldom;
use super::streams::{Slot, Streams};
use super::{Budget, Endpoint, EndpointId, Presence, Protocol};
use crate::net::Stream;
use crate::net::tls::Connector;
use crate::stats::{BackendShard, Stats, WorkerShard};

/// An endpoint on one worker. Pools that reach the same address in the same way share it, with its
/// connections and its health.
#[derive(Debug)]
pub struct WorkerEndpoint {
    /// The same on all workers.
    pub id: EndpointId,
    /// Where it is.
    pub address: SocketAddr,
    /// The address as text, for logs and for the `Host` of clients that named none.
    pub name: String,
    /// Whether it answered by HTTP/1.0, which has no expectations, when it was last sent one.
    pub ignores_expectations: Cell<bool>,
    pub(super) health: WorkerHealth,
    pub(super) shard: Arc<BackendShard>,
    /// Kept-alive connections, the longest idle first.
    pub(super) idle: RefCell<VecDeque<Idle>>,
    /// How many of them are kept for as long as one may be idle.
    pub(super) kept: Cell<usize>,
    /// How many connections it may have, where that is limited.
    pub(super) places: Option<Arc<Places>>,
    /// This worker's requests that wait for one.
    pub(super) queue: Queue<Connection>,
    /// It has left the topology, or has another limit now: no connection is pooled here any more.
    pub(super) retired: Cell<bool>,
    pub(super) protocol: Protocol,
    pub(super) tls: Option<Arc<Connector>>,
    /// The host that the operator wrote.
    pub(super) server_name: Arc<str>,
    /// Connections of HTTP/2.
    pub(super) streams: Rc<Streams>,
    /// Connections to all endpoints that the process may have.
    pub(super) budget: Arc<Budget>,
    /// Where the endpoint chooses the protocol: it chose HTTP/1.1 last.
    pub(super) speaks_http11: Cell<bool>,
    /// The worker's counters.
    pub(super) worker: Arc<WorkerShard>,
    /// Why its protocol was not what it should be, if that has happened.
    pub(super) unfit: RefCell<Option<Box<str>>>,
    /// Why there is no connection.
    pub(super) says_why: Seldom,
    /// That a connection is cut off.
    pub(super) says_cut_off: Rc<Seldom>,
    /// Milliseconds of the worker's clock, as of its last sweep.
    pub(super) swept: Cell<u64>,
    /// Keeps its id, its health and its counters.
    _presence: Presence,
}

/// What carries one exchange.
#[derive(Debug)]
pub enum Carrier {
    /// A connection of HTTP/1.1.
    H1(Connection),
    /// A stream of a connection of HTTP/2.
    H2(Slot),
}

/// A connection for the length of an exchange. Dropped, it is closed; [`Connection::keep`] gives it
/// back.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub stream: Stream,
    open: Open,
}

/// A connection that waits in the pool.
#[derive(Debug)]
pub(super) struct Idle {
    pub stream: Stream,
    /// Milliseconds of the worker's clock.
    pub since: u64,
    pub place: Option<Place>,
}

/// What a request that has waited gets.
pub type Turn = places::Turn<Connection>;

/// Counts an open connection, and holds its place, for as long as it lives.
#[derive(Debug)]
struct Open {
    endpoint: Rc<WorkerEndpoint>,
    place: Option<Place>,
    /// The connection has carried a request before.
    reused: bool,
    /// The connection has its part of the budget, and has not passed it on.
    holds_room: bool,
}

impl WorkerEndpoint {
    /// Whether its connections carry bytes as they are, without TLS and HTTP/2.
    pub fn is_plain(&self) -> bool {
        self.tls.is_none() && self.protocol == Protocol::Http11
    }

    /// An endpoint without connections, for worker number `worker`.
    pub fn new(endpoint: &Endpoint, stats: &Stats, worker: usize) -> Self {
        let health = Arc::clone(&endpoint.health);
        let shard = Arc::clone(&stats.backend(&endpoint.label, health).shards[worker]);
        let counters = (shard, Arc::clone(&stats.workers()[worker]));
        Self::counted(endpoint, counters, worker)
    }

    /// The same with these counters.
    pub(super) fn counted(
        endpoint: &Endpoint,
        (shard, worker_shard): (Arc<BackendShard>, Arc<WorkerShard>),
        worker: usize,
    ) -> Self {
        Self {
            id: endpoint.id,
            address: endpoint.address,
            name: endpoint.address.to_string(),
            ignores_expectations: Cell::new(false),
            health: endpoint.health.of_worker(worker),
            shard,
            idle: RefCell::default(),
            kept: Cell::new(endpoint.kept),
            places: endpoint.places.clone(),
            queue: Queue::default(),
            retired: Cell::new(false),
            protocol: endpoint.protocol,
            tls: endpoint.tls.clone(),
            server_name: Arc::clone(&endpoint.server_name),
            streams: Rc::new(Streams::new(endpoint.streams)),
            budget: Arc::clone(&endpoint.budget),
            speaks_http11: Cell::new(false),
            worker: worker_shard,
            unfit: RefCell::default(),
            says_why: Seldom::default(),
            says_cut_off: Rc::default(),
            swept: Cell::new(0),
            _presence: endpoint.presence.clone(),
        }
    }

    /// Whether its connections still fit the configuration.
    pub(super) fn is_still(&self, said: &Endpoint) -> bool {
        let places = self.places.as_ref().map(Arc::as_ptr);
        let tls = self.tls.as_ref().map(Arc::as_ptr);
        (self.protocol, self.streams.rules) == (said.protocol, said.streams)
            && places == said.places.as_ref().map(Arc::as_ptr)
            && tls == said.tls.as_ref().map(Arc::as_ptr)
    }

    /// Closes the pooled connections, and those in use after their exchange.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        self.sweep(u64::MAX);
        self.streams.retire();
    }

    /// What [`super::Lease::pooled`] gives.
    #[inline]
    pub(super) fn pooled(self: &Rc<Self>, certain: bool) -> Option<Carrier> {
        match self.pooled_connection(certain) {
            Some(connection) => Some(Carrier::H1(connection)),
            None if self.protocol == Protocol::Http11 => None,
            None => self.streams.take().ok().map(Carrier::H2),
        }
    }

    /// Whether it may have any number of connections.
    pub fn is_unlimited(&self) -> bool {
        self.places.is_none()
    }

    /// Whether its exchanges are streams of HTTP/2, as far as is known: connections are not handed
    /// from one request to another then.
    pub fn has_streams(&self) -> bool {
        match self.protocol {
            Protocol::Http11 => false,
            Protocol::H2 => true,
            Protocol::Auto => !self.speaks_http11.get(),
        }
    }

    /// Whether its connections are secured by TLS.
    pub fn is_secure(&self) -> bool {
        self.tls.is_some()
    }

    /// Waits until there may be a stream; `None` if `most` requests wait already. The caller limits
    /// the time.
    pub async fn wait_for_stream(&self, most: usize) -> Option<()> {
        self.streams.wait(most).await
    }

    /// Whether a request would have to wait for a connection, or for a stream of one, now.
    pub fn is_full(&self) -> bool {
        if self.protocol != Protocol::Http11 && self.streams.is_full() {
            return true;
        }
        self.idle.borrow().is_empty()
            && self
                .places
                .as_ref()
                .is_some_and(|places| !places.has_free())
    }

    /// Waits for a connection or the right to one; `None` if `most` requests of all workers wait
    /// already. The caller limits the time.
    pub async fn wait(&self, most: usize, client: IpAddr) -> Option<Turn> {
        self.places.as_ref()?.wait(&self.queue, most, client).await
    }

    /// Where connections are limited, those in use and the requests that wait for one.
    pub fn places(&self) -> Option<&Places> {
        self.places.as_deref()
    }

    /// Waits until a slow upload may have a place; `None` if `most` requests wait already. The
    /// caller limits the time.
    pub async fn wait_slowly(&self, most: usize) -> Option<SlowPlace> {
        self.places.as_ref()?.wait_slowly(most).await
    }

    /// Looks after its connections, at this moment of the worker's clock: closes those that have
    /// been idle since before `before`, and those that have ended.
    pub(super) fn look_after(&self, now: u64, before: u64) {
        self.swept.set(now);
        self.sweep(before);
        self.forget_peak(now);
        if self.protocol != Protocol::Http11 {
            self.streams.sweep(now, before);
        }
    }

    /// A response head did not come in so long, and is not waited for any more.
    pub fn was_slow(&self, waited: Duration) {
        self.shard.latency_microseconds.record(microseconds(waited));
        self.health.was_slow(waited);
    }

    /// A response head arrived, this long after the request was sent, if all of it was. From now on
    /// the endpoint is not ejected, even if the rest fails. It is not the end of the attempt, which
    /// [`super::Lease::finish`] reports. A head whose status `is_failure` shows nothing good.
    pub fn answered(&self, took: Option<Duration>, is_failure: bool) {
        if let Some(took) = took {
            self.shard.latency_microseconds.record(microseconds(took));
        }
        match is_failure {
            false => self.health.answered(took),
            // Quick refusals should not look like quick answers.
            true => self.health.refused(),
        }
    }
}

impl Carrier {
    /// Whether its connection has carried a request before.
    #[inline]
    pub fn is_reused(&self) -> bool {
        match self {
            Self::H1(connection) => connection.is_reused(),
            Self::H2(slot) => slot.reused,
        }
    }
}

impl Connection {
    /// An open connection, which has its part of the budget.
    pub(super) fn new(
        endpoint: &Rc<WorkerEndpoint>,
        stream: Stream,
        reused: bool,
        place: Option<Place>,
    ) -> Self {
        endpoint.shard.connections.increment();
        let endpoint = Rc::clone(endpoint);
        Self {
            stream,
            open: Open {
                endpoint,
                place,
                reused,
                holds_room: true,
            },
        }
    }

    /// Whether it has carried a request before.
    #[inline]
    pub fn is_reused(&self) -> bool {
        self.open.reused
    }

    /// Gives the connection back for the next request. At most `max_idle` are kept: the longest
    /// idle one goes.
    pub fn keep(self, now: u64, max_idle: usize) {
        let endpoint = Rc::clone(&self.open.endpoint);
        let mut connection = self;
        if let Some(places) = &endpoint.places {
            // Closing it gives its place to the request that has waited longest, or pays for a
            // limit that was lowered.
            if places.waiting_elsewhere(&endpoint.queue) > 0 || places.is_over() {
                return;
            }
            match endpoint.queue.hand_over(connection.used()) {
                Some(back) => connection = back,
                None => return,
            }
        }
        if max_idle == 0 || endpoint.retired.get() {
            return;
        }
        let Self {
            stream, mut open, ..
        } = connection;
        let mut idle = endpoint.idle.borrow_mut();
        if idle.len() >= max_idle {
            idle.pop_front();
            endpoint.closed(1);
        }
        // Pooled connections are counted too: `open` uncounts this one when it goes.
        endpoint.shard.connections.increment();
        open.holds_room = false;
        idle.push_back(Idle {
            stream,
            since: now,
            place: open.place.take(),
        });
        if let Some(places) = &endpoint.places {
            places.pooled();
        }
    }

    /// Makes it a connection that has carried a request before, for the one that it passes to.
    fn used(mut self) -> Self {
        self.open.reused = true;
        self
    }

    /// Whether nothing has happened on it since its last request. `certain` as for
    /// [`super::Lease::pooled`].
    pub fn is_quiet(&self, certain: bool) -> bool {
        self.stream.is_quiet(certain)
    }

    /// Closes the connection and leaves its place.
    pub fn into_place(mut self) -> Option<Place> {
        self.open.place.take()
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.endpoint.shard.connections.decrement();
        if self.holds_room {
            self.endpoint.budget.give_back(1);
        }
    }
}
