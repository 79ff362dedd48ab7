//! `[[listeners]]` as written.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use super::super::route_entry::RouteEntry;
use super::super::{TcpForward, TrustedPeers, passthrough, values};
use super::meaning::{ListenAddress, Listener, Protocols};
use super::tls;
use crate::document::{At, Findings, Node, Place, Section};

/// The port of `https` URLs.
const HTTPS: u16 = 443;
/// Owner and group may connect.
const DEFAULT_MODE: u32 = 0o660;
/// The longest path of a socket, without the byte that ends it: the shortest of the systems that
/// the proxy runs on, but for Linux, which takes 107.
const LONGEST_PATH: usize = if cfg!(target_os = "linux") { 107 } else { 103 };

/// Every entry of `[[listeners]]`, each at the place of its address. What their `tcp` says is added
/// to `tcp`.
pub(in super::super) fn entries(
    root: &mut Section,
    base: &Path,
    tcp: &mut Vec<RouteEntry>,
    findings: &mut Findings,
) -> Option<Vec<At<Listener>>> {
    let node = root.take("listeners")?;
    if node.is_table() {
        findings.error(
            &node.place,
            "is one table; write `[[listeners]]` with two pairs of brackets, once for each listener",
        );
        return Some(Vec::new());
    }
    let place = node.place.clone();
    let nodes = node.list(findings)?;
    if nodes.is_empty() {
        findings.error(&place, "is empty; write at least one, or remove the key");
    }
    let read = |node: Node| listener(node.section(findings)?, base, tcp, findings);
    Some(nodes.into_iter().filter_map(read).collect())
}

/// One of `listen` of `[forward]`.
pub(in super::super) fn forward_listener(
    mut section: Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<At<Listener>> {
    for key in ["redirect-to-https", "tcp"] {
        if let Some(node) = section.take(key) {
            let message = "is for listeners of routes; remove it";
            findings.error(&node.place, message);
        }
    }
    listener(section, base, &mut Vec::new(), findings)
}

fn listener(
    mut section: Section,
    base: &Path,
    tcp: &mut Vec<RouteEntry>,
    findings: &mut Findings,
) -> Option<At<Listener>> {
    let tcp = forward(&mut section, tcp, findings);
    let address = address(&mut section, base, findings);
    let tls_node = section.take("tls");
    let tls_place = tls_node.as_ref().map(|node| node.place.clone());
    let tls = tls_node
        .and_then(|node| node.section_such_as("{ certificates = \"edge.pem\" }", findings))
        .and_then(|tls| tls::tls(tls, base, findings));
    let encrypted = tls_place.is_some();
    let protocols = match section.take("protocols") {
        None if tcp.is_some() => Protocols::NONE,
        None => Protocols {
            http1: true,
            h2: true,
        },
        Some(node) => protocols(node, encrypted, findings),
    };
    let proxy_node = section.take("proxy-protocol");
    let proxy_place = proxy_node.as_ref().map(|node| node.place.clone());
    let proxy_protocol = proxy_node
        .and_then(|node| node.section(findings))
        .map(|section| proxy_protocol(section, findings));
    let redirect = section.take("redirect-to-https");
    let redirect_place = redirect.as_ref().map(|node| node.place.clone());
    let redirect_to_https = redirect.and_then(|node| redirect_port(node, findings));
    if let (Some(place), true) = (&redirect_place, encrypted) {
        findings.error(
            place,
            "is for listeners without `tls`: requests to this one are HTTPS already; remove it",
        );
    }
    section.finish(findings);
    let address = address?;
    if let (Some(place), Some(port)) = (redirect_place, redirect_to_https) {
        check_redirect(&address.value, port, &place, findings);
    }
    if let (Some(place), Some(peers)) = (proxy_place, &proxy_protocol) {
        check_peers(&address.value, peers, &place, findings);
    }
    let listener = Listener {
        address: address.value,
        tls,
        protocols,
        proxy_protocol,
        redirect_to_https,
        forward: false,
        tcp,
    };
    Some(At::new(listener, address.place))
}

/// What a listener with `tcp` passes its connections on by.
fn forward(
    section: &mut Section,
    routes: &mut Vec<RouteEntry>,
    findings: &mut Findings,
) -> Option<Arc<TcpForward>> {
    let node = section.take("tcp")?;
    let places = section.places();
    passthrough::refuse_http(&places, findings);
    let (forward, route) = passthrough::tcp(node, findings)?;
    routes.push(route);
    Some(forward)
}

fn address(
    section: &mut Section,
    base: &Path,
    findings: &mut Findings,
) -> Option<At<ListenAddress>> {
    let mode = section.take("mode");
    let mode_place = mode.as_ref().map(|node| node.place.clone());
    let mode = mode.and_then(|node| node.parsed(findings, file_mode));
    let Some(node) = section.take("address") else {
        findings.error(
            &section.place,
            "has no `address`; write for example address = \"0.0.0.0:8443\"",
        );
        return None;
    };
    let mode = mode.map_or(DEFAULT_MODE, |mode| mode.value);
    let address = node.parsed_scalar(findings, |written| {
        match written.trim().strip_prefix("unix:") {
            Some(path) => unix_path(base, path, mode),
            None => values::parse_listen(written).map(long_form),
        }
    })?;
    if let (Some(place), ListenAddress::Tcp { .. }) = (mode_place, &address.value) {
        findings.error(
            &place,
            "is for Unix sockets only; remove it, or write `unix:` and a path as the address",
        );
    }
    Some(address)
}

/// An address of the long form: `[::]` is IPv6 only, so that `0.0.0.0` can be listed beside it.
fn long_form(address: SocketAddr) -> ListenAddress {
    ListenAddress::Tcp {
        address,
        only_v6: address.is_ipv6(),
    }
}

fn unix_path(base: &Path, written: &str, mode: u32) -> Result<ListenAddress, String> {
    if written.trim().is_empty() {
        return Err("has no path; write for example \"unix:run/waypost.sock\"".to_owned());
    }
    let path = values::relative_to(base, written)?;
    let length = path.as_os_str().len();
    if length > LONGEST_PATH {
        return Err(format!(
            "is a path of {length} bytes ({}), and the path of a Unix socket has {LONGEST_PATH} at \
             most; write a shorter one",
            path.display()
        ));
    }
    Ok(ListenAddress::Unix { path, mode })
}

/// Permissions in octal digits.
fn file_mode(written: &str) -> Result<u32, String> {
    let digits = (3..=4).contains(&written.len()) && written.bytes().all(|b| b.is_ascii_digit());
    let mode = u32::from_str_radix(written, 8).ok();
    mode.filter(|mode| digits && *mode <= 0o777).ok_or_else(|| {
        format!("{written:?} is not a file mode; write octal digits, such as \"0660\"")
    })
}

fn protocols(node: Node, encrypted: bool, findings: &mut Findings) -> Protocols {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        let both = if encrypted { "h2" } else { "h2c" };
        findings.error(
            &place,
            format!("is empty; write \"http/1.1\", \"{both}\" or both, or remove the key"),
        );
    }
    let mut protocols = Protocols {
        http1: false,
        h2: false,
    };
    for node in nodes {
        let Some(is_h2) = node.parsed(findings, |written| protocol(written, encrypted)) else {
            continue;
        };
        let served = match is_h2.value {
            true => &mut protocols.h2,
            false => &mut protocols.http1,
        };
        if std::mem::replace(served, true) {
            twice(&is_h2.place, findings);
        }
    }
    protocols
}

