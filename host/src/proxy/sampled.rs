//! Samples of requests for watchers: settled when the route is known, made at the end.

use std::sync::Arc;

use super::context::settled;
use super::exchange::Exchange;
use super::run::Awaited;
use super::spans::{error_of, method};
use super::tap::{Seat, Traits};
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::ground;
use crate::observe::sample::{Candidate, Sample, SampledAttempt, SampledCall, SampledChoice};
use crate::observe::spans::{AttemptNote, CallNote, ChoiceNote, SeenBackend, SpanNotes, clipped};
use crate::observe::without_values;
use crate::policy::PolicyId;
use crate::route::{Rule, RuleTarget};
use crate::upstream::{PoolId, WorkerPool};

impl<'a> Exchange<'a> {
    /// Has the request noted if a watcher may want it.
    #[cold]
    pub(super) fn tap(
        &self,
        worker: &Worker,
        route: Option<(&'a Rule, &'a RuleTarget)>,
        state: &mut RequestPolicyState,
    ) {
        let targets = route.map(|(rule, _)| &*rule.targets).unwrap_or_default();
        let pools = targets.iter().map(|target| target.pool);
        let of = self.traits(policies(route));
        if worker.tap.wants(of, &pools, worker.timers.now()) {
            state.keep_sample();
        }
    }

    fn traits<'t>(&'t self, policies: &'t [PolicyId]) -> Traits<'t> {
        Traits {
            view: self.view,
            route: self.route.map(|(number, _)| number),
            policies,
        }
    }

    /// Path and query as they may be shown.
    fn target_shown(&self) -> Box<str> {
        let config = &self.view.snapshot.config;
        let recorded = config.record.as_ref();
        let redact =
            config.access_log.redact_query || recorded.is_some_and(|record| record.redact_query);
        let target = &self.scratch.head.target;
        match redact {
            true => clipped(&without_values(target)),
            false => clipped(target),
        }
    }
}

fn policies<'a>(route: Option<(&'a Rule, &'a RuleTarget)>) -> &'a [PolicyId] {
    route.map(|(rule, _)| &*rule.policies).unwrap_or_default()
}

impl Awaited<'_, '_> {
    /// Hands a sample of a request that has ended to the watchers that want it.
    #[cold]
    pub(super) fn offer(&self, notes: &SpanNotes) {
        let exchange = &*self.exchange;
        let (seats, now) = (self.worker.tap.seats(), self.worker.timers.now());
        let of = exchange.traits(policies(self.route));
        let last = (self.pool(), exchange.outcome.status);
        let takers: Vec<_> = seats
            .iter()
            .filter(|seat| seat.takes(of, last, now))
            .collect();
        if takers.is_empty() {
            return;
        }
        let sample = Arc::new(self.sample(notes));
        let shard = &self.worker.shard;
        shard.samples.increment();
        let send = |seat: &Seat| seat.watching.send(&sample);
        let lost = takers.iter().filter(|seat| !send(seat)).count();
        shard.samples_dropped.add(lost as u64);
    }

    /// The pool that took it.
    fn pool(&self) -> Option<PoolId> {
        let (rule, target) = self.route?;
        Some(settled(rule, target, &self.state).pool)
    }

    fn sample(&self, notes: &SpanNotes) -> Sample {
        let exchange = &*self.exchange;
        let (head, outcome) = (&exchange.scratch.head, &exchange.outcome);
        let pool = self.pool().and_then(|id| exchange.view.pools.pool(id));
        let (route, pool_name) = self.names();
        Sample {
            time: ground::stamp(outcome.took),
            id: clipped(&head.id),
            method: method(head),
            host: clipped(&head.host),
            path: exchange.target_shown(),
            protocol: head.version.as_str(),
            status: outcome.status,
            reason: outcome
                .reason
                .as_deref()
                .map(clipped)
                .or_else(|| error_of(outcome).map(Into::into)),
            route,
            pool: pool_name,
            backend: outcome.backend.as_ref().map(|b| clipped(&b.name)),
            microseconds: outcome.microseconds(),
            policies: notes.calls.iter().map(call).collect(),
            choices: notes
                .choices
                .iter()
                .filter_map(|choice| sampled(choice, pool?))
                .collect(),
            attempts: notes.attempts.iter().map(attempt).collect(),
            left_out: notes.left_out,
        }
    }
}

fn call(note: &CallNote) -> SampledCall {
    let (decision, failed) = match &note.answer {
        Ok(answer) => (answer, false),
        Err(fault) => (fault, true),
    };
    SampledCall {
        hook: note.hook,
        policy: note.policy.clone(),
        generation: note.generation,
        role: note.role,
        decision: decision.clone(),
        failed,
        nanoseconds: u64::try_from(note.took.as_nanos()).unwrap_or(u64::MAX),
    }
}

fn sampled(choice: &ChoiceNote, pool: &WorkerPool) -> Option<SampledChoice> {
    let mut seen = choice.seen.iter().filter_map(|seen| candidate(seen, pool));
    Some(SampledChoice {
        attempt: choice.attempt,
        policy: choice.policy.clone(),
        because: choice.because,
        candidates: choice.candidates,
        chosen: seen.next()?,
        others: seen.collect(),
    })
}

fn candidate(seen: &SeenBackend, pool: &WorkerPool) -> Option<Candidate> {
    let endpoint = pool.topology.endpoints.get(seen.position as usize)?;
    Some(Candidate {
        backend: (&*endpoint.label).into(),
        state: seen.state.name(),
        in_flight: seen.in_flight,
        latency_microseconds: seen.latency_microseconds,
        weight: endpoint.weight,
    })
}

fn attempt(note: &AttemptNote) -> SampledAttempt {
    let ended = note.ended.as_ref();
    let error = ended.and_then(|end| end.error.as_deref());
    let took = ended.map(|end| end.at.saturating_duration_since(note.began));
    SampledAttempt {
        backend: note.name.clone(),
        status: ended.map_or(0, |end| end.status),
        outcome: error.unwrap_or("answered").into(),
        microseconds: took.map_or(0, |took| {
            u64::try_from(took.as_micros()).unwrap_or(u64::MAX)
        }),
    }
}
