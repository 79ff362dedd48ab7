//! The counters of a backend, and the interface that reads its health.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Counter, Gauge, Histogram};

/// One backend address.
#[derive(Debug, Clone)]
pub struct BackendStats {
    /// Counters by worker.
    pub shards: Vec<Arc<BackendShard>>,
    /// Reads its health.
    pub health: Arc<dyn HealthReadings>,
}

/// Counters of one backend address as one worker sees it.
#[derive(Debug, Default)]
pub struct BackendShard {
    /// Requests sent.
    pub requests: Counter,
    /// Attempts that failed.
    pub failures: Counter,
    /// Connections open, in use or pooled.
    pub connections: Gauge,
    /// Connections that were made and turned out not to be what is configured: no TLS, another
    /// certificate, another protocol.
    pub handshake_failures: Counter,
    /// Time to the response head, in microseconds.
    pub latency_microseconds: Histogram,
}

impl BackendShard {
    /// Adds the counts of another shard that is no longer written. Its connections are closed by
    /// then.
    pub(super) fn fold(&self, other: &Self) {
        self.requests.add(other.requests.value());
        self.failures.add(other.failures.value());
        self.handshake_failures
            .add(other.handshake_failures.value());
        self.latency_microseconds.fold(&other.latency_microseconds);
    }
}

/// Reads the health of a backend. Counting does not change it.
pub trait HealthReadings: Debug + Send + Sync {
    /// The reading of each worker.
    fn by_worker(&self) -> Vec<HealthReading>;
    /// What all workers know together.
    fn state(&self) -> HealthState;
}

/// One worker's view of a backend's health.
#[derive(Debug, Clone, Copy, Default)]
pub struct HealthReading {
    /// Requests for which it was chosen, and that are not over.
    pub in_flight: u64,
    /// Moving average of the time to the response head; 0 before the first.
    pub latency_microseconds: u64,
}

/// A backend's state, and why it is that.
#[derive(Debug, Clone, Default)]
pub struct HealthState {
    /// `healthy`, `degraded`, `ejected`, `draining` or `down`.
    pub state: &'static str,
    /// Empty if there is nothing to say.
    pub reason: String,
    /// For how long it has been in this state.
    pub milliseconds: u64,
    /// It neither fails nor is avoided.
    pub healthy: bool,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// How many times longer than the first its last ejection was.
    pub ejections: u64,
    /// For how long it is ejected still, before it is tried again.
    pub ejected_milliseconds: u64,
    /// How much it gets of the requests that it would have if all were alike.
    pub share_percent: u64,
    /// Probes, which count as no requests.
    pub probes: u64,
    /// Of those, the ones that failed.
    pub failed_probes: u64,
}
