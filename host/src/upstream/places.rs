//! How many connections all workers together may have to one backend, and the queue of requests
//! that wait for one.
//!
//! Only backends of a pool with `max-connections` have any of this. The queue is first come, first
//! served over all workers: a place that becomes free belongs to the request that has waited
//! longest. A connection that is given back passes straight to a waiting request of its own worker,
//! as long as no other worker has one; a connection can't change workers, so it is closed where one
//! has.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::{Notify, oneshot};

use super::rights::{Held, Rights};

/// The places of one backend, shared by all workers.
#[derive(Debug)]
pub struct Places {
    free: Rights,
    /// How many more slow uploads may have one: they are kept to a half, so that they never have
    /// all.
    for_slow: Rights,
    /// Requests in the queue, slow uploads included.
    queued: AtomicUsize,
    /// Requests that wait for a place: all in the queue but slow uploads that other slow uploads
    /// are in the way of.
    waiting: AtomicUsize,
    /// Waiting requests of clients that are not suspects.
    clean: AtomicUsize,
    /// Requests that are being broken off: their places are as good as free.
    breaking: AtomicUsize,
    /// Clients of which a request was broken off, because they were slow while others waited, until
    /// when.
    suspects: Mutex<HashMap<IpAddr, Instant>>,
    count: AtomicUsize,
    /// Pooled connections: each holds a place that no request uses.
    idle: AtomicUsize,
    /// Wakes the workers when pooled connections block waiting requests.
    wanted: Arc<Notify>,
}

/// For how long a client gives way to others after it was slow.
const SUSPICION: Duration = Duration::from_secs(30);
/// How many suspects are remembered at a time.
const SUSPECTS: usize = 4_096;

/// The right to one connection. Dropped, it passes to the request that has waited longest.
#[derive(Debug)]
pub struct Place {
    _held: Held,
}

/// The right of a slow upload to a place.
#[derive(Debug)]
pub struct SlowPlace {
    _held: Held,
}

/// The result of waiting for a place.
#[derive(Debug)]
pub enum Turn<T> {
    /// The right to a new connection.
    Place(Place),
    /// A connection that another request gave back.
    Connection(T),
}

/// The requests of one worker that wait for a place at one backend.
#[derive(Debug)]
pub(super) struct Queue<T> {
    first: RefCell<VecDeque<oneshot::Sender<T>>>,
    len: Cell<usize>,
}

/// Counts a request for as long as it is in the queue.
struct Queued<'a>(&'a Places);

/// Counts a request for as long as it waits for a place.
struct Waiting<'a, T> {
    places: &'a Places,
    queue: &'a Queue<T>,
    clean: bool,
}

impl Places {
    /// Creates this many places.
    pub fn new(count: usize, wanted: &Arc<Notify>) -> Self {
        Self {
            free: Rights::new(count),
            for_slow: Rights::new(for_slow(count)),
            queued: AtomicUsize::default(),
            waiting: AtomicUsize::default(),
            clean: AtomicUsize::default(),
            breaking: AtomicUsize::default(),
            suspects: Mutex::default(),
            count: AtomicUsize::new(count),
            idle: AtomicUsize::default(),
            wanted: Arc::clone(wanted),
        }
    }

    /// From now on there are this many. Connections that are held beyond that are not replaced.
    /// One caller at a time.
    pub(super) fn resize(&self, count: usize) {
        let former = self.count.swap(count, Relaxed);
        self.free.resize(former, count);
        self.for_slow.resize(for_slow(former), for_slow(count));
    }

    /// A place, if one is free and no request waits for it.
    pub(super) fn take(&self) -> Option<Place> {
        let held = self.free.take()?;
        Some(Place { _held: held })
    }

    pub(super) fn has_free(&self) -> bool {
        self.free.has_free()
    }

    /// Whether more are held than there are, since the limit was lowered.
    pub(super) fn is_over(&self) -> bool {
        self.free.is_over()
    }

    /// What wakes the workers when pooled connections are in the way.
    pub(super) fn wanted(&self) -> &Arc<Notify> {
        &self.wanted
    }

    /// How many requests of other workers wait.
    pub(super) fn waiting_elsewhere<T>(&self, here: &Queue<T>) -> usize {
        self.waiting.load(Relaxed).saturating_sub(here.len.get())
    }

    pub(super) fn pooled(&self) {
        self.idle.fetch_add(1, Relaxed);
    }

    pub(super) fn unpooled(&self) {
        self.idle.fetch_sub(1, Relaxed);
    }

