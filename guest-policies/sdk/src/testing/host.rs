//! The host that a test makes.

use std::{cell::RefCell, rc::Rc, time::Duration};

use super::contract::backend_facts::HealthState;
use super::{
    Exported, Level, TestPolicy,
    state::{Facts, PoolState, State, with},
};
use crate::{Backend, Pool, Settings};

/// A host for policies in a test. Its clones are the same host.
///
/// Time stands still until the test moves it. It begins an hour after the host's first moment, on
/// 2026-01-01T00:00:00Z.
#[derive(Debug, Clone)]
pub struct Host {
    state: Rc<RefCell<State>>,
}

impl Default for Host {
    fn default() -> Self {
        Host::new()
    }
}

impl Host {
    /// A host without pools.
    pub fn new() -> Self {
        let state = State {
            monotonic: 3_600_000_000_000,
            unix: 1_767_225_600_000_000_000,
            ..State::default()
        };
        Host {
            state: Rc::new(RefCell::new(state)),
        }
    }

    /// A pool of these backends, all of them healthy and idle. Policies that are loaded later are
    /// told.
    pub fn pool(&self, name: &str, backends: impl IntoIterator<Item = Backend>) -> TestPool {
        let mut state = self.state.borrow_mut();
        let id = state.pools.len() as u32;
        let backends: Vec<Backend> = backends.into_iter().collect();
        let facts = vec![Facts::default(); backends.len()];
        state.pools.push(PoolState {
            pool: Pool {
                id,
                name: name.to_owned(),
                generation: 1,
            },
            backends,
            facts,
            queued: 0,
        });
        TestPool {
            id,
            state: Rc::clone(&self.state),
        }
    }

    /// An instance of a policy with these settings (JSON text), told the backends of all pools. An
    /// error is what the operator would read. Policies of one host are as instances on several
    /// workers: they share the store and the counters.
    pub fn load<P: Exported>(&self, settings: impl Into<String>) -> Result<TestPolicy<P>, String> {
        let policy = with(&self.state, || P::start(Settings::new(settings)))?;
        let mut policy = TestPolicy {
            policy,
            state: Rc::clone(&self.state),
        };
        let pools = self.state.borrow().pools.len();
        for id in 0..pools {
            policy.tell(id);
        }
        Ok(policy)
    }

    /// The next answers of `random::below`, each below what the policy asks for. After them, draws
    /// follow a fixed sequence.
    pub fn draws(&self, draws: impl IntoIterator<Item = u32>) {
        self.state.borrow_mut().dice.draws.extend(draws);
    }

    /// The next answers of `random::bits`.
    pub fn bits(&self, bits: impl IntoIterator<Item = u64>) {
        self.state.borrow_mut().dice.bits.extend(bits);
    }

    /// Begins another sequence of draws.
    pub fn seed(&self, seed: u64) {
        self.state.borrow_mut().dice.seed = seed;
    }

    /// Lets this time pass, on both clocks.
    pub fn advance(&self, time: Duration) {
        let nanoseconds = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut state = self.state.borrow_mut();
        state.monotonic = state.monotonic.saturating_add(nanoseconds);
        state.unix = state.unix.saturating_add(nanoseconds);
    }

    /// Sets the wall clock, in milliseconds since 1970-01-01T00:00:00Z. The other clock and the
    /// store's times don't change.
    pub fn set_unix_milliseconds(&self, milliseconds: u64) {
        self.state.borrow_mut().unix = milliseconds.saturating_mul(1_000_000);
    }

    /// What a counter of the statistics stands at; 0 if no policy defined it.
    pub fn counted(&self, name: &str) -> u64 {
        let state = self.state.borrow();
        state
            .counters
            .iter()
            .find(|(known, _)| known == name)
            .map_or(0, |(_, value)| *value)
    }

    /// What was logged, oldest first.
    pub fn log(&self) -> Vec<(Level, String)> {
        self.state.borrow().log.clone()
    }

