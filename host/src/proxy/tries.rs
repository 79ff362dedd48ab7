//! The attempts at one request, as the one under way sees them: how many may follow, and where.

use std::cell::Cell;
use std::time::Duration;

use http::Method;

use crate::config::{RetryPolicy, Timeouts};
use crate::upstream::{FailedAttempt, WorkerPool};

/// The attempts at one request, as the one under way sees them.
#[derive(Debug)]
pub(super) struct Tries<'a> {
    /// Of the route.
    pub policy: &'a RetryPolicy,
    /// The route's.
    pub pool: &'a WorkerPool,
    /// Those that failed.
    pub failed: &'a [FailedAttempt],
    /// How often the request was sent, this attempt included.
    pub sent: Cell<u32>,
    /// Another attempt would have been made, had the budget allowed it.
    pub over_budget: Cell<bool>,
    /// Where a second backend may be asked beside this attempt's.
    pub race: Option<&'a Race>,
    /// The attempt at the second backend, if there was one.
    pub also_failed: Cell<Option<FailedAttempt>>,
}

/// What two attempts at one request know of each other.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// The first one has a response that is taken.
    pub decided: Cell<bool>,
    /// The second one is under way: a first one that has a failure to pass on waits for it.
    pub second: Cell<bool>,
}

impl<'a> Tries<'a> {
    #[inline]
    pub(super) fn new(
        policy: &'a RetryPolicy,
        pool: &'a WorkerPool,
        failed: &'a [FailedAttempt],
        sent: u32,
    ) -> Self {
        Self {
            policy,
            pool,
            failed,
            sent: Cell::new(sent),
            over_budget: Cell::new(false),
            race: None,
            also_failed: Cell::new(None),
        }
    }

    /// Whether the one under way is the last.
    pub(super) fn is_last(&self) -> bool {
        self.sent.get() >= self.policy.attempts
    }

    /// Whether another endpoint than the one at this position may be asked after it.
    pub(super) fn has_another(&self, position: u32) -> bool {
        !self.is_last() && self.pool.has_another(position, self.failed)
    }

    /// Whether the budget allows an attempt that repeats work; notes if it does not.
    pub(super) fn may_repeat(&self) -> bool {
        let may = self.pool.may_repeat(self.policy.budget);
        self.over_budget.set(!may);
        may
    }

    /// How long the response head of an attempt may take.
    #[inline]
    pub(super) fn patience(&self, timeouts: &Timeouts) -> Duration {
        self.within(timeouts.response)
    }

    /// As much of this time as one attempt may take.
    #[inline]
    pub(super) fn within(&self, time: Duration) -> Duration {
        match self.policy.try_timeout {
            None => time,
            Some(most) => time.min(most),
        }
    }
}

/// Whether a request of this method may be processed twice (RFC 9110 section 9.2.2).
pub(super) fn is_idempotent(method: &Method) -> bool {
    matches!(
        *method,
        Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
    )
}
