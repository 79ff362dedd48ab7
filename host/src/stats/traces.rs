//! The counters of the export of traces.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Counters of the threads that export: after a reload there may be two for a while.
#[derive(Debug, Default)]
pub struct TraceCounters {
    /// Spans that the collector has taken.
    pub exported: SharedCounter,
    /// Spans that it has not taken. [`super::WorkerShard::spans_dropped`] counts those that the
    /// exporter never got.
    pub lost: SharedCounter,
    /// Requests to the collector that have failed.
    pub failures: SharedCounter,
}

/// A counter that several threads write.
#[derive(Debug, Default)]
pub struct SharedCounter(AtomicU64);

impl SharedCounter {
    /// Counts this many.
    pub fn add(&self, n: u64) {
        self.0.fetch_add(n, Relaxed);
    }

    /// The present value.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }
}
