//! What somebody wants to know of one request: its trace, for who sent it, and its record, for a
//! replay.

use std::cell::{OnceCell, RefCell};
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use super::snapshot::{Snapshot, View};
use super::trace::Trace;
use super::worker::Worker;
use crate::message::{Fields, RequestHead};
use crate::policy::{Hook, Message, Mode, Seat, Tape};
use crate::recording::{
    self, Answer, Call, Fact, Held, Lineup, Loaded, Recorder, Request, Response, Role, Trial,
};
use crate::route::Rule;
use crate::upstream::{BackendFacts, FailedAttempt};

/// Backends of a pool whose facts are recorded; those after them read as idle in a replay.
const FACTS: usize = 512;

/// What is noted of one request.
#[derive(Debug, Default)]
pub struct Watch {
    /// For who sent it.
    pub trace: Option<RefCell<Trace>>,
    /// For a replay.
    pub record: Option<RefCell<Record>>,
}

/// The record of a request as far as it has come.
#[derive(Debug)]
pub struct Record {
    request: Box<Request>,
    /// What it takes; `None` if that was too much, and there will be no record.
    held: Option<Held>,
    lineup: Arc<Lineup>,
    /// The request's fields, as far as the record tells them.
    told: Fields,
    facts: Vec<Fact>,
    /// Of the call that comes.
    attempt: Option<u32>,
    failed: Vec<recording::FailedAttempt>,
    response: Option<(u16, u32)>,
}

impl Record {
    /// Begins a record, if this request is one of those that are recorded.
    pub fn begin(
        recorder: &Recorder,
        worker: &Worker,
        view: &View,
        rule: &Rule,
        head: &RequestHead,
    ) -> Option<Self> {
        use rand::Rng;
        let taken = recorder.takes(worker.rng.borrow_mut().next_u32());
        if !taken || !rule.policies.iter().any(|policy| recorder.wants(*policy)) {
            return None;
        }
        let lineup = Arc::clone(
            view.lineup
                .get_or_init(|| Arc::new(lineup(recorder, &view.snapshot))),
        );
        let now = SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap_or_default();
        let request = Request {
            lineup: lineup.lineup,
            time: u64::try_from(now.as_millis()).unwrap_or(u64::MAX),
            worker: worker.index,
            method: head.method.to_string(),
            scheme: head.scheme.as_str().to_owned(),
            host: head.host.clone(),
            path: head.raw_path().to_owned(),
            query: head.query().map(str::to_owned),
            client: head.client,
            pool: rule.pool.number(),
            fields: recording::fields(&head.fields),
            calls: Vec::new(),
            status: 0,
        };
        let mut held = recorder.hold();
        let held = held.grow(request.weight()).then_some(held);
        Some(Self {
            request: Box::new(request),
            held,
            lineup,
            told: head.fields.clone(),
            facts: Vec::new(),
            attempt: None,
            failed: Vec::new(),
            response: None,
        })
    }

    /// Hands it over, if there is anything to replay.
    pub fn end(mut self, recorder: &Recorder, worker: &Worker, status: u16) {
        let Some(held) = self.held else {
            worker.shard.records_dropped.increment();
            return;
        };
        if self.request.calls.is_empty() {
            return;
        }
        self.request.status = status;
        recorder.hand_in(&self.lineup, self.request, held, &worker.shard);
    }

    /// The next calls are about this attempt.
    pub fn attempt(&mut self, number: u32, failed: &[FailedAttempt]) {
        self.attempt = Some(number);
        self.failed = failed.iter().map(Into::into).collect();
    }

    /// The next calls are about a response with this status of this backend.
    pub fn response(&mut self, status: u16, backend: u32) {
        self.response = Some((status, backend));
    }

    /// Whether calls of this policy are recorded.
    pub fn wants(&self, seat: &Seat) -> bool {
        self.lineup
            .policies
            .iter()
            .any(|policy| policy.name == seat.generation().name())
    }

