//! What the policies of a route may edit of a request's target.

use std::fmt;

use crate::document::{Findings, Node};

/// `policies-may-edit`: what the policies of a route may edit of what backends are asked for.
/// Nothing by default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct TargetRights {
    /// `"path"`
    pub path: bool,
    /// `"query"`
    pub query: bool,
    /// `"host"`
    pub host: bool,
}

impl TargetRights {
    /// All of it.
    pub const ALL: Self = Self {
        path: true,
        query: true,
        host: true,
    };

    /// Whether there is anything.
    pub fn is_any(self) -> bool {
        self != Self::default()
    }
}

impl fmt::Display for TargetRights {
    /// The names of what there is.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.path, "path"),
            (self.query, "query"),
            (self.host, "host"),
        ];
        let names: Vec<&str> = all
            .iter()
            .filter(|(may, _)| *may)
            .map(|(_, n)| *n)
            .collect();
        f.write_str(&names.join(", "))
    }
}

/// Reads a list of the names.
pub(crate) fn target_rights(node: Node, findings: &mut Findings) -> TargetRights {
    let mut rights = TargetRights::default();
    let place = node.place.clone();
    let nodes = node.one_or_many();
    if nodes.is_empty() {
        let message = "is empty, as if it were not there; write \"path\", \"query\" or \"host\", \
                       or remove the key";
        findings.error(&place, message);
    }
    for node in nodes {
        let Some(name) = node.parsed(findings, known) else {
            continue;
        };
        let right = match name.value {
            "path" => &mut rights.path,
            "query" => &mut rights.query,
            _ => &mut rights.host,
        };
        if std::mem::replace(right, true) {
            findings.error(&name.place, "is listed twice; remove one of them");
        }
    }
    rights
}

fn known(written: &str) -> Result<&'static str, String> {
    let mut names = ["path", "query", "host"].into_iter();
    names.find(|name| *name == written).ok_or_else(|| {
        format!(
            "{written:?} is nothing that a policy may edit; write \"path\", \"query\" or \"host\""
        )
    })
}
