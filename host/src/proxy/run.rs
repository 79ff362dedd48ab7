//! A request from its head to its end, and what its policies hear of that.

use std::mem;
use std::rc::Rc;
use std::time::Duration;

use super::client::Client;
use super::completions::Ended;
use super::connection::Disposition;
use super::context::{RequestContext, settled};
use super::exchange::Exchange;
use super::refusal::Refusal;
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::message::BodyLength;
use crate::observe::{Logged, Outcome};
use crate::route::{Rule, RuleTarget};
use crate::stats::WorkerShard;
use crate::upstream::{Completion, RequestFailure};

/// A request of which policies, watchers and the collector of traces may hear what becomes
/// of it, however it ends: also if its task is dropped, or panics.
pub(super) struct Awaited<'e, 'a> {
    pub(super) exchange: &'e mut Exchange<'a>,
    pub(super) worker: &'e Worker,
    /// Its route and the pool that takes it, once they are known.
    pub(super) route: Option<(&'a Rule, &'a RuleTarget)>,
    pub(super) state: RequestPolicyState,
}

impl<'e, 'a> Awaited<'e, 'a> {
    pub(super) fn new(exchange: &'e mut Exchange<'a>, worker: &'e Worker) -> Self {
        Self {
            exchange,
            worker,
            route: None,
            state: RequestPolicyState::default(),
        }
    }

    /// The request has ended as its outcome says.
    #[inline]
    pub(super) fn end(mut self) {
        if let Some((_, slot)) = self.exchange.route
            && self.exchange.outcome.has_failed()
        {
            self.worker.shard.routes.failed(slot);
        }
        if let Some(notes) = self.state.take_spans() {
            self.export(notes);
        }
        if self.state.is_awaited() {
            return self.pass_on();
        }
        let (recorder, status) = (&self.exchange.view.recorder, self.exchange.outcome.status);
        let state = mem::take(&mut self.state);
        state.end(recorder.as_ref(), &self.worker.shard, status);
    }

    #[cold]
    fn pass_on(&mut self) {
        let state = mem::take(&mut self.state);
        let Some((rule, target)) = self.route else {
            return;
        };
        let exchange = &mut *self.exchange;
        let completion = exchange.completion(&state);
        self.worker.ended(Ended {
            view: exchange.view,
            rule,
            pool: settled(rule, target, &state).pool,
            head: &mut exchange.scratch.head,
            state,
            completion,
            failed: mem::take(&mut exchange.outcome.failed),
            status: exchange.outcome.status,
        });
    }
}

