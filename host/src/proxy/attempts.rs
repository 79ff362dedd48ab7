//! Which backends are tried for a request, one after the other, and when no more.

use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;

use super::body::Progress;
use super::boxed::boxed;
use super::connection::Disposition;
use super::context::RequestContext;
use super::exchange::{Attempted, Exchange};
use super::refusal::{LocalReply, Refusal};
use super::tries::{Race, Tries, is_idempotent};
use super::worker::Worker;
use crate::config::RetryPolicy;
use crate::policy::{Attempt, ByteRange};
use crate::stats::RetryReason;
use crate::upstream::{
    AttemptOutcome, FailedAttempt, Failure, Lease, Repeat, RequestPlace, Verdict, WorkerEndpoint,
    WorkerPool,
};

/// The attempts at a request that are over.
#[derive(Default)]
struct Past<'p> {
    /// How many there were, as policies count.
    number: u32,
    failed: Vec<FailedAttempt>,
    /// How the last one ended.
    last: Option<AttemptOutcome>,
    /// Its part of the budget, once work was repeated.
    _repeat: Option<Repeat<'p>>,
}

/// An attempt that has failed.
struct Failed {
    backend: u32,
    outcome: AttemptOutcome,
    /// How often the request was sent.
    sent: u32,
    /// Another one that ran beside it.
    beside: Option<FailedAttempt>,
}

