//! What is known of backends, and of the attempts at the request.

use super::super::bindings::waypost::policy::{attempts, backend_facts, clock};
use super::super::state::State;
use crate::upstream::{BackendFacts, BackendHealth, Failure};

impl backend_facts::Host for State {
    fn in_flight(&mut self, backend: u32) -> u32 {
        self.fact(|facts, pool| facts.in_flight(pool, backend))
    }

    fn latency_microseconds(&mut self, backend: u32) -> u64 {
        self.fact(|facts, pool| facts.latency_microseconds(pool, backend))
    }

    fn healthy(&mut self, backend: u32) -> bool {
        self.fact(|facts, pool| facts.healthy(pool, backend))
    }

    fn consecutive_failures(&mut self, backend: u32) -> u32 {
        self.fact(|facts, pool| facts.consecutive_failures(pool, backend))
    }

    fn state(&mut self, backend: u32) -> backend_facts::HealthState {
        use backend_facts::HealthState;
        match self.fact(|facts, pool| facts.state(pool, backend)) {
            BackendHealth::Healthy => HealthState::Healthy,
            BackendHealth::Degraded => HealthState::Degraded,
            BackendHealth::Ejected => HealthState::Ejected,
            BackendHealth::Draining => HealthState::Draining,
            BackendHealth::Down => HealthState::Down,
        }
    }

    fn in_flight_of_all(&mut self, backend: u32) -> u32 {
        self.fact(|facts, pool| facts.in_flight_of_all(pool, backend))
    }

    fn queued(&mut self, backend: u32) -> u32 {
        self.fact(|facts, pool| facts.queued(pool, backend))
    }

    fn queued_in_pool(&mut self) -> u32 {
        self.fact(|facts, pool| facts.queued_in_pool(pool))
    }
}

impl State {
    fn fact<T: Default>(&self, ask: impl FnOnce(&dyn BackendFacts, u32) -> T) -> T {
        match (&self.facts, self.context.pool) {
            (Some(facts), Some(pool)) => ask(&**facts, pool),
            _ => T::default(),
        }
    }
}

impl attempts::Host for State {
    fn failed(&mut self) -> Vec<attempts::FailedAttempt> {
        let failed = self.context.failed.iter();
        failed
            .map(|past| attempts::FailedAttempt {
                backend: past.backend,
                failure: past.failure.into(),
            })
            .collect()
    }

    fn milliseconds_left(&mut self) -> Option<u64> {
        let deadline = self.context.request.deadline?;
        let until = self.nanoseconds(deadline);
        // A reading of the clock like others, so that it is the same in a replay.
        let now = clock::Host::monotonic_nanoseconds(self);
        Some(until.saturating_sub(now) / 1_000_000)
    }
}

impl From<Failure> for attempts::Failure {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Connect => Self::Connect,
            Failure::ConnectTimeout => Self::ConnectTimeout,
            Failure::Closed => Self::Closed,
            Failure::Other => Self::Other,
        }
    }
}
