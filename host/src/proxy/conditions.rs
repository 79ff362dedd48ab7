//! Whether an attempt may follow one that has failed, and what the client gets if none does.

use super::body::Progress;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use super::tries::{Tries, is_idempotent};
use super::worker::Worker;
use crate::config::RetryPolicy;
use crate::stats::RetryReason;
use crate::upstream::{AttemptOutcome, Failure, WorkerEndpoint, WorkerPool};

impl Exchange<'_> {
    /// Why another attempt follows one with this outcome, `None` if it is only looked elsewhere; if
    /// none does, what the client gets.
    #[cold]
    pub(super) fn may_follow(
        &mut self,
        worker: &Worker,
        tries: &Tries<'_>,
        backend: u32,
        outcome: AttemptOutcome,
        last: Option<AttemptOutcome>,
    ) -> Result<Option<RetryReason>, Box<LocalReply>> {
        let endpoint = &tries.pool.endpoints[backend as usize];
        if outcome.is_own_limit() {
            // What this machine lacks may be there a moment later.
            let by_same = outcome == AttemptOutcome::OutOfResources && tries.pool.is_single();
            let may =
                tries.looked < tries.policy.attempts && (by_same || tries.has_another(backend));
            return match may {
                true => Ok(None),
                false => Err(exhausted(worker, tries.pool, endpoint, outcome).into()),
            };
        }
        let Some(reason) = self.reason(tries.policy, outcome, last) else {
            return Err(given_up(endpoint, outcome).into());
        };
        let by_another = tries.has_another(backend);
        // An answer, or none in time, says that a backend is up and can't: only another can.
        let by_same = !tries.is_last()
            && tries.pool.is_single()
            && outcome != AttemptOutcome::Malformed
            && !matches!(reason, RetryReason::Timeout | RetryReason::Status);
        if !by_another && !by_same {
            return Err(exhausted(worker, tries.pool, endpoint, outcome).into());
        }
        // Of a status it was looked at while the response could still be passed on.
        if repeats_work(outcome) && reason != RetryReason::Status && !tries.may_repeat() {
            self.note_budget(worker, tries);
            return Err(given_up(endpoint, outcome).into());
        }
        Ok(Some(reason))
    }

    /// Whether another attempt may follow one at this position that ends so, while one beside it
    /// goes on.
    pub(super) fn may_go_on(
        &self,
        tries: &Tries<'_>,
        position: u32,
        outcome: AttemptOutcome,
    ) -> bool {
        let wanted = outcome.is_own_limit() || self.reason(tries.policy, outcome, None).is_some();
        wanted
            && tries.has_another(position)
            && (!repeats_work(outcome) || tries.pool.may_repeat(tries.policy.budget))
    }

    /// Which of the policy's conditions an outcome meets, if the request may be sent again at all.
    fn reason(
        &self,
        policy: &RetryPolicy,
        outcome: AttemptOutcome,
        last: Option<AttemptOutcome>,
    ) -> Option<RetryReason> {
        let on = &policy.on;
        let again = last == Some(outcome);
        let (reason, may) = match outcome {
            AttemptOutcome::NoShare => return None,
            AttemptOutcome::Unavailable => (RetryReason::Status, true),
            // Another one may speak what it should; no more are asked.
            AttemptOutcome::Unfit => (RetryReason::Connect, on.connect && !again),
            AttemptOutcome::NoResponse | AttemptOutcome::TookNothing => {
                // Two that did not answer in the time of a whole response show that it is the
                // request that takes longer.
                let short = policy.try_timeout.is_some() || !again;
                let may = on.timeout && short && self.may_repeat();
                (RetryReason::Timeout, may)
            }
            outcome if outcome.is_unprocessed() => {
                (RetryReason::Refused, on.refused && self.may_resend())
            }
            // A client that two backends did not want to wait for is no third one's business.
            AttemptOutcome::ClosedOnSlowClient if again => return None,
            outcome
                if outcome.failure() == Failure::Closed || outcome == AttemptOutcome::Malformed =>
            {
                (RetryReason::Reset, on.reset && self.may_repeat())
            }
            AttemptOutcome::BeyondLimits => return None,
            _ => (RetryReason::Connect, on.connect),
        };
        may.then_some(reason)
    }

    /// Whether the request may be sent again after a connection ended without an answer (RFC 9110
    /// section 9.2.2): as long as all that was sent of it is still in hand.
    pub(super) fn may_repeat(&self) -> bool {
        is_idempotent(&self.scratch.head.method) && self.may_resend()
    }

    /// Whether all that was sent of the request is still in hand.
    pub(super) fn may_resend(&self) -> bool {
        self.progress.as_ref().is_none_or(Progress::is_whole)
    }
}

/// Whether the backend may have done the request's work, so that another attempt repeats it. Of a
/// pooled connection that had ended that is hardly ever so, and when a backend restarts all of them
/// end at once.
pub(super) fn repeats_work(outcome: AttemptOutcome) -> bool {
    matches!(
        outcome,
        AttemptOutcome::Closed
            | AttemptOutcome::ClosedOnSlowClient
            | AttemptOutcome::TookNothing
            | AttemptOutcome::NoResponse
            | AttemptOutcome::Malformed
            | AttemptOutcome::Unavailable
    )
}

/// The answer when no other attempt may follow one at this endpoint.
#[cold]
fn given_up(endpoint: &WorkerEndpoint, outcome: AttemptOutcome) -> Refusal {
    match outcome {
        AttemptOutcome::Unfit => Refusal::UnfitBackend {
            reason: endpoint.unfit(),
        },
        AttemptOutcome::NoShare => Refusal::StreamLimit,
        AttemptOutcome::NoResponse | AttemptOutcome::TookNothing => Refusal::ResponseTimeout,
        AttemptOutcome::ConnectFailed => Refusal::Unreachable,
        AttemptOutcome::ConnectTimedOut => Refusal::ConnectTimeout,
        AttemptOutcome::OutOfResources => Refusal::OutOfConnections,
        _ => Refusal::ClosedEarly,
    }
}

/// The answer when all attempts have failed, of which this was the last.
#[cold]
fn exhausted(
    worker: &Worker,
    pool: &WorkerPool,
    endpoint: &WorkerEndpoint,
    last: AttemptOutcome,
) -> Refusal {
    match last {
        AttemptOutcome::NoPlace => no_place(pool),
        AttemptOutcome::OutOfResources => {
            worker.shard.upstream_refused.increment();
            Refusal::OutOfConnections
        }
        last if last.is_unprocessed() => Refusal::NoBackend,
        last if last.failure() == Failure::Closed => Refusal::Unreachable,
        last => given_up(endpoint, last),
    }
}

/// The answer when none of the backends has had a place in time.
#[cold]
pub(super) fn no_place(pool: &WorkerPool) -> Refusal {
    if pool.limits_requests {
        return at_limit(pool);
    }
    pool.shard.refused.increment();
    Refusal::Busy
}

/// The answer when no more requests may be under way.
#[cold]
pub(super) fn at_limit(pool: &WorkerPool) -> Refusal {
    pool.shard.refused.increment();
    Refusal::AtLimit
}

/// Whether it is the proxy's answer for a backend that gave none.
pub(super) fn is_no_answer(local: &LocalReply) -> bool {
    matches!(local, LocalReply::Refusal(Refusal::ResponseTimeout))
}
