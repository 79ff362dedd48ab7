//! The record of one request, for a replay: what its policies were asked and answered, and all that
//! they could know.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::slot::PolicyEntry;
use crate::config::TargetRights;
use crate::message::{Fields, RequestHead};
use crate::policy::{Attempt, Hook, LocalSource, Message, Mode, PolicyHandle, RoutePools, Tape};
use crate::recording::{
    self, Answer, Call, Fact, Held, Lineup, Loaded, Recorder, Request, Response, Role, Sampling,
    Target, Trial,
};
use crate::stats::WorkerShard;
use crate::upstream::{BackendFacts, Completion, FailedAttempt, PoolTopology};

/// The position of no backend.
const NO_BACKEND: u32 = u32::MAX;
/// Backends of a pool whose facts are recorded; those after them read as idle in a replay.
const FACTS: usize = 512;

/// The record of a request as far as it has come.
#[derive(Debug)]
pub struct RecordedRequest {
    request: Box<Request>,
    /// What it takes; `None` if that was too much, and there will be no record.
    held: Option<Held>,
    lineup: Arc<Lineup>,
    /// The request's fields as the record has them so far.
    known: Fields,
    facts: Vec<Fact>,
    next: Next,
}

/// What the call that comes is about.
#[derive(Debug, Default)]
struct Next {
    attempt: Option<u32>,
    failed: Vec<recording::FailedAttempt>,
    response: Option<(u16, u32)>,
    /// What made the response, if no backend did.
    source: Option<LocalSource>,
    /// The port and the user, in a forward proxy.
    destination: Option<recording::Destination>,
    /// What policies may edit of the target.
    rights: Option<TargetRights>,
    /// The pool, since a policy has chosen one.
    pool: Option<u32>,
    completion: Option<Completion>,
}

impl Next {
    fn failed_before(&self, hook: Hook) -> Vec<recording::FailedAttempt> {
        match hook {
            Hook::Selection | Hook::Completion => self.failed.clone(),
            _ => Vec::new(),
        }
    }

    fn response_of(&self, hook: Hook, fields: Option<&Fields>) -> Option<Response> {
        let is_seen = matches!(hook, Hook::ResponseHeaders | Hook::LocalResponse);
        let about = self.response.filter(|_| is_seen);
        about
            .zip(fields)
            .map(|(about, fields)| response(about, fields))
    }

    fn destination_of(&self, hook: Hook) -> Option<recording::Destination> {
        let destination = self.destination.as_ref();
        destination.filter(|_| hook == Hook::Destination).cloned()
    }

    fn rights_of(&self, hook: Hook) -> Option<TargetRights> {
        self.rights.filter(|_| hook == Hook::RequestTarget)
    }
}

impl RecordedRequest {
    /// Begins the record of a request for these pools, on this worker. `lineup` is that of the
    /// snapshot that decides it.
    pub fn begin(
        recorder: &Recorder,
        lineup: Arc<Lineup>,
        worker: usize,
        pools: RoutePools<'_>,
        head: &RequestHead,
    ) -> Self {
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let request = Request {
            lineup: lineup.lineup,
            time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            worker,
            method: head.method.to_string(),
            scheme: head.scheme.as_str().to_owned(),
            host: head.host.clone(),
            path: head.raw_path().to_owned(),
            query: head.query().map(str::to_owned),
            client: head.client,
            protocol: head.version.as_str().to_owned(),
            tls: head.tls.as_deref().map(Into::into),
            deadline: None,
            pool: pools.chosen,
            pools: pools.all.to_vec(),
            fields: recording::fields(&head.fields),
            calls: Vec::new(),
            status: 0,
        };
        let mut held = recorder.hold();
        let held = held.grow(request.weight()).then_some(held);
        Self {
            request: Box::new(request),
            held,
            lineup,
            known: head.fields.clone(),
            facts: Vec::new(),
            next: Next::default(),
        }
    }

