//! The sections of a policy, its store, limits, time-outs and the rollout.

use std::ops::RangeInclusive;
use std::path::Path;
use std::time::Duration;

use super::h2_limits::h2_limits;
use super::timeouts::explain_foreign;
use super::{
    CompileLimits, HalfClose, Isolation, Limits, OnFailure, Policy, PolicySource, Rollout,
    StoreLimits, Timeouts, doubtful, values,
};
use crate::document::{Findings, Node, Section};
use crate::units::{exact_duration, parse_duration};

/// The components embedded in the binary. A route can name them without a section of their own.
pub const BUILTIN_POLICIES: [&str; 6] = [
    "random",
    "range",
    "header-router",
    "least-loaded",
    "rate-limit",
    "sticky",
];

/// Epochs tick every two milliseconds, and a worker serves no other request while a hook runs.
const DEADLINE: RangeInclusive<Duration> = Duration::from_millis(1)..=Duration::from_secs(10);
/// From one page of linear memory to all that 32-bit addresses reach.
const MEMORY: RangeInclusive<u64> = 64 << 10..=4 << 30;
/// The kernel counts a process's time in seconds; more than an hour is a mistaken unit.
pub(crate) const COMPILE_TIME: RangeInclusive<Duration> =
    Duration::from_secs(1)..=Duration::from_secs(3600);
/// With less, the compiler would not start.
pub(crate) const COMPILE_MEMORY: RangeInclusive<u64> = 64 << 20..=64 << 30;
/// Larger shared state does not belong in a proxy.
const MAX_STORE_ENTRIES: usize = 10_000_000;
/// From a few entries to more than any machine should give to one policy.
const STORE_BYTES: RangeInclusive<u64> = 1 << 10..=16 << 30;
/// Longer than any sensible wait, so that a mistaken unit is found.
pub(super) const MAX_TIMEOUT: Duration = Duration::from_secs(24 * 3600);
/// A head is held in memory for each connection.
const MAX_HEADER_BYTES: u64 = 1 << 20;

