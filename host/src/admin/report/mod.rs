//! The sums of all workers' counters, at one moment.

mod attempts;
mod backend;
mod compression;
mod forward;
mod layer4;
mod policy;
mod route;
mod state;
mod tap;
mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

pub use self::attempts::Attempts;
pub use self::backend::{Backend, BackendLatency};
pub use self::compression::Compressed;
pub use self::forward::Forward;
pub use self::layer4::Layer4;
pub use self::policy::{Policy, PolicyMemory, PolicyStore};
pub use self::route::CountedRoute;
pub(super) use self::route::routes;
pub(in crate::admin) use self::state::{HEALTHY, is_usable};
pub use self::tap::Samples;
pub use self::topology::{ShownEndpoint, ShownPool};
use super::backends::PoolStatus;
use super::control::{CertificateStatus, PolicyStatus};
pub use super::durations::{Microseconds, Nanoseconds};
use super::names::NameStatus;
use super::pools::Pool;
use super::process::Process;
use super::recording::Recording;
use super::reload::ReloadStatus;
use super::traces::Traces;
use crate::stats::{
    BackendStats, Counter, FORGOTTEN, Gauge, HistogramSnapshot, Named, STATUSES, Stats, WorkerShard,
};

/// The sources of a report.
#[derive(Debug, Clone, Copy)]
pub struct StatsView<'a> {
    /// All counters.
    pub stats: &'a Stats,
    /// The policies that run.
    pub policies: &'a [PolicyStatus],
    /// The certificates of the listeners.
    pub certificates: &'a [CertificateStatus],
    /// The names of backends.
    pub names: &'a [NameStatus],
    /// How reloads of the configuration have gone.
    pub reload: &'a ReloadStatus,
    /// The pools that run.
    pub pools: &'a [PoolStatus],
}

/// All statistics. Serialised, it is the body of `GET /stats`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Waypost's version.
    pub version: &'static str,
    /// Time since counting began.
    pub uptime_seconds: u64,
    /// The configuration that runs, and how reloads have gone.
    pub reload: ReloadStatus,
    /// Bytes on the wire, heads and framing included.
    pub bytes: Bytes,
    /// Requests of clients.
    pub requests: Requests,
    /// Connections of clients and to backends.
    pub connections: Connections,
    /// Clients that speak HTTP/2, which are among all.
    pub http2: Http2,
    /// Connections that have changed their protocol, as for WebSocket.
    pub tunnels: Tunnels,
    /// What the forward proxy has done.
    pub forward: Forward,
    /// Connections that are passed on as they are.
    pub layer4: Layer4,
    /// Attempts at a backend after the first of a request.
    pub retries: u64,
    /// The same by reason, and those that were made beside another.
    pub attempts: Attempts,
    /// Responses that were compressed on their way.
    pub compressed: Compressed,
    /// Access-log lines dropped because the log could not keep up.
    pub log_lines_dropped: u64,
    /// Lost log lines, and panics.
    pub process: Process,
    /// Requests recorded for a replay.
    pub recording: Recording,
    /// Spans of requests, for a collector.
    pub traces: Traces,
    /// Requests that were sampled for watchers.
    pub tap: Samples,
    /// By address.
    pub backends: BTreeMap<String, Backend>,
    /// By name; the first 1,000 of the configuration, and the others as one, `(other)`.
    pub routes: BTreeMap<String, CountedRoute>,
    /// The pools that run, by name: where their endpoints come from, and how they are.
    pub topology: BTreeMap<String, ShownPool>,
    /// The names of backends, and how their look-ups go.
    pub names: Vec<NameStatus>,
    /// Requests by pool, and those that wait.
    pub pools: BTreeMap<String, Pool>,
    /// By name.
    pub policies: BTreeMap<String, Policy>,
    /// Those of the listeners with TLS.
    pub certificates: Vec<CertificateStatus>,
    /// One entry per worker.
    pub workers: Vec<Worker>,
}

/// Bytes on the wire.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Bytes {
    /// Read from clients.
    pub from_clients: u64,
    /// Written to clients.
    pub to_clients: u64,
    /// Read from backends.
    pub from_backends: u64,
    /// Written to backends.
    pub to_backends: u64,
}

