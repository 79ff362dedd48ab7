//! `[forward]` as written.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::Path;

use ipnet::IpNet;

use super::super::listeners::{ListenAddress, Listener, forward_listener, is_loopback, overlaps};
use super::super::{HostPattern, host, values};
use super::{Destinations, ForwardProxy, ProxyAuthentication};
use crate::document::{At, Findings, Node, Section};

/// The ports of an entry that names none: those of `http` and `https`.
const PORTS: [RangeInclusive<u16>; 2] = [80..=80, 443..=443];
/// More would not limit anything.
const MOST_TUNNELS: usize = 1_000_000;
/// More entries would be looked at for each request.
const MOST_ENTRIES: usize = 1_000;
/// What a client is shown where the operator names no realm.
const REALM: &str = "waypost";

/// `[forward]` as written, without its listeners.
#[derive(Debug)]
pub(in super::super) struct ForwardEntry {
    pub proxy: ForwardProxy,
    pub policies: Vec<At<String>>,
    pub pools: Vec<At<String>>,
}

/// Reads the section, its listeners apart; `None` if it is missing.
pub(in super::super) fn forward(
    root: &mut Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<(Vec<At<Listener>>, ForwardEntry)> {
    let mut section = root.take("forward")?.section(findings)?;
    let listeners = match section.take("listen") {
        Some(node) => listen(node, base, findings),
        None => {
            findings.error(
                &section.place,
                "has no `listen`; write for example listen = \"127.0.0.1:3128\"",
            );
            Vec::new()
        }
    };
    let allow = section.take("allow").map(|node| allow(node, findings));
    let authentication = section
        .take("authentication")
        .and_then(|node| node.section_such_as("{ file = \"users\" }", findings))
        .and_then(|section| authentication(section, base, findings));
    let policies = names(&mut section, "policies", findings);
    let pools = names(&mut section, "pools", findings);
    let mut tunnels = |key| {
        let node = section.take(key)?;
        node.integer(findings, 1..=MOST_TUNNELS)
    };
    let all = tunnels("tunnels");
    let of_client = tunnels("tunnels-per-client");
    section.finish(findings);
    let total = all.map_or(16_384, |all| all.value);
    if let Some(of_client) = &of_client
        && of_client.value > total
    {
        let message = format!(
            "lets one client have {} tunnels, and all together may have {total}; write less, or \
             raise `tunnels`",
            of_client.value
        );
        findings.error(&of_client.place, message);
    }
    let entry = ForwardEntry {
        proxy: ForwardProxy {
            allow: allow.unwrap_or_else(public),
            authentication,
            tunnels: total,
            tunnels_per_client: of_client.map_or(256.min(total), |n| n.value),
            policies: Vec::new(),
            pools: Vec::new(),
        },
        policies,
        pools,
    };
    Some((listeners, entry))
}

/// The names that a key lists.
fn names(section: &mut Section, key: &'static str, findings: &mut Findings) -> Vec<At<String>> {
    let Some(node) = section.take(key) else {
        return Vec::new();
    };
    let place = node.place.clone();
    let Some(nodes) = node.list(findings) else {
        return Vec::new();
    };
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty; write at least one name, or remove the key",
        );
    }
    let names = nodes.into_iter();
    names.filter_map(|node| node.string(findings)).collect()
}

/// Ports 80 and 443 of all public addresses.
fn public() -> Vec<Destinations> {
    vec![Destinations {
        host: HostPattern::Any,
        networks: Vec::new(),
        ports: PORTS.to_vec(),
    }]
}

/// Addresses, or tables as of `[[listeners]]`.
fn listen(node: Node, base: &Path, findings: &mut Findings) -> Vec<At<Listener>> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(&place, "is empty; write at least one address");
    }
    let mut all = Vec::with_capacity(nodes.len());
    for node in nodes {
        let listener = match node.is_table() {
            true => node
                .section(findings)
                .and_then(|section| forward_listener(section, base, findings)),
            false => node
                .parsed_scalar(findings, values::parse_listen)
                .map(|at| At::new(Listener::plain(at.value), at.place)),
        };
        all.extend(listener.map(|mut at| {
            at.value.forward = true;
            at
        }));
    }
    all
}

