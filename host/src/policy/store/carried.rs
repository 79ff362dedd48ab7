//! The entries of a store as plain values, for the process that replaces this one.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use serde::{Deserialize, Serialize};

use super::entry::{Content, NEVER};
use super::{Store, enter};

/// An entry of a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredEntry {
    key: String,
    #[serde(flatten)]
    content: Stored,
    /// In milliseconds; 0 means never.
    expires_in: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
enum Stored {
    Counter(i64),
    /// In base64.
    Value(String),
}

impl Store {
    /// All entries whose time is not up. Each shard is locked while its entries are copied.
    pub(in crate::policy) fn entries(&self) -> Vec<StoredEntry> {
        let mut all = Vec::new();
        // What nothing has used yet is not made for this.
        let shards = self.shards.get().map_or(&[][..], |shards| shards);
        for shard in shards {
            let copy = enter(shard).entries();
            let now = self.clock.now();
            let left = copy.into_iter().filter(|(.., expires)| *expires > now);
            all.extend(left.map(|(key, content, expires)| StoredEntry {
                key: key.into_string(),
                content: match content {
                    Content::Counter(count) => Stored::Counter(count),
                    Content::Value(value) => Stored::Value(BASE64.encode(value)),
                },
                expires_in: match expires {
                    NEVER => 0,
                    expires => ((expires - now) / 1_000_000).max(1),
                },
            }));
        }
        all
    }

    /// Takes entries of another store. What does not fit is left out.
    pub(in crate::policy) fn restore(&self, entries: Vec<StoredEntry>) {
        for entry in entries {
            let StoredEntry {
                key,
                content,
                expires_in,
            } = entry;
            let _ = match content {
                Stored::Counter(count) => self.increment(key, count, expires_in).map(|_| ()),
                Stored::Value(value) => match BASE64.decode(value) {
                    Ok(value) => self.set(key, value, expires_in),
                    Err(_) => continue,
                },
            };
        }
    }
}
