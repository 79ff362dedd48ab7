//! `passthrough` of a route, and `tcp` of a listener, as written.

use std::net::IpAddr;
use std::sync::Arc;

use super::layer4::{Layer4, Layer4Match, ProxyHeader, TcpForward};
use super::retry::RetryEntry;
use super::route_entry::RouteEntry;
use super::traffic::TrafficEntry;
use super::{Conditions, HostPattern, PathMatch, RouteEdits, host};
use crate::document::{At, Findings, Node, Places, Section};

/// Keys of a route with `passthrough`.
const KEYS: &str = "`sni`, `pool`, `policies` and `proxy-protocol`";

/// Keys of other routes.
const OF_REQUESTS: [&str; 21] = [
    "host",
    "path",
    "methods",
    "headers",
    "query",
    "pools",
    "mirror",
    "timeouts",
    "body-bytes",
    "redirect",
    "respond",
    "strip-prefix",
    "rewrite",
    "host-rewrite",
    "request-headers",
    "response-headers",
    "cors",
    "compress",
    "retry",
    "upgrade",
    "preserve-header-case",
];

/// Reads a route whose connections are passed on; `None` if it is one of requests. The caller
/// finishes the section.
pub(super) fn route(section: &mut Section, findings: &mut Findings) -> Option<RouteEntry> {
    let place = section.place.clone();
    let node = section.take("passthrough");
    let passthrough = node.map(|node| (node.place.clone(), node.boolean(findings)));
    match passthrough {
        None => {
            if let Some(node) = section.take("sni") {
                let message = "is the name that a TLS connection is passed on by; write \
                               `passthrough = true` beside it, or `host` for requests";
                findings.error(&node.place, message);
            }
            return None;
        }
        Some((place, Some(false))) => {
            let message = "is what a route without the key does; remove it";
            findings.error(&place, message);
        }
        Some(_) => {}
    }
    let hosts = match section.take("sni") {
        Some(node) => names(node, findings),
        None => {
            let message = "has no `sni`; name the servers whose connections are passed on, for \
                           example sni = [\"a.example\", \"*.b.example\"], or \"*\" for all";
            findings.error(&place, message);
            Vec::new()
        }
    };
    let (pool, policies, proxy_protocol) = target(section, findings);
    for key in OF_REQUESTS {
        let Some(node) = section.take(key) else {
            continue;
        };
        let message = format!(
            "is about requests, and a route with `passthrough` sees none: it has {KEYS}; remove \
             `{key}`"
        );
        findings.error(&node.place, message);
    }
    if pool.is_none() {
        let message = "has no `pool`; name the section of `[pools]` that takes these connections";
        findings.error(&place, message);
    }
    let layer4 = Layer4 {
        takes: Layer4Match::ServerName,
        proxy_protocol,
    };
    Some(entry(hosts, pool, policies, layer4))
}

/// Reads `tcp` of a listener.
pub(super) fn tcp(node: Node, findings: &mut Findings) -> Option<(Arc<TcpForward>, RouteEntry)> {
    let mut section = node.section(findings)?;
    let place = section.place.clone();
    let (pool, policies, proxy_protocol) = target(&mut section, findings);
    section.finish(findings);
    let Some(pool) = pool else {
        let message = "has no `pool`; write for example tcp = { pool = \"database\" }";
        findings.error(&place, message);
        return None;
    };
    let names = policies.as_ref().map(|names| {
        let names = names.iter().map(|name| name.value.clone());
        names.collect()
    });
    let forward = Arc::new(TcpForward {
        pool: pool.value.clone(),
        policies: names,
        proxy_protocol,
    });
    let layer4 = Layer4 {
        takes: Layer4Match::Listener(Arc::clone(&forward)),
        proxy_protocol,
    };
    let any = vec![At::new(HostPattern::Any, place)];
    Some((forward, entry(any, Some(pool), policies, layer4)))
}

type Target = (
    Option<At<String>>,
    Option<Vec<At<String>>>,
    Option<ProxyHeader>,
);

/// Where connections are passed on to, and how.
fn target(section: &mut Section, findings: &mut Findings) -> Target {
    let pool = section.take("pool").and_then(|n| n.string(findings));
    let policies = section.take("policies").map(|node| {
        let nodes = node.list(findings).unwrap_or_default();
        let names = nodes.into_iter();
        names.filter_map(|n| n.string(findings)).collect()
    });
    let header = section.take("proxy-protocol").and_then(|node| {
        node.parsed(findings, |written| match written {
            "v1" => Ok(ProxyHeader::V1),
            "v2" => Ok(ProxyHeader::V2),
            _ => Err(format!(
                "{written:?} is no version of the PROXY protocol; write \"v1\" or \"v2\""
            )),
        })
    });
    (pool, policies, header.map(|header| header.value))
}

fn server_name(written: &str) -> Result<HostPattern, String> {
    let advice = "remove it: a listener's address has the port";
    let name = host::parse_without_port(written, advice)?;
    match &name {
        HostPattern::Exact(name) if name.starts_with('[') || name.parse::<IpAddr>().is_ok() => {
            Err(format!(
                "{written:?} is an address, which no client names (RFC 6066 section 3); write \
                 \"*\", which also takes clients that name no server"
            ))
        }
        _ => Ok(name),
    }
}

fn names(node: Node, findings: &mut Findings) -> Vec<At<HostPattern>> {
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        findings.error(
            &place,
            "is empty; write at least one name, or \"*\" for all",
        );
    }
    nodes
        .into_iter()
        .filter_map(|n| n.parsed(findings, server_name))
        .collect()
}

fn entry(
    hosts: Vec<At<HostPattern>>,
    pool: Option<At<String>>,
    policies: Option<Vec<At<String>>>,
    layer4: Layer4,
) -> RouteEntry {
    RouteEntry {
        hosts,
        path: PathMatch::Prefix("/".to_owned()),
        conditions: Conditions::default(),
        traffic: TrafficEntry::to(pool),
        answer: None,
        edits: RouteEdits::default(),
        policies,
        rights: None,
        preserve_header_case: false,
        retry: RetryEntry::default(),
        upgrade: None,
        compress: None,
        layer4: Some(layer4),
    }
}

/// A listener with `tcp` reads no request.
pub(super) fn refuse_http(places: &Places, findings: &mut Findings) {
    for key in ["protocols", "redirect-to-https"] {
        if let Some(place) = places.of(key) {
            let message = format!(
                "is about requests, and a listener with `tcp` reads none; remove `{key}`, or `tcp`"
            );
            findings.error(place, message);
        }
    }
}
