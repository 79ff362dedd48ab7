//! The report as Prometheus text.

use std::fmt::{self, Write as _};

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use super::accept::prefers;
use super::pools::Pool;
use super::report::{Backend, Policy, PolicyStore};
use super::{OnTrial, Report, StatsView};
use crate::stats::HistogramSnapshot;

const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";
const PLAIN: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Bounds of hook calls, as exponents of two nanoseconds: 128 ns to 67 ms. A histogram's buckets
/// must not change while a series lives, and bounds at powers of two are those at which the counts
/// are exact.
const HOOK_BOUNDS: std::ops::RangeInclusive<u32> = 7..=26;
/// Bounds of requests and of backends' response heads, as exponents of two microseconds: 64 us to
/// 67 s.
const LATENCY_BOUNDS: std::ops::RangeInclusive<u32> = 6..=26;

/// In a second. Divided by, not multiplied with the inverse, so that bounds print short.
const NANOSECONDS: f64 = 1e9;
const MICROSECONDS: f64 = 1e6;

/// The body of `GET /metrics` and its content type: OpenMetrics for a client that prefers it
/// (Prometheus does), the older text format for others.
pub fn metrics_page(view: &StatsView<'_>, accept: Option<&[u8]>) -> (&'static str, Vec<u8>) {
    let mut registry = Registry::with_prefix("waypost");
    registry.register_collector(Box::new(Snapshot(Report::new(view))));
    let mut text = String::new();
    if prometheus_client::encoding::text::encode(&mut text, &registry).is_err() {
        // Writing to a string does not fail; an empty exposition would still be a valid one.
        text = "# EOF\n".to_owned();
    }
    if prefers(accept, "application/openmetrics-text", "text/plain") {
        (OPEN_METRICS, text.into_bytes())
    } else {
        (PLAIN, plain(&text).into_bytes())
    }
}

/// In the older format `# HELP` and `# TYPE` name a counter as its samples do, with `_total`; there
/// is no type `info`, no `# UNIT` and no `# EOF`.
fn plain(open_metrics: &str) -> String {
    let mut out = String::with_capacity(open_metrics.len());
    let mut lines = open_metrics.lines().peekable();
    while let Some(line) = lines.next() {
        let Some(help) = line.strip_prefix("# HELP ") else {
            if !line.starts_with("# ") {
                out.push_str(line);
                out.push('\n');
            }
            continue;
        };
        let (name, help) = help.split_once(' ').unwrap_or((help, ""));
        let kind = lines
            .next_if(|l| l.starts_with("# TYPE "))
            .and_then(|l| l.rsplit(' ').next())
            .unwrap_or("untyped");
        let (suffix, kind) = match kind {
            "counter" => ("_total", "counter"),
            "info" => ("_info", "gauge"),
            other => ("", other),
        };
        // Writing to a string does not fail.
        let _ = writeln!(
            out,
            "# HELP {name}{suffix} {help}\n# TYPE {name}{suffix} {kind}"
        );
    }
    out
}

#[derive(Debug)]
struct Snapshot(Report);

impl Collector for Snapshot {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let mut out = Families { encoder };
        self.process(&mut out)?;
        self.backends(&mut out)?;
        self.pools(&mut out)?;
        self.policies(&mut out)
    }
}

impl Snapshot {
    fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let r = &self.0;
        out.info("build", "The Waypost that runs", [[("version", r.version)]])?;
        out.gauge(
            "uptime",
            "Time since counting began",
            Some(&Unit::Seconds),
            [([], r.uptime_seconds)],
        )?;
        let directions = [
            ("from_clients", r.bytes.from_clients),
            ("to_clients", r.bytes.to_clients),
            ("from_backends", r.bytes.from_backends),
            ("to_backends", r.bytes.to_backends),
        ];
        let bytes = directions.map(|(direction, n)| ([("direction", direction)], n));
        out.counter(
            "traffic",
            "Bytes on the wire, heads and framing included",
            Some(&Unit::Bytes),
            bytes,
        )?;

        let codes: Vec<_> = r
            .requests
            .by_status
            .iter()
            .map(|(code, n)| (code.to_string(), *n))
            .collect();
        let by_status = codes
            .iter()
            .map(|(code, n)| ([("status", code.as_str())], *n));
        out.counter(
            "requests",
            "Requests answered, by status code",
            None,
            by_status,
        )?;
        out.plain_counter(
            "requests_received",
            "Requests whose head arrived",
            r.requests.total,
        )?;
        out.plain_counter(
            "requests_unanswered",
            "Requests whose client was gone",
            r.requests.unanswered,
        )?;
        out.gauge(
            "requests_active",
            "Requests not yet answered in full",
            None,
            [([], r.requests.active)],
        )?;
        let latency = &r.requests.latency.0;
        let request = [([], latency)];
        out.histogram(
            "request_duration",
            "From a request's head to its response's end",
            LATENCY_BOUNDS,
            MICROSECONDS,
            request,
        )?;