impl Exchange<'_> {
    /// Asks for a backend and tries it, as often as the route allows.
    pub(super) async fn attempts(
        &mut self,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        let pool = context.view.pools.pool(context.rule.pool);
        // No policy is asked to choose from nothing.
        let pool = pool.filter(|pool| !pool.endpoints.is_empty());
        let pool = pool.ok_or(Refusal::NoBackend)?;
        let policy = &*context.rule.retry;
        let mut _place = None;
        if policy.buffering > 0 || pool.topology.requests.is_some() {
            match Box::pin(self.admitted(context, pool)).await {
                Ok(place) => _place = place,
                Err(ended) => return ended,
            }
        }
        self.gather(pool).await;
        let mut past = Past::default();
        loop {
            past.number += 1;
            let attempt = Attempt {
                number: past.number,
                failed: &past.failed,
            };
            let lease = pool.lease(context.chain().select(&mut self.scratch.head, attempt)?);
            let sent = past.number + u32::from(self.fresh);
            let tries = Tries::new(policy, pool, &past.failed, sent);
            let failed = match self.try_at(context, lease, ranges, tries).await {
                Ok(disposition) => return Ok(disposition),
                Err(failed) => failed?,
            };
            let followed = boxed(|| self.follow_up(context, pool, &mut past, failed));
            if !followed.await? {
                return Ok(self.client_left());
            }
        }
    }

    /// One attempt, or two beside each other. The error is an attempt that another one may follow,
    /// or the answer.
    #[inline]
    async fn try_at(
        &mut self,
        context: RequestContext<'_>,
        lease: Lease<'_>,
        ranges: &[ByteRange],
        mut tries: Tries<'_>,
    ) -> Result<Disposition, Result<Failed, Box<LocalReply>>> {
        let (endpoint, backend) = (lease.endpoint(), lease.position());
        self.outcome.attempts = tries.sent.get();
        self.outcome.backend = Some(Rc::clone(endpoint));
        self.outcome.position = backend;
        let race = Race::default();
        let attempted = match tries.policy.hedge {
            None => self.attempt(context, lease, ranges, &tries).await,
            Some(_) => {
                tries.race = Some(&race);
                boxed(|| self.hedged(context, lease, ranges, &tries)).await
            }
        };
        self.note_budget(context.worker, &tries);
        let outcome = match attempted {
            Attempted::Ended(disposition) => return Ok(disposition),
            Attempted::Failed(outcome) => outcome,
            Attempted::Local(local, outcome) if is_no_answer(&local) => outcome,
            Attempted::Local(local, outcome) => {
                note_refusal(context, tries.sent.get(), endpoint, &local, outcome);
                return Err(Err(local));
            }
        };
        self.note_failure(context, tries.sent.get(), endpoint, outcome);
        Err(Ok(Failed {
            backend,
            outcome,
            sent: tries.sent.get(),
            beside: tries.also_failed.take(),
        }))
    }

    /// What comes before the first attempt where it is asked for: the body is read, and the pool's
    /// limit of requests is looked at. The error is how the request ended meanwhile.
    #[cold]
    async fn admitted(
        &mut self,
        context: RequestContext<'_>,
        pool: &WorkerPool,
    ) -> Result<Option<RequestPlace>, Result<Disposition, Box<LocalReply>>> {
        let policy = &*context.rule.retry;
        if policy.buffering > 0 && self.body_in_hand().is_none() {
            let read = self.buffer_body(context, policy).await;
            read.map_err(Attempted::before_a_backend)?;
        }
        let Some(limit) = &pool.topology.requests else {
            return Ok(None);
        };
        match self.request_place(context.worker, pool, limit, true).await {
            Some(Ok(place)) => Ok(Some(place)),
            Some(Err(_)) => Err(Err(at_limit(pool).into())),
            None => Err(Ok(self.client_left())),
        }
    }

    /// Gets ready for the attempt that follows a failed one; if none does, the error is what the
    /// client gets. Returns whether the client is still there.
    #[cold]
    async fn follow_up<'p>(
        &mut self,
        context: RequestContext<'_>,
        pool: &'p WorkerPool,
        past: &mut Past<'p>,
        failed: Failed,
    ) -> Result<bool, Box<LocalReply>> {
        let (worker, policy) = (context.worker, &*context.rule.retry);
        let Failed {
            backend,
            outcome,
            sent,
            beside,
        } = failed;
        let first = past.number;
        past.number += u32::from(beside.is_some());
        past.failed.extend(beside);
        past.failed.push(FailedAttempt {
            backend,
            failure: outcome.failure(),
        });
        self.outcome.failed.clone_from(&past.failed);
        let tries = Tries::new(policy, pool, &past.failed, sent);
        let reason = self.may_follow(worker, &tries, backend, outcome, past.last)?;
        worker.shard.retried(reason);
        if repeats_work(outcome) {
            past._repeat = Some(pool.repeat());
        }
        past.last = Some(outcome);
        Ok(!pool.is_single() || self.pause(worker, policy, first).await)
    }

    /// Notes for a trace how an attempt has failed.
    #[cold]
    fn note_failure(
        &self,
        context: RequestContext<'_>,
        number: u32,
        endpoint: &WorkerEndpoint,
        outcome: AttemptOutcome,
    ) {
        let status = self.scratch.response.status;
        context
            .state
            .attempted(number, endpoint.address, || match outcome {
                AttemptOutcome::Unavailable => format!("status-{status}"),
                AttemptOutcome::NoResponse | AttemptOutcome::TookNothing => "timeout".to_owned(),
                outcome => outcome.failure().to_string(),
            });
    }

    /// Counts and notes that another attempt would have been one too many for the budget.
    #[inline]
    pub(super) fn note_budget(&mut self, worker: &Worker, tries: &Tries<'_>) {
        if tries.over_budget.get() {
            worker.shard.attempts.over_budget.increment();
            self.outcome.over_budget = true;
        }
    }

    /// Why another attempt follows one with this outcome; if none does, what the client gets.
    #[cold]
    fn may_follow(
        &mut self,
        worker: &Worker,
        tries: &Tries<'_>,
        backend: u32,
        outcome: AttemptOutcome,
        last: Option<AttemptOutcome>,
    ) -> Result<RetryReason, Box<LocalReply>> {
        let endpoint = &tries.pool.endpoints[backend as usize];
        let Some(reason) = self.reason(tries.policy, outcome, last) else {
            return Err(given_up(endpoint, outcome).into());
        };
        let by_another = tries.has_another(backend);
        // An answer, or none in time, says that a backend is up and can't: only another can.
        let by_same = !tries.is_last()
            && tries.pool.is_single()
            && outcome != AttemptOutcome::NoPlace
            && !matches!(reason, RetryReason::Timeout | RetryReason::Status);
        if !by_another && !by_same {
            return Err(exhausted(worker, tries.pool, endpoint, outcome).into());
        }
        // Of a status it was looked at while the response could still be passed on.
        if repeats_work(outcome) && reason != RetryReason::Status && !tries.may_repeat() {
            self.note_budget(worker, tries);
            return Err(given_up(endpoint, outcome).into());
        }
        Ok(reason)
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
            AttemptOutcome::NoPlace => (RetryReason::Connect, true),
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
            outcome if outcome.failure() == Failure::Closed => {
                (RetryReason::Reset, on.reset && self.may_repeat())
            }
            _ => (RetryReason::Connect, on.connect),
        };
        may.then_some(reason)
    }

    /// Waits before the same backend is tried again, so that those who do so don't do it at the
    /// same time. Returns whether the client is still there.
    #[cold]
    async fn pause(&self, worker: &Worker, policy: &RetryPolicy, number: u32) -> bool {
        let most = policy
            .back_off
            .saturating_mul(1 << (number - 1).min(16))
            .min(policy.back_off_most);
        let most = u64::try_from(most.as_micros()).unwrap_or(u64::MAX);
        let pause = worker.rng.borrow_mut().random_range(0..=most);
        let pause = Box::pin(tokio::time::sleep(Duration::from_micros(pause)));
        self.presence().during(pause).await.is_some()
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

/// The answer when no more requests may be under way.
#[cold]
fn at_limit(pool: &WorkerPool) -> Refusal {
    pool.shard.refused.increment();
    Refusal::AtLimit
}

/// Whether it is the proxy's answer for a backend that gave none. A head that was cut short is one.
fn is_no_answer(local: &LocalReply) -> bool {
    matches!(local, LocalReply::Refusal(Refusal::ResponseTimeout))
}

/// Whether the backend may have done the request's work, so that another attempt repeats it. Of a
/// pooled connection that had ended that is hardly ever so, and when a backend restarts all of them
/// end at once.
fn repeats_work(outcome: AttemptOutcome) -> bool {
    matches!(
        outcome,
        AttemptOutcome::Closed
            | AttemptOutcome::ClosedOnSlowClient
            | AttemptOutcome::TookNothing
            | AttemptOutcome::NoResponse
            | AttemptOutcome::Unavailable
    )
}

/// Notes for a trace that a backend's failure is what the client is told.
#[inline]
fn note_refusal(
    context: RequestContext<'_>,
    number: u32,
    endpoint: &WorkerEndpoint,
    local: &LocalReply,
    outcome: AttemptOutcome,
) {
    if outcome.verdict() == Verdict::Failed
        && let LocalReply::Refusal(refusal) = local
    {
        let status = || format!("status-{}", refusal.status());
        context.state.attempted(number, endpoint.address, status);
    }
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
        AttemptOutcome::NoPlace if pool.limits_requests => at_limit(pool),
        AttemptOutcome::NoPlace => {
            pool.shard.refused.increment();
            Refusal::Busy
        }
        AttemptOutcome::OutOfResources => {
            worker.shard.upstream_refused.increment();
            Refusal::OutOfConnections
        }
        last if last.is_unprocessed() => Refusal::NoBackend,
        last if last.failure() == Failure::Closed => Refusal::Unreachable,
        last => given_up(endpoint, last),
    }
}
