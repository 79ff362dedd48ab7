//! The report on a backend.

use serde::Serialize;

use super::Microseconds;
use crate::stats::{BackendShard, BackendStats, HealthReading, HistogramSnapshot};

/// One backend address.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backend {
    /// Requests sent.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Requests sent and not yet answered in full.
    pub in_flight: u64,
    /// No worker has ejected it.
    pub healthy: bool,
    /// How many workers have ejected it.
    pub set_aside_by_workers: u64,
    /// Failures since the last success; the largest number of any worker.
    pub consecutive_failures: u64,
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
            ..Self::default()
        }
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
            ..Self::none()
        }
    }

    pub(super) fn new(counted: &BackendStats, now_milliseconds: u64) -> Self {
        let (shards, health) = (&counted.shards, counted.health.by_worker());
        let averages = health.iter().map(|h| h.latency_microseconds);
        let (averages, seen_by) = averages
            .filter(|average| *average > 0)
            .fold((0, 0), |(sum, n): (u64, u64), average| {
                (sum + average, n + 1)
            });
        let ejected = |h: &&HealthReading| h.ejected_until > now_milliseconds;
        let set_aside_by_workers = health.iter().filter(ejected).count();
        let failures = health.iter().map(|h| h.consecutive_failures);
        Self {
            requests: shards.iter().map(|s| s.requests.value()).sum(),
            failures: shards.iter().map(|s| s.failures.value()).sum(),
            in_flight: health.iter().map(|h| h.in_flight).sum(),
            healthy: set_aside_by_workers == 0,
            set_aside_by_workers: set_aside_by_workers as u64,
            consecutive_failures: failures.max().unwrap_or(0),
            connections: shards.iter().map(|s| s.connections.value()).sum(),
            handshake_failures: shards.iter().map(|s| s.handshake_failures.value()).sum(),
            latency: BackendLatency {
                ewma_microseconds: averages.checked_div(seen_by).unwrap_or(0),
                all: Microseconds(HistogramSnapshot::of(
                    shards.iter().map(|s| &s.latency_microseconds),
                )),
            },
        }
    }
}