        let c = &r.connections;
        out.plain_counter(
            "connections_accepted",
            "Client connections accepted",
            c.accepted,
        )?;
        out.plain_counter(
            "connections_refused",
            "Client connections turned away by a limit",
            c.refused,
        )?;
        out.gauge(
            "connections_active",
            "Client connections open",
            None,
            [([], c.active)],
        )?;
        out.plain_counter(
            "upstream_connections_opened",
            "Connections opened to backends",
            c.upstream_opened,
        )?;
        out.plain_counter(
            "upstream_connections_reused",
            "Requests sent on a pooled connection",
            c.upstream_reused,
        )?;
        out.plain_counter(
            "retries",
            "Attempts at a backend after the first of a request",
            r.retries,
        )?;
        out.plain_counter(
            "access_log_lines_dropped",
            "Access-log lines dropped",
            r.log_lines_dropped,
        )?;
        out.plain_counter(
            "log_lines_lost",
            "Lines of the operational log lost",
            r.process.log_lines_lost,
        )?;
        let hanging = r
            .workers
            .iter()
            .filter(|worker| worker.hanging_seconds > 0)
            .count() as u64;
        out.gauge(
            "workers_hanging",
            "Workers that have done nothing for seconds",
            None,
            [([], hanging)],
        )?;
        out.plain_counter(
            "panics",
            "Panics of any thread: each is a bug of the proxy",
            r.process.panics,
        )?;
        let recording = r.recording;
        out.plain_counter(
            "requests_recorded",
            "Requests written down for a replay",
            recording.recorded,
        )?;
        out.plain_counter(
            "requests_unrecorded",
            "Requests that could not be written down",
            recording.dropped,
        )?;
        out.counter(
            "recording",
            "Bytes of the recording",
            Some(&Unit::Bytes),
            [([], recording.bytes)],
        )?;
        out.plain_counter(
            "recording_errors",
            "Writes of the recording that failed",
            recording.errors,
        )
    }

    fn backends(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&Backend) -> u64| {
            self.0
                .backends
                .iter()
                .map(move |(address, b)| ([("backend", address.as_str())], value(b)))
        };
        out.counter(
            "backend_requests",
            "Requests sent to a backend",
            None,
            each(|b| b.requests),
        )?;
        out.counter(
            "backend_failures",
            "Attempts at a backend that failed",
            None,
            each(|b| b.failures),
        )?;
        out.gauge(
            "backend_in_flight",
            "Requests not yet answered in full",
            None,
            each(|b| b.in_flight),
        )?;
        out.gauge(
            "backend_connections",
            "Connections open, in use or pooled",
            None,
            each(|b| b.connections),
        )?;
        out.gauge(
            "backend_healthy",
            "1 if no worker sets the backend aside",
            None,
            each(|b| u64::from(b.healthy)),
        )?;
        let failures = each(|b| b.consecutive_failures);
        out.gauge(
            "backend_consecutive_failures",
            "Failures since the last success",
            None,
            failures,
        )?;
        let latency = self
            .0
            .backends
            .iter()
            .map(|(address, b)| ([("backend", address.as_str())], &b.latency.all.0));
        out.histogram(
            "backend_latency",
            "Time to the response head",
            LATENCY_BOUNDS,
            MICROSECONDS,
            latency,
        )
    }

    fn pools(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&Pool) -> u64| {
            self.0
                .pools
                .iter()
                .map(move |(name, pool)| ([("pool", name.as_str())], value(pool)))
        };
        out.gauge(
            "pool_queue_length",
            "Requests that wait for a connection",
            None,
            each(|p| p.queue_length),
        )?;
        out.counter(
            "pool_waits",
            "Requests that waited for a connection and got it",
            None,
            each(|p| p.waits),
        )?;
        let refused = each(|p| p.refused);
        out.counter(
            "pool_refused",
            "Requests that found the queue full or waited too long",
            None,
            refused,
        )?;
        let broken_off = each(|p| p.slow_clients);
        out.counter(
            "pool_slow_clients",
            "Requests of slow clients that were broken off",
            None,
            broken_off,
        )
    }

    /// A trial's numbers begin anew with each generation, which is why they carry it.
    fn trials(&self, out: &mut Families<'_>) -> fmt::Result {
        let trials: Vec<_> = self
            .0
            .policies
            .iter()
            .filter_map(|(name, p)| Some((name, p.status.as_ref()?.on_trial.as_ref()?)))
            .collect();
        let generations: Vec<String> = trials
            .iter()
            .map(|(_, t)| t.generation.to_string())
            .collect();
        let each = |value: fn(&OnTrial) -> u64| {
            trials
                .iter()
                .zip(&generations)
                .map(move |((name, t), generation)| {
                    (
                        [
                            ("policy", name.as_str()),
                            ("mode", t.mode),
                            ("generation", generation.as_str()),
                        ],
                        value(t),
                    )
                })
        };
        out.counter(
            "policy_trial_requests",
            "Requests that a candidate decided or saw",
            None,
            each(|t| t.requests),
        )?;
        out.counter(
            "policy_trial_failed",
            "Requests of a canary that failed",
            None,
            each(|t| t.failed),
        )?;
        out.counter(
            "policy_trial_faults",
            "Calls of a candidate that failed",
            None,
            each(|t| t.faults),
        )?;
        out.counter(
            "policy_trial_compared",
            "Decisions of a shadow that were compared",
            None,
            each(|t| t.compared),
        )?;
        out.counter(
            "policy_trial_agreed",
            "Decisions of a shadow that were the same",
            None,
            each(|t| t.agreed),
        )
    }

    fn policies(&self, out: &mut Families<'_>) -> fmt::Result {
        let policies = &self.0.policies;
        let running = policies
            .iter()
            .filter_map(|(name, p)| Some((name.as_str(), p.status.as_ref()?)));
        let info = running.clone().map(|(name, s)| {
            [
                ("policy", name),
                ("digest", &s.digest),
                ("source", &s.source),
            ]
        });
        out.info("policy", "What runs under a policy's name", info)?;
        let generations = running.map(|(name, s)| ([("policy", name)], s.generation));
        out.gauge(
            "policy_generation",
            "Grows when a policy is replaced",
            None,
            generations,
        )?;
        let hooks = policies.iter().flat_map(|(name, p)| {
            p.call_time_by_hook
                .iter()
                .map(move |(hook, times)| ([("policy", name.as_str()), ("hook", *hook)], &times.0))
        });
        out.histogram(
            "policy_hook_duration",
            "Time of a hook's calls",
            HOOK_BOUNDS,
            NANOSECONDS,
            hooks,
        )?;

        let each = |value: fn(&Policy) -> u64| {
            policies
                .iter()
                .map(move |(n, p)| ([("policy", n.as_str())], value(p)))
        };
        out.counter(
            "policy_traps",
            "Calls that trapped",
            None,
            each(|p| p.traps),
        )?;
        out.counter(
            "policy_deadlines_missed",
            "Calls that missed their deadline",
            None,
            each(|p| p.deadlines),
        )?;
        out.counter(
            "policy_invalid_answers",
            "Answers that were not valid",
            None,
            each(|p| p.invalid),
        )?;
        out.counter(
            "policy_refusals",
            "Requests that a policy answered itself",
            None,
            each(|p| p.refusals),
        )?;
        let failure_mode_uses = each(|p| p.failure_mode_uses);
        out.counter(
            "policy_failure_mode_uses",
            "Requests that went on by the failure mode",
            None,
            failure_mode_uses,
        )?;
        out.counter(
            "policy_suspensions",
            "Times that a worker suspended it",
            None,
            each(|p| p.suspensions),
        )?;
        out.counter(
            "policy_client_pauses",
            "Times that a client was paused",
            None,
            each(|p| p.client_pauses),
        )?;
        out.counter(
            "policy_paused_calls",
            "Calls not made for paused clients",
            None,
            each(|p| p.paused_calls),
        )?;
        let cost = each(|p| p.fault_microseconds);
        out.counter(
            "policy_fault_microseconds",
            "What faults cost the workers",
            None,
            cost,
        )?;
        let suspended = each(|p| p.status.as_ref().map_or(0, |s| s.suspended_by_workers));
        out.gauge(
            "policy_suspended_by_workers",
            "Workers that do not ask it for now",
            None,
            suspended,
        )?;
        self.trials(out)?;
        let decisions = policies.iter().flat_map(|(name, p)| {
            p.decisions.iter().flat_map(move |(pool, backends)| {
                let labels = move |b| {
                    [
                        ("policy", name.as_str()),
                        ("pool", pool.as_str()),
                        ("backend", b),
                    ]
                };
                backends
                    .iter()
                    .map(move |(backend, n)| (labels(backend.as_str()), *n))
            })
        });
        out.counter(
            "policy_decisions",
            "Selections of a backend",
            None,
            decisions,
        )?;
        out.gauge(
            "policy_instances",
            "Instances that workers have",
            None,
            each(|p| p.instances),
        )?;
        out.counter(
            "policy_instances_built",
            "Instances built",
            None,
            each(|p| p.instances_built),
        )?;
        out.counter(
            "policy_log_lines_dropped",
            "Lines beyond the rate limit",
            None,
            each(|p| p.log_lines_dropped),
        )?;
        let (now, peak) = (
            each(|p| p.memory.now_bytes),
            each(|p| p.memory.peak_instance_bytes),
        );
        out.gauge(
            "policy_memory",
            "Memory of all live instances, tables and globals included",
            Some(&Unit::Bytes),
            now,
        )?;
        out.gauge(
            "policy_instance_memory_peak",
            "The most that one instance has had",
            Some(&Unit::Bytes),
            peak,
        )?;
        let own = policies.iter().flat_map(|(name, p)| {
            p.counters.iter().map(move |(counter, n)| {
                (
                    [("policy", name.as_str()), ("counter", counter.as_str())],
                    *n,
                )
            })
        });
        out.counter("policy_counter", "The policy's own counters", None, own)?;
        self.stores(out)
    }

    fn stores(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&PolicyStore) -> u64| {
            let stores = self
                .0
                .policies
                .iter()
                .filter_map(|(name, p)| Some((name, p.store.as_ref()?)));
            stores.map(move |(name, store)| ([("policy", name.as_str())], value(store)))
        };
        out.counter(
            "policy_store_operations",
            "Calls of the policy's store",
            None,
            each(|s| s.operations),
        )?;
        out.counter(
            "policy_store_refused",
            "Calls of the store that were refused",
            None,
            each(|s| s.refused),
        )?;
        out.counter(
            "policy_store_evictions",
            "Entries that went to make room",
            None,
            each(|s| s.evictions),
        )?;
        out.counter(
            "policy_store_expirations",
            "Entries whose time was up",
            None,
            each(|s| s.expirations),
        )?;
        out.gauge(
            "policy_store_entries",
            "Entries in the policy's store",
            None,
            each(|s| s.entries),
        )?;
        out.gauge(
            "policy_store_size",
            "Keys, values and a constant each",
            Some(&Unit::Bytes),
            each(|s| s.bytes),
        )
    }
}