impl Drop for Awaited<'_, '_> {
    fn drop(&mut self) {
        let notes = self.state.take_spans();
        if notes.is_none() && !self.state.is_awaited() {
            return;
        }
        let outcome = &mut self.exchange.outcome;
        outcome.failure = Some(RequestFailure::Cancelled);
        outcome.end(self.exchange.scratch.head.client);
        if let Some(notes) = notes {
            self.export(notes);
        }
        if self.state.is_awaited() {
            self.pass_on();
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
        let mut awaited = Awaited::new(self, &worker);
        let Awaited {
            exchange,
            route,
            state,
            ..
        } = &mut awaited;
        let begun = exchange.begin(&worker, state);
        *route = begun.as_ref().ok().copied();
        if worker.tap.is_on() {
            exchange.tap(&worker, *route, state);
        }
        let mut context = route.map(|at| RequestContext::new(&worker, &entry, view, at, state));
        let ended = match (begun, context) {
            (Err(local), _) => Err(local),
            (Ok(_), None) => Err(Refusal::NoBackend.into()),
            (Ok(_), Some(context)) => exchange.decided(context).await,
        };
        if let Some(context) = &mut context {
            context.settle();
        }
        let disposition = match ended {
            Ok(disposition) => disposition,
            Err(local) => exchange.answer(&worker, (state, context), local).await,
        };
        drop(active);
        exchange.conclude(context);
        report(&exchange.client, view, exchange.scratch, &exchange.outcome);
        awaited.end();
        disposition
    }

    /// The request has ended: its policies may end it too, and what only the log says is noted.
    #[inline]
    fn conclude(&mut self, context: Option<RequestContext<'_>>) {
        self.outcome.end(self.scratch.head.client);
        if let Some(context) = context {
            context.end(&self.outcome);
        }
        self.note_logged(context);
    }

    /// What became of the request.
    fn completion(&self, state: &RequestPolicyState) -> Completion {
        let outcome = &self.outcome;
        let failure = outcome.failure;
        let known = outcome.status != 0 && failure != Some(RequestFailure::Cancelled);
        let answered = state.answered();
        Completion {
            backend: outcome.backend.as_ref().map(|_| outcome.position),
            status: known.then_some(outcome.status),
            failure,
            attempts: outcome.attempts,
            first_byte_microseconds: answered
                .map(|(at, _)| microseconds(at.saturating_duration_since(outcome.began))),
            latency_microseconds: answered.and_then(|(_, took)| took).map(microseconds),
            duration_microseconds: outcome.microseconds(),
            request_bytes: self.request_bytes(),
            response_bytes: outcome.response_bytes,
        }
    }

    /// Notes what only the log says, if it will.
    #[inline]
    fn note_logged(&mut self, context: Option<RequestContext<'_>>) {
        // A tunnel may still come to an end that is to be logged.
        let may_fail = self.outcome.reason.is_some() || self.scratch.tunnel.is_some();
        if let Some(context) = context
            && self.view.settings.logged.wants(may_fail)
        {
            self.note_route(context.rule.number, Some(context.target));
            // An answer of the proxy's own may come after one that a backend gave before.
            let is_of_backend = self.outcome.reason.is_none() || self.outcome.broken;
            if let Some(logged) = &mut self.outcome.logged {
                logged.policies = context.state.take_times();
                logged.upstream = context.state.took().filter(|_| is_of_backend);
            }
        }
    }

    /// Notes what the log says of a request of the route with this number.
    #[cold]
    pub(super) fn note_route(&mut self, number: u32, target: Option<&RuleTarget>) {
        let config = &self.view.snapshot.config;
        let route = config.routes.get(number as usize);
        let pool = target.and_then(|target| self.view.pools.pool(target.pool));
        self.outcome.logged = Some(Box::new(Logged {
            route: route.map(ToString::to_string).unwrap_or_default(),
            pool: pool.map_or_else(String::new, |pool| pool.topology.name.to_string()),
            request_bytes: self.request_bytes(),
            ..Logged::default()
        }));
    }

    /// Bytes of the request's body that were passed on.
    pub(super) fn request_bytes(&self) -> u64 {
        match (&self.progress, self.facts.body) {
            (Some(progress), length) => progress.passed_on(length),
            (None, BodyLength::Known(n)) if self.outcome.passed_whole => n,
            (None, _) => 0,
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// Counts the request and logs it. A tunnel has its line in the log when it ends.
#[inline]
pub(super) fn report(
    client: &Client<'_>,
    view: &WorkerSnapshot,
    scratch: &mut Scratch,
    outcome: &Outcome,
) {
    let (worker, logged, head) = (client.worker(), view.settings.logged, &scratch.head);
    match &mut scratch.tunnel {
        Some(tunnel) => tunnel.begin(&worker.shard, outcome.clone(), head),
        None => worker.observe(logged, outcome, head, client.info()),
    }
}

/// A request counts as active until this is dropped, also by a panic.
pub(super) struct ActiveRequest<'a>(&'a WorkerShard);

impl<'a> ActiveRequest<'a> {
    pub(super) fn new(shard: &'a WorkerShard) -> Self {
        shard.requests_active.increment();
        Self(shard)
    }
}

impl Drop for ActiveRequest<'_> {
    fn drop(&mut self) {
        self.0.requests_active.decrement();
    }
}
