//! `docs/metrics.md` is generated from what `/metrics` exports; the dashboard and the alerts in
//! `packaging/` are checked against it.

mod everything;
mod promql;
mod watched;

use std::fmt::Write as _;

use self::everything::{Family, families};

/// A title, how the names begin that stand below it, and a paragraph.
type Section = (&'static str, &'static [&'static str], &'static str);

/// A metric stands below the longest beginning that fits.
const SECTIONS: [Section; 12] = [
    (
        "The process",
        &[
            "build_",
            "process_",
            "ready",
            "uptime_",
            "workers_",
            "panics_",
            "log_lines_",
            "access_log_",
        ],
        "Those that begin with `process_` are called so by all programs with a client library of \
         Prometheus; the kernel says them, so they are there on Linux only.",
    ),
    (
        "Configuration and certificates",
        &["config_", "certificate_", "acme_"],
        "Two certificates of a listener may be for one name, so `file` is a label too; it is `acme` \
         for one that is [ordered](acme.md).",
    ),
    (
        "Requests",
        &[
            "requests_",
            "request_",
            "traffic_",
            "compressed_",
            "retries_",
            "hedges_",
        ],
        "`waypost_requests_total` counts responses, and so what the proxy answered itself; \
         `waypost_requests_received_total` counts requests.",
    ),
    (
        "Client connections",
        &[
            "connections_",
            "proxy_headers_",
            "tls_",
            "http2_",
            "tunnels_",
        ],
        "",
    ),
    (
        "Backends",
        &["backend_", "upstream_"],
        "A backend that is in several pools is counted once. Its state is one of \
         [those that are shown](health.md#states). A backend that nothing was ever sent to has its \
         state and no other series.",
    ),
    (
        "Pools",
        &["pool_", "endpoint_"],
        "`waypost_endpoint_state` is how a backend is in one pool: what an operator has said, else \
         the state of the backend. `source` is `configuration`, `file` or `api`; a weight of 1 has \
         no series. `waypost_pool_requests_total` counts requests of routes; its `status` is a class \
         such as `2xx`, or `none` if the client had left. The first 1,000 pools by name have series \
         of their own, and the requests of others are those of the pool `other`. Queues are those of \
         [limits](retries.md#limits); a pool without one, and without copies, has no series of them.",
    ),
    (
        "Routes",
        &["route_"],
        "`route` is a name as in `/stats` and on the page. The first 1,000 routes of the \
         configuration have series of their own once they have had a request, and the requests of \
         others are those of the route `(other)`. The counts of a route that a reload removes are \
         gone with it.",
    ),
    (
        "Names of backends",
        &["dns_"],
        "`kind` is what was looked up: `host` or `srv`.",
    ),
    (
        "Policies",
        &["policy_"],
        "`hook` is a name of [the contract](contract.md). \
         `rate(waypost_policy_hook_duration_seconds_sum[5m])` is how many CPUs a policy takes: a \
         hook never waits. Counts of a trial begin again with \
         each candidate, so that `generation` is a label; `mode` is `shadow` or `canary`. The \
         counters in `waypost_policy_counts_total` are those that a policy defines.",
    ),
    (
        "Connections passed on, and the forward proxy",
        &["layer4_", "forward_"],
        "",
    ),
    (
        "Recording",
        &["requests_recorded_", "requests_unrecorded_", "recording_"],
        "",
    ),
    (
        "Traces",
        &["spans_", "span_export_"],
        "Of the [export of traces](tracing.md); a span that is dropped or lost costs no request.",
    ),
];

/// Labels that have few values, all of which are exported from the start.
const LISTED: [&str; 4] = ["direction", "reason", "result", "side"];

const INTRODUCTION: &str = "# Metrics

<!-- Generated from /metrics by tests/integration/docs/metrics/mod.rs; don't edit. -->

`GET /metrics` of the admin listener is text for Prometheus: OpenMetrics for a client that prefers
it, as Prometheus does, else the older format. The names below are those of samples; a counter's
name in `# HELP` and `# TYPE` of OpenMetrics has no `_total`. Where a token is set, Prometheus needs
it as well:

```yaml
scrape_configs:
  - job_name: waypost
    authorization: { credentials_file: /etc/prometheus/waypost.token } # only with [admin] token
    static_configs:
      - targets: [\"127.0.0.1:9090\"]
```

- [`packaging/grafana/waypost.json`](../packaging/grafana/waypost.json) is a dashboard for Grafana
  10 and later: _Dashboards, New, Import_. Data source, proxies, pools and policies are chosen at
  its top.
- [`packaging/prometheus/alerts.yaml`](../packaging/prometheus/alerts.yaml) are alerts, each with
  what to do about it. It goes into `rule_files` of Prometheus. The thresholds are in the
  expressions; those for error share and latency are the ones to adapt.

Counts begin anew with the process, also after an [upgrade](upgrade.md): `rate()` and `increase()`
see to that. Durations are histograms whose bounds are one below powers of two: of microseconds for
requests and backends (`le` of `0.000063` to `67.108863`), of nanoseconds for calls of policies
(`1.27e-7` to `0.067108863`).

Only what has happened has a series: by status, backend, hook and selection, a count begins with the
first of its kind, and a backend has a series for the state that it is in and none for others. So
thousands of backends that stand by cost two series each, in one pool. `rate()` and `increase()` see
a new series from its second scrape on; where the first few matter, as in an alert, write
`increase(x[10m]) > 0 or (x > 0 unless x offset 10m)`. To count backends in a state that none may be
in, write `count(waypost_backend_state{state=\"down\"}) or vector(0)`.

With OpenMetrics, a bucket of `waypost_request_duration_seconds` has the last request as an exemplar
that was handed to the [collector of traces](tracing.md): its `trace_id`, how long it took, and when
it had ended. Prometheus keeps them with `--enable-feature=exemplar-storage`, and Grafana shows
them with \"Exemplars\" of the query and of the data source on.
";

#[test]
fn the_page_has_every_metric_and_no_other() {
    let mut page = INTRODUCTION.to_owned();
    for (n, (title, _, text)) in SECTIONS.iter().enumerate() {
        let _ = write!(page, "\n## {title}\n\n");
        if !text.is_empty() {
            let _ = write!(page, "{}\n\n", wrapped(text));
        }
        page.push_str("| metric | type | labels | meaning |\n|---|---|---|---|\n");
        let all = families().iter();
        for (name, family) in all.filter(|(name, _)| section(name) == n) {
            let _ = writeln!(
                page,
                "| `{name}` | {} | {} | {} |",
                family.kind,
                labels(family),
                family.help.trim_end_matches('.')
            );
        }
    }
    super::compare("metrics.md", &page);
}

/// Which of the sections the metric belongs to.
#[track_caller]
fn section(name: &str) -> usize {
    let below = name.strip_prefix("waypost_").unwrap_or(name);
    let fitting = SECTIONS.iter().enumerate().flat_map(|(n, (_, all, _))| {
        let fits = all
            .iter()
            .filter(|beginning| below.starts_with(**beginning));
        fits.map(move |beginning| (beginning.len(), n))
    });
    let (_, section) = fitting
        .max()
        .unwrap_or_else(|| panic!("{name} has no section in SECTIONS"));
    section
}

fn labels(family: &Family) -> String {
    let each = family.labels.iter().map(|label| {
        if !LISTED.contains(&label.as_str()) {
            return format!("`{label}`");
        }
        let values = family.values[label].iter();
        let values: Vec<_> = values.map(|v| format!("`{v}`")).collect();
        format!("`{label}`: {}", values.join(", "))
    });
    each.collect::<Vec<_>>().join("; ")
}

/// Lines that are as long as others of the page.
fn wrapped(text: &str) -> String {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let line = lines.last_mut().unwrap();
        if line.chars().count() + 1 + word.chars().count() > 100 {
            lines.push(word.to_owned());
        } else {
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
    }
    lines.join("\n")
}

/// What tells apart what a dashboard shows, and none that says nothing.
#[test]
fn every_metric_has_samples_a_type_and_a_sentence() {
    for (name, family) in families() {
        assert!(family.help.ends_with('.'), "{name}: {}", family.help);
        let kinds = ["counter", "gauge", "histogram"];
        assert!(kinds.contains(&family.kind.as_str()), "{name}");
        assert_eq!(
            family.kind == "counter",
            name.ends_with("_total"),
            "{name} is a {}",
            family.kind
        );
        let sampled = family.sampled;
        assert!(sampled, "{name} has no samples, so its labels are unknown");
    }
}