/// Labels of one sample.
type Labels<'a, const N: usize> = [(&'static str, &'a str); N];

/// One call per metric family, each with all its samples.
struct Families<'a> {
    encoder: DescriptorEncoder<'a>,
}

impl Families<'_> {
    fn plain_counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.counter(name, help, None, [([], value)])
    }

    fn counter<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(
            name,
            help,
            unit,
            MetricType::Counter,
            samples,
            |metric, n| metric.encode_counter::<NoLabelSet, u64, u64>(n, None),
        )
    }

    fn gauge<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        samples: impl IntoIterator<Item = (Labels<'l, N>, u64)>,
    ) -> fmt::Result {
        self.family(name, help, unit, MetricType::Gauge, samples, |metric, n| {
            metric.encode_gauge(n)
        })
    }

    fn histogram<'l, 'h, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        exponents: std::ops::RangeInclusive<u32>,
        per_second: f64,
        samples: impl IntoIterator<Item = (Labels<'l, N>, &'h HistogramSnapshot)>,
    ) -> fmt::Result {
        let bounds: Vec<u64> = exponents.map(|e| (1 << e) - 1).collect();
        self.family(
            name,
            help,
            Some(&Unit::Seconds),
            MetricType::Histogram,
            samples,
            |metric, h| {
                let counts = h.between(&bounds);
                let above = h.count.saturating_sub(counts.iter().sum());
                let mut buckets: Vec<(f64, u64)> = bounds
                    .iter()
                    .zip(counts)
                    .map(|(bound, n)| (*bound as f64 / per_second, n))
                    .collect();
                buckets.push((f64::INFINITY, above));
                metric.encode_histogram::<NoLabelSet>(
                    h.sum as f64 / per_second,
                    h.count,
                    &buckets,
                    None,
                )
            },
        )
    }

    fn info<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        samples: impl IntoIterator<Item = Labels<'l, N>>,
    ) -> fmt::Result {
        let mut metric =
            self.encoder
                .encode_descriptor(name, &format!("{help}."), None, MetricType::Info)?;
        samples
            .into_iter()
            .try_for_each(|labels| metric.encode_info(&labels))
    }

    fn family<'l, const N: usize, T>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        kind: MetricType,
        samples: impl IntoIterator<Item = (Labels<'l, N>, T)>,
        encode: impl Fn(&mut MetricEncoder<'_>, &T) -> fmt::Result,
    ) -> fmt::Result {
        let mut metric = self
            .encoder
            .encode_descriptor(name, &format!("{help}."), unit, kind)?;
        for (labels, value) in samples {
            if N == 0 {
                encode(&mut metric, &value)?;
            } else {
                encode(&mut metric.encode_family(&labels)?, &value)?;
            }
        }
        Ok(())
    }
}
