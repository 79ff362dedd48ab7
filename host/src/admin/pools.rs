//! The report on requests that wait for connections.

use serde::Serialize;

use crate::stats::{Counter, Gauge, PoolShard};

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
    /// Copies of other pools' requests.
    pub mirror: Mirror,
}

/// Copies of other pools' requests for one pool.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Mirror {
    /// Copies under way now.
    pub under_way: u64,
    /// Copies that were begun.
    pub sent: u64,
    /// Of these, those to which no response came.
    pub failed: u64,
    /// Requests that were not copied.
    pub dropped: u64,
}

impl Pool {
    pub(super) fn new<S: AsRef<PoolShard>>(shards: &[S]) -> Self {
        let sum = |counter: fn(&PoolShard) -> &Counter| {
            shards.iter().map(|s| counter(s.as_ref()).value()).sum()
        };
        let now = |gauge: fn(&PoolShard) -> &Gauge| {
            shards.iter().map(|s| gauge(s.as_ref()).value()).sum()
        };
        Self {
            queue_length: now(|s| &s.waiting),
            waits: sum(|s| &s.waits),
            refused: sum(|s| &s.refused),
            slow_clients: sum(|s| &s.slow_clients),
            mirror: Mirror {
                under_way: now(|s| &s.mirror.under_way),
                sent: sum(|s| &s.mirror.sent),
                failed: sum(|s| &s.mirror.failed),
                dropped: sum(|s| &s.mirror.dropped),
            },
        }
    }
}
