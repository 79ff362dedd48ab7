//! Live facts about endpoints, for policies.

use std::sync::Arc;

use super::health::{Condition, SharedHealth};
use super::{BackendHealth, Places, PoolId, RequestLimit, sums_are_asked_for};

/// Live facts about endpoints as one worker sees them. Pools and endpoints have the numbers of the
/// contract: a pool's id, and a position in that pool. Unknown ones read as 0 or false.
pub trait BackendFacts: Send + Sync {
    /// Requests for which it was chosen, and that are not answered in full.
    fn in_flight(&self, pool: u32, backend: u32) -> u32;
    /// Moving average of the time to the response head, in microseconds; 0 before the first. One
    /// that is old comes closer to those of other endpoints.
    fn latency_microseconds(&self, pool: u32, backend: u32) -> u64;
    /// False while requests should go elsewhere, and for a part of the time where the endpoint is
    /// to have less than its whole share.
    fn healthy(&self, pool: u32, backend: u32) -> bool;
    /// Failures since the last success.
    fn consecutive_failures(&self, pool: u32, backend: u32) -> u32;
    /// What is known of its health.
    fn state(&self, pool: u32, backend: u32) -> BackendHealth;
    /// Requests in flight on all workers. Those of the others are some milliseconds old.
    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32;
    /// Requests of all workers that wait for a place at it.
    fn queued(&self, _pool: u32, _backend: u32) -> u32 {
        0
    }
    /// Requests of all workers that wait for a place in the pool.
    fn queued_in_pool(&self, _pool: u32) -> u32 {
        0
    }
    /// How many endpoints the pool has, for checking an answer.
    fn backend_count(&self, pool: u32) -> u32;
}

/// What one worker knows of its endpoints.
#[derive(Debug)]
pub struct Facts {
    /// By pool id; empty for pools that are not there.
    pools: Vec<Box<[Known]>>,
    /// By pool id: what limits the requests of the pool.
    limits: Vec<Option<Arc<RequestLimit>>>,
}

/// One endpoint of one pool.
#[derive(Debug)]
pub(super) struct Known {
    /// What this worker knows.
    pub condition: Arc<Condition>,
    /// What all workers know.
    pub health: SharedHealth,
    /// Its weight in this pool is 0: no policy should want it.
    pub drained: bool,
    /// What limits its connections.
    pub places: Option<Arc<Places>>,
    /// What limits its requests.
    pub requests: Option<Arc<RequestLimit>>,
}

/// What is known of one pool: of its endpoints, and what limits its requests.
pub(super) type KnownPool = (Box<[Known]>, Option<Arc<RequestLimit>>);

impl Facts {
    pub(super) fn new(pools: impl IntoIterator<Item = (PoolId, KnownPool)>) -> Self {
        let (mut by_id, mut limits): (Vec<Box<[Known]>>, Vec<_>) = (Vec::new(), Vec::new());
        for (id, (known, limit)) in pools {
            let length = by_id.len().max(id.index() + 1);
            by_id.resize_with(length, Box::default);
            limits.resize_with(length, || None);
            (by_id[id.index()], limits[id.index()]) = (known, limit);
        }
        Self {
            pools: by_id,
            limits,
        }
    }

    pub(super) fn known(&self, pool: u32, backend: u32) -> Option<&Known> {
        self.pools.get(pool as usize)?.get(backend as usize)
    }

    /// Whether an endpoint that is not whole is well, and has its turn. Where none is whole, those
    /// that are well are alike.
    #[cold]
    fn has_its_turn(&self, pool: u32, backend: u32) -> bool {
        let all = self.pools.get(pool as usize);
        let mut all = all.into_iter().flatten();
        self.known(pool, backend).is_some_and(|known| {
            known.health.is_well()
                && (known.health.has_turn(backend)
                    || !all.any(|k| !k.drained && k.health.is_whole()))
        })
    }

    fn condition(&self, pool: u32, backend: u32) -> Option<&Condition> {
        self.known(pool, backend).map(|k| &*k.condition)
    }
}

impl BackendFacts for Facts {
    fn in_flight(&self, pool: u32, backend: u32) -> u32 {
        self.condition(pool, backend)
            .map_or(0, |c| saturate(c.in_flight()))
    }

    fn latency_microseconds(&self, pool: u32, backend: u32) -> u64 {
        self.condition(pool, backend)
            .map_or(0, Condition::latency_microseconds)
    }

    fn healthy(&self, pool: u32, backend: u32) -> bool {
        self.known(pool, backend).is_some_and(|k| {
            !k.drained && (k.health.is_whole() || self.has_its_turn(pool, backend))
        })
    }

    fn consecutive_failures(&self, pool: u32, backend: u32) -> u32 {
        self.known(pool, backend).map_or(0, |k| k.health.failures())
    }

    fn state(&self, pool: u32, backend: u32) -> BackendHealth {
        match self.known(pool, backend) {
            None => BackendHealth::default(),
            Some(known) => match known.health.state() {
                BackendHealth::Healthy | BackendHealth::Degraded if known.drained => {
                    BackendHealth::Draining
                }
                state => state,
            },
        }
    }

    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32 {
        sums_are_asked_for();
        self.condition(pool, backend)
            .map_or(0, |c| saturate(c.in_flight_of_all()))
    }

    fn queued(&self, pool: u32, backend: u32) -> u32 {
        self.known(pool, backend).map_or(0, |known| {
            let places = known.places.as_ref().map_or(0, |places| places.queued());
            let requests = known.requests.as_ref().map_or(0, |limit| limit.queued());
            saturate((places + requests) as u64)
        })
    }

    fn queued_in_pool(&self, pool: u32) -> u32 {
        let limit = self.limits.get(pool as usize).and_then(Option::as_ref);
        limit.map_or(0, |limit| saturate(limit.queued() as u64))
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
