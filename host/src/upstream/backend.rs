//! One backend as one worker sees it: connections, health, counts.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::Verdict;
use super::doubt::Accuser;
use super::places::{Place, Places, Queue, SlowPlace, Turn};
use crate::net::Stream;
use crate::stats::BackendShard;

/// A backend. Pools that name the same address share it, with its connections and its health.
#[derive(Debug)]
pub struct Backend {
    /// Where it is.
    pub address: SocketAddr,
    /// The same as text, for logs and for the `Host` of clients that named none.
    pub name: String,
    /// What this worker counts of it.
    pub shard: Arc<BackendShard>,
    /// Whether it answered by HTTP/1.0, which has no expectations, when it was last sent one.
    pub ignores_expectations: Cell<bool>,
    /// Whose failure was held against it last, since it answered last.
    pub(super) accuser: Cell<Option<Accuser>>,
    /// Kept-alive connections, the longest idle first.
    idle: RefCell<VecDeque<Idle>>,
    /// How many connections it may have, where that is limited.
    places: Option<Arc<Places>>,
    /// This worker's requests that wait for one.
    queue: Queue,
}

#[derive(Debug)]
struct Idle {
    stream: Stream,
    /// Milliseconds of the worker's clock.
    since: u64,
    place: Option<Place>,
}

/// A connection for the length of a request. Dropped, it is closed; [`Lease::keep`] gives it back.
#[derive(Debug)]
pub struct Lease {
    /// The connection.
    pub stream: Stream,
    /// Whether it has carried a request before.
    pub reused: bool,
    open: Open,
}

/// Counts an open connection, and holds its place, for as long as it lives.
#[derive(Debug)]
struct Open {
    backend: Rc<Backend>,
    place: Option<Place>,
}

impl Open {
    fn new(backend: &Rc<Backend>, place: Option<Place>) -> Self {
        backend.shard.connections.increment();
        Self {
            backend: Rc::clone(backend),
            place,
        }
    }
}

/// An attempt at a backend that is ejected: as long as one is under way, its worker's other
/// requests avoid the backend.
#[derive(Debug)]
pub struct Probe(Rc<Backend>);

/// Counts a request in flight for as long as it lives.
#[derive(Debug)]
pub struct InFlight(Rc<Backend>);

impl Backend {
    /// A backend without connections.
    pub fn new(address: SocketAddr, shard: Arc<BackendShard>, places: Option<Arc<Places>>) -> Self {
        let (ignores_expectations, accuser) = (Cell::new(false), Cell::new(None));
        let (idle, queue) = (RefCell::default(), Queue::default());
        Self {
            address,
            name: address.to_string(),
            shard,
            ignores_expectations,
            accuser,
            idle,
            places,
            queue,
        }
    }

