//! The report on a backend.

use serde::Serialize;

use super::Microseconds;
use super::state::{HEALTHY, UNASKED, UNPROVEN, doubted};
use crate::stats::{BackendShard, BackendStats, HealthState, HistogramSnapshot};

/// One backend address.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backend {
    /// Requests sent.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Requests for which it was chosen, and that are not over.
    pub in_flight: u64,
    /// It neither fails nor is avoided.
    pub healthy: bool,
    /// In a word, such as `healthy`: see `admin::report::state`.
    pub state: &'static str,
    /// Why it is in that state; empty if there is nothing to say.
    pub reason: String,
    /// For how long it has been in that state.
    pub state_seconds: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// How many times longer than the first its last ejection was.
    pub ejections: u64,
    /// How much it gets of the requests that it would have if all were alike.
    pub share_percent: u64,
    /// Probes, which are no requests.
    pub probes: u64,
    /// Of those, the ones that failed.
    pub failed_probes: u64,
    /// Connections open, in use or pooled.
    pub connections: u64,
    /// Connections that failed in the TLS handshake, or because the backend speaks another
    /// protocol.
    pub handshake_failures: u64,
    /// Time to the response head.
    pub latency: BackendLatency,
}

/// A backend's time to the response head.
#[derive(Debug, Clone, Default, Serialize)]
pub struct BackendLatency {
    /// The workers' moving averages, averaged; 0 before the first response.
    pub ewma_microseconds: u64,
    /// All responses.
    #[serde(flatten)]
    pub all: Microseconds,
}

impl Backend {
    /// One that no request was sent to.
    pub(in crate::admin) fn none() -> Self {
        Self {
            healthy: true,
            state: UNPROVEN,
            reason: UNASKED.to_owned(),
            share_percent: 100,
            ..Self::default()
        }
    }

    /// With the word that is shown.
    fn judged(mut self) -> Self {
        // A request is counted when it is sent.
        let has_answered = self.latency.all.0.count > 0 || self.probes > self.failed_probes;
        let doubted = doubted(self.consecutive_failures, has_answered, self.in_flight);
        if let Some(doubted) = doubted.filter(|_| self.state == HEALTHY) {
            (self.state, self.reason) = doubted;
        }
        self
    }

    /// All that were forgotten.
    pub(super) fn forgotten(sum: &BackendShard) -> Self {
        Self {
            requests: sum.requests.value(),
            failures: sum.failures.value(),
            handshake_failures: sum.handshake_failures.value(),
            latency: BackendLatency {
                ewma_microseconds: 0,
                all: Microseconds(HistogramSnapshot::of(
                    [&sum.latency_microseconds].into_iter(),
                )),
            },
            healthy: true,
            state: HEALTHY,
            share_percent: 100,
            ..Self::default()
        }
    }

    pub(super) fn new(counted: &BackendStats) -> Self {
        let (shards, health) = (&counted.shards, counted.health.by_worker());
        let averages = health.iter().map(|h| h.latency_microseconds);
        let (averages, seen_by) = averages
            .filter(|average| *average > 0)
            .fold((0, 0), |(sum, n): (u64, u64), average| {
                (sum + average, n + 1)
            });
        let HealthState {
            state,
            reason,
            milliseconds,
            healthy,
            consecutive_failures,
            ejections,
            share_percent,
            probes,
            failed_probes,
            ..
        } = counted.health.state();
        let counted = Self {
            requests: shards.iter().map(|s| s.requests.value()).sum(),
            failures: shards.iter().map(|s| s.failures.value()).sum(),
            in_flight: health.iter().map(|h| h.in_flight).sum(),
            healthy,
            state,
            reason,
            state_seconds: milliseconds / 1_000,
            consecutive_failures,
            ejections,
            share_percent,
            probes,
            failed_probes,
            connections: shards.iter().map(|s| s.connections.value()).sum(),
            handshake_failures: shards.iter().map(|s| s.handshake_failures.value()).sum(),
            latency: BackendLatency {
                ewma_microseconds: averages.checked_div(seen_by).unwrap_or(0),
                all: Microseconds(HistogramSnapshot::of(
                    shards.iter().map(|s| &s.latency_microseconds),
                )),
            },
        };
        counted.judged()
    }
}

#[cfg(test)]
mod tests {
    use super::super::state::FAILING;
    use super::*;

    #[test]
    fn a_backend_is_healthy_once_it_has_answered_and_while_it_does() {
        let state = |change: fn(&mut Backend)| {
            let mut counted = Backend {
                state: HEALTHY,
                reason: String::new(),
                ..Backend::none()
            };
            change(&mut counted);
            let judged = counted.judged();
            (judged.state, judged.reason)
        };
        assert_eq!(state(|_| {}), (UNPROVEN, UNASKED.to_owned()));
        // A request that waits is counted, and proves nothing.
        let (hanging, reason) = state(|b| (b.requests, b.in_flight) = (3, 3));
        assert_eq!(hanging, UNPROVEN);
        assert!(reason.starts_with("3 requests wait for it"), "{reason}");
        assert_eq!(state(|b| b.latency.all.0.count = 1).0, HEALTHY);
        assert_eq!(state(|b| b.probes = 1).0, HEALTHY);
        assert_eq!(state(|b| (b.probes, b.failed_probes) = (2, 2)).0, UNPROVEN);
        let failed = state(|b| (b.latency.all.0.count, b.consecutive_failures) = (1, 1));
        assert_eq!(failed.0, FAILING);
        let ejected = state(|b| (b.state, b.consecutive_failures) = ("ejected", 3));
        assert_eq!(ejected.0, "ejected", "routing's own word is kept");
    }
}
