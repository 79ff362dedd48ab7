//! The report on the recording.

use serde::Serialize;

use crate::stats::Stats;

/// Requests recorded for a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// Requests written.
    pub recorded: u64,
    /// Sampled requests that were not written, because the writer was behind or the disk was full.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Writes that failed.
    pub errors: u64,
}

impl Recording {
    /// The counters' present values.
    pub fn new(stats: &Stats) -> Self {
        let shard = stats.recording();
        let behind: u64 = stats
            .workers()
            .iter()
            .map(|worker| worker.records_dropped.value())
            .sum();
        Self {
            recorded: shard.recorded.value(),
            dropped: shard.dropped.value() + behind,
            bytes: shard.bytes.value(),
            errors: shard.errors.value(),
        }
    }
}
