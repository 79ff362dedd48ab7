//! How many requests may be under way at one endpoint, or in one pool, of all workers together.
//!
//! Only where `max-requests` or `max-pool-requests` is set there is any of this. The queue is first
//! come, first served over all workers.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use super::places::{Held, Rights};

/// How many requests may be under way.
#[derive(Debug)]
pub struct RequestLimit {
    rights: Rights,
    count: AtomicUsize,
    queued: AtomicUsize,
}

/// The right to have one request under way. Dropped, it passes to the one that has waited longest.
#[derive(Debug)]
pub struct RequestPlace {
    _held: Held,
}

/// Counts a request for as long as it is in the queue.
struct Queued<'a>(&'a AtomicUsize);

impl RequestLimit {
    pub(super) fn new(count: usize) -> Self {
        Self {
            rights: Rights::new(count),
            count: AtomicUsize::new(count),
            queued: AtomicUsize::default(),
        }
    }

    /// From now on there may be this many; those beyond that end in their time. One caller at a
    /// time.
    pub(super) fn resize(&self, count: usize) {
        let former = self.count.swap(count, Relaxed);
        self.rights.resize(former, count);
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<RequestPlace> {
        let held = self.rights.take()?;
        Some(RequestPlace { _held: held })
    }

    /// Waits for a place; `None` if `most` requests wait already. The caller limits the time.
    pub async fn wait(&self, most: usize) -> Option<RequestPlace> {
        let before = self.queued.fetch_add(1, Relaxed);
        let _queued = Queued(&self.queued);
        if before >= most {
            return None;
        }
        let held = self.rights.wait().await?;
        Some(RequestPlace { _held: held })
    }

    /// How many wait.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        !self.rights.has_free()
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}
