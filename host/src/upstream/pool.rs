//! The pools of one worker.

use std::cell::Cell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Instant;

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use super::facts::{Known, KnownPool};
use super::health::SharedHealth;
use super::recent::Recent;
use super::{
    BackendFacts, Budget, Endpoint, EndpointId, Facts, FailedAttempt, PoolId, PoolTopology,
    Topology, WorkerEndpoint, authority,
};
use crate::stats::{PoolShard, Stats};

/// All pools of one worker.
#[derive(Debug)]
pub struct WorkerPools {
    /// Of the topology.
    pub generation: u64,
    /// By id. An id may be of a pool that is not there.
    pools: Vec<Option<WorkerPool>>,
    /// Each endpoint once, for sweeping.
    endpoints: Vec<Rc<WorkerEndpoint>>,
    /// Wakes this worker when pooled connections hold places that requests of other workers wait
    /// for; `None` if no endpoint's connections are limited.
    wanted: Option<Arc<Notify>>,
    /// Connections that the process may have; `None` if there is no endpoint.
    budget: Option<Arc<Budget>>,
    /// What policies may read of them.
    pub facts: Arc<Facts>,
}

/// One pool of one worker.
#[derive(Debug)]
pub struct WorkerPool {
    /// Its configuration.
    pub topology: Arc<PoolTopology>,
    /// Its endpoints, by the position that policies use.
    pub endpoints: Box<[Rc<WorkerEndpoint>]>,
    /// What this worker counts of its requests, of those that wait and of copies.
    pub shard: Arc<PoolShard>,
    /// When counting began.
    pub(super) started: Instant,
    /// Attempts under way that repeat work.
    pub(super) repeats: Cell<u32>,
    /// How long responses took of late.
    pub(super) recent: Recent,
    /// Whether the requests of any of its endpoints are limited.
    pub limits_requests: bool,
}

impl WorkerPools {
    /// The pools of worker number `worker`. Endpoints that stayed are taken from `former`, with
    /// their connections; the others of `former` pool no more connections.
    pub fn new(topology: &Topology, former: Option<&Self>, stats: &Stats, worker: usize) -> Self {
        let mut endpoints = Carried::new(former);
        let mut pools: Vec<Option<WorkerPool>> = Vec::new();
        for topology in &topology.pools {
            let of_pool = topology.endpoints.iter();
            let of_pool = of_pool.map(|said| endpoints.take(said, stats, worker));
            let pool = WorkerPool::new(topology, of_pool.collect(), stats, worker);
            let index = topology.id.index();
            pools.resize_with(pools.len().max(index + 1), || None);
            pools[index] = Some(pool);
        }
        let facts = pools.iter().flatten().map(|p| (p.topology.id, p.known()));
        let facts = Facts::new(facts);
        let endpoints = endpoints.finish();
        let wanted = endpoints.iter().find_map(|e| e.places());
        let wanted = wanted.map(|places| Arc::clone(places.wanted()));
        let budget = endpoints.first().map(|e| Arc::clone(&e.budget));
        Self {
            generation: topology.generation,
            pools,
            endpoints,
            wanted,
            budget,
            facts: Arc::new(facts),
        }
    }

    /// The pool with this id, if it is there.
    #[inline]
    pub fn pool(&self, id: PoolId) -> Option<&WorkerPool> {
        self.pools.get(id.index())?.as_ref()
    }

    /// The position of a random healthy endpoint that has not failed in this request; if there is
    /// none, of any that has not failed; else of any. Never one of weight 0; `None` if the pool has
    /// no other.
    pub fn choose(&self, id: PoolId, failed: &[FailedAttempt], rng: &mut SmallRng) -> Option<u32> {
        let pool = self.pool(id)?;
        let count = u32::try_from(pool.endpoints.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return None;
        }
        let first = rng.random_range(0..count);
        let untried = !failed.iter().any(|f| f.backend == first);
        if untried && self.facts.healthy(id.number(), first) {
            return Some(first);
        }
        self.choose_another(pool, failed, rng)
    }

