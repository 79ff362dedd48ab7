//! How much of its requests' bodies a client may send on a connection before backends take them.
//!
//! Each stream has a window of its own; the connection has one for all of them. Streams whose
//! backends take nothing use it up. It grows for them, so that they don't stop the others, as long
//! as the worker has room.

use super::limits::SMALL_WINDOW;
use super::wire::Engine;
use crate::config::H2Limits;
use crate::proxy::linger::Place;
use crate::proxy::worker::Worker;

/// Large windows of a worker at a time: the first one of a connection, and further ones.
const MOST: usize = 256;
const MOST_FURTHER: usize = 128;
/// Those of one connection.
const MOST_OF_ONE: usize = 16;
/// The most that the protocol allows.
const MAX: u32 = u32::MAX >> 1;

/// The rights of a connection to large windows, while requests have bodies. Without any it has the
/// window with which HTTP/2 begins.
#[derive(Debug, Default)]
pub(super) struct Windows(Vec<Place>);

impl Windows {
    /// A request with a body begins.
    pub(super) fn begin(&mut self, worker: &Worker, engine: &mut Engine) {
        if self.0.is_empty() {
            self.add(worker, engine, MOST);
        }
    }

    /// Follows what streams hold up: the client may send `left` bytes.
    pub(super) fn follow(&mut self, worker: &Worker, engine: &mut Engine, left: i64) {
        let count = self.0.len();
        if count == 0 {
            return;
        }
        let H2Limits {
            stream_window,
            connection_window,
            ..
        } = limits(worker);
        let little = i64::from(stream_window.min(connection_window) / 2);
        if left < little && count < MOST_OF_ONE {
            self.add(worker, engine, MOST_FURTHER);
        } else if count > 1 && left > i64::from(connection_window) * (count as i64 - 1) {
            self.0.pop();
            self.set(worker, engine);
        }
    }

    /// No request is under way.
    pub(super) fn end(&mut self, engine: &mut Engine) {
        if !self.0.is_empty() {
            self.0 = Vec::new();
            engine.set_target_window_size(SMALL_WINDOW);
        }
    }

    fn add(&mut self, worker: &Worker, engine: &mut Engine, most: usize) {
        if let Some(place) = Place::take(&worker.windows, most) {
            self.0.push(place);
            self.set(worker, engine);
        }
    }

    fn set(&self, worker: &Worker, engine: &mut Engine) {
        let H2Limits {
            streams,
            stream_window,
            connection_window,
            ..
        } = limits(worker);
        // More than all streams together is of no use.
        let all = streams.saturating_mul(stream_window).max(connection_window);
        let count = u32::try_from(self.0.len()).unwrap_or(u32::MAX);
        let window = connection_window.saturating_mul(count).min(all).min(MAX);
        engine.set_target_window_size(window);
    }
}

fn limits(worker: &Worker) -> H2Limits {
    worker.latest(|settings| settings.limits.h2.clone())
}
