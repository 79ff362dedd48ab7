//! One request, straight down: route, normalise, ask, attempt, answer.

use std::cell::Cell;
use std::rc::Rc;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::Method;
use rand::Rng;

use super::attempted::Attempted;
use super::body::{Pace, Progress};
use super::connection::{Connection, Disposition};
use super::context::RequestContext;
use super::forwarding::Contradiction;
use super::hops;
use super::refusal::{LocalReply, Refusal};
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::decision::{Concluded, EXPLAIN, RecordedRequest, RequestPolicyState};
use crate::h1::{Framing, RequestMeta};
use crate::message::{Edited, Version};
use crate::policy::{Attempt, ByteRange};
use crate::recording::Sampling;
use crate::route::Rule;
use crate::upstream::{
    AttemptOutcome, Doubt, FailedAttempt, Failure, Verdict, WorkerEndpoint, WorkerPool,
};

/// What the statistics and the access log are told of a request.
#[derive(Debug, Default)]
pub struct Record {
    /// The status sent; 0 if none was.
    pub status: u16,
    /// Why the proxy or a policy answered, or why the request could not be completed.
    pub reason: Option<String>,
    /// The last backend asked.
    pub backend: Option<Rc<WorkerEndpoint>>,
    /// How many were asked.
    pub attempts: u32,
    /// The answer broke off.
    pub broken: bool,
}

/// A request on its way.
#[derive(Debug)]
pub struct Exchange<'a> {
    /// The client's connection.
    pub connection: &'a mut Connection,
    /// The snapshot that it began with, whatever the worker adopts meanwhile.
    pub view: &'a WorkerSnapshot,
    /// The request's head and buffers.
    pub scratch: &'a mut Scratch,
    /// What the head said of body and connection.
    pub meta: RequestMeta,
    /// Told what happens.
    pub record: &'a mut Record,
    /// When the head had arrived.
    pub started: Instant,
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

impl Record {
    /// Notes why the proxy refused.
    pub fn refused(&mut self, refusal: &Refusal) {
        self.reason = Some(refusal.reason());
    }
}

