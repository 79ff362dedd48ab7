//! Stats: what happened?
//! Each counter has one writer (a worker) and any number of readers, so that counting is a plain
//! load and store on a cache line that no other worker writes. Written by `proxy`, `upstream`,
//! `policy` and `recording`; read and summed by `admin` and `rollout`. Writers take no lock.

mod attempts;
mod backend;
mod counter;
mod decisions;
mod histogram;
mod recording;
mod shard;
mod store;
mod trial;

pub use attempts::{AttemptShard, RetryReason};
pub use backend::{BackendShard, BackendStats, HealthReading, HealthReadings};
pub use counter::{Counter, Gauge};
pub use decisions::{DecidedPool, DecisionSums, Decisions, Selections};
pub use histogram::{Histogram, HistogramSnapshot};
pub use recording::RecordingShard;
pub use shard::{
    HOOKS, Http2Shard, MAX_POLICY_COUNTERS, PolicyShard, PoolShard, STATUSES, WorkerShard,
};
pub use store::StoreShard;
pub use trial::{ArmShard, ByRoute, Compared, JUDGED_ROUTES, JudgedArm, RouteArms, TrialShard};

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Instant;

/// All counters of the process, by worker. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Stats {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    started: Instant,
    workers: Vec<Arc<WorkerShard>>,
    // Locked when a backend, a pool or a policy appears and when statistics are read, but never
    // while a request is served.
    backends: Mutex<BTreeMap<String, BackendStats>>,
    pools: Mutex<BTreeMap<String, Vec<Arc<PoolShard>>>>,
    policies: Mutex<BTreeMap<String, Arc<PolicyStats>>>,
    recording: Arc<RecordingShard>,
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
}

/// The shards of canaries on trial, and the sum of earlier ones.
#[derive(Debug, Default)]
struct Canaries {
    shards: Vec<Arc<PolicyShard>>,
    folded: Arc<PolicyShard>,
}

impl PolicyStats {
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

    /// The counters of the recording.
    pub fn recording(&self) -> &Arc<RecordingShard> {
        &self.inner.recording
    }

    /// The counters of one backend address, created if new, with `health` as its reader.
    pub fn backend(&self, address: &str, health: Arc<dyn HealthReadings>) -> BackendStats {
        let mut all = self
            .inner
            .backends
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let new = || BackendStats {
            shards: self.inner.workers.iter().map(|_| Arc::default()).collect(),
            health,
        };
        all.entry(address.to_owned()).or_insert_with(new).clone()
    }

    /// The counters of all backends, by address.
    pub fn backends(&self) -> BTreeMap<String, BackendStats> {
        self.inner
            .backends
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The shards of one pool whose connections are limited, one per worker, made if new.
    pub fn pool(&self, name: &str) -> Vec<Arc<PoolShard>> {
        let mut all = self
            .inner
            .pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        all.entry(name.to_owned())
            .or_insert_with(|| self.inner.workers.iter().map(|_| Arc::default()).collect())
            .clone()
    }

    /// The shards of all pools whose connections are limited, by name.
    pub fn pools(&self) -> BTreeMap<String, Vec<Arc<PoolShard>>> {
        self.inner
            .pools
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }

    /// The counters of one policy, made if new.
    pub fn policy(&self, name: &str) -> Arc<PolicyStats> {
        let mut all = self
            .inner
            .policies
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        Arc::clone(all.entry(name.to_owned()).or_insert_with(|| {
            Arc::new(PolicyStats {
                shards: (0..=self.inner.workers.len())
                    .map(|_| Arc::default())
                    .collect(),
                setting_up: Mutex::default(),
                counter_names: Mutex::default(),
                store: OnceLock::new(),
                canaries: Mutex::default(),
            })
        }))
    }

    /// The counters of all policies, by name.
    pub fn policies(&self) -> BTreeMap<String, Arc<PolicyStats>> {
        self.inner
            .policies
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone()
    }
}
