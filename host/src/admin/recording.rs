//! What is reported of the recording.

use serde::Serialize;

use crate::stats::Stats;

/// Requests that were written down for a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Recording {
    /// Requests written.
    pub recorded: u64,
    /// Requests that were to be written and were not: the writer was behind, or the disk took no
    /// more.
    pub dropped: u64,
    /// Bytes written.
    pub bytes: u64,
    /// Writes that failed.
    pub errors: u64,
}

impl Recording {
    /// What has been counted.
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