impl<'a> Exchange<'a> {
    /// A request whose head has arrived.
    pub fn new(
        connection: &'a mut Connection,
        view: &'a WorkerSnapshot,
        scratch: &'a mut Scratch,
        meta: RequestMeta,
        record: &'a mut Record,
        started: Instant,
    ) -> Self {
        let (progress, fresh, slow, slow_place, queued) =
            (None, false, false, false, Cell::default());
        let (pace, doubt, edited) = (Pace::default(), Doubt::default(), Edited::default());
        Self {
            connection,
            view,
            scratch,
            meta,
            record,
            started,
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
    pub async fn run(&mut self) -> Disposition {
        let (worker, view) = (Rc::clone(&self.connection.worker), self.view);
        if let Some(disposition) = self.stats_page(&worker).await {
            return disposition;
        }
        let mut state = RequestPolicyState::default();
        if self.meta.notes.explain {
            self.explain(&worker, &mut state);
        }
        let rule = self.route(view);
        let rule = match rule.and_then(|rule| self.normalise().map(|()| rule)) {
            Ok(rule) => rule,
            Err(local) => return self.answer(&worker, &state, local).await,
        };
        if let Some(sampling) = &view.settings.sampling
            && samples(sampling, &worker, rule)
        {
            self.keep_record(sampling, rule, &mut state);
        }
        let context = RequestContext {
            worker: &worker,
            view,
            rule,
            state: &state,
        };
        let disposition = self.decided(context).await;
        let recorder = worker.shared.recorder.as_ref();
        state.end(recorder, &worker.shard, self.record.status);
        disposition
    }

    /// From now on what the policies see and decide is recorded.
    #[cold]
    fn keep_record(&self, sampling: &Sampling, rule: &Rule, state: &mut RequestPolicyState) {
        let worker = &self.connection.worker;
        let Some(recorder) = &worker.shared.recorder else {
            return;
        };
        let lineup = Arc::clone(self.view.lineup(sampling));
        let (pool, head) = (rule.pool.number(), &self.scratch.head);
        let record = RecordedRequest::begin(recorder, lineup, worker.index, pool, head);
        state.keep_record(record);
    }

    /// Has the policies of its route decide the request, and the request forwarded and answered.
    async fn decided(&mut self, context: RequestContext<'_>) -> Disposition {
        let chain = context.chain();
        chain.begin(&self.scratch.head);
        let has_range = self.meta.notes.range;
        let ended = match chain.prepare(&mut self.scratch.head, has_range) {
            Ok(ranges) => self.attempts(context, &ranges).await,
            Err(stop) => Err(stop.into()),
        };
        context.chain().end();
        let of_policy = ended.as_ref().is_err_and(|local| local.is_of_policy());
        let disposition = match ended {
            Ok(disposition) => disposition,
            Err(local) => self.answer(context.worker, context.state, local).await,
        };
        let Record { status, broken, .. } = *self.record;
        context.chain().conclude(Concluded {
            client: self.scratch.head.client,
            status,
            broken,
            of_policy,
            began: self.started,
        });
        disposition
    }

    /// Begins a trace if the token is one of ours; the field goes no further in any case.
    #[cold]
    fn explain(&mut self, worker: &Worker, state: &mut RequestPolicyState) {
        let fields = &mut self.scratch.head.fields;
        if fields
            .first(EXPLAIN)
            .is_some_and(|token| worker.shared.explain.accept(token))
        {
            state.keep_trace();
        }
        fields.remove(EXPLAIN.as_bytes());
    }

    fn route<'v>(&mut self, view: &'v WorkerSnapshot) -> Result<&'v Rule, Box<LocalReply>> {
        self.check()?;
        let head = &mut self.scratch.head;
        let routes = &view.snapshot.routes;
        let rule = routes.find(&head.host, head.path());
        let rule = rule.ok_or_else(|| Refusal::NoRoute {
            host: head.host.clone(),
        })?;
        if head.path_notes.is_ambiguous() {
            let seen = if view.settings.paths.forward_normalised {
                head.path()
            } else {
                head.raw_path()
            };
            if !routes.is_sure(rule, &head.host, seen, head.path_notes) {
                return Err(Refusal::AmbiguousPath.into());
            }
        }
        head.fields.write_spelling(rule.preserve_case);
        if self.meta.notes.max_forwards && head.method == Method::OPTIONS {
            hops::count_down(&mut head.fields)?;
        }
        Ok(rule)
    }

    /// Refuses what has no route here, whatever the routes are.
    #[inline]
    fn check(&self) -> Result<(), Refusal> {
        let (head, settings) = (&self.scratch.head, &self.view.settings);
        // CONNECT is for forward proxies; TRACE would hand a script the fields that it must not see
        // (RFC 9110 section 9.3.8).
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        let limit = settings.limits.body_bytes;
        if limit > 0 && matches!(self.meta.framing, Framing::Length(n) if n > limit) {
            return Err(Refusal::BodyTooLarge);
        }
        if settings.forwarding.has_passed(head, self.meta.notes) {
            return Err(Refusal::Loop);
        }
        match settings.paths.strict.then(|| head.path_notes.fault()) {
            Some(Some(fault)) => Err(Refusal::Path(fault)),
            _ => Ok(()),
        }
    }

    /// Makes the fields those that policies and backends are to see.
    fn normalise(&mut self) -> Result<(), Box<LocalReply>> {
        let (head, settings) = (&mut self.scratch.head, &self.view.settings);
        let notes = self.meta.notes;
        if notes.te_trailers && head.version == Version::Http11 {
            // RFC 9110 section 10.1.4: who sends TE names it in Connection.
            head.fields.append(b"te", b"trailers");
            head.fields.append(b"connection", b"te");
        }
        head.forward_normal = settings.paths.forward_normalised;
        let info = &self.connection.info;
        let set = settings.forwarding.set_fields(head, notes, info);
        set.map_err(|Contradiction| Refusal::Contradiction.into())
    }

