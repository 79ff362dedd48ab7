//! The report as a page for a browser: without scripts, nothing loaded from elsewhere.

mod backends;
mod names;
mod pools;
mod routes;

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

use super::accept::prefers;
use super::control::PolicyStatus;
use super::escaped::Escaped;
use super::report::{Policy, PolicyStore, Report, StatsView};
use super::times::timestamp;
use crate::stats::HistogramSnapshot;
use crate::units::{counted, duration, microseconds, nanoseconds, number, size};

const HTML: &str = "text/html; charset=utf-8";
const JSON: &str = "application/json";
const CSS: &str = include_str!("page.css");

/// The statistics and their content type: a page for a client that prefers HTML (`accept` is the
/// value of its `Accept` field), else JSON.
pub fn stats_page(view: &StatsView<'_>, accept: Option<&[u8]>) -> (&'static str, Vec<u8>) {
    let report = Report::new(view);
    if prefers(accept, "text/html", JSON) {
        return (HTML, Page(&report).to_string().into_bytes());
    }
    let mut json = serde_json::to_vec_pretty(&report).unwrap_or_else(|e| error_json(&e));
    json.push(b'\n');
    (JSON, json)
}

fn error_json(error: &serde_json::Error) -> Vec<u8> {
    serde_json::json!({ "error": format!("the statistics can't be written as JSON: {error}") })
        .to_string()
        .into_bytes()
}

struct Page<'a>(&'a Report);

impl fmt::Display for Page<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let up = duration(Duration::from_secs(self.0.uptime_seconds));
        write!(
            f,
            "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
             <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
             <title>Waypost statistics</title>\n<style>\n{CSS}</style>\n</head>\n<body>\n\
             <h1>Waypost {}</h1>\n<p>up {up}; reload for newer numbers</p>\n",
            Escaped(self.0.version)
        )?;
        self.reload(f)?;
        self.overview(f)?;
        self.statuses(f)?;
        self.routes(f)?;
        self.pools(f)?;
        self.backends(f)?;
        self.names(f)?;
        self.policies(f)?;
        self.workers(f)?;
        f.write_str("</body>\n</html>\n")
    }
}

impl Page<'_> {
    /// Since when the configuration runs, and whether the last reload was refused.
    fn reload(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let reload = &self.0.reload;
        write!(f, "<p>configuration of {}", timestamp(reload.since))?;
        if let Some(digest) = &reload.digest {
            write!(f, ", {}", Escaped(digest))?;
        }
        let last = UNIX_EPOCH + Duration::from_secs(reload.last_unix);
        match reload.errors.first() {
            None => f.write_str("</p>\n"),
            Some(first) => write!(
                f,
                "</p>\n<p>the last reload, at {}, was refused: {}{}</p>\n",
                timestamp(last),
                Escaped(first),
                match reload.errors.len() {
                    1 => String::new(),
                    n => format!("; {} more", n - 1),
                }
            ),
        }
    }

    fn overview(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = self.0;
        tiles(
            f,
            &[
                ("requests", number(r.requests.total)),
                ("active now", number(r.requests.active)),
                ("unanswered", number(r.requests.unanswered)),
                ("retries", number(r.retries)),
                ("hedges", number(r.attempts.hedges)),
                (
                    "time, median",
                    microseconds(r.requests.latency.0.quantile(0.5)),
                ),
                (
                    "time, 99 %",
                    microseconds(r.requests.latency.0.quantile(0.99)),
                ),
                ("connections open", number(r.connections.active)),
                ("accepted", number(r.connections.accepted)),
                ("turned away", number(r.connections.refused)),
                ("of HTTP/2 open", number(r.http2.connections_active)),
                ("streams of HTTP/2", number(r.http2.streams_active)),
                ("requests by HTTP/2", number(r.http2.requests)),
                ("opened to backends", number(r.connections.upstream_opened)),
                ("reused to backends", number(r.connections.upstream_reused)),
                ("tunnels open", number(r.tunnels.active)),
                ("tunnels so far", number(r.tunnels.opened)),
                ("forward proxy", number(r.forward.requests)),
                ("access-log lines dropped", number(r.log_lines_dropped)),
                ("log lines lost", number(r.process.log_lines_lost)),
                ("panics", number(r.process.panics)),
                ("from clients", size(r.bytes.from_clients)),
                ("to clients", size(r.bytes.to_clients)),
                ("from backends", size(r.bytes.from_backends)),
                ("to backends", size(r.bytes.to_backends)),
            ],
        )
    }

    fn statuses(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Responses by status</h2>\n")?;
        if self.0.requests.by_status.is_empty() {
            return f.write_str("<p>none yet</p>\n");
        }
        let rows = self
            .0
            .requests
            .by_status
            .iter()
            .map(|(code, n)| vec![code.to_string(), number(*n)]);
        table(f, &["status", "responses"], rows)
    }

    fn policies(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Policies</h2>\n")?;
        if self.0.policies.is_empty() {
            return f.write_str("<p>none</p>\n");
        }
        self.0
            .policies
            .iter()
            .try_for_each(|(name, policy)| policy_section(f, name, policy))
    }

    fn workers(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<h2>Workers</h2>\n")?;
        let rows = self.0.workers.iter().enumerate().map(|(i, w)| {
            let numbers = [
                w.requests,
                w.requests_active,
                w.connections,
                w.connections_active,
            ];
            [i.to_string()]
                .into_iter()
                .chain(numbers.map(number))
                .collect()
        });
        table(
            f,
            &["worker", "requests", "active", "connections", "open"],
            rows,
        )
    }
}

