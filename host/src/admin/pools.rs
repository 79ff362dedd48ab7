//! The report on requests that wait for connections.

use serde::Serialize;

use crate::stats::{Counter, PoolShard};

/// The requests of one pool that wait for connections, over all its backends.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Requests that wait now.
    pub queue_length: u64,
    /// Requests that waited and got a connection.
    pub waits: u64,
    /// Requests that found the queue full or waited too long.
    pub refused: u64,
    /// Requests aborted because their clients were slow while others waited.
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
