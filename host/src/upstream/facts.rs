//! Live facts about backends, for policies.

use std::sync::Arc;
use std::time::Instant;

use crate::policy::BackendFacts;
use crate::stats::BackendShard;

/// The shards of one worker's backends, by pool and index.
#[derive(Debug)]
pub struct Facts {
    pools: Vec<Box<[Known]>>,
    started: Instant,
}

/// One backend of one pool.
#[derive(Debug)]
pub(super) struct Known {
    /// What is counted of it.
    pub shard: Arc<BackendShard>,
    /// Its weight in this pool is 0: no policy should want it.
    pub drained: bool,
}

impl Facts {
    pub(super) fn new(pools: Vec<Box<[Known]>>, started: Instant) -> Self {
        Self { pools, started }
    }

    fn known(&self, pool: u32, backend: u32) -> Option<&Known> {
        self.pools.get(pool as usize)?.get(backend as usize)
    }

    fn shard(&self, pool: u32, backend: u32) -> Option<&BackendShard> {
        self.known(pool, backend).map(|k| &*k.shard)
    }
}

impl BackendFacts for Facts {
    fn in_flight(&self, pool: u32, backend: u32) -> u32 {
        self.shard(pool, backend)
            .map_or(0, |s| saturate(s.in_flight.value()))
    }

    fn latency_microseconds(&self, pool: u32, backend: u32) -> u64 {
        self.shard(pool, backend)
            .map_or(0, |s| s.latency_ewma_microseconds.value())
    }

    fn healthy(&self, pool: u32, backend: u32) -> bool {
        self.known(pool, backend).is_some_and(|k| {
            if k.drained {
                return false;
            }
            let until = k.shard.ejected_until.value();
            // The clock is read only for a backend that is ejected. When its time is over, one
            // request tries it, and the others avoid it until that one has a response.
            until == 0
                || (k.shard.probing.value() == 0
                    && self.started.elapsed().as_millis() >= u128::from(until))
        })
    }

    fn consecutive_failures(&self, pool: u32, backend: u32) -> u32 {
        self.shard(pool, backend)
            .map_or(0, |s| saturate(s.consecutive_failures.value()))
    }

    fn backend_count(&self, pool: u32) -> u32 {
        self.pools
            .get(pool as usize)
            .map_or(0, |p| saturate(p.len() as u64))
    }
}

fn saturate(n: u64) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}
