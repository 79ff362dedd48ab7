//! An entry of a store, and its size.

use super::due::Due;

/// What an entry counts for beside the bytes of its key and its value.
pub const ENTRY_BYTES: u64 = 128;
/// The time of an entry that stays.
pub(super) const NEVER: u64 = u64::MAX;

// What an entry costs beside its key and its value: its slot, its place in the heap, two in the
// table, and what an allocator adds to two pieces.
const _: () = assert!(
    size_of::<Slot>() + size_of::<Due>() + 2 * size_of::<u32>() + 2 * 16 <= ENTRY_BYTES as usize
);

/// The two kinds of entries; their names are apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    Value,
    Counter,
}

/// The key of a lookup.
#[derive(Debug, Clone, Copy)]
pub(super) struct Name<'a> {
    pub kind: Kind,
    pub key: &'a str,
    /// Of the two above.
    pub hash: u64,
}

#[derive(Debug, Clone)]
pub(super) enum Content {
    Value(Box<[u8]>),
    Counter(i64),
}

#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub hash: u64,
    pub key: Box<str>,
    pub content: Content,
    /// When its time is up.
    pub expires: u64,
    /// Its place in the heap, whose time for it is never later than `expires`.
    pub due: u32,
    /// The next of its chain.
    pub next: u32,
    /// Used since the hand last passed. A new entry is not, so that keys seen once go before those
    /// that come back.
    pub used: bool,
}

impl Content {
    pub(in crate::policy) fn kind(&self) -> Kind {
        match self {
            Self::Value(_) => Kind::Value,
            Self::Counter(_) => Kind::Counter,
        }
    }

    /// A counter's value is part of what every entry costs.
    pub(in crate::policy) fn len(&self) -> u64 {
        match self {
            Self::Value(value) => value.len() as u64,
            Self::Counter(_) => 0,
        }
    }
}

/// What an entry counts for.
pub(super) fn cost(key: usize, value: usize) -> u64 {
    (key + value) as u64 + ENTRY_BYTES
}
