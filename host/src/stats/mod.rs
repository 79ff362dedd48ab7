//! Stats: what happened?
//! Each counter has one writer (a worker) and any number of readers, so that counting is a plain
//! load and store on a cache line that no other worker writes. Written by `proxy`, `upstream`,
//! `policy` and `recording`; read and summed by `admin` and `rollout`. Writers take no lock.

mod attempts;
mod backend;
mod classes;
mod compression;
mod counter;
mod decisions;
mod departed;
mod exemplars;
mod forward;
mod histogram;
mod last_fault;
mod mirror;
mod named;
mod recording;
mod routes;
mod shard;
mod store;
mod traces;
mod trial;

pub use attempts::{AttemptShard, RetryReason};
pub use backend::{BackendShard, BackendStats, HealthReading, HealthReadings, HealthState};
pub use classes::{ByClass, CLASSES};
pub use compression::CompressionShard;
pub use counter::{Counter, Gauge};
pub use decisions::{DecidedPool, DecisionSums, Decisions, FORGOTTEN, Selections};
pub use departed::Departed;
pub use exemplars::{Exemplar, Exemplars};
pub use forward::{ForwardRefused, ForwardShard};
pub use histogram::{Histogram, HistogramSnapshot};
pub use last_fault::LastFault;
pub use mirror::MirrorShard;
pub use named::{Forgotten, Named};
pub use recording::RecordingShard;
pub use routes::{COUNTED_ROUTES, CountedRoute, OTHER_ROUTES, RouteShards, RouteSlot, RouteSums};
pub use shard::{
    HOOKS, Http2Shard, Layer4Shard, MAX_POLICY_COUNTERS, PolicyShard, PoolShard, STATUSES,
    WorkerShard,
};
pub use store::StoreShard;
pub use traces::{SharedCounter, TraceCounters};
pub use trial::{ArmShard, ByRoute, Compared, JUDGED_ROUTES, JudgedArm, RouteArms, TrialShard};

use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

use last_fault::LastFaultCell;
use named::are_unshared;
use routes::Routes;

/// All counters of the process, by worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stats {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    workers: Vec<Arc<WorkerShard>>,
    // Locked when a backend, a pool or a policy appears or is forgotten and when statistics are
    // read, but never while a request is served.
    backends: Mutex<Named<BackendStats, BackendShard>>,
    pools: Mutex<Named<Vec<Arc<PoolShard>>, PoolShard>>,
    policies: Mutex<Named<Arc<PolicyStats>, PolicyShard>>,
    recording: Arc<RecordingShard>,
    traces: Arc<TraceCounters>,
    routes: Routes,
}

/// The counters of one policy name: they outlive its generations.
#[derive(Debug)]
pub struct PolicyStats {
    /// One shard per worker, and a last one for other threads (loading).
    pub shards: Vec<Arc<PolicyShard>>,
    /// Held while another thread than a worker builds an instance, so that the last shard has one
    /// writer at a time.
    pub setting_up: Mutex<()>,
    /// Names of the policy's own counters, in the order of their numbers.
    pub counter_names: Mutex<Vec<String>>,
    /// The counters of its store, in parts; set when a component that imports `store` is loaded.
    pub store: OnceLock<Vec<Arc<StoreShard>>>,
    /// The counters of its canaries.
    canaries: Mutex<Canaries>,
    last_fault: LastFaultCell,
}

/// The shards of canaries on trial, and the sum of earlier ones.
#[derive(Debug, Default)]
struct Canaries {
    shards: Vec<Arc<PolicyShard>>,
    folded: Arc<PolicyShard>,
}

impl PolicyStats {
    fn new(workers: usize) -> Self {
        Self {
            shards: (0..=workers).map(|_| Arc::default()).collect(),
            setting_up: Mutex::default(),
            counter_names: Mutex::default(),
            store: OnceLock::new(),
            canaries: Mutex::default(),
            last_fault: LastFaultCell::default(),
        }
    }

    /// A call of this generation failed.
    pub fn note_fault(&self, generation: u64, message: &str) {
        self.last_fault.set(generation, message);
    }

    /// The last fault of any generation; `None` if there was none.
    pub fn last_fault(&self) -> Option<LastFault> {
        self.last_fault.get()
    }

    /// Whether nothing counts under the policy's name any more.
    fn is_over(&self) -> bool {
        let canaries = locked(&self.canaries);
        are_unshared(&self.shards) && are_unshared(&canaries.shards)
    }

    /// Adds these shards to the policy's counts, because a canary decides under the policy's name.
    pub fn join(&self, shards: impl IntoIterator<Item = Arc<PolicyShard>>) {
        let mut canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        let Canaries {
            shards: joined,
            folded,
        } = &mut *canaries;
        // A shard that only this list still has gets no more counts.
        joined.retain(|shard| {
            let over = Arc::strong_count(shard) == 1;
            if over {
                folded.fold(shard);
            }
            !over
        });
        joined.extend(shards);
    }

    /// All shards that count for the policy's name.
    pub fn all_shards(&self) -> Vec<Arc<PolicyShard>> {
        let canaries = self.canaries.lock().unwrap_or_else(PoisonError::into_inner);
        self.shards
            .iter()
            .chain(&canaries.shards)
            .chain([&canaries.folded])
            .cloned()
            .collect()
    }
}

