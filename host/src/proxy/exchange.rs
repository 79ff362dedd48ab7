//! One request, straight down: route, normalise, ask, attempt, answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use http::Method;

use super::body::{Pace, Progress};
use super::call;
use super::client::Client;
use super::connection::Disposition;
use super::context::RequestContext;
use super::refusal::{LocalReply, Refusal};
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::message::{BodyLength, Edited, RequestFacts};
use crate::observe::Outcome;
use crate::policy::{Attempt, ByteRange};
use crate::stats::WorkerShard;
use crate::upstream::{
    AttemptOutcome, Doubt, FailedAttempt, Failure, Verdict, WorkerEndpoint, WorkerPool,
};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// The client's side.
    pub client: Client<'a>,
    /// The snapshot that was in force when its head had arrived, whatever the worker adopts
    /// meanwhile.
    pub view: &'a WorkerSnapshot,
    /// The request's head and buffers.
    pub scratch: &'a mut Scratch,
    /// What the head said of body and connection.
    pub facts: RequestFacts,
    /// What becomes of it.
    pub outcome: Outcome,
    /// How far the body has come, once some of it may have been taken out of the connection's
    /// input.
    pub progress: Option<Progress>,
    /// What policies have edited in the head, as of then.
    pub edited: Edited,
    /// Whether only new connections will do: a pooled one has ended under this request.
    pub fresh: bool,
    /// Whether the client sends the body slowly, as far as is known before a connection is needed.
    pub slow: bool,
    /// Whether the request has the right of a slow upload.
    pub slow_place: bool,
    /// For how long the request has waited for connections.
    pub queued: Cell<Duration>,
    /// How long the client was waited for, in all attempts.
    pub pace: Pace,
    /// What the attempts have said of backends.
    pub doubt: Doubt,
}

/// What an attempt came to.
pub(super) enum Attempted {
    /// The client has its answer, or never will.
    Ended(Disposition),
    /// It failed before the backend answered.
    Failed(AttemptOutcome),
    /// The client gets this answer.
    Local(Box<LocalReply>, AttemptOutcome),
}

impl<'a> Exchange<'a> {
    /// A request whose head has arrived.
    pub(super) fn new(
        client: Client<'a>,
        view: &'a WorkerSnapshot,
        scratch: &'a mut Scratch,
        facts: RequestFacts,
        outcome: Outcome,
    ) -> Self {
        let (progress, fresh, slow, slow_place, queued) =
            (None, false, false, false, Cell::default());
        let (pace, doubt, edited) = (Pace::default(), Doubt::default(), Edited::default());
        Self {
            client,
            view,
            scratch,
            facts,
            outcome,
            progress,
            edited,
            fresh,
            slow,
            slow_place,
            queued,
            pace,
            doubt,
        }
    }
}

