//! Where a step's request may go: `route-pools`, `policies-may-edit` and `destination`; and what is
//! expected of that.

use std::sync::Arc;

use super::request::host;
use crate::config::target_rights;
use crate::document::{Findings, Node, Section};
use crate::rehearsal::decisions::Ways;
use crate::rehearsal::harness::PoolSetup;

/// What is expected of where the request goes. What is left out is not checked.
#[derive(Debug, Clone, Default)]
pub(in crate::rehearsal) struct ExpectedWay {
    /// The pool that the policy chooses; `None` within for no choice.
    pub pool: Option<Option<u32>>,
    /// The path that the backend is asked for.
    pub path: Option<String>,
    /// The query; `None` within for none.
    pub query: Option<Option<String>>,
    /// The host.
    pub host: Option<String>,
}

/// The id of the pool of this name.
pub(super) fn named(written: &str, pools: &[PoolSetup]) -> Result<u32, String> {
    match pools.iter().position(|pool| pool.name == written) {
        Some(at) => Ok(at as u32),
        None => {
            let names: Vec<&str> = pools.iter().map(|pool| pool.name.as_str()).collect();
            Err(format!(
                "there is no pool {written:?}; there are: {}",
                names.join(", ")
            ))
        }
    }
}

/// Takes the keys of where a request may go.
pub(super) fn take(
    section: &mut Section,
    pools: &[PoolSetup],
    ways: &mut Ways,
    findings: &mut Findings,
) {
    if let Some(node) = section.take("route-pools") {
        for node in node.one_or_many() {
            match node.parsed(findings, |name| named(name, pools)) {
                Some(id) if ways.pools.contains(&id.value) => {
                    findings.error(&id.place, "is named twice; remove one");
                }
                Some(id) => ways.pools.push(id.value),
                None => {}
            }
        }
    }
    if let Some(node) = section.take("policies-may-edit") {
        ways.rights = target_rights(node, findings);
    }
    if let Some(node) = section.take("destination") {
        ways.destination = destination(node, findings);
    }
}

/// A port, or `{ port = 443, user = "alice" }`.
fn destination(node: Node, findings: &mut Findings) -> Option<(u16, Option<Arc<str>>)> {
    let port = |node: Node, findings: &mut Findings| node.integer(findings, 1..=u16::MAX);
    if !node.is_table() {
        return port(node, findings).map(|port| (port.value, None));
    }
    let mut section = node.section(findings)?;
    if !section.has("port") {
        findings.error(
            &section.place,
            "has no `port`; write for example { port = 443 }",
        );
    }
    let port = section.take("port").and_then(|n| port(n, findings));
    let user = section.take("user").and_then(|n| n.string(findings));
    section.finish(findings);
    Some((port?.value, user.map(|user| user.value.into())))
}

/// Takes `pool` and `target` of what is expected.
pub(super) fn expected(
    section: &mut Section,
    pools: &[PoolSetup],
    findings: &mut Findings,
) -> ExpectedWay {
    let mut expected = ExpectedWay::default();
    let pool = |written: &str| match written {
        "none" => Ok(None),
        name => named(name, pools).map(Some),
    };
    if let Some(node) = section.take("pool") {
        expected.pool = node.parsed(findings, pool).map(|pool| pool.value);
    }
    let target = section.take("target");
    let Some(mut target) = target.and_then(|node| node.section(findings)) else {
        return expected;
    };
    let path = target.take("path");
    expected.path = path.and_then(|n| n.string(findings)).map(|path| path.value);
    expected.query = target.take("query").and_then(|n| query(n, findings));
    let authority = target.take("host");
    let authority = authority.and_then(|n| n.parsed(findings, host));
    expected.host = authority.map(|host| host.value);
    target.finish(findings);
    expected
}

/// Text, or `false` if there is to be none.
fn query(node: Node, findings: &mut Findings) -> Option<Option<String>> {
    if !node.is_boolean() {
        return node.string(findings).map(|query| Some(query.value));
    }
    let place = node.place.clone();
    if node.boolean(findings) == Some(true) {
        let message = "does not say which query; write it, or `false` if none is expected";
        findings.error(&place, message);
    }
    Some(None)
}
