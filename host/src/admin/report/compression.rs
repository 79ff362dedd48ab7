//! The report on responses that were compressed on their way.

use std::sync::Arc;

use serde::Serialize;

use crate::stats::WorkerShard;

/// Responses that were compressed on their way.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Compressed {
    /// How many.
    pub responses: u64,
    /// Those that are under way now.
    pub active: u64,
    /// Bytes of their bodies, as the backends sent them.
    pub bytes_in: u64,
    /// The same as the clients got them.
    pub bytes_out: u64,
}

impl Compressed {
    pub(super) fn new(workers: &[Arc<WorkerShard>]) -> Self {
        let shards = || workers.iter().map(|worker| &worker.compression);
        Self {
            responses: shards().map(|s| s.responses.value()).sum(),
            active: shards().map(|s| s.active.value()).sum(),
            bytes_in: shards().map(|s| s.bytes_in.value()).sum(),
            bytes_out: shards().map(|s| s.bytes_out.value()).sum(),
        }
    }
}
