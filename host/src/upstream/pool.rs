//! The pools of one worker.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rand::RngExt;
use rand::rngs::SmallRng;
use tokio::sync::Notify;

use super::doubt::Accuser;
use super::facts::Known;
use super::{Backend, Doubt, Facts, Outcome, PoolTopology, Verdict};
use crate::policy::{BackendFacts, FailedAttempt};
use crate::stats::{PoolShard, Stats};

/// All pools of one worker.
#[derive(Debug)]
pub struct WorkerPools {
    pools: Vec<WorkerPool>,
    /// Each backend once, for sweeping.
    backends: Vec<Rc<Backend>>,
    /// Wakes this worker when pooled connections hold places that requests of other workers wait
    /// for; `None` if no backend's connections are limited.
    wanted: Option<Arc<Notify>>,
    /// What policies may read of them.
    pub facts: Arc<Facts>,
}

/// One pool of one worker.
#[derive(Debug)]
pub struct WorkerPool {
    /// What the operator said of it.
    pub topology: Arc<PoolTopology>,
    /// Its backends, by the index that policies use.
    pub backends: Box<[Rc<Backend>]>,
    /// What this worker counts of those that wait; nothing where connections are not limited.
    pub shard: Arc<PoolShard>,
}

impl WorkerPools {
    /// The pools of worker number `worker`.
    pub fn new(topologies: &[Arc<PoolTopology>], stats: &Stats, worker: usize) -> Self {
        let mut by_address: HashMap<SocketAddr, Rc<Backend>> = HashMap::new();
        let pools: Vec<WorkerPool> = topologies
            .iter()
            .map(|topology| {
                let backends = topology.backends.iter().map(|b| {
                    let backend = by_address.entry(b.address).or_insert_with(|| {
                        let shard = Arc::clone(&stats.backend(&b.address.to_string())[worker]);
                        Rc::new(Backend::new(b.address, shard, b.places.clone()))
                    });
                    Rc::clone(backend)
                });
                let backends = backends.collect();
                let is_limited = topology.backends.iter().any(|b| b.places.is_some());
                let shard = if is_limited {
                    Arc::clone(&stats.pool(&topology.name)[worker])
                } else {
                    Arc::default()
                };
                WorkerPool {
                    topology: Arc::clone(topology),
                    backends,
                    shard,
                }
            })
            .collect();
        let known = |pool: &WorkerPool| {
            let backends = pool.backends.iter().zip(&pool.topology.backends);
            backends
                .map(|(b, said)| Known {
                    shard: Arc::clone(&b.shard),
                    drained: said.weight == 0,
                })
                .collect()
        };
        let facts = Arc::new(Facts::new(
            pools.iter().map(known).collect(),
            stats.started(),
        ));
        let places = topologies
            .iter()
            .flat_map(|t| &t.backends)
            .find_map(|b| b.places.as_ref());
        let wanted = places.map(|places| Arc::clone(places.wanted()));
        Self {
            pools,
            backends: by_address.into_values().collect(),
            wanted,
            facts,
        }
    }

    /// The pool with this index.
    pub fn pool(&self, index: u32) -> &WorkerPool {
        &self.pools[index as usize]
    }

    /// A random healthy backend that has not failed in this request; if there is none, any that has
    /// not failed; else any. Never one of weight 0; `None` if the pool has no other.
    pub fn choose(&self, pool: u32, failed: &[FailedAttempt], rng: &mut SmallRng) -> Option<u32> {
        let count = u32::try_from(self.pool(pool).backends.len()).unwrap_or(u32::MAX);
        if count == 0 {
            return None;
        }
        let untried = |b: u32| !failed.iter().any(|f| f.backend == b);
        let first = rng.random_range(0..count);
        if untried(first) && self.facts.healthy(pool, first) {
            return Some(first);
        }
        let takes = |b: u32| self.takes_traffic(pool, b);
        pick(count, rng, |b| untried(b) && self.facts.healthy(pool, b))
            .or_else(|| pick(count, rng, |b| takes(b) && untried(b)))
            .or_else(|| pick(count, rng, takes))
    }

    /// Whether requests may go to this backend: its weight in this pool is not 0.
    pub fn takes_traffic(&self, pool: u32, backend: u32) -> bool {
        self.pool(pool)
            .topology
            .backends
            .get(backend as usize)
            .is_some_and(|b| b.weight > 0)
    }

    /// Closes what has been idle since before `before`, in milliseconds of the worker's clock.
    pub fn sweep(&self, before: u64) {
        self.backends.iter().for_each(|b| b.sweep(before));
    }

    /// Waits until [`WorkerPools::make_room`] is worth a look.
    pub async fn wanted(&self) {
        match &self.wanted {
            Some(wanted) => wanted.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Closes pooled connections whose places requests of other workers wait for.
    pub fn make_room(&self) {
        if self.wanted.is_some() {
            self.backends.iter().for_each(|b| b.make_room());
        }
    }
}

impl WorkerPool {
    /// An attempt at one of its backends ended. `doubt` is what the request's attempts have said so
    /// far.
    pub fn ended(
        &self,
        backend: u32,
        outcome: Outcome,
        doubt: &mut Doubt,
        client: IpAddr,
        started: Instant,
    ) {
        match outcome.verdict() {
            Verdict::Unknown => {}
            Verdict::Well => {
                self.judged(backend, Verdict::Well, started);
                if let Some(other) = doubt.answered(backend) {
                    self.held(other, client, started);
                }
            }
            Verdict::Failed => {
                let failed = &self.backends[backend as usize];
                failed.failed();
                let accuser = Accuser::new(client, milliseconds(started.elapsed()));
                if doubt.failed(backend, outcome, accuser, failed.accuser.get()) {
                    if outcome.may_be_of_request() {
                        failed.accuser.set(Some(accuser));
                    }
                    self.judged(backend, Verdict::Failed, started);
                }
            }
        }
    }

    #[cold]
    fn held(&self, backend: u32, client: IpAddr, started: Instant) {
        let accuser = Accuser::new(client, milliseconds(started.elapsed()));
        self.backends[backend as usize].accuser.set(Some(accuser));
        self.judged(backend, Verdict::Failed, started);
    }

    fn judged(&self, backend: u32, verdict: Verdict, started: Instant) {
        let topology = &self.topology;
        // 0 would mean that it is not ejected.
        let until = || milliseconds(started.elapsed() + topology.fail_timeout).max(1);
        self.backends[backend as usize].judged(verdict, topology.max_failures, until);
    }

    /// Whether the connections to any of its backends are limited.
    pub fn is_limited(&self) -> bool {
        self.backends.iter().any(|b| !b.is_unlimited())
    }

    /// Whether a request that `failed` so far should wait for a place at this backend, which is
    /// full, rather than look for another: no other backend has a place, or the choice fell on this
    /// one again.
    pub fn should_wait(&self, backend: u32, failed: &[FailedAttempt]) -> bool {
        let tried = |b: u32| failed.iter().any(|f| f.backend == b);
        tried(backend)
            || !(0..)
                .zip(&self.backends)
                .any(|(b, other)| b != backend && !tried(b) && !other.is_full())
    }
}

fn milliseconds(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// A uniform choice among those that fit: the n-th of them, n random.
fn pick(count: u32, rng: &mut SmallRng, fits: impl Fn(u32) -> bool) -> Option<u32> {
    let fitting = (0..count).filter(|b| fits(*b)).count();
    (fitting > 0)
        .then(|| rng.random_range(0..fitting))
        .and_then(|n| (0..count).filter(|b| fits(*b)).nth(n))
}
