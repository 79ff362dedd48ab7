//! A connection to an endpoint, for one exchange at a time: HTTP/1.1.

use std::rc::Rc;

use super::WorkerEndpoint;
use super::places::Place;
use crate::net::Stream;

/// A connection for the length of an exchange. Dropped, it is closed; [`Connection::keep`] gives it
/// back.
#[derive(Debug)]
pub struct Connection {
    /// The connection.
    pub stream: Stream,
    /// Whether it has carried a request before.
    pub reused: bool,
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

/// Counts an open connection, and holds its place, for as long as it lives.
#[derive(Debug)]
struct Open {
    endpoint: Rc<WorkerEndpoint>,
    place: Option<Place>,
}

impl Connection {
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
            reused,
            open: Open { endpoint, place },
        }
    }

    /// Gives the connection back for the next request. At most `max_idle` are kept: the longest
    /// idle one goes.
    pub fn keep(self, now: u64, max_idle: usize) {
        let endpoint = Rc::clone(&self.open.endpoint);
        let mut connection = self;
        if let Some(places) = &endpoint.places {
            // Closing it gives its place to the request that has waited longest.
            if places.waiting_elsewhere(&endpoint.queue) > 0 {
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
            endpoint.unpooled(1);
        }
        // Pooled connections are counted too: `open` uncounts this one when it goes.
        endpoint.shard.connections.increment();
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
        self.reused = true;
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
    }
}