    /// Notes what a policy is about to be asked; the answer is still to come.
    pub fn asking(
        &mut self,
        seat: &Seat,
        role: Role,
        hook: Hook,
        message: &Message<'_>,
        facts: &dyn BackendFacts,
    ) -> Call {
        let generation = seat.generation();
        let is = |this: Hook| hook == this;
        Call {
            policy: generation.name().to_owned(),
            generation: generation.number(),
            role,
            hook,
            attempt: self.attempt.filter(|_| is(Hook::Selection)),
            failed: if is(Hook::Selection) {
                self.failed.clone()
            } else {
                Vec::new()
            },
            response: self
                .response
                .zip(message.response.as_deref())
                .filter(|_| is(Hook::ResponseHeaders))
                .map(|((status, backend), fields)| Response {
                    status,
                    backend,
                    fields: recording::fields(fields),
                }),
            sees: self.tell(message.head),
            facts: self.news(facts),
            tape: None,
            answer: Answer::Done,
            edited: None,
            nanoseconds: 0,
        }
    }

    /// Notes what came of it.
    pub fn asked(&mut self, mut call: Call, seat: &Seat, answer: Answer, message: &Message<'_>) {
        call.answer = answer;
        call.nanoseconds = u64::try_from(seat.took().as_nanos()).unwrap_or(u64::MAX);
        // A shadow has the tape of the active generation, and what it did to the fields is
        // forgotten.
        let counts = call.role != Role::Shadow;
        call.tape = seat.tape().filter(|_| counts).map(Tape::record);
        call.edited = match (&call.response, message.response.as_deref()) {
            (Some(before), Some(now)) => {
                Some(recording::fields(now)).filter(|now| *now != before.fields)
            }
            _ if counts => self.tell(message.head),
            _ => Some(&message.head.fields)
                .filter(|now| !now.iter().eq(self.told.iter()))
                .map(recording::fields),
        };
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

    /// The request's fields, if they are not those that the record tells.
    fn tell(&mut self, head: &RequestHead) -> Option<Vec<recording::Field>> {
        if head.fields.iter().eq(self.told.iter()) {
            return None;
        }
        self.told = head.fields.clone();
        Some(recording::fields(&head.fields))
    }

    /// What is known of the backends, if that has changed.
    fn news(&mut self, facts: &dyn BackendFacts) -> Option<Vec<Fact>> {
        let pool = self.request.pool;
        let count = facts.backend_count(pool).min(FACTS as u32);
        let fact = |backend| {
            Fact(
                facts.in_flight(pool, backend),
                facts.latency_microseconds(pool, backend),
                facts.healthy(pool, backend),
                facts.consecutive_failures(pool, backend),
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

/// Made once for each view, and only if a request is recorded on it.
pub type LineupOnce = OnceCell<Arc<Lineup>>;

fn lineup(recorder: &Recorder, snapshot: &Snapshot) -> Lineup {
    let pools = snapshot.pools.iter().map(|pool| recording::Pool {
        id: pool.id.number(),
        name: pool.name.clone(),
        backends: pool
            .endpoints
            .iter()
            .map(|b| recording::Backend {
                address: b.address.to_string(),
                weight: b.weight,
                labels: b.labels.clone(),
            })
            .collect(),
    });
    let named = recorder.lineup().policies.iter();
    let policies = named.filter_map(|policy| {
        let found = snapshot
            .policies
            .iter()
            .find(|lineup| *lineup.name == *policy.name)?;
        let active = found.active.as_ref().ok();
        let trial = found.trial.as_ref().map(|trial| Trial {
            role: match trial.mode {
                Mode::Shadow => Role::Shadow,
                Mode::Canary(_) => Role::Canary,
            },
            generation: trial.generation.number(),
            digest: trial.generation.digest().to_owned(),
        });
        let active = active.map(|g| Loaded {
            generation: g.number(),
            digest: g.digest().to_owned(),
        });
        Some(recording::Policy {
            active,
            trial,
            ..policy.clone()
        })
    });
    let policies = policies.collect();
    Lineup {
        lineup: snapshot.version,
        pools: pools.collect(),
        policies,
        ..recorder.lineup().clone()
    }
}
