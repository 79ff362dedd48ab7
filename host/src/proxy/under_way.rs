//! Copies of requests that are under way, which are counted.

use std::sync::Arc;

use crate::stats::PoolShard;

/// Counts a copy as under way until it is dropped, also by a panic.
#[derive(Debug)]
pub(super) struct UnderWay(Arc<PoolShard>);

impl UnderWay {
    pub(super) fn new(shard: Arc<PoolShard>) -> Self {
        shard.mirror.under_way.increment();
        Self(shard)
    }

    /// It is sent.
    pub(super) fn sent(&self) {
        self.0.mirror.sent.increment();
    }

    /// No response came.
    pub(super) fn failed(&self) {
        self.0.mirror.failed.increment();
    }

    /// It is not sent.
    pub(super) fn dropped(self) {
        self.0.mirror.dropped.increment();
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.mirror.under_way.decrement();
    }
}

/// A body that is kept while it passes, which counts as a copy under way: `at-most` bounds what is
/// held for copies, and uploads may take their time.
#[derive(Debug)]
pub(super) struct CopiedBody {
    /// So much is kept.
    pub most: usize,
    pub under_way: UnderWay,
}
