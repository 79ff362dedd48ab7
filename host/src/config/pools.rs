//! A pool and its backends.

use std::collections::HashSet;
use std::path::Path;
use std::time::Duration;

use super::backend::WrittenAddress;
use super::retry::RetryEntry;
use super::sections::{MAX_TIMEOUT, duration};
use super::{
    AdaptiveRequests, Backend, Pool, PoolHealth, PoolProtocol, PoolTls, RetryPolicy, backend,
    doubtful, pool_health, pool_tls, values,
};
use crate::document::{At, Findings, Node, Section};

/// Sums of weights stay far below what a policy can count.
const MAX_WEIGHT: u32 = 65_535;

/// `[pools.NAME]`, and what it says of retries, which is checked with the routes.
pub(super) fn pool(
    name: &str,
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<(Pool, RetryEntry)> {
    let places = section.places();
    let tls = section.take("tls");
    let tls = tls.and_then(|node| pool_tls::tls(node, base, findings));
    let protocol = pool_tls::protocol(&mut section, findings);
    let file = section.take("file");
    let has_file = file.is_some();
    let file = file.and_then(|n| n.parsed(findings, |path| values::relative_to(base, path)));
    let backends = match section.take("backends") {
        Some(node) => backends(node, tls.as_ref().map(|tls| &tls.value), findings),
        None if has_file => Vec::new(),
        None => {
            findings.error(
                &section.place,
                "has no `backends`; write at least one address, or the `file` that lists them",
            );
            Vec::new()
        }
    };
    let mut pool = default_pool(name, backends);
    let mut retry = RetryEntry::read(&mut section, findings);
    retry.attempts_of_pool(&mut section, findings);
    pool.retry = retry.over(&pool.retry);
    pool.file = file.map(|path| path.value);
    pool.tls = tls.map(|tls| tls.value);
    numbers(&mut pool, &mut section, findings);
    times(&mut pool, &mut section, findings);
    let health = pool_health::health(&mut pool, &mut section, findings);
    section.finish(findings);
    if let Some(protocol) = protocol {
        pool_tls::check_protocol(
            &protocol,
            &pool.backends,
            pool.max_connections > 0,
            findings,
        );
        pool.protocol = protocol.value;
    }
    pool_health::check_probe(&pool, health, findings);
    doubtful::pool(&pool, &default_pool(name, Vec::new()), &places, findings);
    // Without backends an error was noted.
    (!pool.backends.is_empty() || pool.file.is_some()).then_some((pool, retry))
}

fn numbers(pool: &mut Pool, section: &mut Section, findings: &mut Findings) {
    let mut number = |key, range| {
        section
            .take(key)
            .and_then(|n| n.integer::<u32>(findings, range))
            .map(|n| n.value)
    };
    pool.max_idle = number("max-idle", 0..=65_536).map(|n| n as usize);
    pool.max_connections =
        number("max-connections", 0..=1_000_000).map_or(pool.max_connections, |n| n as usize);
    pool.max_requests =
        number("max-requests", 0..=1_000_000).map_or(pool.max_requests, |n| n as usize);
    pool.max_pool_requests =
        number("max-pool-requests", 0..=1_000_000).map_or(pool.max_pool_requests, |n| n as usize);
    pool.queue = number("queue", 0..=1_000_000).map_or(pool.queue, |n| n as usize);
    let rate = section
        .take("slow-client-rate")
        .and_then(|n| n.size(findings, 1..=1 << 30));
    let adaptive = section.take("adaptive-requests");
    pool.adaptive = adaptive.and_then(|n| self::adaptive(n, findings));
    pool.slow_client_rate = rate.map_or(pool.slow_client_rate, |n| n.value);
}

fn times(pool: &mut Pool, section: &mut Section, findings: &mut Findings) {
    let least = Duration::from_millis(1);
    let mut time = |key, least| {
        section
            .take(key)
            .and_then(|n| duration(n, findings, &(least..=MAX_TIMEOUT)))
    };
    pool.queue_timeout = time("queue-timeout", least).unwrap_or(pool.queue_timeout);
    pool.body_wait = time("body-wait", Duration::ZERO).unwrap_or(pool.body_wait);
    pool.slow_client = time("slow-client", Duration::ZERO).unwrap_or(pool.slow_client);
    pool.ping_interval = time("ping-interval", Duration::ZERO).unwrap_or(pool.ping_interval);
}

/// `adaptive-requests`: `true`, `false` or a table.
fn adaptive(node: Node, findings: &mut Findings) -> Option<AdaptiveRequests> {
    let default = AdaptiveRequests::default();
    if node.is_boolean() {
        return node.boolean(findings)?.then_some(default);
    }
    let mut section = node.section(findings)?;
    let mut number = |key| {
        section
            .take(key)
            .and_then(|n| n.integer(findings, 1..=1_000_000u32))
    };
    let (least, most) = (number("least"), number("most"));
    let least = least.map_or(default.least, |n| n.value as usize);
    if let Some(most) = &most
        && (most.value as usize) < least
    {
        let message = format!("is less than `least`, which is {least}; write at least as much");
        findings.error(&most.place, message);
    }
    let most = most.map_or(default.most.max(least), |n| n.value as usize);
    let (from, to) = (Duration::from_millis(10), Duration::from_secs(60));
    let interval = section.take("interval");
    let interval = interval.and_then(|n| duration(n, findings, &(from..=to)));
    let tolerance = section.take("tolerance");
    let tolerance = tolerance.and_then(|n| n.number(findings, 1.0..=100.0));
    section.finish(findings);
    Some(AdaptiveRequests {
        least,
        most,
        interval: interval.unwrap_or(default.interval),
        tolerance: tolerance.map_or(default.tolerance, |n| n.value),
    })
}

/// A pool with all defaults but its backends.
pub(super) fn default_pool(name: &str, backends: Vec<Backend>) -> Pool {
    Pool {
        name: name.to_owned(),
        backends,
        file: None,
        tls: None,
        protocol: PoolProtocol::Http11,
        retry: RetryPolicy::default(),
        max_idle: None,
        max_connections: 0,
        max_requests: 0,
        max_pool_requests: 0,
        adaptive: None,
        queue: 1_000,
        queue_timeout: Duration::from_secs(5),
        body_wait: Duration::from_secs(1),
        slow_client: Duration::from_secs(2),
        slow_client_rate: 16 * 1024,
        is_mirror: false,
        health: PoolHealth::default(),
        ping_interval: Duration::from_secs(30),
    }
}

/// Addresses, or tables with an address each. One alone counts as a list. `tls` is that of the
/// pool.
pub(super) fn backends(node: Node, tls: Option<&PoolTls>, findings: &mut Findings) -> Vec<Backend> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "has no backend; write at least one address, such as \"10.0.0.1:80\"",
        );
    }
    let backends = entries(nodes, tls, findings);
    if !backends.is_empty() && backends.iter().all(|b| b.weight == 0) {
        findings.warning(
            &place,
            "has only backends of weight 0, which get no requests: every request is answered 503",
        );
    }
    backends
}

