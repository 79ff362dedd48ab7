//! Connections of HTTP/1.1 that wait for their next request: taking one, and closing those that are
//! not worth keeping or are in the way.

use std::rc::Rc;

use super::{Connection, Idle, Place, WorkerEndpoint};
use crate::net::Stream;

/// Beyond the number that is kept for as long as a connection may be idle, one is kept for so long,
/// in milliseconds. The one that went idle last is used first, so that those which stay show how
/// many were needed at once not long ago.
const PEAK: u64 = 5_000;
/// Connections beyond that are closed in one sweep: other requests should not wait for thousands.
const AT_ONCE: usize = 256;

impl WorkerEndpoint {
    /// A pooled connection.
    pub(super) fn pooled_connection(self: &Rc<Self>, certain: bool) -> Option<Connection> {
        loop {
            let idle = self.idle.borrow_mut().pop_back()?;
            self.unpooled(1);
            if idle.stream.is_quiet(certain) {
                return Some(Connection::new(self, idle.stream, true, idle.place));
            }
            self.budget.give_back(1);
        }
    }

    /// The right to a new connection, if there is one: pooled connections make room.
    pub fn place(&self) -> Option<Place> {
        let places = self.places.as_ref()?;
        loop {
            if let Some(place) = places.take() {
                return Some(place);
            }
            if !self.close_oldest() {
                return None;
            }
        }
    }

    /// Since when the connection has been idle that has been it for longest.
    pub(super) fn oldest(&self) -> Option<u64> {
        self.idle.borrow().front().map(|idle| idle.since)
    }

    /// Closes that connection; whether there was one.
    pub(super) fn close_oldest(&self) -> bool {
        let oldest = self.idle.borrow_mut().pop_front();
        let is_there = oldest.is_some();
        drop(oldest);
        self.closed(usize::from(is_there));
        is_there
    }

    /// Closes pooled connections, the longest idle first, as far as requests of other workers wait
    /// for their places.
    pub(super) fn make_room(&self) {
        let Some(places) = &self.places else { return };
        let mut idle = self.idle.borrow_mut();
        let count = places.waiting_elsewhere(&self.queue).min(idle.len());
        idle.drain(..count);
        drop(idle);
        self.closed(count);
    }

    /// Pools a connection that has carried nothing, and has its part of the budget.
    pub(super) fn pool(&self, stream: Stream) {
        self.shard.connections.increment();
        self.idle.borrow_mut().push_back(Idle {
            stream,
            since: self.swept.get(),
            place: None,
        });
    }

    /// Closes the connections that have been idle since before `before`, and those that have ended.
    pub(super) fn sweep(&self, before: u64) {
        let mut idle = self.idle.borrow_mut();
        let count = idle.len();
        idle.retain(|i| i.since >= before && i.stream.is_quiet(false));
        self.closed(count - idle.len());
    }

    /// Closes connections beyond the usual number that were not needed for a while.
    pub(super) fn forget_peak(&self, now: u64) {
        let mut idle = self.idle.borrow_mut();
        let (beyond, before) = (
            idle.len().saturating_sub(self.kept.get()),
            now.saturating_sub(PEAK),
        );
        let old = idle.iter().take(beyond.min(AT_ONCE));
        let count = old.take_while(|idle| idle.since < before).count();
        idle.drain(..count);
        self.closed(count);
    }

    /// Connections have left the pool and are closed.
    pub(super) fn closed(&self, count: usize) {
        self.unpooled(count);
        self.budget.give_back(count);
    }

    /// Counts connections that have left the pool.
    fn unpooled(&self, count: usize) {
        for _ in 0..count {
            self.shard.connections.decrement();
            if let Some(places) = &self.places {
                places.unpooled();
            }
        }
    }
}
