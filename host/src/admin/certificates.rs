//! The report on the certificates of listeners.

use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::control::timestamp;

/// One certificate of a listener as it is served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// The listener's address.
    pub listener: String,
    /// The file that it was read from; empty for one that was made in memory.
    pub file: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// When it expires.
    #[serde(serialize_with = "rfc3339")]
    pub expires: SystemTime,
    /// How often its files have changed and could not be used.
    pub reload_failures: u64,
    /// Why they can't be used as they are now, as a sentence.
    pub refused: Option<String>,
}

impl CertificateStatus {
    /// The first of its names, which stands for it in labels.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expires_unix(&self) -> u64 {
        let since = self.expires.duration_since(SystemTime::UNIX_EPOCH);
        since.map_or(0, |since| since.as_secs())
    }
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*time))
}
