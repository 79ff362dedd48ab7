//! The sums of all workers' counters, at one moment.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::PolicyStatus;
pub use super::durations::{Microseconds, Nanoseconds};
use super::pools::Pool;
use super::process::Process;
use super::recording::Recording;
use crate::policy::Hook;
use crate::stats::{
    BackendStats, Counter, DecidedPool, HealthReading, Histogram, HistogramSnapshot, PolicyShard,
    PolicyStats, STATUSES, Stats, StoreShard, WorkerShard,
};

/// What a report is made of.
#[derive(Debug, Clone, Copy)]
pub struct StatsView<'a> {
    /// All counters.
    pub stats: &'a Stats,
    /// The policies that run.
    pub policies: &'a [PolicyStatus],
}

/// Everything that was counted. Serialised, it is the body of `GET /stats`.
#[derive(Debug, Clone, Serialize)]
pub struct Report {
    /// Waypost's version.
    pub version: &'static str,
    /// Since counting began.
    pub uptime_seconds: u64,
    /// Bytes on the wire, heads and framing included.
    pub bytes: Bytes,
    /// Requests of clients.
    pub requests: Requests,
    /// Connections of clients and to backends.
    pub connections: Connections,
    /// Attempts at a backend after the first of a request.
    pub retries: u64,
    /// Access-log lines dropped because the log could not keep up.
    pub log_lines_dropped: u64,
    /// Lost lines of the operational log, and panics.
    pub process: Process,
    /// Requests written down for a replay.
    pub recording: Recording,
    /// By address.
    pub backends: BTreeMap<String, Backend>,
    /// By name, those whose connections are limited.
    pub pools: BTreeMap<String, Pool>,
    /// By name.
    pub policies: BTreeMap<String, Policy>,
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
    /// Those whose head arrived, refused ones included.
    pub total: u64,
    /// Those not yet answered in full.
    pub active: u64,
    /// Responses by status code; codes that never occurred are left out.
    pub by_status: BTreeMap<u16, u64>,
    /// Those that ended without a response, because the client was gone.
    pub unanswered: u64,
    /// From the head to the end of the response.
    pub latency: Microseconds,
}

/// Connections.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Connections {
    /// Of clients, in all.
    pub accepted: u64,
    /// Of clients, open now.
    pub active: u64,
    /// Of clients, turned away by a limit.
    pub refused: u64,
    /// Opened to backends.
    pub upstream_opened: u64,
    /// Requests sent on a pooled connection.
    pub upstream_reused: u64,
}

/// One backend address.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Backend {
    /// Requests sent.
    pub requests: u64,
    /// Attempts that failed.
    pub failures: u64,
    /// Requests sent and not yet answered in full.
    pub in_flight: u64,
    /// No worker sets it aside.
    pub healthy: bool,
    /// How many workers set it aside for failing.
    pub set_aside_by_workers: u64,
    /// Failures since the last success, where they are most: workers count apart.
    pub consecutive_failures: u64,
    /// Connections open, in use or pooled.
    pub connections: u64,
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

/// One policy name: what runs under it now, and what was counted for all its generations.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Policy {
    /// What runs; `None` (its fields are left out) if nothing does any more.
    #[serde(flatten)]
    pub status: Option<PolicyStatus>,
    /// Hook calls.
    pub calls: u64,
    /// Hook calls by hook.
    pub calls_by_hook: BTreeMap<&'static str, u64>,
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Requests that it refused or answered itself.
    pub refusals: u64,
    /// Requests that went on by its failure mode.
    pub failure_mode_uses: u64,
    /// Times that a worker suspended a hook for all clients, because faults of many cost too much.
    pub suspensions: u64,
    /// Times that a worker paused a client, because its faults cost too much.
    pub client_pauses: u64,
    /// Calls that were not made because their client was paused.
    pub paused_calls: u64,
    /// What faults cost the workers: calls that failed, the instances that had to be built, and
    /// late answers.
    pub fault_microseconds: u64,
    /// Its selections, by pool and backend.
    pub decisions: BTreeMap<String, BTreeMap<String, u64>>,
    /// How long calls took.
    pub call_time: Nanoseconds,
    /// How long calls took, by hook.
    pub call_time_by_hook: BTreeMap<&'static str, Nanoseconds>,
    /// Linear memories, tables and globals.
    pub memory: PolicyMemory,
    /// What its workers share; left out if it never imported `store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PolicyStore>,
    /// Instances that workers have now.
    pub instances: u64,
    /// Instances built.
    pub instances_built: u64,
    /// Log lines dropped by the rate limit.
    pub log_lines_dropped: u64,
    /// The policy's own counters, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Memory of a policy's instances: linear memories, tables and globals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PolicyMemory {
    /// Of all live instances.
    pub now_bytes: u64,
    /// The most that one instance has had.
    pub peak_instance_bytes: u64,
}

