//! What is counted of a backend, and where its health is read.

use std::fmt::Debug;
use std::sync::Arc;

use super::{Counter, Gauge, Histogram};

/// One backend address.
#[derive(Debug, Clone)]
pub struct BackendStats {
    /// Counters by worker.
    pub shards: Vec<Arc<BackendShard>>,
    /// Whether it is well.
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
    /// Time to the response head, in microseconds.
    pub latency_microseconds: Histogram,
}

/// The health of a backend, to be read: nothing that is counted here changes it.
pub trait HealthReadings: Debug + Send + Sync {
    /// What each worker knows.
    fn by_worker(&self) -> Vec<HealthReading>;
}

/// What one worker knows of a backend's health.
#[derive(Debug, Clone, Copy, Default)]
pub struct HealthReading {
    /// Requests sent and not yet answered in full.
    pub in_flight: u64,
    /// Moving average of the time to the response head; 0 before the first.
    pub latency_microseconds: u64,
    /// Failures since the last success.
    pub consecutive_failures: u64,
    /// Ejected until this moment, in milliseconds since [`super::Stats::started`], and then until
    /// it has answered; 0 if it is not.
    pub ejected_until: u64,
}