impl Stats {
    /// Counters for this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            inner: Arc::new(Inner {
                started: Instant::now(),
                workers: (0..workers).map(|_| Arc::default()).collect(),
                backends: Mutex::default(),
                pools: Mutex::default(),
                policies: Mutex::default(),
                recording: Arc::default(),
                traces: Arc::default(),
                routes: Routes::default(),
            }),
        }
    }

    /// When counting began.
    pub fn started(&self) -> Instant {
        self.inner.started
    }

    /// The shards of all workers.
    pub fn workers(&self) -> &[Arc<WorkerShard>] {
        &self.inner.workers
    }

    /// Where the routes with these names are counted; `None` for one beyond the bound. A route that
    /// was counted before, and is still held, goes on.
    pub fn claim_routes<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
    ) -> Vec<Option<Arc<CountedRoute>>> {
        self.inner.routes.claim(names, &self.route_shards())
    }

    /// What was counted of routes, by name, those without counters of their own together.
    pub fn read_routes(&self) -> Vec<(String, RouteSums)> {
        self.inner.routes.read(&self.route_shards())
    }

    fn route_shards(&self) -> Vec<&RouteShards> {
        self.inner.workers.iter().map(|w| &w.routes).collect()
    }

    /// Counters of the export of traces.
    pub fn traces(&self) -> &Arc<TraceCounters> {
        &self.inner.traces
    }

    /// The counters of the recording.
    pub fn recording(&self) -> &Arc<RecordingShard> {
        &self.inner.recording
    }

    /// The counters of one backend address, created if new, with `health` as its reader.
    pub fn backend(&self, address: &str, health: Arc<dyn HealthReadings>) -> BackendStats {
        let new = || BackendStats {
            shards: self.inner.workers.iter().map(|_| Arc::default()).collect(),
            health,
        };
        let mut all = locked(&self.inner.backends);
        let of_name = all.by_name.entry(address.to_owned());
        of_name.or_insert_with(new).clone()
    }

    /// The counters of all backends, by address.
    pub fn backends(&self) -> Named<BackendStats, BackendShard> {
        locked(&self.inner.backends).clone()
    }

    /// Keeps only the sum of the counters of these backends, unless they are still written. Whether
    /// each is forgotten.
    pub fn forget_backends(&self, addresses: &[&str]) -> Vec<bool> {
        locked(&self.inner.backends).forget(
            addresses,
            |counted| are_unshared(&counted.shards),
            BackendShard::fold,
            |sum, counted| counted.shards.iter().for_each(|shard| sum.fold(shard)),
        )
    }

    /// The shards of one pool, one per worker, made if new.
    pub fn pool(&self, name: &str) -> Vec<Arc<PoolShard>> {
        let new = || self.inner.workers.iter().map(|_| Arc::default()).collect();
        let mut all = locked(&self.inner.pools);
        let of_name = all.by_name.entry(name.to_owned());
        of_name.or_insert_with(new).clone()
    }

    /// The shards of all pools, by name.
    pub fn pools(&self) -> Named<Vec<Arc<PoolShard>>, PoolShard> {
        locked(&self.inner.pools).clone()
    }

    /// The same as [`Stats::forget_backends`] for pools.
    pub fn forget_pools(&self, names: &[&str]) -> Vec<bool> {
        locked(&self.inner.pools).forget(
            names,
            |shards| are_unshared(shards),
            PoolShard::fold,
            |sum, shards| shards.iter().for_each(|shard| sum.fold(shard)),
        )
    }

    /// The counters of one policy, made if new.
    pub fn policy(&self, name: &str) -> Arc<PolicyStats> {
        let new = || Arc::new(PolicyStats::new(self.inner.workers.len()));
        let mut all = locked(&self.inner.policies);
        let of_name = all.by_name.entry(name.to_owned());
        Arc::clone(of_name.or_insert_with(new))
    }

    /// The counters of all policies, by name.
    pub fn policies(&self) -> Named<Arc<PolicyStats>, PolicyShard> {
        locked(&self.inner.policies).clone()
    }

    /// The same as [`Stats::forget_backends`] for policies.
    pub fn forget_policies(&self, names: &[&str]) -> Vec<bool> {
        locked(&self.inner.policies).forget(
            names,
            |counted| Arc::strong_count(counted) == 1 && counted.is_over(),
            PolicyShard::fold,
            |sum, counted| {
                counted
                    .all_shards()
                    .iter()
                    .for_each(|shard| sum.fold(shard))
            },
        )
    }

    /// Adds up the selections of what is not known any more.
    pub fn forget_selections(&self, is_known: &dyn Fn(&str, &str) -> bool) {
        let policies = self.policies();
        let shards = policies.by_name.values().flat_map(|p| p.all_shards());
        for shard in shards.chain([policies.forgotten.sum]) {
            shard.decisions.forget(is_known);
        }
    }
}

fn locked<T>(counted: &Mutex<T>) -> MutexGuard<'_, T> {
    counted.lock().unwrap_or_else(PoisonError::into_inner)
}