fn twice(place: &Place, findings: &mut Findings) {
    findings.error(place, "lists a protocol twice; remove one of them");
}

/// Whether it is HTTP/2.
fn protocol(written: &str, encrypted: bool) -> Result<bool, String> {
    match (written, encrypted) {
        ("http/1.1", _) => Ok(false),
        ("h2", true) | ("h2c", false) => Ok(true),
        ("h2", false) => Err(
            "\"h2\" is HTTP/2 over TLS, and this listener has no `tls`; write \"h2c\", or add `tls`"
                .to_owned(),
        ),
        ("h2c", true) => Err(
            "\"h2c\" is HTTP/2 without TLS, and this listener has `tls`; write \"h2\"".to_owned(),
        ),
        (_, true) => Err(format!(
            "{written:?} is not a protocol; write \"h2\" or \"http/1.1\""
        )),
        (_, false) => Err(format!(
            "{written:?} is not a protocol; write \"http/1.1\" or \"h2c\""
        )),
    }
}

fn proxy_protocol(mut section: Section, findings: &mut Findings) -> TrustedPeers {
    let trusted = section.take("trusted");
    let place = trusted
        .as_ref()
        .map_or_else(|| section.place.clone(), |node| node.place.clone());
    let nodes = trusted.map(Node::one_or_many).unwrap_or_default();
    if nodes.is_empty() {
        findings.error(
            &place,
            "trusts no peer; write the load balancers in front, such as trusted = [\"10.0.0.0/8\"]",
        );
    }
    section.finish(findings);
    values::trusted_peers(nodes, findings)
}

/// A redirect to where it comes from has no end.
fn check_redirect(address: &ListenAddress, port: u16, place: &Place, findings: &mut Findings) {
    if matches!(address, ListenAddress::Tcp { address, .. } if address.port() == port) {
        let message = format!(
            "redirects to port {port}, which is this listener's own, so that no client would ever \
             arrive; write the port of a listener with `tls`"
        );
        findings.error(place, message);
    }
}

/// Peers of another kind than a listener has are none. An empty list has its own error.
fn check_peers(
    address: &ListenAddress,
    peers: &TrustedPeers,
    place: &Place,
    findings: &mut Findings,
) {
    match address {
        ListenAddress::Tcp { .. } if peers.unix && peers.networks.is_empty() => findings.error(
            place,
            "trusts the clients of Unix sockets only (`unix:`), and this listener has an address; \
             write the load balancers in front, such as trusted = [\"10.0.0.0/8\"]",
        ),
        ListenAddress::Unix { .. } if !peers.unix && !peers.networks.is_empty() => findings.error(
            place,
            "trusts peers by address, and the clients of this Unix socket have none; write \
             trusted = [\"unix:\"]",
        ),
        _ => {}
    }
}

/// `true` is the port of HTTPS, `false` none.
fn redirect_port(node: Node, findings: &mut Findings) -> Option<u16> {
    if node.is_integer() {
        return node.integer(findings, 1..=u16::MAX).map(|port| port.value);
    }
    node.boolean(findings)?.then_some(HTTPS)
}
