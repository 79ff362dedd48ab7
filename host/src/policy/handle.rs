//! A worker's side of a policy: its instance, and the questions.

mod charges;
mod completed;
mod edits;
mod lists;
mod routing;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use wasmtime::Store;

use super::answer::{Attempt, Fault, FaultKind, RangeVerdict, RoutePools, Selected};
use super::contract::{Exports, Hooks};
use super::deadline::{Allowance, thread_time};
use super::generation::Generation;
use super::hook::Hook;
use super::instance::{Instance, request_handle};
use super::lists::Lists;
use super::state::State;
use super::suspension::Breaker;
use super::tape::Tape;
use super::verdict;
use crate::config::Isolation;
use crate::message::{Fields, RequestHead};
use crate::stats::{PolicyShard, Selections};
use crate::upstream::BackendFacts;

/// One worker's handle of one generation of a policy. A call runs inline to its end or to its
/// deadline.
///
/// A hook that the policy does not export answers as if the policy had no opinion.
pub struct PolicyHandle {
    generation: Arc<Generation>,
    worker: usize,
    facts: Arc<dyn BackendFacts>,
    /// The lists that its instance has received.
    lists: Arc<Lists>,
    shard: Arc<PolicyShard>,
    /// Where its selections are counted, for the present lists.
    selections: Arc<Selections>,
    instance: Option<Box<Instance>>,
    /// For each call.
    deadline: Allowance,
    /// The cost of faults, and the client to charge; `None` charges no client.
    breaker: Option<Breaker>,
    /// Calls whose thread time is still to be measured, because one took long.
    watched: u32,
    /// For the next call, and back from the last.
    tape: Option<Box<Tape>>,
    /// The time of the last call.
    took: Duration,
    /// The instructions of the last call, if the engine counts them.
    fuel: Option<u64>,
    /// The value that it wrote into the shard's `suspended_until`, where a handle of another
    /// generation writes as well.
    suspended_until: u64,
    /// Requests that have begun and not ended; counted only with `isolation = "request"`.
    open: u32,
}

impl PolicyHandle {
    /// Takes the worker's warm instance. `shard` holds the policy's counters here: the name's shard
    /// of this worker, or that of a trial.
    pub fn adopt(
        generation: Arc<Generation>,
        worker: usize,
        facts: Arc<dyn BackendFacts>,
        shard: Arc<PolicyShard>,
    ) -> Self {
        let lists = generation.lists();
        let mut handle = Self {
            deadline: generation.deadline,
            fuel: generation.counts_fuel().then_some(0),
            selections: shard.decisions.follow(lists.decided()),
            lists,
            generation,
            worker,
            facts,
            shard,
            instance: None,
            breaker: None,
            watched: 0,
            tape: None,
            took: Duration::ZERO,
            suspended_until: 0,
            open: 0,
        };
        handle.breaker = Some(Breaker::new(handle.deadline.thread_time()));
        // A new generation has not failed yet.
        handle.shard.suspended_until.set(0);
        if handle.generation.isolation() == Isolation::Worker {
            // If there is none now, the first call tries again and reports why.
            handle.instance = handle.take_instance().ok();
        }
        handle
    }

    /// The same with at most this deadline.
    pub fn with_deadline_of_at_most(mut self, most: Duration) -> Self {
        self.deadline = self.deadline.at_most(most);
        self
    }

    /// The same for a policy that runs offline: every call is made, even after expensive ones.
    pub fn without_breaker(mut self) -> Self {
        self.breaker = None;
        self
    }

    /// The hooks that there are.
    pub fn hooks(&self) -> Hooks {
        self.generation.hooks()
    }

    /// The generation.
    pub fn generation(&self) -> &Arc<Generation> {
        &self.generation
    }

    /// This worker's counters of the policy.
    pub fn shard(&self) -> &PolicyShard {
        &self.shard
    }

    /// The next call draws and reads the time from this tape.
    pub fn insert_tape(&mut self, tape: Box<Tape>) {
        self.tape = Some(tape);
        self.took = Duration::ZERO;
    }

    /// The tape that the last call left, for the same call of another generation.
    pub fn eject_tape(&mut self) -> Option<Box<Tape>> {
        self.tape.take()
    }

    /// The tape of the next call, or of the last one.
    pub fn tape(&self) -> Option<&Tape> {
        self.tape.as_deref()
    }

    /// The time of the last call; zero if none was made.
    pub fn took(&self) -> Duration {
        self.took
    }

    /// Whether the last call took longer than its deadline, whether it answered or not.
    pub fn was_late(&self) -> bool {
        self.took > self.deadline.thread_time()
    }

    /// The cost of the last call in units of fuel, which is about the number of WebAssembly
    /// instructions and the same on every machine; `None` if the engine does not count.
    pub fn fuel(&self) -> Option<u64> {
        self.fuel
    }

    /// A request begins. With `isolation = "request"` no instance serves two requests: while this
    /// is the only one under way its hooks share an instance, otherwise each call gets a fresh one.
    pub fn begin_request(&mut self) {
        if self.generation.isolation() == Isolation::Request {
            self.open += 1;
            self.let_go();
        }
    }

    /// A request that began has ended.
    pub fn end_request(&mut self) {
        if self.generation.isolation() == Isolation::Request {
            self.open = self.open.saturating_sub(1);
            self.let_go();
        }
    }

