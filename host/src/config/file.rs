//! The file as written: every key is read and checked alone. `resolve` checks keys against each
//! other.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::forward::{self, ForwardEntry};
use super::record::{self, RecordEntry};
use super::retry::RetryEntry;
use super::route_entry::RouteEntry;
use super::traffic::TrafficEntry;
use super::{
    AccessLog, Acme, Backend, Forwarded, HostPattern, Limits, Listener, LogFormat, LoggedRequests,
    Paths, Policy, Pool, RequestIds, ResolverConfig, Rollout, Timeouts, Tracing, target_rights,
};
use super::{
    acme, compression, forwarded, host, listeners, matches, misplaced, passthrough, pools,
    request_id, resolver, respond, rewrite, sections, tracing, upgrade, values,
};
use crate::document::{self, At, Findings, Node, Section};
use crate::message::path;

/// More workers than any machine has cores, so that a typing error does not start a million
/// threads.
pub(super) const MAX_WORKERS: usize = 1024;

/// The values that file, environment and flags can set.
#[derive(Debug, Default)]
pub(super) struct Common {
    /// The short form of listeners.
    pub listen: Option<Vec<At<SocketAddr>>>,
    /// `--tls-self-signed`, which only flags have.
    pub self_signed: Option<At<SocketAddr>>,
    pub workers: Option<At<usize>>,
    /// `Some(None)` is "off".
    pub admin_listen: Option<At<Option<SocketAddr>>>,
    pub admin_token: Option<At<String>>,
    pub hosts: Vec<HostEntry>,
    /// `range-parameter` of `[hosts]`.
    pub range_parameter: Option<At<bool>>,
    /// `preserve-header-case` of `[hosts]`.
    pub preserve_header_case: Option<bool>,
}

/// One host of the short form.
#[derive(Debug)]
pub(super) struct HostEntry {
    pub host: At<HostPattern>,
    pub backends: Vec<Backend>,
}

/// The whole file.
#[derive(Debug)]
pub(super) struct File {
    pub common: Common,
    /// `[[listeners]]`
    pub listeners: Option<Vec<At<Listener>>>,
    pub forward: Option<(Vec<At<Listener>>, ForwardEntry)>,
    pub acme: Option<At<Acme>>,
    pub policies: Vec<At<Policy>>,
    pub pools: Vec<At<(Pool, RetryEntry)>>,
    pub resolver: ResolverConfig,
    pub routes: Vec<RouteEntry>,
    /// `tcp` of listeners.
    pub tcp: Vec<RouteEntry>,
    pub stats_path: Option<String>,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub forwarded: Forwarded,
    pub paths: Paths,
    pub access_log: AccessLog,
    pub record: Option<RecordEntry>,
    pub request_id: Option<RequestIds>,
    pub tracing: Option<Tracing>,
    pub rollout: Rollout,
    pub state_dir: Option<PathBuf>,
    pub cache_dir: Option<PathBuf>,
    pub pid_file: Option<PathBuf>,
}

/// Reads a file; `None` if it is not TOML. Paths are relative to the folder `base`.
pub(super) fn read(
    name: &Arc<str>,
    text: &str,
    base: &Path,
    findings: &mut Findings,
) -> Option<File> {
    let mut root = document::parse(name, text, findings)?;
    findings.note_keys(root.index());
    let timeouts = sections::timeouts(root.take_section("timeouts", findings), findings);
    let mut tcp = Vec::new();
    let file = File {
        common: common(&mut root, findings),
        listeners: listeners::entries(&mut root, base, &mut tcp, findings),
        forward: forward::forward(&mut root, base, findings),
        acme: acme::acme(&mut root, base, findings),
        policies: named(&mut root, "policies", findings, |name, node, f| {
            sections::policy(name, node, base, f)
        }),
        pools: named(&mut root, "pools", findings, |name, node, f| {
            pools::pool(name, node, base, f)
        }),
        resolver: resolver::resolver(root.take_section("resolver", findings), findings),
        routes: routes(&mut root, base, findings),
        tcp,
        stats_path: stats(&mut root, findings),
        limits: sections::limits(root.take_section("limits", findings), findings),
        timeouts,
        forwarded: forwarded::forwarded(root.take_section("forwarded", findings), findings),
        paths: forwarded::paths(root.take_section("paths", findings), findings),
        access_log: access_log(&mut root, base, findings),
        record: record::record(&mut root, base, findings),
        request_id: request_id::request_id(&mut root, findings),
        tracing: tracing::tracing(&mut root, base, findings),
        rollout: sections::rollout(root.take_section("rollout", findings), findings),
        state_dir: location(&mut root, "state-dir", base, findings),
        cache_dir: location(&mut root, "cache-dir", base, findings),
        pid_file: location(&mut root, "pid-file", base, findings),
    };
    root.finish(findings);
    Some(file)
}