    /// Waits for a place, or for a connection of this worker that is given back; `None` if `most`
    /// requests wait already.
    pub(super) async fn wait<T>(
        &self,
        queue: &Queue<T>,
        most: usize,
        client: IpAddr,
    ) -> Option<Turn<T>> {
        let _queued = self.enter(most)?;
        let _waiting = Waiting::begin(self, queue, !self.is_suspect(client));
        let (give, given) = oneshot::channel();
        queue.push(give);
        if self.idle.load(Relaxed) > 0 {
            self.wanted.notify_waiters();
        }
        tokio::select! {
            biased;
            Ok(connection) = given => Some(Turn::Connection(connection)),
            Some(held) = self.free.wait() => Some(Turn::Place(Place { _held: held })),
            else => None,
        }
    }

    /// Waits until a slow upload may have a place; `None` if `most` requests wait already.
    pub(super) async fn wait_slowly(&self, most: usize) -> Option<SlowPlace> {
        if let Some(held) = self.for_slow.take() {
            return Some(SlowPlace { _held: held });
        }
        let _queued = self.enter(most)?;
        let held = self.for_slow.wait().await?;
        Some(SlowPlace { _held: held })
    }

    /// Whether requests wait for what this one holds: a place, and with it the right of a slow
    /// upload.
    pub fn is_wanted(&self, slow: bool) -> bool {
        self.waiting.load(Relaxed) > 0 || (slow && self.queued.load(Relaxed) > 0)
    }

    /// How many requests wait, slow uploads included.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    /// How many requests wait for each place.
    pub fn pressure(&self) -> usize {
        self.queued.load(Relaxed) / self.count.load(Relaxed).max(1)
    }

    /// Begins to break a request of this client off, unless enough of them are for those that wait.
    /// To be followed by [`Places::broken_off`].
    pub fn break_off(&self, client: IpAddr) -> bool {
        if self.breaking.fetch_add(1, Relaxed) >= self.queued.load(Relaxed) {
            self.broken_off();
            return false;
        }
        let mut suspects = self.suspects();
        let now = Instant::now();
        if suspects.len() >= SUSPECTS {
            suspects.retain(|_, until| *until > now);
        }
        if suspects.len() < SUSPECTS {
            suspects.insert(network(client), now + SUSPICION);
        }
        true
    }

    /// It has ended.
    pub fn broken_off(&self) {
        self.breaking.fetch_sub(1, Relaxed);
    }

    /// Whether a request of this client was broken off not long ago.
    pub fn is_suspect(&self, client: IpAddr) -> bool {
        self.suspects()
            .get(&network(client))
            .is_some_and(|until| *until > Instant::now())
    }

    /// Whether a request that has its turn should pass it on.
    pub fn gives_way(&self, client: IpAddr) -> bool {
        self.clean.load(Relaxed) > 0 && self.is_suspect(client)
    }

    fn suspects(&self) -> MutexGuard<'_, HashMap<IpAddr, Instant>> {
        self.suspects.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn enter(&self, most: usize) -> Option<Queued<'_>> {
        let before = self.queued.fetch_add(1, Relaxed);
        let queued = Queued(self);
        // The guard uncounts a request that finds the queue full.
        (before < most).then_some(queued)
    }
}

/// Of so many places.
fn for_slow(count: usize) -> usize {
    (count / 2).max(1)
}

impl<T> Default for Queue<T> {
    fn default() -> Self {
        Self {
            first: RefCell::default(),
            len: Cell::default(),
        }
    }
}

impl<T> Queue<T> {
    /// Gives the connection to the first that waits. Comes back if none does.
    pub(super) fn hand_over(&self, mut connection: T) -> Option<T> {
        loop {
            let Some(first) = self.first.borrow_mut().pop_front() else {
                return Some(connection);
            };
            match first.send(connection) {
                Ok(()) => return None,
                // That request got a place in the meantime, or waits no more.
                Err(refused) => connection = refused,
            }
        }
    }

    fn push(&self, give: oneshot::Sender<T>) {
        let mut first = self.first.borrow_mut();
        // Requests that wait no more leave their senders behind.
        if first.len() > 2 * self.len.get() + 16 {
            first.retain(|sender| !sender.is_closed());
        }
        first.push_back(give);
    }
}

impl<'a, T> Waiting<'a, T> {
    fn begin(places: &'a Places, queue: &'a Queue<T>, clean: bool) -> Self {
        places.waiting.fetch_add(1, Relaxed);
        places.clean.fetch_add(usize::from(clean), Relaxed);
        queue.len.set(queue.len.get() + 1);
        Self {
            places,
            queue,
            clean,
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.queued.fetch_sub(1, Relaxed);
    }
}

impl<T> Drop for Waiting<'_, T> {
    fn drop(&mut self) {
        self.places.waiting.fetch_sub(1, Relaxed);
        self.places
            .clean
            .fetch_sub(usize::from(self.clean), Relaxed);
        self.queue.len.set(self.queue.len.get() - 1);
    }
}

/// Addresses that one client has at its disposal: with IPv6 those of its network.
pub fn network(client: IpAddr) -> IpAddr {
    match client.to_canonical() {
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        v4 => v4,
    }
}