    /// Asks for a backend and tries it, as often as the pool allows.
    async fn attempts(
        &mut self,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        let pool = context.view.pools.pool(context.rule.pool);
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
                    note_refusal(context, endpoint, &local, outcome);
                    return Err(local);
                }
                Attempted::Failed(outcome) => {
                    let (state, failure) = (context.state, outcome.failure());
                    state.attempted(endpoint.address, || failure.to_string());
                    if !self.may_try_again(outcome, last) {
                        return Err(Refusal::ClosedEarly.into());
                    }
                    last = Some(outcome);
                    failed.push(FailedAttempt { backend, failure });
                }
            }
        }
        Err(exhausted(pool, last).into())
    }

    /// An attempt begins.
    fn note_attempt(
        &mut self,
        context: RequestContext<'_>,
        number: u32,
        endpoint: &Rc<WorkerEndpoint>,
    ) {
        self.record.attempts = number;
        self.record.backend = Some(Rc::clone(endpoint));
        context.state.attempt.set(number);
        if number > 1 {
            context.worker.shard.retries.increment();
        }
    }

    /// Whether another attempt may follow one with this outcome.
    fn may_try_again(&self, outcome: AttemptOutcome, last: Option<AttemptOutcome>) -> bool {
        // A client that two backends did not want to wait for is no third one's business.
        let stalled = outcome == AttemptOutcome::ClosedOnSlowClient && last == Some(outcome);
        outcome.failure() != Failure::Closed || (!stalled && self.may_repeat())
    }

    /// The length of the body, if all of it (or none) is there.
    pub(super) fn body_in_hand(&self) -> Option<usize> {
        if let Some(progress) = &self.progress {
            return progress.is_at_end().then_some(0);
        }
        match self.meta.framing {
            Framing::Length(n) => usize::try_from(n)
                .ok()
                .filter(|n| *n <= self.connection.input.len()),
            Framing::Chunked => None,
            Framing::None | Framing::UntilClose => Some(0),
        }
    }

    /// Whether the request may be sent again after a connection ended without an answer (RFC 9110
    /// section 9.2.2): as long as all that was sent of it is still in hand.
    pub(super) fn may_repeat(&self) -> bool {
        let idempotent = matches!(
            self.scratch.head.method,
            Method::GET | Method::HEAD | Method::OPTIONS | Method::PUT | Method::DELETE
        );
        idempotent && self.progress.as_ref().is_none_or(Progress::is_whole)
    }

    /// Whether the client's connection may carry another request (RFC 9112 section 9.3).
    pub(super) fn keep_alive(&self) -> bool {
        let control = self.meta.control;
        let wanted = match self.scratch.head.version {
            Version::Http11 => !control.close,
            Version::Http10 => control.keep_alive && !control.close,
        };
        wanted && self.connection.may_continue()
    }
}

/// Notes for a trace that a backend's failure is what the client is told.
#[inline]
fn note_refusal(
    context: RequestContext<'_>,
    endpoint: &WorkerEndpoint,
    local: &LocalReply,
    outcome: AttemptOutcome,
) {
    if outcome.verdict() == Verdict::Failed
        && let LocalReply::Refusal(refusal) = local
    {
        let status = || format!("status-{}", refusal.status());
        context.state.attempted(endpoint.address, status);
    }
}

/// The answer when all attempts have failed, of which this was the last.
#[cold]
fn exhausted(pool: &WorkerPool, last: Option<AttemptOutcome>) -> Refusal {
    match last {
        Some(AttemptOutcome::ConnectTimedOut) => Refusal::ConnectTimeout,
        Some(AttemptOutcome::NoPlace) => {
            pool.shard.refused.increment();
            Refusal::Busy
        }
        Some(AttemptOutcome::OutOfResources) => Refusal::NoBackend,
        _ => Refusal::Unreachable,
    }
}

/// Whether this request is one of those that are recorded.
fn samples(sampling: &Sampling, worker: &Worker, rule: &Rule) -> bool {
    sampling.takes(worker.rng.borrow_mut().next_u32())
        && rule.policies.iter().any(|policy| sampling.wants(*policy))
}
