//! Which backends are tried for a request, one after the other, and when no more.

use std::rc::Rc;
use std::time::Duration;

use rand::RngExt;

use super::boxed::boxed;
use super::conditions::{at_limit, is_no_answer, repeats_work};
use super::connection::Disposition;
use super::context::RequestContext;
use super::exchange::{Attempted, Exchange};
use super::refusal::{LocalReply, Refusal};
use super::spans::failure_word;
use super::tries::{Race, Tries};
use super::worker::Worker;
use crate::config::RetryPolicy;
use crate::policy::{Attempt, ByteRange};
use crate::upstream::{
    AttemptOutcome, FailedAttempt, Lease, Repeat, RequestPlace, Verdict, WorkerEndpoint, WorkerPool,
};

/// The attempts at a request that are over.
#[derive(Default)]
struct Past<'p> {
    /// How many there were, as policies count.
    number: u32,
    /// Those of them that found no place or no means of ours.
    looked: u32,
    failed: Vec<FailedAttempt>,
    /// The backends that had no place, as long as they count among the failed ones.
    full: Vec<u32>,
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
    /// What the client gets if no other attempt follows; `None` if that depends on the outcome.
    answer: Option<Box<LocalReply>>,
}

impl Past<'_> {
    /// A backend that has no place counts as failed until another one has failed: then it is known
    /// that there is nobody better to ask, and it may be waited for.
    #[cold]
    fn note_full(&mut self, backend: u32, outcome: AttemptOutcome) {
        if outcome.is_own_limit() {
            return self.full.push(backend);
        }
        let full = std::mem::take(&mut self.full);
        self.failed.retain(|failed| !full.contains(&failed.backend));
    }
}

impl Exchange<'_> {
    /// Asks for a backend and tries it, as often as the route allows.
    pub(super) async fn attempts(
        &mut self,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        // No policy is asked to choose from nothing.
        let Some(pool) = context.pool() else {
            return Err(Refusal::NoBackend.into());
        };
        let policy = &context.target.retry;
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
            let lease = pool.lease(context.select(&mut self.scratch.head, attempt)?);
            let stale = self.fresh && self.layer4.is_none();
            let sent = past.number + u32::from(stale) - past.looked;
            let mut tries = Tries::new(policy, pool, &past.failed, sent);
            tries.looked = past.looked;
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
        let backend = lease.position();
        self.outcome.attempts = tries.sent.get();
        self.outcome.backend = Some(Rc::clone(lease.endpoint()));
        self.outcome.position = backend;
        let race;
        let attempted = match tries.policy.hedge {
            None => self.attempt(context, lease, ranges, &tries).await,
            Some(_) => {
                race = Race::default();
                tries.race = Some(&race);
                boxed(|| self.hedged(context, lease, ranges, &tries)).await
            }
        };
        self.note_budget(context.worker, &tries);
        match attempted {
            Attempted::Ended(disposition) => Ok(disposition),
            attempted => Err(self.failed(context, &tries, backend, attempted)),
        }
    }

    /// What an attempt at the backend at this position, or another one beside it, has failed by; or
    /// the answer.
    #[cold]
    fn failed(
        &mut self,
        context: RequestContext<'_>,
        tries: &Tries<'_>,
        backend: u32,
        attempted: Attempted,
    ) -> Result<Failed, Box<LocalReply>> {
        let taken = tries.race.and_then(|race| race.taken.get());
        let (backend, sent) = (taken.unwrap_or(backend), tries.sent.get());
        let endpoint = &tries.pool.endpoints[backend as usize];
        let (outcome, answer) = match attempted {
            Attempted::Ended(_) => return Err(Refusal::NoBackend.into()),
            Attempted::Failed(outcome) => (outcome, None),
            Attempted::Unread(local, outcome) => (outcome, Some(local)),
            Attempted::Local(local, outcome) if is_no_answer(&local) => (outcome, None),
            Attempted::Local(local, outcome) => {
                note_refusal(context, sent, endpoint, &local, outcome);
                return Err(local);
            }
        };
        self.note_failure(context, sent, endpoint, outcome);
        Ok(Failed {
            backend,
            outcome,
            sent,
            beside: tries.also_failed.take(),
            answer,
        })
    }

    /// What comes before the first attempt where it is asked for: the body is read, and the pool's
    /// limit of requests is looked at. The error is how the request ended meanwhile.
    #[cold]
    pub(super) async fn admitted(
        &mut self,
        context: RequestContext<'_>,
        pool: &WorkerPool,
    ) -> Result<Option<RequestPlace>, Result<Disposition, Box<LocalReply>>> {
        let policy = &context.target.retry;
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
        let (worker, policy) = (context.worker, &context.target.retry);
        let Failed {
            backend,
            outcome,
            sent,
            beside,
            answer,
        } = failed;
        let first = past.number;
        past.number += u32::from(beside.is_some());
        past.failed.extend(beside);
        past.note_full(backend, outcome);
        past.failed.push(FailedAttempt {
            backend,
            failure: outcome.failure(),
        });
        self.outcome.failed.clone_from(&past.failed);
        past.looked += u32::from(outcome.is_own_limit());
        let sent = sent - u32::from(outcome.is_own_limit());
        let mut tries = Tries::new(policy, pool, &past.failed, sent);
        tries.looked = past.looked;
        let reason = self.may_follow(worker, &tries, backend, outcome, past.last);
        if let Some(reason) = reason.map_err(|refusal| answer.unwrap_or(refusal))? {
            worker.shard.retried(reason);
        }
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
                outcome => failure_word(outcome),
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