/// The state that a policy's workers share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PolicyStore {
    /// Calls, refused ones included.
    pub operations: u64,
    /// Calls refused because a key or a value was too long, or had no room.
    pub refused: u64,
    /// Entries now.
    pub entries: u64,
    /// Their bytes: keys, values, and a constant for each.
    pub bytes: u64,
    /// Entries that went before their time to make room.
    pub evictions: u64,
    /// Entries removed because their time was up.
    pub expirations: u64,
}

/// What one worker counted: a skew between workers is worth seeing.
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
    /// For how long it has done nothing, if that is so long that it hangs; else 0.
    pub hanging_seconds: u64,
}

impl Report {
    /// Sums up. Counters go on being written meanwhile, so that two of them may be a request apart.
    pub fn new(view: &StatsView<'_>) -> Self {
        let workers = view.stats.workers();
        let sum = |counter: fn(&WorkerShard) -> &Counter| {
            workers.iter().map(|w| counter(w).value()).sum::<u64>()
        };
        let uptime = view.stats.started().elapsed();
        let now = u64::try_from(uptime.as_millis()).unwrap_or(u64::MAX);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            uptime_seconds: uptime.as_secs(),
            bytes: Bytes {
                from_clients: sum(|w| &w.bytes_from_clients),
                to_clients: sum(|w| &w.bytes_to_clients),
                from_backends: sum(|w| &w.bytes_from_backends),
                to_backends: sum(|w| &w.bytes_to_backends),
            },
            requests: Requests {
                total: sum(|w| &w.requests),
                active: workers.iter().map(|w| w.requests_active.value()).sum(),
                by_status: by_status(view.stats),
                unanswered: sum(|w| &w.unanswered),
                latency: Microseconds(add_up(workers.iter().map(|w| &w.request_microseconds))),
            },
            connections: Connections {
                accepted: sum(|w| &w.connections),
                active: workers.iter().map(|w| w.connections_active.value()).sum(),
                refused: sum(|w| &w.connections_refused),
                upstream_opened: sum(|w| &w.upstream_connections),
                upstream_reused: sum(|w| &w.upstream_reuses),
            },
            retries: sum(|w| &w.retries),
            log_lines_dropped: sum(|w| &w.log_lines_dropped) + Process::access_log_lines_lost(),
            process: Process::new(),
            recording: Recording::new(view.stats),
            backends: view
                .stats
                .backends()
                .iter()
                .map(|(a, s)| (a.clone(), Backend::new(s, now)))
                .collect(),
            pools: view
                .stats
                .pools()
                .iter()
                .map(|(name, shards)| (name.clone(), Pool::new(shards)))
                .collect(),
            policies: policies(view),
            workers: workers.iter().map(|w| Worker::new(w)).collect(),
        }
    }
}

impl Backend {
    fn new(counted: &BackendStats, now_milliseconds: u64) -> Self {
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
            latency: BackendLatency {
                ewma_microseconds: averages.checked_div(seen_by).unwrap_or(0),
                all: Microseconds(add_up(shards.iter().map(|s| &s.latency_microseconds))),
            },
        }
    }
}