fn policy_section(f: &mut fmt::Formatter<'_>, name: &str, p: &Policy) -> fmt::Result {
    writeln!(f, "<h3>{}</h3>", Escaped(name))?;
    match &p.status {
        Some(status) => policy_status(f, status)?,
        None => f.write_str("<p>no longer running</p>\n")?,
    }
    call_tiles(f, p)?;
    hook_times(f, p)?;
    if let Some(store) = &p.store {
        store_tiles(f, store)?;
    }
    selections(f, p)?;
    if !p.counters.is_empty() {
        let rows = p
            .counters
            .iter()
            .map(|(counter, n)| vec![Escaped(counter).to_string(), number(*n)]);
        table(f, &["policy counter", "value"], rows)?;
    }
    Ok(())
}

fn call_tiles(f: &mut fmt::Formatter<'_>, p: &Policy) -> fmt::Result {
    tiles(
        f,
        &[
            ("calls", number(p.calls)),
            ("traps", number(p.traps)),
            ("deadlines missed", number(p.deadlines)),
            ("invalid answers", number(p.invalid)),
            ("answered itself", number(p.refusals)),
            ("failure mode used", number(p.failure_mode_uses)),
            ("suspensions", number(p.suspensions)),
            ("clients paused", number(p.client_pauses)),
            ("calls of paused clients", number(p.paused_calls)),
            ("completions dropped", number(p.completions_dropped)),
            ("time lost to faults", microseconds(p.fault_microseconds)),
            ("instances now", number(p.instances)),
            ("memory now", size(p.memory.now_bytes)),
            ("largest instance", size(p.memory.peak_instance_bytes)),
            ("instances built", number(p.instances_built)),
            ("log lines dropped", number(p.log_lines_dropped)),
        ],
    )
}

/// How long calls took, by hook; nothing before the first call.
fn hook_times(f: &mut fmt::Formatter<'_>, p: &Policy) -> fmt::Result {
    if p.call_time_by_hook.is_empty() {
        return Ok(());
    }
    let total = std::iter::once(hook_row("all", &p.call_time.0));
    let rows = p
        .call_time_by_hook
        .iter()
        .map(|(hook, times)| hook_row(hook, &times.0))
        .chain(total);
    table(
        f,
        &["hook", "calls", "mean", "median", "90 %", "99 %"],
        rows,
    )
}

