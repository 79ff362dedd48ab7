//! The attempts at one request, as the one under way sees them: how many may follow, and where.

use std::cell::Cell;
use std::time::Duration;

use http::Method;

use crate::config::{RetryPolicy, Timeouts};
use crate::upstream::{AttemptOutcome, FailedAttempt, WorkerPool};

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
    /// How many attempts before found no place or no means of ours; they were not sent.
    pub looked: u32,
    /// Another attempt would have been made, had the budget allowed it.
    pub over_budget: Cell<bool>,
    /// Where a second backend may be asked beside this attempt's.
    pub race: Option<&'a Race>,
    /// Of two attempts the one that is not taken, which another one must not repeat.
    pub also_failed: Cell<Option<FailedAttempt>>,
}

/// What two attempts at one request know of each other.
#[derive(Debug, Default)]
pub(super) struct Race {
    /// The first one has a response that is taken.
    pub decided: Cell<bool>,
    /// The second one is under way: a first one that has a failure to pass on waits for it.
    pub second: Cell<bool>,
    /// How long the first one had alone.
    pub after: Cell<Duration>,
    /// What the first one has to pass on, if that is a failure.
    pub first_failed: Cell<Option<AttemptOutcome>>,
    /// The position of the second backend, if its response is taken.
    pub taken: Cell<Option<u32>>,
    /// The second one among the spans that are noted.
    pub span: Cell<Option<usize>>,
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
            looked: 0,
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
        !self.is_last() && {
            let beside = self.also_failed.get().map(|failed| failed.backend);
            let others = [position, beside.unwrap_or(position)];
            self.pool.has_another(&others, self.failed)
        }
    }

    /// Whether a request that finds no place waits for one: it has looked at as many backends as it
    /// may be sent to.
    pub(super) fn is_last_look(&self) -> bool {
        self.is_last() || self.looked + 1 >= self.policy.attempts
    }

    /// The attempts that failed, and this one.
    pub(super) fn failed_with(&self, failed: FailedAttempt) -> Vec<FailedAttempt> {
        self.failed.iter().copied().chain([failed]).collect()
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
