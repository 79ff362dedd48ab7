//! `[resolver]`: how the names of backends are looked up.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use super::backend::can_be_reached;
use super::doubtful;
use super::reach::{AddressFamily, ResolverConfig};
use super::sections::duration;
use crate::document::{Findings, Section};
use crate::units::exact_duration;

/// The port of name servers.
const PORT: u16 = 53;
/// An answer that is valid for less is asked for more often than servers like.
const LEAST_TTL: Duration = Duration::from_millis(10);
const MOST_TTL: Duration = Duration::from_secs(24 * 3600);
const MOST_TIMEOUT: Duration = Duration::from_secs(60);

pub(super) fn resolver(mut section: Section, findings: &mut Findings) -> ResolverConfig {
    let (default, places) = (ResolverConfig::default(), section.places());
    let servers = section.take("servers").map(|node| {
        let place = node.place.clone();
        let nodes = node.one_or_many();
        if nodes.is_empty() {
            let message = "is empty; write at least one address, or remove the key to ask the \
                           servers of /etc/resolv.conf";
            findings.error(&place, message);
        }
        let all = nodes.into_iter();
        all.filter_map(|n| n.parsed(findings, server).map(|server| server.value))
            .collect()
    });
    let family = section.take("family");
    let family = family.and_then(|n| n.parsed(findings, self::family));
    let mut time = |key, least: Duration, most: Duration| {
        let node = section.take(key)?;
        let place = node.place.clone();
        Some((duration(node, findings, &(least..=most))?, place))
    };
    let min_ttl = time("min-ttl", LEAST_TTL, MOST_TTL);
    let max_ttl = time("max-ttl", LEAST_TTL, MOST_TTL);
    let timeout = time("timeout", Duration::from_millis(1), MOST_TIMEOUT);
    let attempts = section.take("attempts");
    let attempts = attempts.and_then(|n| n.integer(findings, 1..=10));
    let strict = section.take("strict").and_then(|n| n.boolean(findings));
    section.finish(findings);
    let config = ResolverConfig {
        servers: servers.unwrap_or_default(),
        family: family.map_or(default.family, |family| family.value),
        min_ttl: min_ttl.as_ref().map_or(default.min_ttl, |(ttl, _)| *ttl),
        max_ttl: max_ttl.as_ref().map_or(default.max_ttl, |(ttl, _)| *ttl),
        timeout: timeout.map(|(timeout, _)| timeout),
        attempts: attempts.map(|attempts| attempts.value),
        strict: strict.unwrap_or(default.strict),
    };
    if config.min_ttl > config.max_ttl
        && let Some((_, place)) = max_ttl.or(min_ttl)
    {
        let message = format!(
            "`min-ttl` is {} and `max-ttl` only {}; write a `max-ttl` that is not less",
            exact_duration(config.min_ttl),
            exact_duration(config.max_ttl)
        );
        findings.error(&place, message);
    }
    doubtful::resolver(&config, &places, findings);
    config
}

/// `ip`, `ip:port`, `v6` or `[v6]:port`.
fn server(written: &str) -> Result<SocketAddr, String> {
    let text = written.trim();
    let with_port = text.parse::<IpAddr>().map(|ip| SocketAddr::new(ip, PORT));
    match with_port.or_else(|_| text.parse::<SocketAddr>()) {
        Ok(address) if address.port() > 0 && can_be_reached(address.ip()) => Ok(address),
        _ => Err(format!(
            "{written:?} is not the address of a name server; write its IP address, such as \
             \"10.0.0.2\" or \"127.0.0.1:5353\""
        )),
    }
}

fn family(written: &str) -> Result<AddressFamily, String> {
    match written {
        "both" => Ok(AddressFamily::Both),
        "ipv4" => Ok(AddressFamily::Ipv4),
        "ipv6" => Ok(AddressFamily::Ipv6),
        _ => Err(format!(
            "{written:?} is not known; write \"both\", \"ipv4\" or \"ipv6\""
        )),
    }
}