/// Requests of clients.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Requests {
    /// Requests whose head arrived, refused ones included.
    pub total: u64,
    /// Requests not yet answered in full.
    pub active: u64,
    /// Responses by status code; codes that never occurred are left out.
    pub by_status: BTreeMap<u16, u64>,
    /// Requests that ended without a response, because the client had left.
    pub unanswered: u64,
    /// From the head to the end of the response.
    pub latency: Microseconds,
}

/// Connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Client connections accepted.
    pub accepted: u64,
    /// Client connections open now.
    pub active: u64,
    /// Client connections turned away by a limit.
    pub refused: u64,
    /// Connections of trusted peers closed because their PROXY header was missing, malformed or
    /// late.
    pub proxy_headers_refused: u64,
    /// TLS handshakes with clients.
    pub tls_handshakes: TlsHandshakes,
    /// Connections opened to backends.
    pub upstream_opened: u64,
    /// Requests sent on a pooled connection.
    pub upstream_reused: u64,
    /// Requests that got no connection to a backend, because the process could have no more.
    pub upstream_refused: u64,
}

/// Clients that speak HTTP/2.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Http2 {
    /// Requests whose head arrived.
    pub requests: u64,
    /// Connections.
    pub connections: u64,
    /// Connections open now.
    pub connections_active: u64,
    /// Streams open now.
    pub streams_active: u64,
    /// Connections ended because of what their clients did too often.
    pub cut: u64,
    /// Streams refused because their client had all that it may have: connections to backends, or
    /// memory for heads.
    pub refused: u64,
}

/// TLS handshakes with clients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct TlsHandshakes {
    /// Those that ended well.
    pub completed: u64,
    /// Those that failed or took too long.
    pub failed: u64,
    /// Connections closed because too many were under way.
    pub refused: u64,
}

/// Connections that have changed their protocol.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Tunnels {
    /// Since counting began.
    pub opened: u64,
    /// Open now.
    pub active: u64,
}

/// The counts of one worker, which make a skew between workers visible.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Worker {
    /// Requests whose head arrived.
    pub requests: u64,
    /// Requests not yet answered in full.
    pub requests_active: u64,
    /// Client connections accepted.
    pub connections: u64,
    /// Client connections open now.
    pub connections_active: u64,
    /// How long it has hung; 0 if it works.
    pub hanging_seconds: u64,
}

impl Report {
    /// Sums up the counters. The workers go on writing them meanwhile, so two of them may be a
    /// request apart.
    pub fn new(view: &StatsView<'_>) -> Self {
        let workers = view.stats.workers();
        let sum = |counter: fn(&WorkerShard) -> &Counter| {
            workers.iter().map(|w| counter(w).value()).sum::<u64>()
        };
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: view.stats.started().elapsed().as_secs(),
            reload: view.reload.clone(),
            bytes: Bytes {
                from_clients: sum(|w| &w.bytes_from_clients),
                to_clients: sum(|w| &w.bytes_to_clients),
                from_backends: sum(|w| &w.bytes_from_backends),
                to_backends: sum(|w| &w.bytes_to_backends),
            },
            requests: Requests {
                total: sum(|w| &w.requests),
                active: gauge(workers, |w| &w.requests_active),
                by_status: by_status(view.stats),
                unanswered: sum(|w| &w.unanswered),
                latency: Microseconds(HistogramSnapshot::of(
                    workers.iter().map(|w| &w.request_microseconds),
                )),
            },
            connections: Connections {
                accepted: sum(|w| &w.connections),
                active: gauge(workers, |w| &w.connections_active),
                refused: sum(|w| &w.connections_refused),
                proxy_headers_refused: sum(|w| &w.proxy_headers_refused),
                tls_handshakes: TlsHandshakes {
                    completed: sum(|w| &w.tls_handshakes),
                    failed: sum(|w| &w.tls_handshakes_failed),
                    refused: sum(|w| &w.tls_handshakes_refused),
                },
                upstream_opened: sum(|w| &w.upstream_connections),
                upstream_reused: sum(|w| &w.upstream_reuses),
                upstream_refused: sum(|w| &w.upstream_refused),
            },
            http2: Http2::new(workers),
            tunnels: Tunnels::new(workers),
            forward: Forward::new(workers),
            layer4: Layer4::new(workers),
            retries: sum(|w| &w.retries),
            attempts: Attempts::new(workers),
            compressed: Compressed::new(workers),
            log_lines_dropped: sum(|w| &w.log_lines_dropped) + Process::access_log_lines_lost(),
            process: Process::new(),
            recording: Recording::new(view.stats),
            traces: Traces::new(view.stats),
            tap: Samples::new(workers),
            routes: routes(view.stats),
            topology: topology(view),
            backends: backends(view.stats),
            names: view.names.to_vec(),
            pools: pools(view.stats),
            policies: policies(view),
            certificates: view.certificates.to_vec(),
            workers: workers.iter().map(|w| Worker::new(w)).collect(),
        }
    }
}

