//! The keys of a pool that say when its backends are healthy.

use std::ops::RangeInclusive;
use std::time::Duration;

use super::doubtful;
use super::sections::{MAX_TIMEOUT, duration};
use super::{Ejection, Pool, PoolProtocol, Probe, ProbeKind};
use crate::document::{Findings, Node, Place, Section};

/// A share of the second before which everything is a mistaken unit.
const LEAST: Duration = Duration::from_millis(1);
/// Statuses of final responses.
const STATUSES: RangeInclusive<u16> = 200..=599;

/// The keys of `[pools.NAME]` that are about health.
/// Returns where its probes are written.
pub(super) fn health(
    pool: &mut Pool,
    section: &mut Section,
    findings: &mut Findings,
) -> Option<Place> {
    let health = &mut pool.health;
    let mut time = |key, least| {
        section
            .take(key)
            .and_then(|n| duration(n, findings, &(least..=MAX_TIMEOUT)))
    };
    health.fail_timeout = time("fail-timeout", LEAST).unwrap_or(health.fail_timeout);
    health.slow_start = time("slow-start", Duration::ZERO).unwrap_or(health.slow_start);
    let failures = section
        .take("max-failures")
        .and_then(|n| n.integer(findings, 0..=1_000_000));
    health.max_failures = failures.map_or(health.max_failures, |n| n.value);
    if let Some(section) = section.take("ejection").and_then(|n| n.section(findings)) {
        health.ejection = ejection(section, health.fail_timeout, findings);
    }
    let node = section.take("health")?;
    let place = node.place.clone();
    health.probe = probe(node, findings);
    Some(place)
}

/// Checks the probes against the protocol.
pub(super) fn check_probe(pool: &Pool, place: Option<Place>, findings: &mut Findings) {
    let is_grpc = |probe: &Probe| matches!(probe.kind, ProbeKind::Grpc { .. });
    if pool.protocol == PoolProtocol::Http11
        && pool.health.probe.as_ref().is_some_and(is_grpc)
        && let Some(place) = place
    {
        let message = "asks by gRPC, which needs HTTP/2; write protocol = \"h2c\" or \"h2\" for \
                       the pool, or another `kind`";
        findings.error(&place, message);
    }
}

fn ejection(mut section: Section, fail_timeout: Duration, findings: &mut Findings) -> Ejection {
    let (default, places) = (Ejection::default(), section.places());
    let statuses = section
        .take("statuses")
        .map(|node| statuses(node, 400..=599, findings));
    let mut number = |key, most| {
        section
            .take(key)
            .and_then(|n| n.number(findings, 0.0..=most))
            .map(|n| n.value)
    };
    let (max_share, failure_share) = (number("max-share", 1.0), number("failure-share", 1.0));
    let latency_factor = number("latency-factor", 1e6);
    let requests = section
        .take("min-requests")
        .and_then(|n| n.integer(findings, 1..=1_000_000_000));
    let ejects = section.take("latency-ejects");
    let ejects = ejects.and_then(|n| n.boolean(findings));
    let mut time = |key, least| {
        section
            .take(key)
            .and_then(|n| duration(n, findings, &(least..=MAX_TIMEOUT)))
    };
    let ejection = Ejection {
        max_time: time("max-time", LEAST).unwrap_or(default.max_time),
        interval: time("interval", LEAST).unwrap_or(default.interval),
        stalled_after: time("stalled-after", Duration::ZERO).unwrap_or(default.stalled_after),
        reconnect: time("reconnect", Duration::ZERO).unwrap_or(default.reconnect),
        max_share: max_share.unwrap_or(default.max_share),
        statuses: statuses.unwrap_or(default.statuses),
        min_requests: requests.map_or(default.min_requests, |n| n.value),
        failure_share: failure_share.unwrap_or(default.failure_share),
        latency_factor: latency_factor.unwrap_or(default.latency_factor),
        latency_ejects: ejects.unwrap_or(default.latency_ejects),
    };
    section.finish(findings);
    doubtful::ejection(&ejection, fail_timeout, &places, findings);
    if let Some(place) = places.of("latency-factor")
        && ejection.latency_factor > 0.0
        && ejection.latency_factor <= 1.0
    {
        let message = "calls half of the backends slow, those above the median; write more than 1, \
                       such as 5, or 0 for none";
        findings.error(place, message);
    }
    ejection
}

/// `[pools.NAME.health]`
fn probe(node: Node, findings: &mut Findings) -> Option<Probe> {
    let mut section = node.section_such_as("{ path = \"/healthz\" }", findings)?;
    let places = section.places();
    let kind = kind(&mut section, findings);
    let mut time = |key, default| {
        section
            .take(key)
            .and_then(|n| duration(n, findings, &(LEAST..=MAX_TIMEOUT)))
            .unwrap_or(default)
    };
    let interval = time("interval", Duration::from_secs(10));
    let timeout = time("timeout", Duration::from_secs(2));
    let mut count = |key, default| {
        section
            .take(key)
            .and_then(|n| n.integer(findings, 1..=1_000))
            .map_or(default, |n| n.value)
    };
    let (healthy, unhealthy) = (count("healthy", 2), count("unhealthy", 3));
    let port = section
        .take("port")
        .and_then(|n| n.integer(findings, 1..=u16::MAX));
    section.finish(findings);
    let probe = Probe {
        kind: kind?,
        interval,
        timeout,
        healthy,
        unhealthy,
        port: port.map(|n| n.value),
    };
    doubtful::probe(&probe, &places, findings);
    Some(probe)
}