impl Exchange<'_> {
    /// Has the request decided, forwarded and answered.
    pub(super) async fn run(&mut self) -> Disposition {
        let worker = Rc::clone(self.client.worker());
        let entry = Rc::clone(self.client.entry());
        let view = self.view;
        worker.shard.requests.increment();
        let active = ActiveRequest::new(&worker.shard);
        let mut state = RequestPolicyState::default();
        let (ended, chain) = match self.begin(&worker, &mut state) {
            Ok(rule) => {
                let context = RequestContext {
                    worker: &worker,
                    entry: &entry,
                    view,
                    rule,
                    state: &state,
                };
                (self.decided(context).await, Some(context.chain()))
            }
            Err(local) => (Err(local), None),
        };
        let disposition = match ended {
            Ok(disposition) => disposition,
            Err(local) => self.answer(&worker, &state, local).await,
        };
        drop(active);
        self.outcome.end(self.scratch.head.client);
        if let Some(chain) = chain {
            chain.conclude(&self.outcome);
        }
        state.end(view.recorder.as_ref(), &worker.shard, &self.outcome);
        report(&self.client, view, self.scratch, &self.outcome);
        disposition
    }

    /// Has the policies of its route decide the request, and the request forwarded. What is to be
    /// answered in place of a backend is the error.
    async fn decided(
        &mut self,
        context: RequestContext<'_>,
    ) -> Result<Disposition, Box<LocalReply>> {
        let chain = context.chain();
        chain.begin(&self.scratch.head);
        let has_range = self.facts.notes.range;
        let ended = match chain.prepare(&mut self.scratch.head, has_range) {
            Ok(ranges) => match call::deadline(&self.scratch.head) {
                None => self.attempts(context, &ranges).await,
                Some(deadline) => Box::pin(self.attempts_until(deadline, context, &ranges)).await,
            },
            Err(stop) => Err(stop.into()),
        };
        context.chain().end();
        ended
    }

    /// Tries backends until the caller waits no longer. What is under way then is cancelled, and
    /// held against no backend: the caller chose the time.
    #[cold]
    async fn attempts_until(
        &mut self,
        deadline: Duration,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        // In a box, because most requests are no calls. One timer for each call is what tokio's
        // are made for.
        let attempts = Box::pin(self.attempts(context, ranges));
        let ended = tokio::time::timeout(deadline, attempts).await;
        ended.unwrap_or_else(|_| self.call_is_late())
    }

    /// Asks for a backend and tries it, as often as the pool allows.
    async fn attempts(
        &mut self,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        let pool = context.view.pools.pool(context.rule.pool);
        // No policy is asked to choose from nothing.
        let pool = pool.filter(|pool| !pool.endpoints.is_empty());
        let pool = pool.ok_or(Refusal::NoBackend)?;
        self.gather(pool).await;
        let (mut failed, mut last) = (Vec::new(), None);
        for number in 1..=pool.topology.attempts.max(1) {
            let attempt = Attempt {
                number,
                failed: &failed,
            };
            let lease = pool.lease(context.chain().select(&mut self.scratch.head, attempt)?);
            let (endpoint, backend) = (lease.endpoint(), lease.position());
            self.note_attempt(context, number, endpoint);
            match self.attempt(context, lease, ranges, &failed).await {
                Attempted::Ended(disposition) => return Ok(disposition),
                Attempted::Local(local, outcome) => {
                    note_refusal(context, number, endpoint, &local, outcome);
                    return Err(local);
                }
                Attempted::Failed(outcome) => {
                    let (state, failure) = (context.state, outcome.failure());
                    state.attempted(number, endpoint.address, || failure.to_string());
                    if !self.may_try_again(outcome, last) {
                        return Err(given_up(endpoint, outcome).into());
                    }
                    last = Some(outcome);
                    failed.push(FailedAttempt { backend, failure });
                }
            }
        }
        Err(exhausted(context.worker, pool, self.outcome.backend.as_ref(), last).into())
    }

    /// An attempt begins.
    fn note_attempt(
        &mut self,
        context: RequestContext<'_>,
        number: u32,
        endpoint: &Rc<WorkerEndpoint>,
    ) {
        self.outcome.attempts = number;
        self.outcome.backend = Some(Rc::clone(endpoint));
        if number > 1 {
            context.worker.shard.retries.increment();
        }
    }

    /// Whether another attempt may follow one with this outcome.
    fn may_try_again(&self, outcome: AttemptOutcome, last: Option<AttemptOutcome>) -> bool {
        if outcome.is_unprocessed() {
            return self.may_resend();
        }
        match outcome {
            // Another one may speak what it should; no more are asked.
            AttemptOutcome::Unfit => return last != Some(outcome),
            AttemptOutcome::NoShare => return false,
            _ => {}
        }
        // A client that two backends did not want to wait for is no third one's business.
        let stalled = outcome == AttemptOutcome::ClosedOnSlowClient && last == Some(outcome);
        outcome.failure() != Failure::Closed || (!stalled && self.may_repeat())
    }

    /// The length of the body, if all of it (or none) is there.
    pub(super) fn body_in_hand(&self) -> Option<usize> {
        if let Some(progress) = &self.progress {
            return progress.is_at_end().then_some(0);
        }
        match self.facts.body {
            BodyLength::None => Some(0),
            BodyLength::Known(n) => self.client.in_hand(n),
            BodyLength::Unknown => None,
        }
    }

    /// Whether the request may be sent again after a connection ended without an answer (RFC 9110
    /// section 9.2.2): as long as all that was sent of it is still in hand.
    pub(super) fn may_repeat(&self) -> bool {
        let idempotent = matches!(
            self.scratch.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        idempotent && self.may_resend()
    }

    /// Whether all that was sent of the request is still in hand.
    pub(super) fn may_resend(&self) -> bool {
        self.progress.as_ref().is_none_or(Progress::is_whole)
    }

    /// Whether the client's connection may carry another request.
    pub(super) fn keep_alive(&self) -> bool {
        self.facts.persists && self.client.may_continue()
    }
}

/// Counts the request and logs it. A tunnel has its line in the log when it ends.
#[inline]
fn report(client: &Client<'_>, view: &WorkerSnapshot, scratch: &mut Scratch, outcome: &Outcome) {
    let (worker, logged, head) = (client.worker(), view.settings.logged, &scratch.head);
    match &mut scratch.tunnel {
        Some(tunnel) => tunnel.begin(&worker.shard, outcome.clone(), head),
        None => worker.observe(logged, outcome, head, client.info()),
    }
}

/// A request counts as active until this is dropped, also by a panic.
struct ActiveRequest<'a>(&'a WorkerShard);

impl<'a> ActiveRequest<'a> {
    fn new(shard: &'a WorkerShard) -> Self {
        shard.requests_active.increment();
        Self(shard)
    }
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.0.requests_active.decrement();
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

/// The answer when no other attempt may follow one at this endpoint.
#[cold]
fn given_up(endpoint: &WorkerEndpoint, outcome: AttemptOutcome) -> Refusal {
    match outcome {
        AttemptOutcome::Unfit => Refusal::UnfitBackend {
            reason: endpoint.unfit(),
        },
        AttemptOutcome::NoShare => Refusal::StreamLimit,
        _ => Refusal::ClosedEarly,
    }
}

/// The answer when all attempts have failed, of which this was the last.
#[cold]
fn exhausted(
    worker: &Worker,
    pool: &WorkerPool,
    endpoint: Option<&Rc<WorkerEndpoint>>,
    last: Option<AttemptOutcome>,
) -> Refusal {
    match last {
        Some(AttemptOutcome::Unfit) => Refusal::UnfitBackend {
            reason: endpoint.map(|e| e.unfit()).unwrap_or_default(),
        },
        Some(AttemptOutcome::ConnectTimedOut) => Refusal::ConnectTimeout,
        Some(AttemptOutcome::NoPlace) => {
            pool.shard.refused.increment();
            Refusal::Busy
        }
        Some(AttemptOutcome::OutOfResources) => {
            worker.shard.upstream_refused.increment();
            Refusal::OutOfConnections
        }
        Some(outcome) if outcome.is_unprocessed() => Refusal::NoBackend,
        _ => Refusal::Unreachable,
    }
}
