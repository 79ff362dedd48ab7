//! The counters of what a pool gets as copies of other pools' requests.

use super::{Counter, Gauge};

/// The copies for one pool, as one worker sees them.
#[derive(Debug, Default)]
pub struct MirrorShard {
    /// Copies under way now.
    pub under_way: Gauge,
    /// Copies that were begun.
    pub sent: Counter,
    /// Of these, those to which no response came.
    pub failed: Counter,
    /// Requests that were not copied: too many were under way, or the body was too long or did not
    /// come whole.
    pub dropped: Counter,
}

impl MirrorShard {
    /// Adds the counts of another shard that is no longer written.
    pub(super) fn fold(&self, other: &Self) {
        self.sent.add(other.sent.value());
        self.failed.add(other.failed.value());
        self.dropped.add(other.dropped.value());
    }
}
