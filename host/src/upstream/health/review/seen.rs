//! An endpoint as the review saw it last.

use std::sync::Arc;

use super::super::Health;
use super::super::condition::Counts;
use super::super::marks::BackendHealth;
use crate::stats::{BackendStats, HealthReadings, HistogramSnapshot, Stats};
use crate::upstream::Endpoint;
use crate::upstream::adaptive::Counted;

/// An endpoint. Times are in milliseconds.
#[derive(Debug, Clone)]
pub(super) struct Seen {
    pub health: Arc<Health>,
    stats: BackendStats,
    /// What was counted when the last response head came, or when nothing was waited for.
    base: Counts,
    /// Requests that have begun since then and wait, with those that were given up.
    pub waiting: u64,
    /// Of these, those that were given up.
    pub given_up: u64,
    /// Since when they wait, to the precision of a look.
    pub waits_since: Option<u64>,
    /// It was stalled, and has not answered since.
    pub suspect: bool,
    /// When a request may try it although it is stalled, and how long it was waited for that.
    pub invites: Option<(u64, u64)>,
    pub workers: Box<[WorkerSeen]>,
    /// When its next ejection becomes shorter again.
    pub forgives_at: u64,
    label: Arc<str>,
    /// The state that the log knows.
    said: BackendHealth,
    /// Until when nothing more is said.
    silent_until: u64,
}

/// The log has a line for each endpoint this often at most.
const SILENCE: u64 = 10_000;

/// What one worker had counted.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct WorkerSeen {
    heads: u64,
    /// When that number grew last.
    pub answered_at: u64,
}

/// Sums over the life of an endpoint.
#[derive(Debug, Clone, Default)]
pub(super) struct Totals {
    pub requests: u64,
    pub failures: u64,
    /// Times to the response head, in microseconds.
    pub latency: HistogramSnapshot,
}

impl Seen {
    pub(super) fn new(endpoint: &Endpoint, stats: &Stats) -> Self {
        let health = Arc::clone(&endpoint.health);
        let readings = Arc::clone(&health) as Arc<dyn HealthReadings>;
        Self {
            stats: stats.backend(&endpoint.label, readings),
            base: health.counts(),
            waiting: 0,
            given_up: 0,
            waits_since: None,
            suspect: false,
            invites: None,
            workers: vec![WorkerSeen::default(); health.workers.len()].into(),
            forgives_at: 0,
            label: Arc::clone(&endpoint.label),
            said: BackendHealth::Healthy,
            silent_until: 0,
            health,
        }
    }

    pub(super) fn now(&self) -> u64 {
        self.health.shared.now()
    }

    /// Looks for response heads that came, and for requests that wait.
    pub(super) fn look(&mut self, now: u64) {
        let counts = self.health.counts();
        let begun = counts.begun.saturating_sub(self.base.begun);
        // Those that had their heads before may be among them: then fewer seem to wait than do.
        let ended = counts.ended.saturating_sub(self.base.ended);
        self.waiting = begun.saturating_sub(ended);
        self.given_up = counts.given_up.saturating_sub(self.base.given_up);
        let has_answered = counts.heads != self.base.heads;
        if has_answered || self.waiting == 0 {
            (self.base, self.waiting, self.waits_since) = (counts, 0, None);
            self.suspect &= !has_answered;
        } else {
            self.waits_since.get_or_insert(now);
        }
        for (worker, condition) in self.workers.iter_mut().zip(&self.health.workers) {
            let heads = condition.counts().heads;
            if heads != worker.heads {
                (worker.heads, worker.answered_at) = (heads, now);
            }
        }
    }

    /// Says in the log what has become of it.
    pub(super) fn say(&mut self, now: u64) {
        let state = self.health.shared.marks().state();
        if state == self.said || now < self.silent_until {
            return;
        }
        (self.said, self.silent_until) = (state, now + SILENCE);
        let label = &self.label;
        match state {
            BackendHealth::Healthy => {
                tracing::info!(target: "upstream", "backend {label} is healthy again");
            }
            // As the operator wants it.
            BackendHealth::Draining => {}
            state => {
                let reason = self.health.shared.state().reason;
                tracing::warn!(target: "upstream", "backend {label} is {}: {reason}", state.name());
            }
        }
    }

    /// Gives each worker the sum of the others.
    pub(super) fn sum(&self) {
        let all = || self.health.workers.iter();
        let sum: u64 = all().map(|condition| condition.in_flight()).sum();
        all().for_each(|c| c.set_elsewhere(sum.saturating_sub(c.in_flight())));
    }

    /// The longest of the workers' averages; 0 if there is none.
    pub(super) fn latency(&self) -> u64 {
        let all = self.health.workers.iter();
        all.map(|c| c.latency_microseconds()).max().unwrap_or(0)
    }

    /// When it answered last.
    pub(super) fn answered_at(&self) -> u64 {
        self.workers
            .iter()
            .map(|w| w.answered_at)
            .max()
            .unwrap_or(0)
    }

    /// What a limit of requests follows. All failures count, whatever has caused them.
    pub(super) fn counted(&self) -> Counted {
        let shards = &self.stats.shards;
        let latency = HistogramSnapshot::of(shards.iter().map(|s| &s.latency_microseconds));
        Counted {
            responses: latency.count,
            microseconds: latency.sum,
            failures: shards.iter().map(|s| s.failures.value()).sum(),
        }
    }

    pub(super) fn totals(&self) -> Totals {
        let shards = &self.stats.shards;
        Totals {
            requests: shards.iter().map(|s| s.requests.value()).sum(),
            failures: self.health.shared.held(),
            latency: HistogramSnapshot::of(shards.iter().map(|s| &s.latency_microseconds)),
        }
    }
}

impl Totals {
    pub(super) fn since(&self, former: &Self) -> Self {
        Self {
            requests: self.requests.saturating_sub(former.requests),
            failures: self.failures.saturating_sub(former.failures),
            latency: self.latency.since(&former.latency),
        }
    }
}

impl Health {
    /// What all workers have counted.
    fn counts(&self) -> Counts {
        let all = self.workers.iter().map(|condition| condition.counts());
        all.fold(Counts::default(), Counts::add)
    }
}
