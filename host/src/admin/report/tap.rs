//! Samples of requests for watchers.

use std::sync::Arc;

use serde::Serialize;

use crate::stats::WorkerShard;

/// Requests that were sampled.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Samples {
    /// Those of which a sample was made: none without a watcher.
    pub made: u64,
    /// Samples that a watcher did not take in time.
    pub dropped: u64,
}

impl Samples {
    pub(super) fn new(workers: &[Arc<WorkerShard>]) -> Self {
        Self {
            made: workers.iter().map(|w| w.samples.value()).sum(),
            dropped: workers.iter().map(|w| w.samples_dropped.value()).sum(),
        }
    }
}
