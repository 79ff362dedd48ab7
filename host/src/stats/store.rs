//! The counters of a policy's store.

use super::{Counter, Gauge};

/// Counters of one part of a policy's store. They are written under that part's lock, so by one
/// thread at a time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct StoreShard {
    /// Calls, refused ones included.
    pub operations: Counter,
    /// Calls refused because a key or a value was too long, or had no room.
    pub refused: Counter,
    /// Entries evicted to make room.
    pub evictions: Counter,
    /// Entries that expired.
    pub expirations: Counter,
    /// Entries now, including expired ones that were not removed yet.
    pub entries: Gauge,
    /// Bytes of these entries: keys, values, and a constant for each.
    pub bytes: Gauge,
}
