//! `upgrade` of a route: the protocols to which a connection may change.

use crate::document::{Findings, Node};
use crate::message::syntax;

/// Protocols that carry requests, alone or inside: after a change to one of them, what the client
/// sends would reach a backend without a route, a policy or a log line.
const CARRY_REQUESTS: [&str; 5] = ["h2", "h2c", "h3", "http", "tls"];

/// The protocols of a route that names none.
pub(super) fn default_upgrade() -> Vec<String> {
    vec!["websocket".to_owned()]
}

/// Reads the list; `[]` allows no change.
pub(super) fn read(node: Node, findings: &mut Findings) -> Vec<String> {
    node.one_or_many()
        .into_iter()
        .filter_map(|node| node.parsed(findings, protocol))
        .map(|name| name.value)
        .collect()
}

/// What is written who means that changes are allowed, or not.
const YES_OR_NO: [&str; 6] = ["true", "on", "yes", "false", "off", "no"];

/// A protocol's name, perhaps with its version behind a `/`.
fn protocol(written: &str) -> Result<String, String> {
    let name = written.split_once('/').map_or(written, |(name, _)| name);
    let mut parts = written.splitn(2, '/');
    if !parts.all(|part| syntax::is_token(part.as_bytes())) {
        return Err(format!(
            "{written:?} is not the name of a protocol; write for example \"websocket\""
        ));
    }
    if YES_OR_NO.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "{written:?} is no protocol; write [\"websocket\"], which is the default, or [] for none"
        ));
    }
    if CARRY_REQUESTS.contains(&name.to_ascii_lowercase().as_str()) {
        return Err(format!(
            "{written:?} can't be allowed: it carries requests, which no route and no policy would \
             see; remove it"
        ));
    }
    Ok(written.to_ascii_lowercase())
}
