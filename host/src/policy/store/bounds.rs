//! What a store and each of its shards may hold, and why nothing was stored.

use serde::{Deserialize, Serialize};
use thiserror::Error;

use super::entry::ENTRY_BYTES;
use crate::config::StoreLimits;

/// The longest key.
pub(super) const MAX_KEY: usize = 256;
/// The longest value.
pub(super) const MAX_VALUE: usize = 4 * 1024;
/// With this many shards, two workers on different keys seldom meet.
const MAX_SHARDS: usize = 16;
/// A shard holds at least this many entries, or there are fewer shards: small shards fill less
/// evenly.
const SHARD_ENTRIES: usize = 256;
/// The same in bytes.
const SHARD_BYTES: u64 = 64 * 1024;

/// Why nothing was stored.
#[derive(Debug, Error, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StoreError {
    /// Over 256 bytes.
    #[error("the key is longer than {MAX_KEY} bytes")]
    KeyTooLong,
    /// Over 4 KiB.
    #[error("the value is longer than {MAX_VALUE} bytes")]
    ValueTooLong,
    /// The entry alone is over the store's bound.
    #[error("the store is too small for this entry; raise its `bytes`")]
    NoRoom,
}

/// The bounds of a shard.
#[derive(Debug, Clone, Copy)]
pub(super) struct Bounds {
    pub entries: usize,
    pub bytes: u64,
}

/// How many shards there are, and what each may hold.
pub(super) fn divide(limits: StoreLimits) -> (usize, Bounds) {
    let entries = limits
        .entries
        .min(usize::try_from(limits.bytes / ENTRY_BYTES).unwrap_or(usize::MAX))
        .max(1);
    let by_bytes = usize::try_from(limits.bytes / SHARD_BYTES).unwrap_or(MAX_SHARDS);
    let wanted = (entries / SHARD_ENTRIES).min(by_bytes).clamp(1, MAX_SHARDS);
    let count = 1 << wanted.ilog2();
    (
        count,
        Bounds {
            entries: entries / count,
            bytes: limits.bytes / count as u64,
        },
    )
}