    /// Hands it over, if there is anything to replay.
    pub(super) fn end(mut self, recorder: &Recorder, shard: &WorkerShard, status: u16) {
        let Some(held) = self.held else {
            shard.records_dropped.increment();
            return;
        };
        if self.request.calls.is_empty() {
            return;
        }
        self.request.status = status;
        recorder.hand_in(&self.lineup, self.request, held, shard);
    }

    /// The next calls are about this attempt.
    pub(super) fn attempt(&mut self, attempt: Attempt<'_>) {
        self.next.attempt = Some(attempt.number);
        self.next.failed = attempt.failed.iter().map(Into::into).collect();
    }

    /// The next calls are about a response with this status of this backend.
    pub(super) fn response(&mut self, status: u16, backend: u32) {
        self.next.response = Some((status, backend));
    }

    /// The next calls are about a response that no backend has made.
    pub(super) fn local_response(&mut self, status: u16, source: LocalSource) {
        self.next.response = Some((status, NO_BACKEND));
        self.next.source = Some(source);
    }

    /// The next calls are about this port of the request's host, and this user.
    pub(super) fn destination(&mut self, port: u16, user: Option<&Arc<str>>) {
        let user = user.map(|user| user.to_string());
        self.next.destination = Some(recording::Destination { port, user });
    }

    /// The next calls are about the target, of which policies may edit this.
    pub(super) fn target(&mut self, rights: TargetRights) {
        self.next.rights = Some(rights);
    }

    /// The next calls are about this pool.
    pub(super) fn routed(&mut self, pool: u32) {
        self.next.pool = Some(pool);
    }

    /// The next calls are about what became of the request.
    pub(super) fn completion(&mut self, completion: &Completion, failed: &[FailedAttempt]) {
        self.next.completion = Some(*completion);
        self.next.failed = failed.iter().map(Into::into).collect();
    }

    /// Whether calls of this policy are recorded.
    pub(super) fn wants(&self, handle: &PolicyHandle) -> bool {
        self.lineup
            .policies
            .iter()
            .any(|policy| policy.name == handle.generation().name())
    }

    /// Notes what a policy is about to be asked; the answer is still to come.
    pub(super) fn asking(
        &mut self,
        handle: &PolicyHandle,
        role: Role,
        hook: Hook,
        message: &Message<'_>,
        facts: &dyn BackendFacts,
    ) -> Call {
        let generation = handle.generation();
        let is = |this: Hook| hook == this;
        self.note_deadline(handle, message);
        Call {
            policy: generation.name().to_owned(),
            generation: generation.number(),
            role,
            hook,
            attempt: self.next.attempt.filter(|_| is(Hook::Selection)),
            failed: self.next.failed_before(hook),
            response: self.next.response_of(hook, message.response.as_deref()),
            source: self.next.source.filter(|_| is(Hook::LocalResponse)),
            destination: self.next.destination_of(hook),
            pool: self.next.pool,
            target: is(Hook::RequestTarget).then(|| Target::of(message.head)),
            may_edit: self.next.rights_of(hook).map(Into::into),
            edited_target: None,
            completion: self.next.completion.filter(|_| is(Hook::Completion)),
            pool_queue: facts.queued_in_pool(self.pool()),
            sees: self.changed_fields(message.head),
            facts: self.changed_facts(facts),
            tape: None,
            answer: Answer::Done,
            edited: None,
            nanoseconds: 0,
        }
    }

    /// The pool that the next calls are about.
    fn pool(&self) -> u32 {
        self.next.pool.unwrap_or(self.request.pool)
    }

    fn note_deadline(&mut self, handle: &PolicyHandle, message: &Message<'_>) {
        if let (Some(deadline), None) = (message.head.deadline, self.request.deadline) {
            self.request.deadline = Some(handle.generation().nanoseconds(deadline));
        }
    }

