//! A policy that is loaded, and asked about requests.

use std::cell::{RefCell, RefMut};
use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use super::decisions::{Decisions, Question, Response};
use super::facts::GivenFacts;
use super::script::{Notes, Scripted};
use crate::decision::{
    ChainRoute, Environment, HookFacts, PolicyChain, PolicySlot, RequestPolicyState, Stop,
    WorkerPolicies, ask_hook, may_ask_for_range,
};
use crate::message::{Fields, RequestHead};
use crate::policy::{
    Attempt, Hook, LocalSource, LogLine, Message, PolicyHandle, PolicyId, PolicyIds, Reply, Script,
    Store,
};
use crate::stats::{PolicyShard, PolicyStats};
use crate::upstream::Completion;

/// The port of a destination that names none, when one hook is measured.
pub(super) const HTTPS: u16 = 443;

/// A policy that can be asked.
pub(super) struct Host {
    handle: Rc<RefCell<PolicyHandle>>,
    /// The policy alone, as a route has it.
    policies: WorkerPolicies,
    policy: PolicyId,
    facts: Arc<GivenFacts>,
    stats: Arc<PolicyStats>,
    clock: Option<Arc<AtomicU64>>,
    store: Arc<Store>,
    heard_at_setup: Vec<LogLine>,
}

impl Host {
    /// Of a policy with this handle. `clock` is what its store follows, if that is not the time.
    pub(super) fn new(
        handle: PolicyHandle,
        facts: Arc<GivenFacts>,
        stats: Arc<PolicyStats>,
        clock: Option<Arc<AtomicU64>>,
    ) -> Self {
        let generation = Arc::clone(handle.generation());
        let handle = Rc::new(RefCell::new(handle));
        let shard = Arc::clone(&stats.shards[0]);
        let policy = PolicyIds::default().id(generation.name());
        let slot = PolicySlot::of_one(policy, Rc::clone(&handle), shard);
        Self {
            handle,
            policies: WorkerPolicies::from_slots([slot]),
            policy,
            facts,
            stats,
            clock,
            store: Arc::clone(generation.store()),
            heard_at_setup: generation.heard_at_setup().to_vec(),
        }
    }

    /// Asks all hooks that there are, as the proxy does; an answer for the client ends it.
    pub(super) fn ask(&mut self, question: Question) -> Decisions {
        let Question {
            mut head,
            pool,
            ways,
            attempt,
            failed,
            mut response,
            completion,
            left,
            script,
        } = question;
        self.set_time_of(&script);
        head.deadline = self.deadline(left, &script);
        let attempt = Attempt {
            number: attempt.max(1),
            failed: &failed,
        };
        let (notes, state) = (Notes::new(script), RequestPolicyState::default());
        let chain = PolicyChain {
            route: ChainRoute {
                number: 0,
                pools: ways.from(pool),
                rights: ways.rights,
                policies: &[self.policy],
            },
            policies: &self.policies,
            state: &state,
            environment: Scripted::new(&notes, &self.facts),
        };
        chain.begin(&head);
        // The notes contain what was decided.
        let selected = match &ways.destination {
            Some((port, user)) => {
                let decided = chain.decide(&mut head, (*port, user.as_ref()));
                decided.map(|_| None)
            }
            None => decide(chain, &mut head, attempt, response.as_mut()),
        };
        // In a forward proxy no other hook is called.
        if let Err(Stop::Reply { reply, .. }) = &selected
            && ways.destination.is_none()
        {
            let fields = edited_answer(chain, &mut head, reply);
            notes.borrow_mut().decisions.answer_fields = Some(fields);
        }
        chain.end();
        if let Some(mut completion) = completion.filter(|_| ways.destination.is_none()) {
            completion.backend = completion.backend.or(selected.ok().flatten());
            chain.complete(&mut head, &completion, &failed);
        }
        concluded(notes, head, response)
    }

    /// Asks one hook, if the proxy would ask it about this.
    pub(super) fn ask_one(&mut self, hook: Hook, question: Question) -> Decisions {
        let Question {
            mut head,
            pool,
            ways,
            attempt,
            failed,
            mut response,
            completion,
            left,
            script,
        } = question;
        self.set_time_of(&script);
        head.deadline = self.deadline(left, &script);
        let (status, backend) = response
            .as_ref()
            .map_or((0, 0), |r| (r.status, r.backend.unwrap_or(0)));
        let destination = ways.destination.as_ref();
        let facts = HookFacts {
            pools: ways.from(pool),
            rights: ways.rights,
            attempt: Attempt {
                number: attempt.max(1),
                failed: &failed,
            },
            status,
            backend,
            source: LocalSource::Proxy,
            port: destination.map_or(HTTPS, |(port, _)| *port),
            user: destination.and_then(|(_, user)| user.as_ref()),
            completion: &completion.unwrap_or_else(|| usual(status, backend)),
        };
        let notes = Notes::new(script);
        let has_range = head.fields.contains("range");
        if hook != Hook::Range || may_ask_for_range(&head, has_range) {
            let caller = Scripted::new(&notes, &self.facts);
            let mut message = Message {
                head: &mut head,
                response: response.as_mut().map(|response| &mut response.fields),
            };
            // A fault is among the notes.
            let _ = ask_hook(caller, &mut self.handle(), hook, facts, &mut message);
        }
        concluded(notes, head, response)
    }

