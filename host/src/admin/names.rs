//! What is known of the names of backends.

use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::times::{rfc3339, timestamp};

/// One name as it is looked up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NameStatus {
    /// As it is asked for.
    pub name: String,
    /// `host` or `srv`.
    pub kind: &'static str,
    /// `resolved`; `stale`, if what was found before is in use because there is no better answer;
    /// `unresolved`; or `asked`, while the first look-up is under way.
    pub state: &'static str,
    /// Since when it is stale.
    #[serde(serialize_with = "rfc3339")]
    pub stale_since: Option<SystemTime>,
    /// Addresses; of a service, its targets.
    pub records: Vec<String>,
    /// For how long the last answers are valid.
    #[serde(rename = "ttl_seconds", serialize_with = "seconds")]
    pub ttl: Option<Duration>,
    /// When the oldest of the answers in use came.
    #[serde(serialize_with = "rfc3339")]
    pub answered: Option<SystemTime>,
    /// When the next look-up begins.
    #[serde(serialize_with = "rfc3339")]
    pub next_lookup: Option<SystemTime>,
    /// Look-ups that have ended.
    pub lookups: u64,
    /// Those of them that brought no answer of use.
    pub failures: u64,
    /// Why the last of them did not; `None` if it did.
    pub last_error: Option<String>,
}

impl NameStatus {
    /// For how long the oldest of the answers in use has been known.
    pub(super) fn age(&self) -> Duration {
        let answered = self.answered.and_then(|since| since.elapsed().ok());
        answered.unwrap_or_default()
    }

    /// Its state in words.
    pub(super) fn in_words(&self) -> String {
        let since = self.stale_since.map(timestamp);
        let since = since.map(|since| format!(" since {since}"));
        let error = self.last_error.as_ref().map(|error| format!(": {error}"));
        format!(
            "{}{}{}",
            self.state,
            since.unwrap_or_default(),
            error.unwrap_or_default()
        )
    }
}

fn seconds<S: Serializer>(ttl: &Option<Duration>, serializer: S) -> Result<S::Ok, S::Error> {
    match ttl {
        Some(ttl) => serializer.serialize_f64(ttl.as_secs_f64()),
        None => serializer.serialize_none(),
    }
}
