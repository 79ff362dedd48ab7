//! An engine for one component, and the component's setup.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use serde_json::Value;

use super::engine::engine;
use super::error::named;
use super::facts::{BackendState, GivenFacts};
use super::host::Host;
use super::source::Source;
use crate::config::{Isolation, OnFailure, StoreLimits};
use crate::policy::{
    BackendSpec, Engine, EngineOptions, Generation, PolicyError, PolicyHandle, PolicySpec,
    PoolSpec, Script,
};
use crate::stats::Stats;
use crate::upstream::BackendFacts;

/// Hosts after which there is a new engine: one keeps the store of each.
const HOSTS: u64 = 256;
/// An engine with one worker, and a component that is loaded again and again: compiled once,
/// and each time with an instance, counters and a store that is unused.
pub struct Harness {
    options: EngineOptions,
    engine: Engine,
    source: Source,
    /// What stores follow in place of the time, in nanoseconds; the time if `None`.
    clock: Option<Arc<AtomicU64>>,
    hosts: u64,
    /// Keeps the compiled component.
    last: Option<Arc<Generation>>,
}

/// The setup of a policy.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Setup {
    /// Its settings; null if there are none.
    pub settings: Value,
    /// The pools; their ids are their places.
    pub pools: Vec<PoolSetup>,
    /// The longest that a hook may run.
    pub deadline: Duration,
    /// The most memory that an instance may have, in bytes.
    pub memory: u64,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// What its store may hold.
    pub store: StoreLimits,
}

/// A pool and how its backends are.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct PoolSetup {
    /// The operator's name for it.
    pub name: String,
    /// The backends as the policy learns of them.
    pub backends: Vec<BackendSpec>,
    /// How they are, where a question does not say otherwise.
    pub states: Vec<BackendState>,
}

impl Harness {
    /// Makes an engine for this component. Its stores follow the time that questions give.
    pub fn with_given_time(source: Source, options: EngineOptions) -> Result<Self, PolicyError> {
        Self::new(
            source,
            EngineOptions {
                store_clock: Some(Arc::default()),
                ..options
            },
        )
    }

    /// The same with stores that follow the real time, unless the options say otherwise.
    pub fn new(source: Source, options: EngineOptions) -> Result<Self, PolicyError> {
        let clock = options.store_clock.clone();
        // Two live at once while one stage follows another.
        let options = EngineOptions {
            workers: 1,
            instances: Some(32),
            cache: options.cache.or_else(|| source.cache.clone()),
            ..options
        };
        Ok(Self {
            engine: engine(options.clone())?,
            options,
            source,
            clock,
            hosts: 0,
            last: None,
        })
    }

    /// Sets the time of stores, in nanoseconds, if they do not follow the real one: entries that a
    /// policy stores while it is loaded have that time.
    pub(super) fn set_time(&self, nanoseconds: u64) {
        if let Some(clock) = &self.clock {
            clock.store(nanoseconds, Relaxed);
        }
    }

    /// Loads the component with this setup; nothing of the previous one is left. While an instance
    /// is set up, its draws and readings follow `script`, or are real ones if that is `None`.
    pub(super) fn host(
        &mut self,
        setup: &Setup,
        script: Option<Script>,
    ) -> Result<Host, PolicyError> {
        self.hosts += 1;
        if self.hosts.is_multiple_of(HOSTS) {
            self.engine = engine(self.options.clone())?;
        }
        // Stores belong to names.
        let name = format!("{}#{}", self.source.stem(), self.hosts);
        let spec = PolicySpec {
            name: name.clone(),
            component: Arc::clone(&self.source.bytes),
            settings: setup.settings.clone(),
            deadline: setup.deadline,
            memory: setup.memory,
            on_failure: OnFailure::Random,
            setup: script,
            isolation: setup.isolation,
            store: setup.store,
            compiling: self.source.compiling,
            shadow: false,
            source: self.source.name.clone(),
        };
        let pool = |(id, pool): (u32, &PoolSetup)| PoolSpec {
            id,
            name: pool.name.clone(),
            backends: pool.backends.clone(),
        };
        let pools: Vec<PoolSpec> = (0..).zip(&setup.pools).map(pool).collect();
        let stats = Stats::new(1).policy(&name);
        let loaded = self.engine.load(&spec, &pools, 1, &stats, 1);
        // The host has its store; the engine would keep one of each.
        self.engine.forget_store(&name);
        let generation = loaded.map_err(|e| named(e, &self.source.stem()))?;
        self.last = Some(Arc::clone(&generation));
        let states: Vec<_> = setup.pools.iter().map(|p| p.states.clone()).collect();
        let facts = Arc::new(GivenFacts::new(&states));
        let known = Arc::clone(&facts) as Arc<dyn BackendFacts>;
        let shard = Arc::clone(&stats.shards[0]);
        let handle =
            PolicyHandle::adopt(generation, 0, known, Arc::clone(&shard)).without_breaker();
        Ok(Host::new(handle, facts, stats, self.clock.clone()))
    }
}
