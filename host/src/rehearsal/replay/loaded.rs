//! A component that is loaded as a lineup of a recording says.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use serde_json::Value;

use super::super::RehearsalError;
use super::super::engine;
use super::super::error::named;
use super::super::facts::{BackendState, GivenFacts};
use super::super::source::Source;
use crate::config::{self, OnFailure, StoreLimits};
use crate::policy::{
    BackendSpec, Engine, EngineOptions, Generation, Hooks, PolicyHandle, PolicySpec, PoolSpec,
    Script,
};
use crate::recording::{Isolation, Lineup, Policy, Pool};
use crate::stats::Stats;
use crate::upstream::BackendFacts;

/// A recording is untrusted input: its limits have the same bounds as those of a configuration.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
const MOST_MEMORY: u64 = 4 << 30;
const MOST_ENTRIES: usize = 10_000_000;
const MOST_STORE: u64 = 4 << 30;

/// What instances draw from while they are set up: any number, as long as it is always the same.
const SETUP_SEED: u64 = 0;

/// When something was: in nanoseconds of the monotonic clock and milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub monotonic: u64,
    pub unix: u64,
}

/// Values for the component that replace those of the recorded policy.
#[derive(Debug, Clone, Default)]
pub(super) struct Overrides {
    pub settings: Option<Value>,
    pub deadline: Option<Duration>,
    pub memory: Option<u64>,
}

impl Overrides {
    /// The spec of a component that replaces a policy, under this name.
    pub(super) fn spec(
        &self,
        source: &Source,
        policy: &Policy,
        name: String,
        now: Moment,
    ) -> PolicySpec {
        let settings = self.settings.as_ref().unwrap_or(&policy.settings);
        let deadline = Duration::from_micros(policy.deadline_microseconds).min(LONGEST_DEADLINE);
        PolicySpec {
            name,
            component: Arc::clone(&source.bytes),
            settings: settings.clone(),
            deadline: self.deadline.unwrap_or(deadline),
            memory: self.memory.unwrap_or(policy.memory_bytes.min(MOST_MEMORY)),
            on_failure: OnFailure::Random,
            // What instances saw while they were set up is not recorded.
            setup: Some(Script {
                seed: SETUP_SEED,
                draws: Vec::new(),
                monotonic: Some(now.monotonic),
                unix: Some(now.unix),
            }),
            isolation: match policy.isolation {
                Isolation::Worker => config::Isolation::Worker,
                Isolation::Request => config::Isolation::Request,
            },
            store: StoreLimits {
                entries: policy.store_entries.clamp(1, MOST_ENTRIES),
                bytes: policy.store_bytes.clamp(1024, MOST_STORE),
            },
            compiling: source.compiling,
            shadow: false,
            source: source.name.clone(),
        }
    }
}

/// A component that is loaded as a lineup says, with a handle for each worker.
pub(super) struct Loaded {
    pools: Vec<Pool>,
    policy: Policy,
    generation: Arc<Generation>,
    stats: Stats,
    pub facts: Arc<GivenFacts>,
    handles: Vec<PolicyHandle>,
    /// Handles at which a request is under way.
    open: Vec<bool>,
}

impl Loaded {
    pub(super) fn load(
        engine: &Engine,
        spec: &PolicySpec,
        policy: Policy,
        lineup: &Lineup,
        workers: usize,
    ) -> Result<Self, RehearsalError> {
        let pools = lineup.pools.iter();
        let pools = pools.filter(|pool| policy.pools.contains(&pool.id));
        let pools: Vec<PoolSpec> = pools.map(pool_spec).collect();
        let stats = Stats::new(workers);
        let loaded = engine.load(spec, &pools, 1, &stats.policy(&spec.name), 1);
        let generation = loaded.map_err(|error| named(error, &policy.name))?;
        let idle = |pool: &Pool| {
            pool.backends
                .iter()
                .map(|_| BackendState::default())
                .collect()
        };
        let states: Vec<_> = lineup.pools.iter().map(idle).collect();
        let mut loaded = Self {
            pools: lineup.pools.clone(),
            policy,
            generation,
            stats,
            facts: Arc::new(GivenFacts::new(&states)),
            handles: Vec::new(),
            open: vec![false; workers],
        };
        loaded.handles = (0..workers).map(|worker| loaded.handle(worker)).collect();
        Ok(loaded)
    }

    /// Whether this is the component as this policy with these pools.
    pub(super) fn is_of(&self, policy: &Policy, pools: &[Pool]) -> bool {
        self.policy == *policy && self.pools == pools
    }

    pub(super) fn hooks(&self) -> Hooks {
        self.generation.hooks()
    }

    /// The moment at which its clock shows so many nanoseconds.
    pub(super) fn moment(&self, nanoseconds: Option<u64>) -> Option<Instant> {
        self.generation.moment(nanoseconds?)
    }

    /// The name that its store has.
    pub(super) fn name(&self) -> &str {
        self.generation.name()
    }

    #[cfg(test)]
    pub(super) fn store(&self) -> &Arc<crate::policy::Store> {
        self.generation.store()
    }

    /// The handle of this worker, on which a request begins if none is under way.
    pub(super) fn begin(&mut self, worker: usize) -> &mut PolicyHandle {
        let at = worker % self.handles.len();
        let handle = &mut self.handles[at];
        if !std::mem::replace(&mut self.open[at], true) {
            handle.begin_request();
        }
        handle
    }

    /// The request that this worker served has ended.
    pub(super) fn end(&mut self, worker: usize) {
        let at = worker % self.handles.len();
        if std::mem::replace(&mut self.open[at], false) {
            self.handles[at].end_request();
        }
    }

    /// After a fault there is a fresh instance at once.
    pub(super) fn renew(&mut self, worker: usize) {
        let at = worker % self.handles.len();
        self.handles[at] = self.handle(at);
        if self.open[at] {
            self.handles[at].begin_request();
        }
    }

    fn handle(&self, worker: usize) -> PolicyHandle {
        let facts = Arc::clone(&self.facts) as Arc<dyn BackendFacts>;
        let stats = self.stats.policy(self.generation.name());
        let shard = Arc::clone(&stats.shards[worker]);
        PolicyHandle::adopt(Arc::clone(&self.generation), worker, facts, shard).without_breaker()
    }
}

pub(super) fn engine(
    workers: usize,
    fuel: bool,
    clock: &Arc<AtomicU64>,
    cache: Option<&Path>,
) -> Result<Engine, RehearsalError> {
    let instances = u32::try_from(workers * 8 + 8).ok();
    let store_clock = Some(Arc::clone(clock));
    Ok(engine::engine(EngineOptions {
        cache: cache.map(Path::to_owned),
        workers,
        instances,
        fuel,
        store_clock,
        ..EngineOptions::default()
    })?)
}

fn pool_spec(pool: &Pool) -> PoolSpec {
    let backends = pool.backends.iter().map(|b| BackendSpec {
        address: b.address.clone(),
        weight: b.weight,
        labels: b.labels.clone(),
    });
    PoolSpec {
        id: pool.id,
        name: pool.name.clone(),
        backends: backends.collect(),
    }
}