fn location(
    root: &mut Section,
    key: &'static str,
    base: &Path,
    findings: &mut Findings,
) -> Option<PathBuf> {
    root.take(key)
        .and_then(|n| n.parsed(findings, |p| values::relative_to(base, p)))
        .map(|p| p.value)
}

fn common(root: &mut Section, findings: &mut Findings) -> Common {
    let listen = root.take("listen").map(|node| {
        let place = node.place.clone();
        let nodes = node.one_or_many();
        if nodes.is_empty() {
            findings.error(
                &place,
                "is empty; write at least one address, or remove the key",
            );
        }
        nodes
            .into_iter()
            .filter_map(|n| n.parsed_scalar(findings, values::parse_listen))
            .collect()
    });
    let workers = root
        .take("workers")
        .and_then(|node| node.integer(findings, 1..=MAX_WORKERS));
    let mut admin = root.take_section("admin", findings);
    let admin_listen = admin
        .take("listen")
        .and_then(|node| node.parsed_scalar(findings, admin_listen));
    let admin_token = admin.take("token").and_then(|node| node.string(findings));
    admin.finish(findings);
    let mut common = Common {
        listen,
        workers,
        admin_listen,
        admin_token,
        ..Common::default()
    };
    for (name, node) in root.take_section("hosts", findings).into_entries() {
        // A boolean can't be a backend, so hosts may have these names.
        match name.as_str() {
            "range-parameter" if node.is_boolean() => {
                let place = node.place.clone();
                common.range_parameter = node.boolean(findings).map(|value| At::new(value, place));
            }
            "preserve-header-case" if node.is_boolean() => {
                common.preserve_header_case = node.boolean(findings)
            }
            // So may they have those of keys that were meant for the file.
            key if node.is_integer() && misplaced::advice(key).is_some() => {
                let advice = misplaced::advice(key).unwrap_or_default();
                findings.error(&node.place, format!("is no host: {advice}"));
            }
            _ => common.hosts.extend(host_entry(&name, node, findings)),
        }
    }
    common
}

/// An address, or "off".
pub(super) fn admin_listen(written: &str) -> Result<Option<SocketAddr>, String> {
    match written.trim() {
        "off" => Ok(None),
        text => values::parse_listen(text)
            .map(Some)
            .map_err(|m| format!("{m}; \"off\" switches the listener off")),
    }
}

fn host_entry(name: &str, node: Node, findings: &mut Findings) -> Option<HostEntry> {
    let place = node.place.clone();
    let backends = pools::backends(node, None, findings);
    let pattern = findings.accept(&place, host::parse_pattern(name))?;
    Some(HostEntry {
        host: At::new(pattern, place),
        backends,
    })
}

/// A table whose keys are the names of its entries.
fn named<T>(
    root: &mut Section,
    key: &'static str,
    findings: &mut Findings,
    read: impl Fn(&str, Section, &mut Findings) -> Option<T>,
) -> Vec<At<T>> {
    let mut things = Vec::new();
    for (name, node) in root.take_section(key, findings).into_entries() {
        let place = node.place.clone();
        let valid = findings.accept(&place, values::name(&name)).is_some();
        let Some(section) = node.section(findings) else {
            continue;
        };
        if let Some(thing) = read(&name, section, findings)
            && valid
        {
            things.push(At::new(thing, place));
        }
    }
    things
}

fn routes(root: &mut Section, base: &Path, findings: &mut Findings) -> Vec<RouteEntry> {
    let Some(node) = root.take("routes") else {
        return Vec::new();
    };
    if node.is_table() {
        findings.error(
            &node.place,
            "is one table; write `[[routes]]` with two pairs of brackets, once for each route",
        );
        return Vec::new();
    }
    let nodes = node.list(findings).unwrap_or_default();
    nodes
        .into_iter()
        .filter_map(|n| {
            let mut section = n.section(findings)?;
            let Some(passed_on) = passthrough::route(&mut section, findings) else {
                return Some(route(section, base, findings));
            };
            section.finish(findings);
            Some(passed_on)
        })
        .collect()
}

