//! The report on the export of traces.

use serde::Serialize;

use crate::stats::Stats;

/// Spans of requests, for a collector.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Traces {
    /// Spans that the collector has taken.
    pub exported: u64,
    /// Spans that there was no room for.
    pub dropped: u64,
    /// Spans that the collector has not taken.
    pub lost: u64,
    /// Requests to the collector that have failed.
    pub failures: u64,
}

impl Traces {
    /// The counters' present values.
    pub fn new(stats: &Stats) -> Self {
        let counters = stats.traces();
        let workers = stats.workers().iter();
        Self {
            exported: counters.exported.value(),
            dropped: workers.map(|worker| worker.spans_dropped.value()).sum(),
            lost: counters.lost.value(),
            failures: counters.failures.value(),
        }
    }
}