impl Policy {
    fn new(counted: &PolicyStats) -> Self {
        let shards = &counted.all_shards();
        let sum = |counter: fn(&PolicyShard) -> &Counter| {
            shards.iter().map(|s| counter(s).value()).sum::<u64>()
        };
        let times = |hook: Hook| add_up(shards.iter().map(|s| &s.hook_nanoseconds[hook.index()]));
        let hooks: BTreeMap<&'static str, Nanoseconds> = Hook::ALL
            .into_iter()
            .map(|hook| (hook.name(), Nanoseconds(times(hook))))
            .filter(|(_, times)| times.0.count > 0)
            .collect();
        let all = add_up(shards.iter().flat_map(|s| &s.hook_nanoseconds));
        let names = counted
            .counter_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let own = |i: usize| {
            shards
                .iter()
                .filter_map(|s| s.counters.0.get(i))
                .map(Counter::value)
                .sum()
        };
        Self {
            status: None,
            calls: all.count,
            calls_by_hook: hooks
                .iter()
                .map(|(hook, times)| (*hook, times.0.count))
                .collect(),
            traps: sum(|s| &s.traps),
            deadlines: sum(|s| &s.deadlines),
            invalid: sum(|s| &s.invalid),
            refusals: sum(|s| &s.refusals),
            failure_mode_uses: sum(|s| &s.failure_mode_uses),
            suspensions: sum(|s| &s.suspensions),
            client_pauses: sum(|s| &s.client_pauses),
            paused_calls: sum(|s| &s.paused_calls),
            fault_microseconds: sum(|s| &s.fault_nanoseconds) / 1_000,
            decisions: decisions(counted, shards),
            call_time: Nanoseconds(all),
            call_time_by_hook: hooks,
            memory: PolicyMemory {
                now_bytes: shards.iter().map(|s| s.memory.value()).sum(),
                peak_instance_bytes: shards
                    .iter()
                    .map(|s| s.memory_peak.value())
                    .max()
                    .unwrap_or(0),
            },
            store: counted.store.get().map(|parts| PolicyStore::new(parts)),
            instances: shards.iter().map(|s| s.instances.value()).sum(),
            instances_built: sum(|s| &s.instances_built),
            log_lines_dropped: sum(|s| &s.log_lines_dropped),
            counters: names
                .into_iter()
                .enumerate()
                .map(|(i, name)| (name, own(i)))
                .collect(),
        }
    }
}

impl PolicyStore {
    fn new<S: AsRef<StoreShard>>(parts: &[S]) -> Self {
        let sum =
            |counter: fn(&StoreShard) -> u64| parts.iter().map(|part| counter(part.as_ref())).sum();
        Self {
            operations: sum(|s| s.operations.value()),
            refused: sum(|s| s.refused.value()),
            entries: sum(|s| s.entries.value()),
            bytes: sum(|s| s.bytes.value()),
            evictions: sum(|s| s.evictions.value()),
            expirations: sum(|s| s.expirations.value()),
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

fn decisions(
    counted: &PolicyStats,
    shards: &[Arc<PolicyShard>],
) -> BTreeMap<String, BTreeMap<String, u64>> {
    let made = |pool: &DecidedPool, backend: usize| -> u64 {
        let backend = u32::try_from(backend).unwrap_or(u32::MAX);
        shards
            .iter()
            .filter_map(|s| s.decisions.get())
            .map(|d| d.of(pool.id, backend))
            .sum()
    };
    let of_pool = |pool: &DecidedPool| {
        let backends = pool
            .backends
            .iter()
            .enumerate()
            .map(|(i, address)| (address.clone(), made(pool, i)))
            .collect();
        (pool.name.clone(), backends)
    };
    counted
        .pools
        .get()
        .into_iter()
        .flatten()
        .map(of_pool)
        .collect()
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

fn policies(view: &StatsView<'_>) -> BTreeMap<String, Policy> {
    let counted = view.stats.policies();
    let mut all: BTreeMap<_, _> = counted
        .iter()
        .map(|(name, counted)| (name.clone(), Policy::new(counted)))
        .collect();
    for status in view.policies {
        all.entry(status.name.clone()).or_default().status = Some(status.clone());
    }
    all
}

fn add_up<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> HistogramSnapshot {
    let mut sum = HistogramSnapshot::default();
    histograms.for_each(|h| sum.add(h));
    sum
}
