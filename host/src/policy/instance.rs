//! One instance: built from its spec, and what its failures mean.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, TryLockError};
use std::time::{Duration, Instant};

use wasmtime::component::Resource;
use wasmtime::{PoolConcurrencyLimitError, Store, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;

use super::answer::{Fault, FaultKind};
use super::component::Compiled;
use super::contract::Exports;
use super::deadline::Allowance;
use super::error::Refusal;
use super::lines::{LogLine, one_line, sentence};
use super::lists::Lists;
use super::names::guest_functions;
use super::resources::{Headers, Request, Target};
use super::state::{Limits, State};
use super::store::Store as SharedStore;
use super::tape::{Script, Tape};
use super::ticker::Alarm;
use super::verdict::InvalidAnswer;
use super::wasi_context::Wasi;
use crate::stats::{PolicyShard, PolicyStats};

/// The most bytes that the host copies for a guest in one call: the largest valid response (a body
/// of 64 KiB and 64 fields of 8 KiB) and some more, so that one a little too large is an invalid
/// answer and not a trap.
const HOSTCALL_FUEL: usize = 1024 * 1024;
/// Handles that a guest may hold at once, its own resources included: they live in the host's
/// memory.
const MAX_HANDLES: usize = 4096;

/// Of the runtime's words where the system has no addresses for a memory.
const NO_ADDRESSES: &str = "mmap failed to reserve";

/// An instance of a policy.
pub(super) struct Instance {
    /// Its memory and its data.
    pub store: Store<State>,
    /// Its hooks.
    pub exports: Exports,
    /// The lists that it knows.
    pub told: Arc<Lists>,
    /// How long it took to receive all of them.
    pub telling: Duration,
}

/// All that is needed to build an instance of one generation.
pub(super) struct InstanceSpec {
    pub policy: Arc<str>,
    pub compiled: Arc<Compiled>,
    pub memory: u64,
    pub settings: Arc<str>,
    /// The lists for instances that are built beside the workers.
    pub lists: Mutex<Arc<Lists>>,
    pub stats: Arc<PolicyStats>,
    /// What its instances share on all workers.
    pub store: Arc<SharedStore>,
    /// What building may take off the workers.
    pub setup: Duration,
    /// Whether its instances must not change the store while they are set up: it is a shadow.
    pub dry: AtomicBool,
    /// The scripted draws and readings while its instances are set up, the same for each.
    pub script: Option<Script>,
    /// The log lines of the first of these instances meanwhile.
    pub heard: OnceLock<Vec<LogLine>>,
    /// Whether its engine counts instructions.
    pub fuel: bool,
    /// Where the guests' monotonic clock counts from.
    pub epoch: Instant,
    /// Rings when the time of a call is over.
    pub alarm: Arc<Alarm>,
}

impl InstanceSpec {
    /// Held while an instance is built off the workers.
    pub(super) fn setting_up(&self) -> MutexGuard<'_, ()> {
        self.stats
            .setting_up
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// The same without waiting for another.
    pub(super) fn try_setting_up(&self) -> Option<MutexGuard<'_, ()>> {
        match self.stats.setting_up.try_lock() {
            Ok(guard) => Some(guard),
            Err(TryLockError::Poisoned(poisoned)) => Some(poisoned.into_inner()),
            Err(TryLockError::WouldBlock) => None,
        }
    }

    /// The lists that instances receive now.
    pub(super) fn lists(&self) -> Arc<Lists> {
        Arc::clone(&self.lists.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Instantiates, configures and passes the lists, all within this time.
    pub(super) fn build(
        &self,
        lists: &Arc<Lists>,
        shard: &Arc<PolicyShard>,
        time: Allowance,
    ) -> Result<Box<Instance>, BuildError> {
        let script = self
            .script
            .as_ref()
            .map(|script| Tape::scripted(script.clone()).keeping_lines());
        let tape = if self.dry.load(Ordering::Relaxed) {
            Some(Tape::new(rand::random()).replay())
        } else {
            script
        };
        let mut instance = self.build_with(lists, tape, shard, time)?;
        if let Some(mut tape) = instance.store.data_mut().eject() {
            self.heard.get_or_init(|| tape.take_lines());
        }
        shard.instances_built.increment();
        Ok(instance)
    }

    /// The same, only to measure the time: nothing else sees its effects.
    pub(super) fn rehearse(&self, time: Allowance) -> Result<(), BuildError> {
        let script = self.script.clone().unwrap_or_else(|| Script {
            seed: rand::random(),
            ..Script::default()
        });
        let tape = Tape::scripted(script).replay().silent();
        self.build_with(&self.lists(), Some(tape), &Arc::default(), time)
            .map(drop)
    }

    fn build_with(
        &self,
        lists: &Arc<Lists>,
        tape: Option<Tape>,
        shard: &Arc<PolicyShard>,
        time: Allowance,
    ) -> Result<Box<Instance>, BuildError> {
        let begun = Instant::now();
        let limits = Limits::new(self.memory, self.compiled.facts.beside_memory);
        let mut state = State::new(
            &self.policy,
            limits,
            &self.stats,
            shard,
            &self.store,
            self.epoch,
        );
        if self.compiled.wasi {
            state.wasi = Some(Box::new(Wasi::new(&state.lines, self.epoch)));
        }
        let mut store = Store::new(self.compiled.pre.engine(), state);
        if self.fuel {
            // As much as there is: it is a measure here and no limit.
            store.set_fuel(u64::MAX).map_err(|e| BuildError {
                step: "instantiation",
                cause: Cause::Failed(e),
                denied: None,
                last_words: String::new(),
            })?;
        }
        store.limiter(|state| &mut state.limits);
        store.set_hostcall_fuel(HOSTCALL_FUEL);
        store.set_max_component_handles(MAX_HANDLES);
        let alarm = Arc::clone(&self.alarm);
        store.epoch_deadline_callback(move |mut store| {
            Ok(store.data_mut().deadline.reached(&alarm))
        });
        store.data_mut().deadline.begin(time);
        store.set_epoch_deadline(time.ticks);
        if let Some(tape) = tape {
            store.data_mut().insert(Box::new(tape));
        }
        let (exports, telling) = match self.set_up(lists, &mut store) {
            Ok(set_up) => set_up,
            Err((step, cause)) => {
                let state = store.data();
                return Err(BuildError {
                    step,
                    cause,
                    denied: state.limits.denied,
                    last_words: last_words(state, begun),
                });
            }
        };
        Ok(Box::new(Instance {
            store,
            exports,
            told: Arc::clone(lists),
            telling,
        }))
    }

    fn set_up(
        &self,
        lists: &Lists,
        store: &mut Store<State>,
    ) -> Result<(Exports, Duration), (&'static str, Cause)> {
        let failed = |step| move |e| (step, Cause::Failed(e));
        let instance = self
            .compiled
            .pre
            .instantiate(&mut *store)
            .map_err(failed("instantiation"))?;
        let exports = self
            .compiled
            .exports
            .resolve(store, &instance)
            .map_err(failed("instantiation"))?;
        if let Some(configure) = &exports.configure {
            let settings = (Arc::clone(&self.settings),);
            let (answer,) = configure
                .call(&mut *store, settings)
                .map_err(failed("configure"))?;
            answer.map_err(|message| ("configure", Cause::Refused(one_line(&message))))?;
        }
        let began = Instant::now();
        lists
            .tell(None, &exports, store)
            .map_err(failed("backends-changed"))?;
        Ok((exports, began.elapsed()))
    }
}

/// The handle that hooks get for the request: there is one, so any number does.
pub(super) fn request_handle() -> Resource<Request> {
    Resource::new_borrow(0)
}

/// The handle that hooks get for the header fields.
pub(super) fn headers_handle() -> Resource<Headers> {
    Resource::new_borrow(0)
}

/// The handle that hooks get for what the backend is asked for.
pub(super) fn target_handle() -> Resource<Target> {
    Resource::new_borrow(0)
}

/// An instance that could not be built.
pub(super) struct BuildError {
    step: &'static str,
    cause: Cause,
    denied: Option<u64>,
    /// What the guest wrote meanwhile that may explain it, for the end of a message.
    last_words: String,
}

enum Cause {
    /// `configure` said no.
    Refused(String),
    /// Trapped, out of time, or the host has no room.
    Failed(wasmtime::Error),
}

impl BuildError {
    /// Why a policy with this memory limit and this time is not loaded.
    pub(super) fn into_refusal(self, limit: u64, seconds: u64) -> Refusal {
        let error = match self.cause {
            Cause::Refused(message) => return Refusal::Configure(message),
            Cause::Failed(error) => error,
        };
        if error.is::<PoolConcurrencyLimitError>() {
            return Refusal::Full(sentence(format_args!("{error:#}")));
        }
        if format!("{error:#}").contains(NO_ADDRESSES) {
            return Refusal::Full(
                "the process gets too little address space: each memory of an instance reserves 4 \
                 GiB of addresses and uses few of them; raise `ulimit -v`"
                    .to_owned(),
            );
        }
        let (kind, message) = explain(&error);
        match (kind, self.denied) {
            (FaultKind::Deadline, _) => Refusal::SetupDeadline {
                step: self.step.to_owned(),
                seconds,
            },
            (_, Some(needed)) => Refusal::Memory { needed, limit },
            _ => Refusal::Setup {
                step: self.step.to_owned(),
                message: message + &self.last_words,
            },
        }
    }

    /// For a worker that has to do without.
    pub(super) fn into_message(self) -> String {
        let what = match self.cause {
            Cause::Refused(message) => message,
            Cause::Failed(error) => explain(&error).1,
        };
        let words = self.last_words;
        format!("a new instance failed in {}: {what}{words}", self.step)
    }
}

/// What it wrote since this moment that may explain a fault, for the end of a message.
fn last_words(state: &State, start: Instant) -> String {
    let mut lines = state.lines.lock().unwrap_or_else(PoisonError::into_inner);
    lines.explaining(start)
}

/// What a failed call of a hook is, which began then.
pub(super) fn fault(hook: &str, error: &wasmtime::Error, state: &State, begun: Instant) -> Fault {
    let (kind, what) = explain(error);
    let words = last_words(state, begun);
    let memory = state
        .limits
        .denied
        .map(|n| format!(" (it was denied {n} bytes of memory)"))
        .unwrap_or_default();
    Fault {
        kind,
        message: format!("{hook}: {what}{memory}{words}"),
    }
}

fn explain(error: &wasmtime::Error) -> (FaultKind, String) {
    if let Some(invalid) = error.downcast_ref::<InvalidAnswer>() {
        return (
            FaultKind::Invalid,
            format!("an invalid answer: {}", sentence(invalid)),
        );
    }
    let frames = error.downcast_ref::<WasmBacktrace>();
    let place = frames.map(guest_functions).unwrap_or_default();
    match error.downcast_ref::<Trap>() {
        Some(Trap::Interrupt) => (
            FaultKind::Deadline,
            format!("it missed its deadline{place}"),
        ),
        Some(trap) => (FaultKind::Trap, format!("{trap}{place}")),
        None if let Some(I32Exit(status)) = error.downcast_ref() => (
            FaultKind::Trap,
            format!("it ended itself with exit status {status}{place}"),
        ),
        // With frames, the guest was in a call of the host; without them, its return value could
        // not be read.
        None if frames.is_some() => (
            FaultKind::Trap,
            format!("{}{place}", sentence(error.root_cause())),
        ),
        None => (FaultKind::Invalid, sentence(format_args!("{error:#}"))),
    }
}
