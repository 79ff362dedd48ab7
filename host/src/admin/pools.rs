//! What is reported of requests that wait for connections.

use serde::Serialize;

use crate::stats::{Counter, PoolShard};

/// The requests of one pool that wait for connections, over all its backends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Those that wait now.
    pub queue_length: u64,
    /// Those that have waited and got one.
    pub waits: u64,
    /// Those that got none: they found the queue full, or waited for too long.
    pub refused: u64,
    /// Those broken off because their clients were slow while others waited.
    pub slow_clients: u64,
}

impl Pool {
    pub(super) fn new<S: AsRef<PoolShard>>(shards: &[S]) -> Self {
        let sum = |counter: fn(&PoolShard) -> &Counter| {
            shards.iter().map(|s| counter(s.as_ref()).value()).sum()
        };
        Self {
            queue_length: shards.iter().map(|s| s.as_ref().waiting.value()).sum(),
            waits: sum(|s| &s.waits),
            refused: sum(|s| &s.refused),
            slow_clients: sum(|s| &s.slow_clients),
        }
    }
}
