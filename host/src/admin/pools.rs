//! The report on pools: their requests, and those that wait for connections.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::stats::{CLASSES, Counter, Gauge, PoolShard};

/// The requests of one pool, over all its backends.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Pool {
    /// Requests that have ended, by the class of the status: `2xx`, or `none` if there was no
    /// answer. Classes that never occurred are left out.
    pub requests: BTreeMap<&'static str, u64>,
    /// Whether requests may wait or be copied, so that the rest is of interest.
    #[serde(skip)]
    pub is_limited: bool,
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
        let by_class = shards.iter().map(|s| s.as_ref().requests.values());
        let mut requests = BTreeMap::new();
        for (class, n) in by_class.flat_map(|counts| CLASSES.into_iter().zip(counts)) {
            if n > 0 {
                *requests.entry(class).or_default() += n;
            }
        }
        Self {
            requests,
            is_limited: shards.iter().any(|s| s.as_ref().is_limited.value() > 0),
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