    /// Which backend of the pool takes this request?
    pub fn select<'p>(
        &mut self,
        request: &mut RequestHead,
        pools: impl Into<RoutePools<'p>>,
        attempt: Attempt<'_>,
    ) -> Result<Selected, Fault> {
        if !self.hooks().selection {
            return Ok(Selected::NoChoice);
        }
        let pools = pools.into();
        let pool = pools.chosen;
        let backends = self.facts.backend_count(pool);
        self.call(Hook::Selection, request, None, pools, |exports, store| {
            let Some(select) = &exports.select else {
                return Ok(Selected::NoChoice);
            };
            if !attempt.failed.is_empty() {
                store
                    .data_mut()
                    .context
                    .failed
                    .extend_from_slice(attempt.failed);
            }
            let (answer,) = select.call(store, (request_handle(), pool, attempt.number))?;
            Ok(verdict::selected(answer, backends)?)
        })
        .inspect(|selected| {
            if let Selected::Backend(backend) = selected {
                self.selections.count(pool, *backend);
            }
        })
    }

    /// Which ranges does the request ask for?
    pub fn check_range<'p>(
        &mut self,
        request: &mut RequestHead,
        pools: impl Into<RoutePools<'p>>,
    ) -> Result<RangeVerdict, Fault> {
        if !self.hooks().range {
            return Ok(RangeVerdict::Untouched);
        }
        self.call(
            Hook::Range,
            request,
            None,
            pools.into(),
            |exports, store| {
                let Some(check) = &exports.check else {
                    return Ok(RangeVerdict::Untouched);
                };
                let (answer,) = check.call(store, (request_handle(),))?;
                Ok(verdict::ranges(answer)?)
            },
        )
    }

    /// Moves the message into the instance, calls it, and moves the message back in any case.
    fn call<A>(
        &mut self,
        hook: Hook,
        request: &mut RequestHead,
        mut response: Option<&mut Fields>,
        pools: RoutePools<'_>,
        ask: impl FnOnce(&Exports, &mut Store<State>) -> wasmtime::Result<A>,
    ) -> Result<A, Fault> {
        self.took = Duration::ZERO;
        if let Some(breaker) = &mut self.breaker
            && breaker.is_armed()
            && let Some(refused) = breaker.refuses(hook.index(), charged(hook, request.client))
        {
            return Err(self.left_alone(refused));
        }
        let mut instance = self.take_instance().inspect_err(|fault| {
            // Waiting for an instance is not another failure: the fault that cost the last one was
            // counted.
            if fault.kind != FaultKind::Rebuilding {
                self.shard.unbuilt.increment();
            }
        })?;
        let Instance { store, exports, .. } = &mut *instance;
        if let Some(tape) = self.tape.take() {
            store.data_mut().insert(tape);
        }
        store.data_mut().asked.begin(hook);
        let State {
            context, deadline, ..
        } = store.data_mut();
        context.begin(request, response.as_deref_mut(), pools);
        deadline.begin(self.deadline);
        store.set_epoch_deadline(self.deadline.ticks);

        if self.fuel.is_some() {
            // Can't fail: the engine counts.
            let _ = store.set_fuel(u64::MAX);
        }

        let used = (self.watched > 0).then(thread_time).flatten();
        let start = Instant::now();
        let answer = ask(exports, store);
        self.took = start.elapsed();
        self.shard.hook_nanoseconds[hook.index()].record(self.took.as_nanos() as u64);

        if self.fuel.is_some() {
            self.fuel = store.get_fuel().ok().map(|left| u64::MAX - left);
        }
        let state = store.data_mut();
        state.context.end(request, response, answer.is_ok());
        self.tape = state.eject();
        match answer {
            Ok(answer) => {
                if self.watched > 0 || self.took > self.deadline.thread_time() {
                    self.watch(hook, request.client, used);
                }
                // With an instance per request it may be kept if no other request can be the next
                // to ask.
                if self.generation.isolation() == Isolation::Worker || self.open == 1 {
                    self.instance = Some(instance);
                }
                Ok(answer)
            }
            Err(error) => Err(self.discard(hook, request.client, (&error, start), instance)),
        }
    }

    /// The instance to ask, with this worker's facts and counters.
    fn take_instance(&mut self) -> Result<Box<Instance>, Fault> {
        if let Some(instance) = self.instance.take() {
            return Ok(instance);
        }
        let generation = &self.generation;
        let mut instance = generation.instance(self.worker, &self.lists, &self.shard)?;
        instance.store.data_mut().adopt(&self.facts, &self.shard);
        self.told(instance)
    }

    /// Has no instance any more.
    fn let_go(&mut self) {
        if let Some(instance) = self.instance.take() {
            self.generation.let_go(instance);
        }
    }
}

/// The client whose call it is. What a policy does with a request that is over is its own doing: no
/// client pays for it, nor is a client that is paused left out.
fn charged(hook: Hook, client: IpAddr) -> Option<IpAddr> {
    (hook != Hook::Completion).then_some(client)
}

impl Drop for PolicyHandle {
    fn drop(&mut self) {
        self.let_go();
        // The shard of a name outlives its generations.
        self.show_suspended_until(0);
    }
}

impl std::fmt::Debug for PolicyHandle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PolicyHandle")
            .field("generation", &self.generation)
            .field("worker", &self.worker)
            .finish_non_exhaustive()
    }
}