/// The same of a list that may be empty, and that has so many entries at most.
pub(super) fn backends_within(
    node: Node,
    tls: Option<&PoolTls>,
    most: usize,
    findings: &mut Findings,
) -> Vec<Backend> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.len() > most {
        let message = format!("has {} backends; write {most} at most", nodes.len());
        findings.error(&place, message);
        return Vec::new();
    }
    entries(nodes, tls, findings)
}

fn entries(nodes: Vec<Node>, tls: Option<&PoolTls>, findings: &mut Findings) -> Vec<Backend> {
    let mut backends: Vec<Backend> = Vec::with_capacity(nodes.len());
    let mut known = HashSet::new();
    for node in nodes {
        let place = node.place.clone();
        let Some(backend) = entry(node, tls, findings) else {
            continue;
        };
        if !known.insert(backend.address.clone()) {
            findings.warning(
                &place,
                format!(
                    "{} is listed twice; use `weight`, which needs only one connection pool",
                    backend.address
                ),
            );
        }
        backends.push(backend);
    }
    backends
}

fn entry(node: Node, tls: Option<&PoolTls>, findings: &mut Findings) -> Option<Backend> {
    let read = |written: &str| backend::read(written, tls.is_some());
    if !node.is_table() {
        let address = node.parsed(findings, read)?;
        return Some(Backend::at(address.value, tls));
    }
    let mut section = node.section(findings)?;
    let address = section.take("address");
    if address.is_none() {
        findings.error(
            &section.place,
            "has no `address`; write for example { address = \"10.0.0.1:80\", weight = 2 }",
        );
    }
    let address: Option<At<WrittenAddress>> = address.and_then(|n| n.parsed(findings, read));
    let weight = section
        .take("weight")
        .and_then(|n| n.integer(findings, 0..=MAX_WEIGHT));
    let labels = section.take_section("labels", findings).into_entries();
    let labels = labels
        .into_iter()
        .filter_map(|(name, n)| Some((name, n.string(findings)?.value)))
        .collect();
    section.finish(findings);
    Some(Backend {
        weight: weight.map_or(1, |w| w.value),
        labels,
        ..Backend::at(address?.value, tls)
    })
}