    /// The choice among all, in steps: those that have their whole share, those that are well,
    /// those that no failure speaks against.
    #[cold]
    fn choose_another(
        &self,
        pool: &WorkerPool,
        failed: &[FailedAttempt],
        rng: &mut SmallRng,
    ) -> Option<u32> {
        let count = u32::try_from(pool.endpoints.len()).unwrap_or(u32::MAX);
        let takes = |b: u32| pool.takes_traffic(b);
        let untried = |b: u32| takes(b) && !failed.iter().any(|f| f.backend == b);
        let health = |b: u32, fits: fn(&SharedHealth) -> bool| {
            let known = self.facts.known(pool.topology.id.number(), b);
            untried(b) && known.is_some_and(|known| fits(&known.health))
        };
        pick(count, rng, |b| health(b, SharedHealth::is_whole))
            .or_else(|| pick(count, rng, |b| health(b, SharedHealth::is_well)))
            .or_else(|| pick(count, rng, |b| health(b, SharedHealth::is_likely)))
            .or_else(|| pick(count, rng, untried))
            .or_else(|| pick(count, rng, takes))
    }

    /// Whether any endpoint of the pool takes traffic and is well.
    pub fn has_backends(&self, id: PoolId) -> bool {
        let Some(pool) = self.pool(id) else {
            return false;
        };
        let count = u32::try_from(pool.endpoints.len()).unwrap_or(u32::MAX);
        (0..count).any(|b| {
            let known = self.facts.known(id.number(), b);
            pool.takes_traffic(b) && known.is_some_and(|known| known.health.is_well())
        })
    }

    /// Whether requests may go to the endpoint at this position: its weight in this pool is not 0.
    pub fn takes_traffic(&self, pool: PoolId, position: u32) -> bool {
        self.pool(pool).is_some_and(|p| p.takes_traffic(position))
    }

    /// The position, in the same pool of `to`, of the endpoint that has `position` here, if it is
    /// there.
    pub fn translate(&self, pool: PoolId, position: u32, to: &Self) -> Option<u32> {
        let endpoint = self.pool(pool)?.endpoints.get(position as usize)?.id;
        let there = to.pool(pool)?.endpoints.iter();
        (0..)
            .zip(there)
            .find_map(|(at, other)| (other.id == endpoint).then_some(at))
    }

    /// Looks after all connections at this moment, in milliseconds of the worker's clock: closes
    /// what has been idle since before `before`.
    pub fn sweep(&self, now: u64, before: u64) {
        self.pools.iter().flatten().for_each(|p| p.refresh(now));
        self.endpoints
            .iter()
            .for_each(|e| e.look_after(now, before));
    }