fn allow(node: Node, findings: &mut Findings) -> Vec<Destinations> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty, so that every destination would be refused; write at least one entry, such \
             as { host = \"*.example.com\", ports = [443] }, or remove the key to allow ports 80 \
             and 443 of public addresses",
        );
    }
    if nodes.len() > MOST_ENTRIES {
        let message = format!("has {} entries, and {MOST_ENTRIES} at most", nodes.len());
        findings.error(&place, message);
        return Vec::new();
    }
    let mut all: Vec<Destinations> = Vec::with_capacity(nodes.len());
    for node in nodes {
        let place = node.place.clone();
        let section = node.section_such_as("{ host = \"*.example.com\" }", findings);
        let Some(entry) = section.map(|section| entry(section, findings)) else {
            continue;
        };
        if all.contains(&entry) {
            findings.error(&place, "is listed twice; remove one of them");
        }
        all.push(entry);
    }
    all
}

fn entry(mut section: Section, findings: &mut Findings) -> Destinations {
    let host = section.take("host");
    let networks = section.take("network");
    if host.is_none() && networks.is_none() {
        findings.error(
            &section.place,
            "names no destination; write `host`, such as \"*.example.com\" or \"*\" for all public \
             addresses, or `network`, such as \"10.1.0.0/16\"",
        );
    }
    let read = |written: &str| {
        let pattern = host::parse_without_port(written, "write the port in `ports`")?;
        let number = host::is_number(&pattern);
        let message = || {
            format!(
                "{written:?} is a number and not an address in full, which no request can have; \
                 write all four parts, such as \"127.0.0.1\""
            )
        };
        if number { Err(message()) } else { Ok(pattern) }
    };
    let host = host.and_then(|node| node.parsed(findings, read));
    if let Some(host) = host.as_ref().filter(|_| networks.is_none()) {
        warn_of_private(host, findings);
    }
    let networks = networks.map(|node| {
        let place = node.place.clone();
        let nodes = node.one_or_many();
        if nodes.is_empty() {
            findings.error(
                &place,
                "is empty; write a network, or remove the key to allow public addresses",
            );
        }
        let read = |node: Node| node.parsed(findings, network);
        nodes
            .into_iter()
            .filter_map(read)
            .map(|at| at.value)
            .collect()
    });
    let ports = section.take("ports").map(|node| ports(node, findings));
    section.finish(findings);
    Destinations {
        host: host.map_or(HostPattern::Any, |at| at.value),
        networks: networks.unwrap_or_default(),
        ports: ports.unwrap_or_else(|| PORTS.to_vec()),
    }
}

/// Says that an address which is not public is allowed by `network` alone.
fn warn_of_private(host: &At<HostPattern>, findings: &mut Findings) {
    let HostPattern::Exact(name) = &host.value else {
        return;
    };
    let name = name.trim_matches(['[', ']']);
    let address = name.parse::<IpAddr>();
    let is_private = match address.map(|address| address.to_canonical()) {
        Ok(IpAddr::V4(v4)) => v4.is_private() || v4.is_loopback() || v4.is_link_local(),
        Ok(IpAddr::V6(v6)) => {
            v6.is_loopback() || v6.is_unique_local() || v6.is_unicast_link_local()
        }
        Err(_) => false,
    };
    if is_private {
        let message = format!(
            "is an address that is not public, which no entry without `network` allows; write \
             network = {name:?}"
        );
        findings.warning(&host.place, message);
    }
}

/// Addresses are compared in the form of their own family.
fn network(written: &str) -> Result<IpNet, String> {
    let text = written.trim();
    let network = text.parse::<IpNet>().map(|net| net.trunc());
    let network = network.or_else(|_| text.parse::<IpAddr>().map(IpNet::from));
    let network = network.map_err(|_| {
        format!("{written:?} is not a network; write for example \"10.1.0.0/16\" or \"fd00::/8\"")
    })?;
    match network {
        IpNet::V6(v6) if v6.addr().to_ipv4_mapped().is_some() => Err(format!(
            "{written:?} is a network of IPv4 in the form of IPv6; write it as one of IPv4"
        )),
        network => Ok(network),
    }
}

