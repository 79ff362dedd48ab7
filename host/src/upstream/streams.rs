//! The connections of HTTP/2 that one worker has to one endpoint, and their streams.
//!
//! One connection carries all requests, up to the number of streams that the endpoint allows on it;
//! only then there is another. However many requests wait for a connection, one is made at a time
//! ([`super::opening`]), and all of them wait for that one.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Notify;

use super::multiplexed::Multiplexed;
use super::opening::Opening;
use super::{AttemptOutcome, StreamRules, WorkerEndpoint};

/// The connections of HTTP/2 to one endpoint.
#[derive(Debug)]
pub(super) struct Streams {
    pub rules: StreamRules,
    connections: RefCell<Vec<Rc<Multiplexed>>>,
    /// The connection that is being made.
    pub opening: RefCell<Option<Rc<Opening>>>,
    /// Wakes those that wait for a stream.
    freed: Notify,
    /// How many do.
    waiting: Cell<usize>,
}

/// The right to one stream: it counts from when it is given until it is dropped.
#[derive(Debug)]
pub struct Slot {
    endpoint: Rc<WorkerEndpoint>,
    connection: Rc<Multiplexed>,
    /// Whether the connection has carried a request before.
    pub reused: bool,
}

/// Why there is no stream at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoStream {
    /// A connection has to be made.
    Connect,
    /// There are as many connections as there may be, and all are full.
    Full,
}

impl Streams {
    pub(super) fn new(rules: StreamRules) -> Self {
        Self {
            rules,
            connections: RefCell::default(),
            opening: RefCell::default(),
            freed: Notify::new(),
            waiting: Cell::new(0),
        }
    }

    /// A stream of a connection that is there. The first that has room: what is not needed any more
    /// becomes idle, and is closed.
    pub(super) fn take(&self, endpoint: &Rc<WorkerEndpoint>) -> Result<Slot, NoStream> {
        let mut connections = self.connections.borrow_mut();
        connections.retain(|connection| connection.is_usable());
        for connection in &*connections {
            if let Some(reused) = connection.occupy() {
                return Ok(Slot {
                    endpoint: Rc::clone(endpoint),
                    connection: Rc::clone(connection),
                    reused,
                });
            }
        }
        match self.rules.connections {
            0 => Err(NoStream::Connect),
            most if connections.len() < most => Err(NoStream::Connect),
            _ => Err(NoStream::Full),
        }
    }

    /// A connection is there.
    pub(super) fn add(&self, connection: &Rc<Multiplexed>) {
        self.connections.borrow_mut().push(Rc::clone(connection));
        self.freed.notify_waiters();
    }

    /// Whether a request would have to wait for a stream that another one has.
    pub(super) fn is_full(&self) -> bool {
        let connections = self.connections.borrow();
        self.rules.connections > 0
            && connections.len() >= self.rules.connections
            && !connections.iter().any(|connection| connection.has_room())
    }

    /// Waits until there may be a stream; `None` if `most` requests wait already.
    pub(super) async fn wait(&self, most: usize) -> Option<()> {
        if self.waiting.get() >= most {
            return None;
        }
        let _waiting = Waiting::begin(&self.waiting);
        if self.is_full() {
            self.freed.notified().await;
        }
        Some(())
    }

    /// Closes all connections once their streams have ended.
    pub(super) fn retire(&self) {
        for connection in self.connections.take() {
            connection.close();
        }
    }

    /// Looks after the connections, at this moment of the worker's clock: closes those that were
    /// idle since before `before`, and asks those that are silent whether they are alive.
    pub(super) fn sweep(&self, now: u64, before: u64) {
        let ping = u64::try_from(self.rules.ping_interval.as_millis()).unwrap_or(u64::MAX);
        self.connections.borrow_mut().retain(|connection| {
            let keep = connection.is_usable() && connection.look(now, before, ping);
            if !keep {
                connection.close();
            }
            keep
        });
    }
}

impl Slot {
    /// The connection that carries the stream.
    pub(super) fn connection(&self) -> &Rc<Multiplexed> {
        &self.connection
    }

}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.leave();
        let streams = &self.endpoint.streams;
        streams.freed.notify_one();
        if self.endpoint.retired.get() {
            streams.retire();
        }
    }
}

impl WorkerEndpoint {
    /// A stream of a connection, which is made if there is none; `None` in place of a stream if the
    /// endpoint turns out to speak HTTP/1.1. The caller limits the time.
    pub(super) async fn stream(
        self: &Rc<Self>,
        patience: Duration,
    ) -> Result<Option<Slot>, AttemptOutcome> {
        let mut has_opened = false;
        loop {
            match self.streams.take(self) {
                Ok(slot) => return Ok(Some(slot)),
                Err(NoStream::Full) => return Err(AttemptOutcome::NoPlace),
                // A connection that allows no stream is none.
                Err(NoStream::Connect) if has_opened && self.streams.allows_none() => {
                    return Err(AttemptOutcome::NoPlace);
                }
                Err(NoStream::Connect) => {}
            }
            let opening = Opening::join(self, patience);
            if !opening.wait().await? {
                return Ok(None);
            }
            has_opened = true;
        }
    }
}

impl Streams {
    /// Whether the newest connection has no stream in use, and no room for one.
    fn allows_none(&self) -> bool {
        let connections = self.connections.borrow();
        connections.last().is_some_and(|newest| newest.allows_none())
    }
}

/// Counts a request for as long as it waits.
struct Waiting<'a>(&'a Cell<usize>);

impl<'a> Waiting<'a> {
    fn begin(count: &'a Cell<usize>) -> Self {
        count.set(count.get() + 1);
        Self(count)
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.set(self.0.get() - 1);
    }
}