fn store_tiles(f: &mut fmt::Formatter<'_>, store: &PolicyStore) -> fmt::Result {
    tiles(
        f,
        &[
            ("store calls", number(store.operations)),
            ("refused", number(store.refused)),
            ("entries", number(store.entries)),
            ("size", size(store.bytes)),
            ("evicted", number(store.evictions)),
            ("expired", number(store.expirations)),
        ],
    )
}

/// How often each backend was selected; nothing before the first selection.
fn selections(f: &mut fmt::Formatter<'_>, p: &Policy) -> fmt::Result {
    let mut rows = Vec::new();
    for (pool, backends) in &p.decisions {
        let selected = backends.iter().filter(|(_, n)| **n > 0);
        rows.extend(selected.map(|(backend, n)| {
            vec![
                Escaped(pool).to_string(),
                Escaped(backend).to_string(),
                number(*n),
            ]
        }));
    }
    if rows.is_empty() {
        return Ok(());
    }
    table(f, &["pool", "backend selected", "times"], rows.into_iter())
}

fn policy_status(f: &mut fmt::Formatter<'_>, s: &PolicyStatus) -> fmt::Result {
    writeln!(
        f,
        "<p>{}: generation {}, loaded {} from {}, {}, {}</p>",
        s.state,
        s.generation,
        s.loaded_at.map_or_else(|| "never".to_owned(), timestamp),
        Escaped(&s.source),
        size(s.size_bytes),
        Escaped(&s.digest)
    )?;
    writeln!(
        f,
        "<p>exports {}; one instance per {}, at most {}; deadline {} per call; on failure: {}; \
         while none is loaded: {}</p>",
        Escaped(&s.hooks.join(", ")),
        Escaped(&s.isolation),
        size(s.memory_limit_bytes),
        microseconds(s.deadline.as_micros().try_into().unwrap_or(u64::MAX)),
        Escaped(&s.on_failure),
        Escaped(&s.while_absent)
    )?;
    if let Some(t) = &s.on_trial {
        writeln!(
            f,
            "<p>{} on trial: generation {}, {} % of the requests, {}</p>",
            t.mode,
            t.generation,
            t.percent,
            Escaped(&t.digest)
        )?;
    }
    if s.suspended_by_workers > 0 {
        writeln!(
            f,
            "<p class=\"bad\">suspended by {}, because faults of many clients cost too much</p>",
            counted(s.suspended_by_workers, "worker")
        )?;
    }
    match &s.last_error {
        Some(error) => writeln!(
            f,
            "<p class=\"bad\">the last deployment failed: {}</p>",
            Escaped(error)
        ),
        None => Ok(()),
    }
}

fn hook_row(hook: &str, times: &HistogramSnapshot) -> Vec<String> {
    let quantiles = [0.5, 0.9, 0.99].map(|share| nanoseconds(times.quantile(share)));
    let head = [
        Escaped(hook).to_string(),
        number(times.count),
        nanoseconds(times.mean()),
    ];
    head.into_iter().chain(quantiles).collect()
}

fn tiles(f: &mut fmt::Formatter<'_>, tiles: &[(&str, String)]) -> fmt::Result {
    f.write_str("<dl>\n")?;
    for (name, value) in tiles {
        writeln!(f, "<div><dt>{name}</dt><dd>{value}</dd></div>")?;
    }
    f.write_str("</dl>\n")
}

/// Cells are HTML; the caller has escaped the text in them.
fn table(
    f: &mut fmt::Formatter<'_>,
    head: &[&str],
    rows: impl Iterator<Item = Vec<String>>,
) -> fmt::Result {
    f.write_str("<div class=\"wide\"><table>\n<thead><tr>")?;
    head.iter()
        .try_for_each(|cell| write!(f, "<th>{cell}</th>"))?;
    f.write_str("</tr></thead>\n<tbody>\n")?;
    for row in rows {
        f.write_str("<tr>")?;
        row.iter()
            .try_for_each(|cell| write!(f, "<td>{cell}</td>"))?;
        f.write_str("</tr>\n")?;
    }
    f.write_str("</tbody>\n</table></div>\n")
}
