//! What is counted of a policy's store.

use super::{Counter, Gauge};

/// Counters of one part of a policy's store. They are written while that part is locked, so by one
/// thread at a time.
#[derive(Debug, Default)]
#[repr(align(64))]
pub struct StoreShard {
    /// Calls, refused ones included.
    pub operations: Counter,
    /// Calls refused because a key or a value was too long, or had no room.
    pub refused: Counter,
    /// Entries that went before their time to make room.
    pub evictions: Counter,
    /// Entries removed because their time was up.
    pub expirations: Counter,
    /// Entries now, with those whose time is up and that nobody noticed yet.
    pub entries: Gauge,
    /// Bytes of these entries: keys, values, and a constant for each.
    pub bytes: Gauge,
}
