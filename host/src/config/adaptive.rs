//! `adaptive-requests` of a pool: a limit of requests that follows how long responses take.

use std::time::Duration;

/// How the limit of requests under way at one backend follows its response times.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdaptiveRequests {
    /// `least`: the limit is never lower, and begins there. Default 4.
    pub least: usize,
    /// `most`: it is never higher. Default 1,000.
    pub most: usize,
    /// `interval`: how often it changes at most. Default 100 ms.
    pub interval: Duration,
    /// `tolerance`: how many times the usual response time is not yet a sign of a queue. Default
    /// 1.5.
    pub tolerance: f64,
}

impl Default for AdaptiveRequests {
    fn default() -> Self {
        Self {
            least: 4,
            most: 1_000,
            interval: Duration::from_millis(100),
            tolerance: 1.5,
        }
    }
}