/// `[policies.NAME]`
pub(super) fn policy(
    name: &str,
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<Policy> {
    let source = policy_source(name, &mut section, base, findings);
    let deadline = section
        .take("deadline")
        .and_then(|n| duration(n, findings, &DEADLINE));
    let memory = section
        .take("memory")
        .and_then(|n| n.size(findings, MEMORY));
    let on_failure = section
        .take("on-failure")
        .and_then(|n| n.parsed_scalar(findings, values::on_failure));
    let isolation = section
        .take("isolation")
        .and_then(|n| n.parsed(findings, values::parse_isolation));
    let store = section
        .take("store")
        .and_then(|node| node.section(findings))
        .map(|section| store(section, findings));
    let compiling = CompileLimits {
        time: section
            .take("compile-time")
            .and_then(|n| duration(n, findings, &COMPILE_TIME)),
        memory: section
            .take("compile-memory")
            .and_then(|n| n.size(findings, COMPILE_MEMORY))
            .map(|m| m.value),
    };
    let digest = section
        .take("digest")
        .and_then(|n| n.parsed(findings, values::digest));
    let settings = section
        .take("settings")
        .and_then(|node| settings(name, node, findings));
    section.finish(findings);
    let default = default_policy(name, source?);
    Some(Policy {
        deadline: deadline.unwrap_or(default.deadline),
        memory: memory.map_or(default.memory, |m| m.value),
        on_failure: on_failure.as_ref().map_or(default.on_failure, |o| o.value),
        while_absent: on_failure.map_or(default.while_absent, |o| o.value),
        isolation: isolation.map_or(default.isolation, |i| i.value),
        store: store.unwrap_or(default.store),
        compiling,
        settings: settings.unwrap_or(default.settings),
        digest: digest.map(|d| d.value),
        ..default
    })
}

fn settings(name: &str, node: Node, findings: &mut Findings) -> Option<serde_json::Value> {
    if node.is_table() {
        return node.json(findings);
    }
    findings.error(
        &node.place,
        format!("is not a table; write `[policies.{name}.settings]` and its keys below"),
    );
    None
}

/// A policy with all defaults.
pub(super) fn default_policy(name: &str, source: PolicySource) -> Policy {
    Policy {
        name: name.to_owned(),
        source,
        deadline: Duration::from_millis(1),
        memory: 16 << 20,
        on_failure: OnFailure::Random,
        while_absent: OnFailure::Status(503),
        isolation: Isolation::Worker,
        store: StoreLimits::default(),
        compiling: CompileLimits::default(),
        settings: serde_json::Value::Object(serde_json::Map::new()),
        digest: None,
    }
}

/// `[policies.NAME.store]`
pub(crate) fn store(mut section: Section, findings: &mut Findings) -> StoreLimits {
    let default = StoreLimits::default();
    let entries = section
        .take("entries")
        .and_then(|n| n.integer(findings, 1..=MAX_STORE_ENTRIES));
    let bytes = section
        .take("bytes")
        .and_then(|n| n.size(findings, STORE_BYTES));
    section.finish(findings);
    StoreLimits {
        entries: entries.map_or(default.entries, |n| n.value),
        bytes: bytes.map_or(default.bytes, |n| n.value),
    }
}

fn policy_source(
    name: &str,
    section: &mut Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<PolicySource> {
    let known = BUILTIN_POLICIES.join(", ");
    match (section.take("component"), section.take("builtin")) {
        (Some(_), Some(builtin)) => {
            findings.error(
                &builtin.place,
                "is given beside `component`, but a policy has one source; remove one of them",
            );
            None
        }
        (Some(component), None) => {
            values::component(component, base, findings).map(|path| PolicySource::File(path.value))
        }
        (None, Some(builtin)) => builtin
            .parsed(findings, |written| {
                match BUILTIN_POLICIES.contains(&written) {
                    true => Ok(PolicySource::Builtin(written.to_owned())),
                    false => Err(format!(
                        "there is no built-in policy {written:?}; the built-in ones are: {known}"
                    )),
                }
            })
            .map(|source| source.value),
        (None, None) if BUILTIN_POLICIES.contains(&name) => {
            Some(PolicySource::Builtin(name.to_owned()))
        }
        (None, None) => {
            let message = format!(
                "has no source; write `component` and the path of a file, or `builtin` and one \
                 of: {known}"
            );
            findings.error(&section.place, message);
            None
        }
    }
}

/// `[limits]`
pub(super) fn limits(mut section: Section, findings: &mut Findings) -> Limits {
    let default = Limits::default();
    let request_line = section
        .take("request-line")
        .and_then(|n| n.size(findings, 64..=MAX_HEADER_BYTES));
    let header_bytes = section
        .take("header-bytes")
        .and_then(|n| n.size(findings, 256..=MAX_HEADER_BYTES));
    let header_bytes = header_bytes.map_or(default.header_bytes, |n| n.value as usize);
    if let Some(line) = &request_line
        && line.value as usize > header_bytes
    {
        let message = format!(
            "is more than `header-bytes` ({header_bytes}), which includes the request line; write \
             less, or raise `header-bytes`"
        );
        findings.error(&line.place, message);
    }
    let half_close = section
        .take("half-close")
        .and_then(|node| node.parsed(findings, half_close));
    let h2 = h2_limits(&mut section, findings);
    let mut count = |key, range, default| {
        section
            .take(key)
            .and_then(|n| n.integer::<usize>(findings, range))
            .map_or(default, |n| n.value)
    };
    let limits = Limits {
        request_line: request_line
            .map_or(default.request_line, |n| n.value as usize)
            .min(header_bytes),
        header_bytes,
        header_count: count("header-count", 1..=10_000, default.header_count),
        connections: count("connections", 1..=10_000_000, default.connections),
        connections_per_client: count(
            "connections-per-client",
            0..=10_000_000,
            default.connections_per_client,
        ),
        tls_handshakes: count("tls-handshakes", 0..=10_000_000, default.tls_handshakes),
        tls_handshakes_per_client: count(
            "tls-handshakes-per-client",
            0..=10_000_000,
            default.tls_handshakes_per_client,
        ),
        requests_per_connection: count("requests-per-connection", 0..=i64::MAX as usize, 0) as u64,
        body_bytes: section
            .take("body-bytes")
            .and_then(|n| n.size(findings, 0..=i64::MAX as u64))
            .map_or(0, |n| n.value),
        half_close: half_close.map_or(default.half_close, |h| h.value),
        h2,
    };
    section.finish(findings);
    limits
}

fn half_close(written: &str) -> Result<HalfClose, String> {
    match written {
        "abort" => Ok(HalfClose::Abort),
        "allow" => Ok(HalfClose::Allow),
        _ => Err(format!(
            "{written:?} is not known; write \"abort\" or \"allow\""
        )),
    }
}

/// `[timeouts]`
pub(super) fn timeouts(mut section: Section, findings: &mut Findings) -> Timeouts {
    let places = section.places();
    let default = Timeouts::default();
    let mut read = |key, least, default| {
        section
            .take(key)
            .and_then(|n| duration(n, findings, &(least..=MAX_TIMEOUT)))
            .unwrap_or(default)
    };
    let least = Duration::from_millis(1);
    let timeouts = Timeouts {
        header_read: read("header-read", least, default.header_read),
        idle: read("idle", least, default.idle),
        body_read: read("body-read", least, default.body_read),
        send: read("send", least, default.send),
        // 0 is allowed: data that a client still sends then resets its connection.
        linger: read("linger", Duration::ZERO, default.linger),
        connect: read("connect", least, default.connect),
        response: read("response", least, default.response),
        upstream_idle: read("upstream-idle", least, default.upstream_idle),
        tunnel_idle: read("tunnel-idle", least, default.tunnel_idle),
        // 0 is allowed: requests in flight are then aborted.
        drain: read("drain", Duration::ZERO, default.drain),
        drain_idle: read("drain-idle", Duration::ZERO, default.drain_idle),
        shutdown_delay: read("shutdown-delay", Duration::ZERO, default.shutdown_delay),
        upgrade: read("upgrade", least, default.upgrade),
        tls_handshake: read("tls-handshake", least, default.tls_handshake),
    };
    explain_foreign(&mut section, findings);
    section.finish(findings);
    doubtful::timeouts(&timeouts, &places, findings);
    timeouts
}

/// `[rollout]`
pub(super) fn rollout(mut section: Section, findings: &mut Findings) -> Rollout {
    let default = Rollout::default();
    let margin = section
        .take("failure-margin")
        .and_then(|n| n.number(findings, 0.0..=100.0));
    let latency = section
        .take("latency-margin")
        .and_then(|n| n.number(findings, 0.0..=1_000_000.0));
    let mut count = |key, default| {
        section
            .take(key)
            .and_then(|n| n.integer::<u64>(findings, 1..=1_000_000))
            .map_or(default, |n| n.value)
    };
    let rollout = Rollout {
        max_faults: count("max-faults", default.max_faults),
        failure_margin: margin.map_or(default.failure_margin, |m| m.value / 100.0),
        min_requests: count("min-requests", default.min_requests),
        latency_margin: latency.map_or(default.latency_margin, |m| m.value / 100.0),
    };
    section.finish(findings);
    rollout
}

pub(crate) fn duration(
    node: Node,
    findings: &mut Findings,
    range: &RangeInclusive<Duration>,
) -> Option<Duration> {
    let read = |written: &str| Ok((parse_duration(written)?, written.trim().to_owned()));
    let read = node.parsed_scalar(findings, read)?;
    let (duration, written) = read.value;
    if range.contains(&duration) {
        return Some(duration);
    }
    let [least, most] = [range.start(), range.end()].map(|d| exact_duration(*d));
    let message = format!("{written} is out of range; write {least} to {most}");
    findings.error(&read.place, message);
    None
}