    /// A value of the store.
    pub fn stored(&self, key: &str) -> Option<Vec<u8>> {
        let state = self.state.borrow();
        state.store.value(key, state.monotonic).map(<[u8]>::to_vec)
    }

    /// A counter of the store; 0 if there is none.
    pub fn stored_counter(&self, key: &str) -> i64 {
        let state = self.state.borrow();
        state
            .store
            .counter(key, state.monotonic)
            .unwrap_or_default()
    }

    /// Takes an entry out of the store before its time, as the real one may.
    pub fn forget(&self, key: &str) {
        self.state.borrow_mut().store.forget(key);
    }

    /// Bounds the store: an entry of more bytes is refused with `NoRoom`. An entry counts for its
    /// key, its value and 128 more.
    pub fn set_store_bytes(&self, most: usize) {
        self.state.borrow_mut().store.most = Some(most);
    }
}

/// A pool of a [`Host`], and how its backends are.
#[derive(Debug, Clone)]
pub struct TestPool {
    pub(super) id: u32,
    state: Rc<RefCell<State>>,
}

impl TestPool {
    /// What policies call it.
    pub fn id(&self) -> u32 {
        self.id
    }

    /// Whether a backend is well, or set aside for failing.
    pub fn set_healthy(&self, backend: u32, healthy: bool) {
        self.facts(backend, |facts| facts.healthy = healthy);
    }

    /// How many requests a backend has not answered yet.
    pub fn set_in_flight(&self, backend: u32, requests: u32) {
        self.facts(backend, |facts| facts.in_flight = requests);
    }

    /// How long a backend takes to answer.
    pub fn set_latency(&self, backend: u32, latency: Duration) {
        self.facts(backend, |facts| {
            facts.latency_microseconds = u64::try_from(latency.as_micros()).unwrap_or(u64::MAX)
        });
    }

    /// How often a backend failed since its last success.
    pub fn set_failures(&self, backend: u32, failures: u32) {
        self.facts(backend, |facts| facts.consecutive_failures = failures);
    }

    /// What is known of a backend's health; unless this is called, it follows from
    /// [`TestPool::set_healthy`].
    pub fn set_state(&self, backend: u32, state: HealthState) {
        self.facts(backend, |facts| facts.state = Some(state));
    }

    /// How many requests of other workers a backend has not answered yet.
    pub fn set_in_flight_elsewhere(&self, backend: u32, requests: u32) {
        self.facts(backend, |facts| facts.in_flight_elsewhere = requests);
    }

    /// How many requests wait in a backend's queue.
    pub fn set_queued(&self, backend: u32, requests: u32) {
        self.facts(backend, |facts| facts.queued = requests);
    }

    /// How many requests wait in the pool's queue.
    pub fn set_queued_in_pool(&self, requests: u32) {
        if let Some(pool) = self.state.borrow_mut().pools.get_mut(self.id as usize) {
            pool.queued = requests;
        }
    }

    /// Another list of backends, all of them healthy and idle; this policy is told.
    pub fn change<P: Exported>(
        &self,
        policy: &mut TestPolicy<P>,
        backends: impl IntoIterator<Item = Backend>,
    ) {
        if let Some(pool) = self.state.borrow_mut().pools.get_mut(self.id as usize) {
            pool.pool.generation += 1;
            pool.backends = backends.into_iter().collect();
            pool.facts = vec![Facts::default(); pool.backends.len()];
        }
        policy.tell(self.id as usize);
    }

    fn facts(&self, backend: u32, change: impl FnOnce(&mut Facts)) {
        let mut state = self.state.borrow_mut();
        let facts = state
            .pools
            .get_mut(self.id as usize)
            .and_then(|pool| pool.facts.get_mut(backend as usize));
        match facts {
            Some(facts) => change(facts),
            None => panic!("the pool has no backend {backend}"),
        }
    }
}
