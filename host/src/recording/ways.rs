//! Where a request goes, as it is recorded: what a backend is asked for, and the destination of a
//! forward proxy.

use serde::{Deserialize, Serialize};

use crate::config::TargetRights;
use crate::message::{ByRoute, RequestHead};

/// What a backend is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Target {
    /// The path.
    pub path: String,
    /// The query without its `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The host, with its port if it has one.
    pub host: String,
}

/// The destination of a request to a forward proxy, beside its host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Destination {
    /// The port.
    pub port: u16,
    /// Who has signed in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user: Option<String>,
}

/// `policies-may-edit` of the route, by its names.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct MayEdit(pub Vec<String>);

impl Target {
    /// That of a request.
    pub fn of(head: &RequestHead) -> Self {
        let (path, query) = head.sent_parts();
        Self {
            path: path.to_owned(),
            query: query.map(str::to_owned),
            host: head.forwarded_authority(&head.host).to_owned(),
        }
    }

    /// What makes it that of a request.
    pub fn by_route(&self) -> ByRoute {
        let query = self.query.as_ref();
        let query = query.map(|query| format!("?{query}")).unwrap_or_default();
        ByRoute {
            target: format!("{}{query}", self.path),
            authority: self.host.clone(),
            ..ByRoute::default()
        }
    }

    /// The names of its parts that are not those of another one.
    pub fn parts_apart(&self, other: &Self) -> Vec<String> {
        let parts = [
            ("path", self.path != other.path),
            ("query", self.query != other.query),
            ("host", self.host != other.host),
        ];
        let apart = parts.into_iter().filter(|(_, is_other)| *is_other);
        apart.map(|(name, _)| name.to_owned()).collect()
    }

    /// About how many bytes of memory it takes beside itself.
    pub(super) fn weight(&self) -> usize {
        self.path.len() + self.query.as_ref().map_or(0, String::len) + self.host.len()
    }
}

impl From<TargetRights> for MayEdit {
    fn from(rights: TargetRights) -> Self {
        let written = rights.to_string();
        let names = written.split(", ").filter(|name| !name.is_empty());
        Self(names.map(str::to_owned).collect())
    }
}

impl From<&MayEdit> for TargetRights {
    fn from(MayEdit(names): &MayEdit) -> Self {
        let has = |name: &str| names.iter().any(|known| known == name);
        Self {
            path: has("path"),
            query: has("query"),
            host: has("host"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_read_back_as_it_was() {
        let mut head = RequestHead::default();
        head.set_target("/a?b");
        head.authority.push_str("a.test");
        let before = Target::of(&head);
        assert!(head.send_path("/x") && head.send_query(None) && head.send_authority("b:1"));
        let after = Target::of(&head);
        assert_eq!(before.parts_apart(&after), ["path", "query", "host"]);
        for target in [before, after] {
            let mut read = RequestHead {
                by_route: Some(Box::new(target.by_route())),
                ..RequestHead::default()
            };
            assert_eq!(Target::of(&read), target);
            read.set_target("/other");
            assert!(target.parts_apart(&Target::of(&read)).is_empty());
        }
    }

    #[test]
    fn rights_are_read_back_as_they_were() {
        let one = TargetRights {
            query: true,
            ..TargetRights::default()
        };
        for rights in [TargetRights::default(), TargetRights::ALL, one] {
            assert_eq!(TargetRights::from(&MayEdit::from(rights)), rights);
        }
    }
}
