//! Facts about backends as a scenario or a recording gives them.

use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::upstream::{BackendFacts, BackendHealth};

/// The live facts about one backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BackendState {
    /// Requests sent and not yet answered in full.
    pub in_flight: u32,
    /// Moving average of the time to the response head, in microseconds.
    pub latency_microseconds: u64,
    /// False while it is ejected.
    pub healthy: bool,
    /// Failures since the last success.
    pub consecutive_failures: u32,
    /// What is known of its health.
    pub state: BackendHealth,
    /// Requests in flight on other workers.
    pub in_flight_elsewhere: u32,
    /// Requests in its queue.
    pub queued: u32,
}

impl Default for BackendState {
    /// Idle and well, and nothing measured yet.
    fn default() -> Self {
        Self {
            in_flight: 0,
            latency_microseconds: 0,
            healthy: true,
            consecutive_failures: 0,
            state: BackendHealth::Healthy,
            in_flight_elsewhere: 0,
            queued: 0,
        }
    }
}

/// The facts of all pools; can be changed between two questions.
#[derive(Debug)]
pub(super) struct GivenFacts {
    pools: Vec<Box<[Given]>>,
    /// Requests in the queue of the pool that is asked about.
    pool_queue: AtomicU32,
}

#[derive(Debug, Default)]
struct Given {
    in_flight: AtomicU32,
    latency_microseconds: AtomicU64,
    healthy: AtomicBool,
    consecutive_failures: AtomicU32,
    /// The position in [`BackendHealth::ALL`].
    state: AtomicUsize,
    in_flight_elsewhere: AtomicU32,
    queued: AtomicU32,
}

impl GivenFacts {
    /// Pools by their ids, with the states of their backends.
    pub(super) fn new(pools: &[Vec<BackendState>]) -> Self {
        let facts = Self {
            pools: pools
                .iter()
                .map(|p| p.iter().map(|_| Given::default()).collect())
                .collect(),
            pool_queue: AtomicU32::new(0),
        };
        for (pool, states) in (0..).zip(pools) {
            facts.set_pool(pool, states);
        }
        facts
    }

    /// Replaces the facts about a pool's backends.
    pub(super) fn set_pool(&self, pool: u32, states: &[BackendState]) {
        for (backend, state) in (0..).zip(states) {
            self.set(pool, backend, *state);
        }
    }

    /// Replaces how many requests are in the queue of the pool that is asked about.
    pub(super) fn set_pool_queue(&self, queued: u32) {
        self.pool_queue.store(queued, Relaxed);
    }

    /// Replaces the facts about a backend; an unknown one is ignored.
    pub(super) fn set(&self, pool: u32, backend: u32, state: BackendState) {
        let Some(given) = self.given(pool, backend) else {
            return;
        };
        given.in_flight.store(state.in_flight, Relaxed);
        given
            .latency_microseconds
            .store(state.latency_microseconds, Relaxed);
        given.healthy.store(state.healthy, Relaxed);
        given
            .consecutive_failures
            .store(state.consecutive_failures, Relaxed);
        let position = BackendHealth::ALL.iter().position(|s| *s == state.state);
        given.state.store(position.unwrap_or(usize::MAX), Relaxed);
        let elsewhere = state.in_flight_elsewhere;
        given.in_flight_elsewhere.store(elsewhere, Relaxed);
        given.queued.store(state.queued, Relaxed);
    }

    fn given(&self, pool: u32, backend: u32) -> Option<&Given> {
        self.pools.get(pool as usize)?.get(backend as usize)
    }
}

impl BackendFacts for GivenFacts {
    fn in_flight(&self, pool: u32, backend: u32) -> u32 {
        self.given(pool, backend)
            .map_or(0, |g| g.in_flight.load(Relaxed))
    }

    fn latency_microseconds(&self, pool: u32, backend: u32) -> u64 {
        self.given(pool, backend)
            .map_or(0, |g| g.latency_microseconds.load(Relaxed))
    }

    fn healthy(&self, pool: u32, backend: u32) -> bool {
        self.given(pool, backend)
            .is_some_and(|g| g.healthy.load(Relaxed))
    }

    fn consecutive_failures(&self, pool: u32, backend: u32) -> u32 {
        self.given(pool, backend)
            .map_or(0, |g| g.consecutive_failures.load(Relaxed))
    }

    fn state(&self, pool: u32, backend: u32) -> BackendHealth {
        let given = self.given(pool, backend);
        let position = given.map(|g| g.state.load(Relaxed));
        let state = position.and_then(|at| BackendHealth::ALL.get(at));
        state.copied().unwrap_or_default()
    }

    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32 {
        self.given(pool, backend).map_or(0, |g| {
            let elsewhere = g.in_flight_elsewhere.load(Relaxed);
            g.in_flight.load(Relaxed).saturating_add(elsewhere)
        })
    }

    fn queued(&self, pool: u32, backend: u32) -> u32 {
        self.given(pool, backend)
            .map_or(0, |g| g.queued.load(Relaxed))
    }

    fn queued_in_pool(&self, _pool: u32) -> u32 {
        self.pool_queue.load(Relaxed)
    }

    fn backend_count(&self, pool: u32) -> u32 {
        self.pools
            .get(pool as usize)
            .map_or(0, |p| u32::try_from(p.len()).unwrap_or(u32::MAX))
    }
}