    /// The handle, to be asked without a script.
    pub(super) fn handle(&self) -> RefMut<'_, PolicyHandle> {
        self.handle.borrow_mut()
    }

    /// The policy's facts about its backends.
    pub(super) fn facts(&self) -> &GivenFacts {
        &self.facts
    }

    /// The policy's store.
    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    /// Sets the time of the store, in nanoseconds, if it does not follow the real one: as
    /// [`Script::monotonic`] does with each question.
    pub(super) fn set_time(&self, nanoseconds: u64) {
        if let Some(clock) = &self.clock {
            clock.store(nanoseconds, Relaxed);
        }
    }

    fn set_time_of(&self, script: &Script) {
        if let Some(now) = script.monotonic {
            self.set_time(now);
        }
    }

    /// The moment until which the client waits, by the clock of the script or, without one, by the
    /// real one.
    fn deadline(&self, left: Option<u64>, script: &Script) -> Option<Instant> {
        let left = Duration::from_nanos(left?);
        match script.monotonic {
            Some(now) => self.handle().generation().moment(now)?.checked_add(left),
            None => Instant::now().checked_add(left),
        }
    }

    /// The policy's log lines during setup, if a script was given for that.
    pub(super) fn heard_at_setup(&self) -> &[LogLine] {
        &self.heard_at_setup
    }

    /// The policy's own counters, by name.
    pub(super) fn counters(&self) -> BTreeMap<String, u64> {
        let names = self
            .stats
            .counter_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let sum = |at: usize| {
            self.stats
                .shards
                .iter()
                .map(|s| s.counters.0[at].value())
                .sum()
        };
        names
            .iter()
            .enumerate()
            .map(|(at, name)| (name.clone(), sum(at)))
            .collect()
    }

    /// The policy's statistics.
    pub(super) fn shard(&self) -> &PolicyShard {
        &self.stats.shards[0]
    }
}

/// Has the chain decide about a request and, if there is one, its response. Returns the backend
/// that was selected.
fn decide<E: Environment>(
    chain: PolicyChain<'_, E>,
    head: &mut RequestHead,
    attempt: Attempt<'_>,
    response: Option<&mut Response>,
) -> Result<Option<u32>, Stop> {
    let has_range = head.fields.contains("range");
    chain.prepare(head, has_range)?;
    let mut chain = chain;
    if let Some(position) = chain.route(head)? {
        let pools = &mut chain.route.pools;
        pools.chosen = pools.all[position as usize];
    }
    let selected = match chain.select(head, attempt) {
        // The response hook can still be called.
        Err(Stop::NoBackend) => None,
        selected => Some(selected?),
    };
    let Some(response) = response else {
        return Ok(selected);
    };
    if response.is_local {
        let about = (response.status, LocalSource::Proxy);
        chain.edit_local_response(head, about, &mut response.fields);
    } else {
        let backend = response.backend.or(selected).unwrap_or(0);
        chain.edit_response(head, response.status, backend, &mut response.fields)?;
    }
    Ok(selected)
}

/// The fields of a policy's own answer, as the policy then edits them.
fn edited_answer<E: Environment>(
    chain: PolicyChain<'_, E>,
    head: &mut RequestHead,
    reply: &Reply,
) -> Fields {
    let mut fields = Fields::new();
    for (name, value) in &reply.headers {
        fields.append(name.as_bytes(), value);
    }
    chain.edit_local_response(head, (reply.status, LocalSource::Policy), &mut fields);
    fields
}

/// What became of a request to which this backend has given a response with this status.
pub(super) fn usual(status: u16, backend: u32) -> Completion {
    Completion {
        backend: Some(backend),
        status: Some(status),
        attempts: 1,
        first_byte_microseconds: Some(1_000),
        latency_microseconds: Some(1_000),
        duration_microseconds: 1_000,
        ..Completion::default()
    }
}

fn concluded(notes: RefCell<Notes>, head: RequestHead, response: Option<Response>) -> Decisions {
    let Notes { script, decisions } = notes.into_inner();
    Decisions {
        head,
        response_fields: response.unwrap_or_default().fields,
        draws_left: script.draws.len(),
        ..decisions
    }
}
