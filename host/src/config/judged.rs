//! When a backend of a pool counts as healthy: what its requests show, and what probes show.

use std::ops::RangeInclusive;
use std::time::Duration;

/// What decides about the health of a pool's backends.
#[derive(Debug, Clone, PartialEq)]
pub struct PoolHealth {
    /// Failures in a row, of all workers, after which a backend is ejected. Default 3; 0 = never.
    pub max_failures: u32,
    /// For how long it is ejected the first time. Default 10 s.
    pub fail_timeout: Duration,
    /// `slow-start`: for how long the share of a backend that comes back, or is new, grows.
    /// Default 0: it has its whole share at once.
    pub slow_start: Duration,
    /// `[pools.NAME.ejection]`
    pub ejection: Ejection,
    /// `[pools.NAME.health]`: how its backends are probed; `None` if they aren't.
    pub probe: Option<Probe>,
}

/// `[pools.NAME.ejection]`: what ejects a backend, and for how long.
#[derive(Debug, Clone, PartialEq)]
pub struct Ejection {
    /// `max-time`: each ejection lasts longer than the one before, up to this. Default 5 min.
    pub max_time: Duration,
    /// `max-share`: the part of a pool's backends that may be ejected at once; one may be in any
    /// case, unless it is 0. Default 0.5.
    pub max_share: f64,
    /// `statuses`: the statuses of a response that are failures. Default 502, 503 and 504.
    pub statuses: Vec<RangeInclusive<u16>>,
    /// `interval`: how often the shares of failures and the latencies of a pool's backends are
    /// compared. Default 10 s.
    pub interval: Duration,
    /// `min-requests`: what a backend must have been sent in an interval to be compared. Default
    /// 50.
    pub min_requests: u64,
    /// `failure-share`: the share of failures in an interval that ejects, if it is twice that of
    /// the pool's other backends. Default 0.5; 0 = none does.
    pub failure_share: f64,
    /// `latency-factor`: how many times the median of the pool the mean latency of an interval is
    /// that degrades a backend. Default 5; 0 = none does.
    pub latency_factor: f64,
    /// `latency-ejects`: such a backend is ejected, not degraded. Default false.
    pub latency_ejects: bool,
    /// `stalled-after`: for how long two requests or more wait for a backend that answers nothing,
    /// at least, before others avoid it. Default 50 ms; 0 = for ever.
    pub stalled_after: Duration,
    /// `reconnect`: how often a connection is tried, beside the traffic, to a backend that nobody
    /// could connect to. Default 1 s; 0 = only requests try it.
    pub reconnect: Duration,
}

/// `[pools.NAME.health]`: how backends are probed.
#[derive(Debug, Clone, PartialEq)]
pub struct Probe {
    /// `kind`, or what the other keys say.
    pub kind: ProbeKind,
    /// `interval`: from one probe to the next, a tenth more or less. Default 10 s.
    pub interval: Duration,
    /// `timeout`: for one probe, the connection included. Default 2 s.
    pub timeout: Duration,
    /// `healthy`: successes in a row after which a backend is no longer down. Default 2.
    pub healthy: u32,
    /// `unhealthy`: failures in a row after which it is down. Default 3.
    pub unhealthy: u32,
    /// `port`: where probes go, if not to the port of the requests.
    pub port: Option<u16>,
}

/// What a probe does.
#[derive(Debug, Clone, PartialEq)]
pub enum ProbeKind {
    /// It connects; with TLS, the handshake is part of that.
    Tcp,
    /// It sends a GET.
    Http {
        /// `path`. Default `/`.
        path: String,
        /// `host`: the host that is asked for; by default the backend's, as it is written.
        host: Option<String>,
        /// `expect`: the statuses that are a success. Default 200 to 399.
        expect: Vec<RangeInclusive<u16>>,
        /// `body`: what must be in the first 64 KiB of the body.
        body: Option<String>,
    },
    /// It calls `grpc.health.v1.Health/Check`.
    Grpc {
        /// `service`. Default: the whole server.
        service: String,
        /// `host`: the authority; by default the backend's, as it is written.
        host: Option<String>,
    },
}

impl Default for PoolHealth {
    fn default() -> Self {
        Self {
            max_failures: 3,
            fail_timeout: Duration::from_secs(10),
            slow_start: Duration::ZERO,
            ejection: Ejection::default(),
            probe: None,
        }
    }
}

impl Default for Ejection {
    fn default() -> Self {
        Self {
            max_time: Duration::from_secs(300),
            max_share: 0.5,
            statuses: vec![502..=504],
            interval: Duration::from_secs(10),
            min_requests: 50,
            failure_share: 0.5,
            latency_factor: 5.0,
            latency_ejects: false,
            stalled_after: Duration::from_millis(50),
            reconnect: Duration::from_secs(1),
        }
    }
}

impl PoolHealth {
    /// Whether a response with this status is a failure of its backend.
    #[inline]
    pub fn counts(&self, status: u16) -> bool {
        status >= 400 && self.ejection.statuses.iter().any(|s| s.contains(&status))
    }
}
