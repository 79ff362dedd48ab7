//! The connections of HTTP/2 that one worker has to one endpoint, and their streams.
//!
//! One connection carries all requests, up to the number of streams that the endpoint allows on it;
//! only then there is another. However many requests wait for a connection, one is made at a time
//! ([`super::connect`]), and all of them wait for that one.

use std::any::Any;
use std::cell::{Cell, RefCell};
use std::rc::Rc;

use bytes::Bytes;
use h2::SendStream;
use h2::client::ResponseFuture;
use http::Request;
use tokio::sync::Notify;

use super::StreamRules;
use super::multiplexed::Multiplexed;
use super::opening::Opening;
use crate::h2::Traffic;

/// So many connections that an endpoint takes nothing on are left to the streams that they have.
const MOST_CLOGGED: usize = 4;

/// An endpoint that allows no stream is connected to anew this often, in milliseconds.
const ASKED_ANEW: u64 = 1_000;

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
    /// When an endpoint that allows no stream was asked last whether it does by another connection,
    /// in milliseconds of the worker's clock.
    asked_at: Cell<u64>,
    /// No connection is kept for later requests any more.
    retired: Cell<bool>,
}

/// The right to one stream: it counts from when it is given until it is dropped.
#[derive(Debug)]
pub struct Slot {
    streams: Rc<Streams>,
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
            asked_at: Cell::new(0),
            retired: Cell::new(false),
        }
    }

    /// A stream of a connection that is there. The first that has room: what is not needed any more
    /// becomes idle, and is closed.
    pub(super) fn take(self: &Rc<Self>) -> Result<Slot, NoStream> {
        let mut connections = self.connections.borrow_mut();
        let mut at = 0;
        // Only as far as that one: after a crowd there are many connections for a while.
        while let Some(connection) = connections.get(at) {
            if !connection.is_usable() {
                connections.remove(at);
                continue;
            }
            if !connection.is_clogged()
                && let Some(slot) = self.slot(connection)
            {
                return Ok(slot);
            }
            at += 1;
        }
        let most = self.rules.connections;
        let may_connect = most == 0 || connections.len() < most;
        let clogged = connections.iter().filter(|c| c.is_clogged()).count();
        if may_connect && clogged < MOST_CLOGGED {
            return Err(NoStream::Connect);
        }
        match connections
            .iter()
            .find_map(|connection| self.slot(connection))
        {
            Some(slot) => Ok(slot),
            None if may_connect => Err(NoStream::Connect),
            None => Err(NoStream::Full),
        }
    }

    fn slot(self: &Rc<Self>, connection: &Rc<Multiplexed>) -> Option<Slot> {
        connection.occupy().map(|reused| Slot {
            streams: Rc::clone(self),
            connection: Rc::clone(connection),
            reused,
        })
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

    /// Whether the newest connection has no stream in use, and no room for one.
    pub(super) fn allows_none(&self) -> bool {
        let connections = self.connections.borrow();
        connections
            .last()
            .is_some_and(|newest| newest.allows_none())
    }

    /// Whether another connection would be in vain: the endpoint allows no stream on the newest.
    /// Once in [`ASKED_ANEW`] it is asked by another one all the same, at this moment of the
    /// worker's clock.
    pub(super) fn is_in_vain(&self, now: u64) -> bool {
        if !self.allows_none() {
            return false;
        }
        let is_due = now >= self.asked_at.get().saturating_add(ASKED_ANEW);
        if is_due {
            self.asked_at.set(now);
        }
        !is_due
    }

    /// Closes all connections once their streams have ended.
    pub(super) fn retire(&self) {
        self.retired.set(true);
        for connection in self.connections.take() {
            connection.close();
        }
    }

    /// Closes a connection without a stream; whether there was one.
    pub(super) fn close_idle(&self) -> bool {
        let mut connections = self.connections.borrow_mut();
        let idle = connections.iter().position(|c| c.is_idle());
        let idle = idle.map(|at| connections.swap_remove(at));
        drop(connections);
        idle.inspect(|idle| idle.close()).is_some()
    }

    /// Looks after the connections, at this moment of the worker's clock: closes those that were
    /// idle since before `before`, and asks those that are silent whether they are alive.
    pub(super) fn sweep(&self, now: u64, before: u64) {
        let ping = u64::try_from(self.rules.ping_interval.as_millis()).unwrap_or(u64::MAX);
        if self.waiting.get() > 0 && !self.is_full() {
            // The endpoint has raised its limit, of which nothing else wakes them.
            self.freed.notify_waiters();
        }
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
    /// Opens the stream with this head.
    ///
    /// # Errors
    ///
    /// The connection takes no more streams: nothing was sent.
    pub fn open(
        &self,
        head: Request<()>,
        is_end: bool,
    ) -> Result<(ResponseFuture, SendStream<Bytes>), h2::Error> {
        self.connection.request(head, is_end)
    }

    /// What passes on its connection.
    pub fn traffic(&self) -> &Rc<Traffic> {
        self.connection.traffic()
    }

    /// Whether the endpoint has said that it takes extended CONNECTs (RFC 8441 section 3).
    pub fn takes_connect(&self) -> bool {
        self.connection.takes_connect()
    }

    /// The exchange has ended before its stream: `left` is what holds the stream, which is reset
    /// when that is dropped. That is now, or a little later if the endpoint was sent many resets.
    pub fn abandon(self, left: Box<dyn Any>) {
        let connection = Rc::clone(&self.connection);
        // The stream counts until it is reset.
        connection.abandon(Box::new((left, self)));
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.connection.leave();
        self.streams.freed.notify_one();
        if self.streams.retired.get() {
            self.streams.retire();
        }
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
