//! One engine for all inputs, as in the proxy: what one of them leaves behind, the next one finds.

use std::sync::Arc;
use std::time::Duration;

use waypost::config::{CompileLimits, Isolation, OnFailure, StoreLimits};
use waypost::policy::{Compiler, Engine, EngineOptions, PolicyHandle, PolicySpec, PoolSpec};
use waypost::stats::{PolicyStats, Stats};
use waypost::upstream::{BackendFacts, BackendHealth};

pub struct Policies {
    engine: Engine,
    stats: Arc<PolicyStats>,
}

/// This many backends, which are healthy and have nothing to do.
struct Idle(u32);

impl BackendFacts for Idle {
    fn in_flight(&self, _: u32, _: u32) -> u32 {
        0
    }
    fn latency_microseconds(&self, _: u32, _: u32) -> u64 {
        0
    }
    fn healthy(&self, _: u32, backend: u32) -> bool {
        backend < self.0
    }
    fn consecutive_failures(&self, _: u32, _: u32) -> u32 {
        0
    }
    fn state(&self, pool: u32, backend: u32) -> BackendHealth {
        match self.healthy(pool, backend) {
            true => BackendHealth::Healthy,
            false => BackendHealth::Ejected,
        }
    }
    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32 {
        self.in_flight(pool, backend)
    }
    fn backend_count(&self, _: u32) -> u32 {
        self.0
    }
}

impl Policies {
    pub fn new() -> Self {
        let options = EngineOptions {
            workers: 1,
            instances: Some(8),
            compiler: Compiler::Here,
            ..EngineOptions::default()
        };
        Self {
            engine: Engine::new(options).expect("an engine"),
            stats: Stats::new(1).policy("fuzzed"),
        }
    }

    /// Loads a component and asks it, if it is accepted. Nothing of it may be left afterwards.
    pub fn run(
        &self,
        component: &[u8],
        pools: &[PoolSpec],
        backends: u32,
        ask: impl FnOnce(&mut PolicyHandle),
    ) {
        let spec = PolicySpec {
            setup: None,
            name: "fuzzed".to_owned(),
            component: component.into(),
            settings: serde_json::Value::Null,
            deadline: Duration::from_millis(5),
            memory: 16 << 20,
            on_failure: OnFailure::Random,
            isolation: Isolation::Worker,
            shadow: false,
            store: StoreLimits::default(),
            compiling: CompileLimits::default(),
            source: "fuzzer".to_owned(),
        };
        let shard = &self.stats.shards[0];
        match self.engine.load(&spec, pools, 1, &self.stats, 1) {
            Ok(generation) => {
                let facts = Arc::new(Idle(backends));
                ask(&mut PolicyHandle::adopt(
                    generation,
                    0,
                    facts,
                    Arc::clone(shard),
                ));
            }
            // The loader's own thread catches a panic and says so.
            Err(refused) => assert!(!refused.to_string().contains("panicked"), "{refused}"),
        }
        assert_eq!(shard.memory.value(), 0, "an instance was left behind");
    }
}
