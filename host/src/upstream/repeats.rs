//! What a pool says to a request that is to be sent again, or twice: how many attempts may repeat
//! work, so that a pool in trouble does not get more requests than one that is well; which of its
//! endpoints are left; how long answers take.

use std::sync::Arc;
use std::time::Duration;

use super::{FailedAttempt, RequestLimit, WorkerPool};
use crate::config::RetryBudget;

/// An attempt that repeats work, for as long as it is under way.
#[derive(Debug)]
pub struct Repeat<'p>(&'p WorkerPool);

impl WorkerPool {
    /// Whether an attempt may be made that repeats work. The requests under way are only counted
    /// here, where one has failed.
    pub fn may_repeat(&self, budget: RetryBudget) -> bool {
        let endpoints = self.endpoints.iter();
        let active = endpoints.map(|e| e.health.in_flight()).sum::<u64>();
        let share = active.saturating_mul(u64::from(budget.thousandths)) / 1_000;
        u64::from(self.repeats.get()) < share.max(u64::from(budget.least))
    }

    /// Begins such an attempt.
    pub fn repeat(&self) -> Repeat<'_> {
        self.repeats.set(self.repeats.get() + 1);
        Repeat(self)
    }

    /// Whether there is an endpoint that takes requests, is not at these positions, and has not
    /// failed.
    pub fn has_another(&self, than: &[u32], failed: &[FailedAttempt]) -> bool {
        self.others(than, failed).next().is_some()
    }

    /// Whether one of those is well.
    pub fn has_better(&self, than: u32, failed: &[FailedAttempt]) -> bool {
        let than = [than];
        let mut others = self.others(&than, failed);
        others.any(|b| self.endpoints[b as usize].health.is_well())
    }

    fn others(&self, than: &[u32], failed: &[FailedAttempt]) -> impl Iterator<Item = u32> {
        let tried = |b: u32| than.contains(&b) || failed.iter().any(|f| f.backend == b);
        self.positions()
            .filter(move |b| !tried(*b) && self.takes_traffic(*b))
    }

    /// Whether only one endpoint takes requests.
    pub fn is_single(&self) -> bool {
        self.positions().filter(|b| self.takes_traffic(*b)).count() == 1
    }

    /// How many requests the endpoint at this position may have under way, if that is limited.
    pub fn request_limit(&self, position: u32) -> Option<&Arc<RequestLimit>> {
        let endpoint = self.topology.endpoints.get(position as usize)?;
        endpoint.requests.as_ref()
    }

    /// Whether the endpoint at this position has as many requests as it may have.
    pub(super) fn is_at_limit(&self, position: u32) -> bool {
        self.limits_requests && self.request_limit(position).is_some_and(|l| l.is_full())
    }

    /// The time within which this percentage of the responses began of late, as this worker has
    /// seen it; `None` if there were too few.
    pub fn recent(&self, percentile: u8) -> Option<Duration> {
        self.recent.quantile(percentile)
    }

    pub(super) fn refresh(&self, now: u64) {
        let endpoints = self.endpoints.iter();
        let counted = endpoints.map(|e| &e.shard.latency_microseconds);
        self.recent.refresh(now, counted);
    }

    fn positions(&self) -> impl Iterator<Item = u32> + use<> {
        0..u32::try_from(self.endpoints.len()).unwrap_or(u32::MAX)
    }
}

impl Drop for Repeat<'_> {
    fn drop(&mut self) {
        self.0.repeats.set(self.0.repeats.get().saturating_sub(1));
    }
}