fn ports(node: Node, findings: &mut Findings) -> Vec<RangeInclusive<u16>> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty; write at least one port, or remove the key to allow 80 and 443",
        );
    }
    let read = |node: Node| match node.is_string() {
        true => node.parsed(findings, port_range).map(|at| at.value),
        false => node
            .integer(findings, 1..=u16::MAX)
            .map(|port| port.value..=port.value),
    };
    nodes.into_iter().filter_map(read).collect()
}

fn port_range(written: &str) -> Result<RangeInclusive<u16>, String> {
    let port = |text: &str| text.trim().parse::<u16>().ok().filter(|port| *port > 0);
    let (low, high) = written.split_once('-').unwrap_or((written, written));
    match (port(low), port(high)) {
        (Some(low), Some(high)) if low <= high => Ok(low..=high),
        _ => Err(format!(
            "{written:?} is not a range of ports; write for example 443 or \"8000-8099\""
        )),
    }
}

fn authentication(
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<ProxyAuthentication> {
    let file = section.take("file");
    if file.is_none() {
        findings.error(
            &section.place,
            "has no `file`; name the file with the users, such as file = \"users\"",
        );
    }
    let file = file.and_then(|n| values::file(n, base, findings));
    let realm = section
        .take("realm")
        .and_then(|node| node.parsed(findings, realm));
    section.finish(findings);
    Some(ProxyAuthentication {
        file: file?.value,
        realm: realm.map_or_else(|| REALM.to_owned(), |realm| realm.value),
    })
}

/// It stands between quotes in a field.
fn realm(written: &str) -> Result<String, String> {
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !matches!(c, '"' | '\\');
    match !written.is_empty() && written.len() <= 256 && written.chars().all(fits) {
        true => Ok(written.to_owned()),
        false => Err(format!(
            "{written:?} is not a realm; write up to 256 characters of ASCII without quotes and \
             backslashes"
        )),
    }
}

/// Says that nothing is served, where that is so.
pub(in super::super) fn warn_if_idle(
    routes: usize,
    listeners: &[At<Listener>],
    findings: &mut Findings,
) {
    if routes == 0 && !listeners.iter().all(|listener| listener.value.forward) {
        findings.general_warning(
            "no hosts and no routes: every request is answered 404; write a `[hosts]` section or \
             set WAYPOST_HOSTS",
        );
    }
}

/// Says where other machines may use the proxy, because nothing that it is told keeps them from it,
/// and where its port is one of routes.
pub(in super::super) fn warn_of_listeners(
    proxy: Option<&ForwardProxy>,
    listeners: &[At<Listener>],
    findings: &mut Findings,
) {
    let Some(proxy) = proxy else { return };
    let goes_anywhere = proxy
        .allow
        .iter()
        .any(|to| to.host == HostPattern::Any && to.networks.is_empty());
    let is_open = goes_anywhere && proxy.authentication.is_none() && proxy.policies.is_empty();
    let (own, others): (Vec<_>, Vec<_>) = listeners.iter().partition(|l| l.value.forward);
    for At { value, place } in own {
        let Some(at) = bound(&value.address) else {
            continue;
        };
        let (address, port) = (at.0, at.0.port());
        let clients = value.tls.as_ref().and_then(|tls| tls.clients.as_ref());
        let proves = clients.is_some_and(|asked| asked.required);
        if is_open && !is_loopback(address.ip()) && !proves {
            let message = format!(
                "{address} is an open proxy: everybody who can connect reaches every public \
                 address by it; write `authentication` or a narrower `allow`, or listen on \
                 127.0.0.1:{port}"
            );
            findings.warning(place, message);
        }
        let shares = |other: &&&At<Listener>| {
            bound(&other.value.address).is_some_and(|other| port != 0 && overlaps(at, other))
        };
        if let Some(other) = others.iter().find(shares) {
            let message = format!(
                "{address} shares its port with {} ({}): clients get the forward proxy or the \
                 routes, depending on the address that they connect to; choose another port",
                other.value.address, other.place
            );
            findings.warning(place, message);
        }
    }
}

/// The address of a listener that has one, and whether it takes IPv6 only.
fn bound(address: &ListenAddress) -> Option<(SocketAddr, bool)> {
    match address {
        ListenAddress::Tcp { address, only_v6 } => Some((*address, *only_v6)),
        ListenAddress::Unix { .. } => None,
    }
}
