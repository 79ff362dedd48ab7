//! The report on attempts after the first of a request, and beside it.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::Serialize;

use crate::stats::{RetryReason, WorkerShard};

/// Attempts after the first of a request, and beside it.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Attempts {
    /// Attempts after the first, by reason.
    pub retries_by_reason: BTreeMap<&'static str, u64>,
    /// Attempts that were not made because the retry budget was used up.
    pub over_budget: u64,
    /// Requests for which a second backend was asked beside the first.
    pub hedges: u64,
    /// Those that the second one answered.
    pub hedges_won: u64,
}

impl Attempts {
    pub(super) fn new(workers: &[Arc<WorkerShard>]) -> Self {
        let shards = || workers.iter().map(|worker| &worker.attempts);
        let of_reason = |reason| shards().map(|s| s.retries(reason).value()).sum();
        Self {
            retries_by_reason: RetryReason::ALL
                .map(|reason| (reason.as_str(), of_reason(reason)))
                .into(),
            over_budget: shards().map(|s| s.over_budget.value()).sum(),
            hedges: shards().map(|s| s.hedges.value()).sum(),
            hedges_won: shards().map(|s| s.hedges_won.value()).sum(),
        }
    }
}