impl Http2 {
    fn new(workers: &[Arc<WorkerShard>]) -> Self {
        let shards = || workers.iter().map(|worker| &worker.http2);
        Self {
            requests: shards().map(|s| s.requests.value()).sum(),
            connections: shards().map(|s| s.connections.value()).sum(),
            connections_active: shards().map(|s| s.connections_active.value()).sum(),
            streams_active: shards().map(|s| s.streams_active.value()).sum(),
            cut: shards().map(|s| s.cut.value()).sum(),
            refused: shards().map(|s| s.refused.value()).sum(),
        }
    }
}

impl Tunnels {
    fn new(workers: &[Arc<WorkerShard>]) -> Self {
        Self {
            opened: workers.iter().map(|w| w.tunnels.value()).sum(),
            active: workers.iter().map(|w| w.tunnels_active.value()).sum(),
        }
    }
}

impl Worker {
    fn new(shard: &WorkerShard) -> Self {
        Self {
            requests: shard.requests.value(),
            requests_active: shard.requests_active.value(),
            connections: shard.connections.value(),
            connections_active: shard.connections_active.value(),
            hanging_seconds: shard.hanging_seconds.value(),
        }
    }
}

fn gauge(workers: &[Arc<WorkerShard>], gauge: fn(&WorkerShard) -> &Gauge) -> u64 {
    workers.iter().map(|worker| gauge(worker).value()).sum()
}

fn by_status(stats: &Stats) -> BTreeMap<u16, u64> {
    let count = |i: u16| {
        stats
            .workers()
            .iter()
            .map(|w| w.by_status[usize::from(i)].value())
            .sum()
    };
    (0..STATUSES as u16)
        .map(|i| (100 + i, count(i)))
        .filter(|(_, n): &(u16, u64)| *n > 0)
        .collect()
}

/// Of pools that share a name, the first.
fn topology(view: &StatsView<'_>) -> BTreeMap<String, ShownPool> {
    let counted = backends(view.stats);
    let pools = view.pools.iter().rev();
    pools
        .map(|pool| (pool.name.clone(), ShownPool::new(pool, &counted)))
        .collect()
}

/// What was forgotten is a row as well, so that sums over rows never fall.
pub(super) fn backends(stats: &Stats) -> BTreeMap<String, Backend> {
    let Named { by_name, forgotten } = stats.backends();
    let backend = |(label, counted): (String, BackendStats)| (label, Backend::new(&counted));
    let mut all: BTreeMap<_, _> = by_name.into_iter().map(backend).collect();
    if forgotten.names > 0 {
        all.insert(FORGOTTEN.to_owned(), Backend::forgotten(&forgotten.sum));
    }
    all
}

fn pools(stats: &Stats) -> BTreeMap<String, Pool> {
    let Named { by_name, forgotten } = stats.pools();
    let pool = |(name, shards): (String, Vec<_>)| (name, Pool::new(&shards));
    let mut all: BTreeMap<_, _> = by_name.into_iter().map(pool).collect();
    if forgotten.names > 0 {
        all.insert(FORGOTTEN.to_owned(), Pool::new(&[forgotten.sum]));
    }
    all
}

fn policies(view: &StatsView<'_>) -> BTreeMap<String, Policy> {
    let Named { by_name, forgotten } = view.stats.policies();
    let mut all: BTreeMap<_, _> = by_name
        .into_iter()
        .map(|(name, counted)| (name, Policy::new(&counted)))
        .collect();
    if forgotten.names > 0 {
        all.insert(FORGOTTEN.to_owned(), Policy::forgotten(forgotten.sum));
    }
    for status in view.policies {
        all.entry(status.name.clone()).or_default().status = Some(status.clone());
    }
    all
}