/// `kind`, and the keys that belong to it. Without it: gRPC if there is a `service`, HTTP if there
/// is another key of it, else TCP.
fn kind(section: &mut Section, findings: &mut Findings) -> Option<ProbeKind> {
    let has = |keys: &[&str]| keys.iter().any(|key| section.has(key));
    let inferred = match (has(&["service"]), has(&["path", "host", "expect", "body"])) {
        (true, _) => "grpc",
        (false, true) => "http",
        (false, false) => "tcp",
    };
    let read = |written: &str| match written {
        "http" | "tcp" | "grpc" => Ok(written.to_owned()),
        _ => Err(format!(
            "{written:?} is not a kind of probe; write \"http\", \"tcp\" or \"grpc\""
        )),
    };
    let written = section.take("kind").map(|n| n.parsed(findings, read));
    let kind = match written {
        None => inferred.to_owned(),
        Some(kind) => kind?.value,
    };
    match kind.as_str() {
        "http" => http(section, findings),
        "grpc" => {
            let mut text = |key, check: fn(&str) -> Result<String, String>| {
                section.take(key).and_then(|n| n.parsed(findings, check))
            };
            let (service, host) = (text("service", plain), text("host", authority));
            Some(ProbeKind::Grpc {
                service: service.map(|s| s.value).unwrap_or_default(),
                host: host.map(|h| h.value),
            })
        }
        _ => Some(ProbeKind::Tcp),
    }
}

fn http(section: &mut Section, findings: &mut Findings) -> Option<ProbeKind> {
    let expect = section.take("expect").map(|node| {
        if node.is_empty() {
            let message = "is empty, so that no probe would succeed; write at least one status, or \
                           remove the key";
            findings.error(&node.place, message);
        }
        statuses(node, STATUSES, findings)
    });
    let mut text = |key, check: fn(&str) -> Result<String, String>| {
        section.take(key).and_then(|n| n.parsed(findings, check))
    };
    let (path, host) = (text("path", path), text("host", authority));
    let body = text("body", |written| match written {
        "" => Err("is empty, which every body contains; remove it".to_owned()),
        text => Ok(text.to_owned()),
    });
    Some(ProbeKind::Http {
        path: path.map_or_else(|| "/".to_owned(), |p| p.value),
        host: host.map(|h| h.value),
        expect: expect.unwrap_or_else(|| vec![200..=399]),
        body: body.map(|b| b.value),
    })
}

fn path(written: &str) -> Result<String, String> {
    let visible = written.bytes().all(|b| b.is_ascii_graphic() && b != b'#');
    match written.starts_with('/') && visible {
        true => Ok(written.to_owned()),
        false => Err(format!(
            "{written:?} is not a path; write one that begins with a slash, such as \"/health\", \
             with spaces and other such characters percent-encoded"
        )),
    }
}

fn authority(written: &str) -> Result<String, String> {
    match written.parse::<http::uri::Authority>() {
        Ok(authority) if !authority.as_str().contains('@') => Ok(written.to_owned()),
        _ => Err(format!(
            "{written:?} is not a host; write for example \"www.example.com\""
        )),
    }
}

fn plain(written: &str) -> Result<String, String> {
    match written.chars().any(char::is_control) {
        true => Err("has a control character; write the service's full name".to_owned()),
        false => Ok(written.to_owned()),
    }
}

/// Statuses: 503, "5xx", "200-299", or a list of those.
fn statuses(
    node: Node,
    within: RangeInclusive<u16>,
    findings: &mut Findings,
) -> Vec<RangeInclusive<u16>> {
    let read = |written: &str| {
        let range = match written.split_once('-') {
            Some((first, last)) => status(first.trim()).zip(status(last.trim())),
            None => match written.strip_suffix("xx") {
                Some(hundreds) => status(&format!("{hundreds}00"))
                    .filter(|first| first % 100 == 0)
                    .map(|first| (first, first + 99)),
                None => status(written).map(|one| (one, one)),
            },
        };
        match range {
            Some((first, last))
                if first <= last && within.contains(&first) && within.contains(&last) =>
            {
                Ok(first..=last)
            }
            _ => Err(format!(
                "{written:?} is neither a status from {} to {} nor a range of them; write for \
                 example 503, \"5xx\" or \"502-504\"",
                within.start(),
                within.end()
            )),
        }
    };
    let nodes = node.one_or_many();
    let read = |node: Node| Some(node.parsed_scalar(findings, read)?.value);
    nodes.into_iter().filter_map(read).collect()
}

fn status(written: &str) -> Option<u16> {
    let is_plain = written.len() == 3 && written.bytes().all(|b| b.is_ascii_digit());
    is_plain.then(|| written.parse().ok())?
}