    /// Waits until [`WorkerPools::make_room`] is worth a look.
    pub async fn wanted(&self) {
        match &self.wanted {
            Some(wanted) => wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Closes idle connections for which requests of other workers wait: for their places, or
    /// because the process may have no more.
    pub fn make_room(&self) {
        if self.wanted.is_some() {
            self.endpoints.iter().for_each(|e| e.make_room());
        }
        let waiting = self.budget.as_ref().map_or(0, |budget| budget.waiting());
        for _ in 0..waiting {
            if !self.close_oldest() {
                return;
            }
        }
    }

    /// Makes room for a new connection of this worker, if the process may have no more.
    pub fn make_room_for_one(&self) {
        if self.budget.as_ref().is_some_and(|b| b.is_used_up()) {
            self.close_oldest();
        }
    }

    /// Closes the connection that has been idle for longest; whether there was one.
    #[cold]
    pub fn close_oldest(&self) -> bool {
        let of_http11 = self.endpoints.iter().filter_map(|e| Some((e.oldest()?, e)));
        match of_http11.min_by_key(|(since, _)| *since) {
            Some((_, endpoint)) => endpoint.close_oldest(),
            None => self.endpoints.iter().any(|e| e.streams.close_idle()),
        }
    }
}

/// The endpoints of a worker while its next pools are put together.
struct Carried {
    former: HashMap<EndpointId, Rc<WorkerEndpoint>>,
    taken: HashMap<EndpointId, Rc<WorkerEndpoint>>,
}

impl Carried {
    fn new(former: Option<&WorkerPools>) -> Self {
        let former = former.map_or(&[][..], |pools| &pools.endpoints);
        Self {
            former: former.iter().map(|e| (e.id, Rc::clone(e))).collect(),
            taken: HashMap::new(),
        }
    }

    fn take(&mut self, said: &Endpoint, stats: &Stats, worker: usize) -> Rc<WorkerEndpoint> {
        if let Some(taken) = self.taken.get(&said.id) {
            taken.kept.set(taken.kept.get().max(said.kept));
            return Rc::clone(taken);
        }
        let endpoint = match self.former.remove(&said.id) {
            Some(former) if former.is_still(said) => {
                former.kept.set(said.kept);
                former
            }
            former => {
                former.iter().for_each(|former| former.retire());
                Rc::new(WorkerEndpoint::new(said, stats, worker))
            }
        };
        self.taken.insert(said.id, Rc::clone(&endpoint));
        endpoint
    }

    fn finish(self) -> Vec<Rc<WorkerEndpoint>> {
        self.former.values().for_each(|former| former.retire());
        self.taken.into_values().collect()
    }
}

impl WorkerPool {
    /// What the backend at this position calls itself.
    #[cold]
    pub fn authority(&self, position: u32) -> String {
        let endpoint = &self.topology.endpoints[position as usize];
        let (name, port) = (&endpoint.server_name, endpoint.address.port());
        authority(name, port, endpoint.tls.is_some())
    }

    fn new(
        topology: &Arc<PoolTopology>,
        endpoints: Box<[Rc<WorkerEndpoint>]>,
        stats: &Stats,
        worker: usize,
    ) -> Self {
        let mut all = topology.endpoints.iter();
        let is_limited = all.any(|e| e.places.is_some() || e.streams.connections > 0);
        let limits_requests = topology.endpoints.iter().any(|e| e.requests.is_some());
        let is_limited = is_limited || limits_requests || topology.requests.is_some();
        let shard = Arc::clone(&stats.pool(&topology.name)[worker]);
        if is_limited || topology.is_mirror {
            shard.is_limited.set(1);
        }
        Self {
            topology: Arc::clone(topology),
            endpoints,
            shard,
            started: stats.started(),
            repeats: Cell::default(),
            recent: Recent::default(),
            limits_requests,
        }
    }

    /// What policies may read of its endpoints.
    fn known(&self) -> KnownPool {
        let endpoints = self.endpoints.iter().zip(&self.topology.endpoints);
        let known = endpoints.map(|(endpoint, said)| {
            let (condition, health) = endpoint.health.known();
            Known {
                condition,
                health,
                drained: said.weight == 0,
                places: said.places.clone(),
                requests: said.requests.clone(),
            }
        });
        (known.collect(), self.topology.requests.clone())
    }

    pub(super) fn takes_traffic(&self, position: u32) -> bool {
        let said = self.topology.endpoints.get(position as usize);
        said.is_some_and(|endpoint| endpoint.weight > 0)
    }

    /// Whether the connections to any of its endpoints are limited.
    pub fn is_limited(&self) -> bool {
        self.endpoints.iter().any(|e| !e.is_unlimited())
    }

    /// Whether a request that `failed` so far should wait for a place at the endpoint at this
    /// position, which is full, rather than look for another: no other endpoint that takes traffic
    /// and is as well as this one has a place, or the choice fell on this one again. A backend that
    /// is down always has places.
    pub fn should_wait(&self, position: u32, failed: &[FailedAttempt]) -> bool {
        let tried = |b: u32| failed.iter().any(|f| f.backend == b);
        let is_well = |b: u32| self.endpoints[b as usize].health.is_well();
        tried(position)
            || !(0..).zip(&self.endpoints).any(|(b, other)| {
                let is_other = b != position && !tried(b) && self.takes_traffic(b);
                let has_place = is_other && !other.is_full() && !self.is_at_limit(b);
                has_place && (is_well(b) || !is_well(position))
            })
    }
}

/// A uniform choice among those that fit: the n-th of them, n random.
fn pick(count: u32, rng: &mut SmallRng, fits: impl Fn(u32) -> bool) -> Option<u32> {
    let fitting = (0..count).filter(|b| fits(*b)).count();
    (fitting > 0)
        .then(|| rng.random_range(0..fitting))
        .and_then(|n| (0..count).filter(|b| fits(*b)).nth(n))
}
