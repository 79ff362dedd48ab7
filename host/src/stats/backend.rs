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
}

/// One worker's view of a backend's health.
#[derive(Debug, Clone, Copy, Default)]
pub struct HealthReading {
    /// Requests sent and not yet answered in full.
    pub in_flight: u64,
    /// Moving average of the time to the response head; 0 before the first.
    pub latency_microseconds: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Ejected until this moment, in milliseconds since [`super::Stats::started`], and after it
    /// until a response; 0 if it is not ejected.
    pub ejected_until: u64,
}