    /// A pooled connection, the most recently used first, as it is the least likely to be closed.
    ///
    /// A connection that has ended, or on which the backend spoke out of turn, is passed over.
    /// `certain` looks at the socket itself rather than at what the last poll saw: one more system
    /// call, for requests that must not be repeated.
    pub fn lease_idle(self: &Rc<Self>, certain: bool) -> Option<Lease> {
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            self.unpooled(1);
            if idle.stream.is_quiet(certain) {
                return Some(Lease {
                    stream: idle.stream,
                    reused: true,
                    open: Open::new(self, idle.place),
                });
            }
        }
    }

    /// Whether it may have any number of connections.
    pub fn is_unlimited(&self) -> bool {
        self.places.is_none()
    }

    /// Whether a request would have to wait for a connection now.
    pub fn is_full(&self) -> bool {
        self.idle.borrow().is_empty()
            && self
                .places
                .as_ref()
                .is_some_and(|places| !places.has_free())
    }

    /// The right to a new connection, if there is one: pooled connections make room.
    pub fn place(&self) -> Option<Place> {
        let places = self.places.as_ref()?;
        loop {
            if let Some(place) = places.take() {
                return Some(place);
            }
            let idle = self.idle.borrow_mut().pop_front()?;
            self.unpooled(1);
            drop(idle);
        }
    }

    /// Waits for a connection or the right to one; `None` if `most` requests of all workers wait
    /// already. The caller limits the time.
    pub async fn wait(&self, most: usize, client: IpAddr) -> Option<Turn> {
        self.places.as_ref()?.wait(&self.queue, most, client).await
    }

    /// Where connections are limited, what is known of those that hold them and those that wait.
    pub fn places(&self) -> Option<&Places> {
        self.places.as_deref()
    }

    /// Waits until a slow upload may have a place; `None` if `most` requests wait already. The
    /// caller limits the time.
    pub async fn wait_slowly(&self, most: usize) -> Option<SlowPlace> {
        self.places.as_ref()?.wait_slowly(most).await
    }

    /// Closes pooled connections, the longest idle first, as far as requests of other workers wait
    /// for their places.
    pub fn make_room(&self) {
        let Some(places) = &self.places else { return };
        let mut idle = self.idle.borrow_mut();
        let count = places.waiting_elsewhere(&self.queue).min(idle.len());
        idle.drain(..count);
        drop(idle);
        self.unpooled(count);
    }

    /// So many connections have left the pool.
    fn unpooled(&self, count: usize) {
        for _ in 0..count {
            self.shard.connections.decrement();
            if let Some(places) = &self.places {
                places.unpooled();
            }
        }
    }

    /// A new connection. The caller limits the time.
    pub async fn connect(self: &Rc<Self>, place: Option<Place>) -> io::Result<Lease> {
        Ok(Lease {
            stream: Stream::connect(self.address).await?,
            reused: false,
            open: Open::new(self, place),
        })
    }

    /// Closes the connections that have been idle since before `before`, and those that have ended.
    pub fn sweep(&self, before: u64) {
        let mut idle = self.idle.borrow_mut();
        let count = idle.len();
        idle.retain(|i| i.since >= before && i.stream.is_quiet(false));
        self.unpooled(count - idle.len());
    }

    /// Counts a request in flight until the answer is dropped.
    pub fn in_flight(self: &Rc<Self>) -> InFlight {
        self.shard.in_flight.increment();
        self.shard.requests.increment();
        InFlight(Rc::clone(self))
    }

    /// Begins an attempt. The answer is to be kept until the attempt has ended.
    pub fn probe(self: &Rc<Self>) -> Option<Probe> {
        if self.shard.ejected_until.value() == 0 {
            return None;
        }
        self.shard.probing.increment();
        Some(Probe(Rc::clone(self)))
    }

    /// A response head arrived this long after the request was sent: whatever becomes of the rest,
    /// it is no longer ejected.
    pub fn answered(&self, took: Duration) {
        let shard = &self.shard;
        let sample = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
        shard.latency_microseconds.record(sample);
        let average = shard.latency_ewma_microseconds.value();
        // One eighth, as TCP smooths its round-trip time (RFC 6298 section 2).
        shard.latency_ewma_microseconds.set(if average == 0 {
            sample
        } else {
            (average - average / 8 + sample / 8).max(1)
        });
        if shard.ejected_until.value() != 0 {
            shard.ejected_until.set(0);
        }
    }

    /// An attempt failed; whether that is held against the backend is not decided here.
    pub(super) fn failed(&self) {
        self.shard.failures.increment();
    }

    /// What an attempt says of it. After `max_failures` in a row (0 = never) the backend is ejected
    /// until `until`, in milliseconds since counting began.
    pub(super) fn judged(&self, verdict: Verdict, max_failures: u32, until: impl FnOnce() -> u64) {
        let shard = &self.shard;
        match verdict {
            Verdict::Unknown => {}
            Verdict::Well => {
                if shard.consecutive_failures.value() != 0 {
                    shard.consecutive_failures.set(0);
                    self.accuser.set(None);
                }
            }
            Verdict::Failed => {
                shard.consecutive_failures.increment();
                if max_failures > 0 && shard.consecutive_failures.value() >= u64::from(max_failures)
                {
                    shard.ejected_until.set(until());
                }
            }
        }
    }
}

impl Lease {
    /// Gives the connection back for the next request. At most `max_idle` are kept: the longest
    /// idle one goes.
    pub fn keep(self, now: u64, max_idle: usize) {
        let backend = Rc::clone(&self.open.backend);
        let mut lease = self;
        if let Some(places) = &backend.places {
            // Closing it gives its place to the request that has waited longest.
            if places.waiting_elsewhere(&backend.queue) > 0 {
                return;
            }
            match backend.queue.hand_over(lease.used()) {
                Some(back) => lease = back,
                None => return,
            }
        }
        if max_idle == 0 {
            return;
        }
        let Self {
            stream, mut open, ..
        } = lease;
        let mut idle = backend.idle.borrow_mut();
        if idle.len() >= max_idle {
            idle.pop_front();
            backend.unpooled(1);
        }
        // Pooled connections are counted too: `open` uncounts this one when it goes.
        backend.shard.connections.increment();
        idle.push_back(Idle {
            stream,
            since: now,
            place: open.place.take(),
        });
        if let Some(places) = &backend.places {
            places.pooled();
        }
    }

    /// Makes it a connection that has carried a request before, for the one that it passes to.
    fn used(mut self) -> Self {
        self.reused = true;
        self
    }

    /// Whether nothing has happened on it since its last request. `certain` as for
    /// [`Backend::lease_idle`].
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
        self.backend.shard.connections.decrement();
    }
}

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.shard.probing.decrement();
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.shard.in_flight.decrement();
    }
}