fn route(mut section: Section, base: &Path, findings: &mut Findings) -> RouteEntry {
    let mut hosts = hosts(&mut section, findings);
    let mistakes = findings.count();
    let path = matches::path(&mut section, findings);
    let conditions = matches::conditions(&mut section, findings);
    if findings.count() > mistakes {
        // What it takes is not known, so it is compared with no other route.
        hosts.clear();
    }
    // Some keys of others have an error that says what to write.
    let answering = [
        "redirect",
        "respond",
        "return",
        "redir",
        "proxy_pass",
        "reverse_proxy",
    ];
    let answers = answering.into_iter().any(|key| section.has(key));
    let answer = respond::answer(&mut section, &path, base, findings);
    let edits = rewrite::edits(&mut section, &path, &conditions, findings);
    let traffic = TrafficEntry::read(&mut section, answers, findings);
    let policies = section.take("policies").map(|node| {
        let nodes = node.list(findings).unwrap_or_default();
        nodes
            .into_iter()
            .filter_map(|n| n.string(findings))
            .collect()
    });
    let rights = section.take("policies-may-edit").map(|node| {
        let place = node.place.clone();
        At::new(target_rights(node, findings), place)
    });
    let preserve_header_case = section
        .take("preserve-header-case")
        .and_then(|n| n.boolean(findings))
        .unwrap_or(false);
    let retry = RetryEntry::read(&mut section, findings);
    let upgrade = section.take("upgrade").map(|n| upgrade::read(n, findings));
    let compress = section.take("compress");
    let compress = compress.and_then(|n| compression::read(n, findings));
    section.finish(findings);
    RouteEntry {
        hosts,
        path,
        conditions,
        traffic,
        answer,
        edits,
        policies,
        rights,
        preserve_header_case,
        retry,
        upgrade,
        compress,
        layer4: None,
    }
}

fn hosts(section: &mut Section, findings: &mut Findings) -> Vec<At<HostPattern>> {
    let Some(node) = section.take("host") else {
        return vec![At::new(HostPattern::Any, section.place.clone())];
    };
    if node.is_empty() {
        let message = "is empty; write at least one host, or remove the key to match any host";
        findings.error(&node.place, message);
    }
    let nodes = node.one_or_many().into_iter();
    let read = |node: Node| {
        let read = |written: &str| Ok((host::parse_pattern(written)?, written.to_owned()));
        let At { value, place } = node.parsed(findings, read)?;
        let (pattern, written) = value;
        if let Some(port) = host::port_of(&written) {
            let message = format!(
                "has the port {port}, which no route looks at: a route takes its host on every \
                 listener; write the host alone"
            );
            findings.warning(&place, message);
        }
        Some(At::new(pattern, place))
    };
    let hosts: Vec<_> = nodes.filter_map(read).collect();
    let is_nginx = |at: &&At<HostPattern>| at.value == HostPattern::Exact("_".to_owned());
    if let Some(at) = hosts.iter().find(is_nginx) {
        let message = "is a name like any other, which no client asks for; write \"*\" for hosts \
                       that no other route has";
        findings.warning(&at.place, message);
    }
    hosts
}

fn stats(root: &mut Section, findings: &mut Findings) -> Option<String> {
    let mut section = root.take_section("stats", findings);
    let path = section.take("path").and_then(|node| {
        node.parsed(findings, |written| {
            values::url_path(written).map(|()| path::normal(written))
        })
    });
    section.finish(findings);
    path.map(|p| p.value)
}

fn access_log(root: &mut Section, base: &Path, findings: &mut Findings) -> AccessLog {
    let mut section = root.take_section("access-log", findings);
    let requests = section.take("requests").and_then(|node| {
        node.parsed(findings, |written| match written {
            "all" => Ok(LoggedRequests::All),
            "refused" => Ok(LoggedRequests::Refused),
            "none" => Ok(LoggedRequests::None),
            _ => Err(format!(
                "{written:?} is not known; write \"all\", \"refused\" or \"none\""
            )),
        })
    });
    let path = section
        .take("path")
        .and_then(|node| node.parsed(findings, |written| values::relative_to(base, written)));
    let format = section
        .take("format")
        .and_then(|node| node.parsed(findings, LogFormat::parse));
    let redact_query = section.take("redact-query");
    let redact_query = redact_query.and_then(|node| node.boolean(findings));
    section.finish(findings);
    AccessLog {
        requests: requests.map_or(LoggedRequests::Refused, |r| r.value),
        path: path.map(|p| p.value),
        format: format.map_or(LogFormat::Json, |f| f.value),
        redact_query: redact_query.unwrap_or(false),
    }
}