    /// Notes what came of it.
    pub(super) fn asked(
        &mut self,
        mut call: Call,
        handle: &PolicyHandle,
        answer: Answer,
        message: &Message<'_>,
    ) {
        call.answer = answer;
        call.nanoseconds = u64::try_from(handle.took().as_nanos()).unwrap_or(u64::MAX);
        // A shadow has the tape of the active generation, and what it did to the fields is
        // forgotten.
        let counts = call.role != Role::Shadow;
        call.tape = handle.tape().filter(|_| counts).map(Tape::record);
        call.edited = match (&call.response, message.response.as_deref()) {
            (Some(before), Some(now)) => {
                Some(recording::fields(now)).filter(|now| *now != before.fields)
            }
            _ if counts => self.changed_fields(message.head),
            _ => Some(&message.head.fields)
                .filter(|now| !now.iter().eq(self.known.iter()))
                .map(recording::fields),
        };
        if let Some(before) = &call.target {
            let after = Target::of(message.head);
            call.edited_target = Some(after).filter(|after| after != before);
        }
        if self
            .held
            .as_mut()
            .is_some_and(|held| held.grow(call.weight()))
        {
            self.request.calls.push(call);
        } else {
            // Half a record can't be replayed.
            self.held = None;
            self.request.calls = Vec::new();
        }
    }

    /// The request's fields, if they are not those that the record has.
    fn changed_fields(&mut self, head: &RequestHead) -> Option<Vec<recording::Field>> {
        if head.fields.iter().eq(self.known.iter()) {
            return None;
        }
        self.known = head.fields.clone();
        Some(recording::fields(&head.fields))
    }

    /// What is known of the backends, if that has changed.
    fn changed_facts(&mut self, facts: &dyn BackendFacts) -> Option<Vec<Fact>> {
        let pool = self.pool();
        let count = facts.backend_count(pool).min(FACTS as u32);
        let fact = |backend| {
            Fact(
                facts.in_flight(pool, backend),
                facts.latency_microseconds(pool, backend),
                facts.healthy(pool, backend),
                facts.consecutive_failures(pool, backend),
                Some(facts.state(pool, backend)),
                facts.in_flight_of_all(pool, backend),
                facts.queued(pool, backend),
            )
        };
        let now: Vec<Fact> = (0..count).map(fact).collect();
        if now == self.facts {
            return None;
        }
        self.facts.clone_from(&now);
        Some(now)
    }
}

fn response((status, backend): (u16, u32), fields: &Fields) -> Response {
    Response {
        status,
        backend,
        fields: recording::fields(fields),
    }
}

/// What is the same in all records of one snapshot.
pub fn lineup(
    sampling: &Sampling,
    version: u64,
    pools: &[Arc<PoolTopology>],
    entries: &[PolicyEntry],
) -> Lineup {
    let pools = pools.iter().map(|pool| recorded_pool(pool));
    let named = sampling.lineup().policies.iter();
    let policies = named.filter_map(|policy| {
        let found = entries.iter().find(|entry| *entry.name == *policy.name)?;
        Some(recorded_policy(found, policy))
    });
    Lineup {
        lineup: version,
        pools: pools.collect(),
        policies: policies.collect(),
        ..sampling.lineup().clone()
    }
}

fn recorded_pool(pool: &PoolTopology) -> recording::Pool {
    let backends = pool.endpoints.iter().map(|b| recording::Backend {
        address: b.address.to_string(),
        weight: b.weight,
        labels: b.labels.clone(),
    });
    recording::Pool {
        id: pool.id.number(),
        name: pool.name.clone(),
        backends: backends.collect(),
    }
}

fn recorded_policy(entry: &PolicyEntry, policy: &recording::Policy) -> recording::Policy {
    let active = entry.active.as_ref().ok().map(|generation| Loaded {
        generation: generation.number(),
        digest: generation.digest().to_owned(),
    });
    let trial = entry.trial.as_ref().map(|trial| Trial {
        role: match trial.mode {
            Mode::Shadow => Role::Shadow,
            Mode::Canary(_) => Role::Canary,
        },
        generation: trial.generation.number(),
        digest: trial.generation.digest().to_owned(),
    });
    recording::Policy {
        active,
        trial,
        ..policy.clone()
    }
}
