//! A component on a seat of its own, asked about requests.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::error::named;
use super::facts::{BackendState, GivenFacts};
use super::source::Source;
use crate::config::{Isolation, OnFailure, StoreLimits};
use crate::message::{Fields, RequestHead};
use crate::policy::{
    Ask, Attempt, BackendSpec, CheckRange, EditRequest, EditResponse, Edited, Engine,
    EngineOptions, Fault, FaultKind, Generation, Hook, LogLine, Message, PolicyError, PolicySpec,
    PoolSpec, RangeVerdict, Reply, Script, Seat, Select, Selected, Store, Tape,
};
use crate::stats::{PolicyShard, PolicyStats, Stats};
use crate::upstream::{BackendFacts, FailedAttempt};

/// Stages after which there is a new engine: one keeps the store of each.
const STAGES: u64 = 256;
/// An instance that a fault has cost is waited for as long as this.
pub(super) const PATIENCE: Duration = Duration::from_secs(30);

/// An engine with one worker, and a component that is put on stage again and again: compiled once,
/// and each time with an instance, counters and a store that nobody has used.
pub struct House {
    options: EngineOptions,
    engine: Engine,
    source: Source,
    /// What stores go by in place of the time, in nanoseconds; by the time if `None`.
    clock: Option<Arc<AtomicU64>>,
    stages: u64,
    /// Keeps what was compiled.
    last: Option<Arc<Generation>>,
}

/// What a policy is loaded with.
#[derive(Debug, Clone, PartialEq)]
pub struct Given {
    /// Its settings; null if there are none.
    pub settings: Value,
    /// The pools; their ids are their places.
    pub pools: Vec<GivenPool>,
    /// The longest that a hook may run.
    pub deadline: Duration,
    /// The most memory that an instance may have, in bytes.
    pub memory: u64,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// What its store may hold.
    pub store: StoreLimits,
}

/// A pool and how its backends are.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenPool {
    /// What the operator calls it.
    pub name: String,
    /// What the policy is told of its backends.
    pub backends: Vec<BackendSpec>,
    /// How they are, where a question does not say otherwise.
    pub states: Vec<BackendState>,
}

/// A policy that can be asked.
pub struct Stage {
    seat: Seat,
    facts: Arc<GivenFacts>,
    stats: Arc<PolicyStats>,
    clock: Option<Arc<AtomicU64>>,
}

/// A request, and what a policy draws, reads and is told while it is asked about it.
#[derive(Debug, Clone, Default)]
pub struct Question {
    /// The request as a policy would see it.
    pub head: RequestHead,
    /// The pool's id.
    pub pool: u32,
    /// Which attempt the selection is for; 1 is the first.
    pub attempt: u32,
    /// The attempts that failed.
    pub failed: Vec<FailedAttempt>,
    /// What the backend answers; `None` if it is not asked.
    pub response: Option<Response>,
    /// Draws and time, for all hooks together.
    pub script: Script,
}

/// A backend's response.
#[derive(Debug, Clone, Default)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Fields,
    /// Who gave it; the backend that was selected if `None`.
    pub backend: Option<u32>,
}

/// What the hooks said, each `None` if it was not asked.
#[derive(Debug, Default)]
pub struct Told {
    /// `range.check`
    pub range: Option<Result<RangeVerdict, Fault>>,
    /// `request-headers.edit-request`
    pub request: Option<Result<Edited, Fault>>,
    /// `selection.select`
    pub selection: Option<Result<Selected, Fault>>,
    /// `response-headers.edit-response`
    pub response: Option<Result<Edited, Fault>>,
    /// The request after it was edited.
    pub head: RequestHead,
    /// The fields of the response after they were edited.
    pub response_fields: Fields,
    /// The calls, in order.
    pub calls: Vec<Call>,
    /// What the policy wrote into its log, 256 lines of each call at most.
    pub lines: Vec<LogLine>,
    /// What was wrong with the script: a draw that the policy could not be given.
    pub complaint: Option<String>,
    /// Draws of the script that nobody asked for.
    pub draws_left: usize,
}

/// A call of a hook.
#[derive(Debug, Clone, Copy)]
pub struct Call {
    /// The hook.
    pub hook: Hook,
    /// How long it took.
    pub took: Duration,
    /// Its instructions, where the engine counts them.
    pub fuel: Option<u64>,
}

impl House {
    /// Makes an engine for this component. Its stores go by the time that questions say.
    pub fn with_told_time(source: Source, options: EngineOptions) -> Result<Self, PolicyError> {
        Self::new(
            source,
            EngineOptions {
                store_clock: Some(Arc::default()),
                ..options
            },
        )
    }

    /// The same with stores that go by the real time, unless the options say otherwise.
    pub fn new(source: Source, options: EngineOptions) -> Result<Self, PolicyError> {
        let clock = options.store_clock.clone();
        // Two live at once while one stage follows another.
        let options = EngineOptions {
            workers: 1,
            instances: Some(32),
            ..options
        };
        Ok(Self {
            engine: Engine::new(options.clone())?,
            options,
            source,
            clock,
            stages: 0,
            last: None,
        })
    }

    /// Sets the time of stores, in nanoseconds, if it is told: what a policy stores while it is
    /// loaded goes by it.
    pub fn set_time(&self, nanoseconds: u64) {
        if let Some(clock) = &self.clock {
            clock.store(nanoseconds, Relaxed);
        }
    }

    /// Loads the component with this; nothing is left of what it was loaded with before. While an
    /// instance is set up it draws and reads what `setup` says, or the real thing if that is
    /// `None`.
    pub fn stage(&mut self, given: &Given, setup: Option<Script>) -> Result<Stage, PolicyError> {
        self.stages += 1;
        if self.stages.is_multiple_of(STAGES) {
            self.engine = Engine::new(self.options.clone())?;
        }
        // Stores belong to names.
        let name = format!("{}#{}", self.source.stem(), self.stages);
        let spec = PolicySpec {
            name: name.clone(),
            component: Arc::clone(&self.source.bytes),
            settings: given.settings.clone(),
            deadline: given.deadline,
            memory: given.memory,
            on_failure: OnFailure::Random,
            setup,
            isolation: given.isolation,
            store: given.store,
            compiling: self.source.compiling,
            shadow: false,
            source: self.source.name.clone(),
        };
        let pool = |(id, pool): (u32, &GivenPool)| PoolSpec {
            id,
            name: pool.name.clone(),
            backends: pool.backends.clone(),
        };
        let pools: Vec<PoolSpec> = (0..).zip(&given.pools).map(pool).collect();
        let stats = Stats::new(1).policy(&name);
        let loaded = self.engine.load(&spec, &pools, 1, &stats, 1);
        // The stage has its store; the engine would keep one of each.
        self.engine.forget_store(&name);
        let generation = loaded.map_err(|e| named(e, &self.source.stem()))?;
        self.last = Some(Arc::clone(&generation));
        let states: Vec<_> = given.pools.iter().map(|p| p.states.clone()).collect();
        let facts = Arc::new(GivenFacts::new(&states));
        let told = Arc::clone(&facts) as Arc<dyn BackendFacts>;
        let seat = Seat::adopt(generation, 0, told, Arc::clone(&stats.shards[0])).without_breaker();
        Ok(Stage {
            seat,
            facts,
            stats,
            clock: self.clock.clone(),
        })
    }

    /// The component.
    pub fn source(&self) -> &Source {
        &self.source
    }
}

impl Stage {
    /// Asks all hooks that there are, in the proxy's order; an answer for the client ends it.
    pub fn ask(&mut self, question: Question) -> Told {
        self.seat.begin_request();
        let told = self.ask_these(&Hook::ALL, question);
        self.seat.end_request();
        told
    }

    /// Asks these hooks of [`Hook::ALL`], in this order, as far as there are any.
    pub fn ask_these(&mut self, hooks: &[Hook], question: Question) -> Told {
        let Question {
            head,
            pool,
            attempt,
            failed,
            response,
            mut script,
        } = question;
        let Response {
            status,
            fields,
            backend,
        } = response.clone().unwrap_or_default();
        let mut told = Told {
            head,
            response_fields: fields,
            ..Told::default()
        };
        if let Some(now) = script.monotonic {
            self.set_time(now);
        }
        let there = self.seat.hooks();
        for &hook in hooks.iter().filter(|hook| there.has(**hook)) {
            match hook {
                Hook::Range if may_ask_for_range(&told.head) => {
                    let verdict = self.call(&CheckRange { pool }, &mut script, &mut told);
                    apply(&verdict, &mut told.head.fields);
                    told.range = Some(verdict);
                }
                Hook::RequestHeaders => {
                    told.request = Some(self.call(&EditRequest { pool }, &mut script, &mut told))
                }
                Hook::Selection => {
                    let attempt = Attempt {
                        number: attempt.max(1),
                        failed: &failed,
                    };
                    told.selection =
                        Some(self.call(&Select { pool, attempt }, &mut script, &mut told));
                }
                Hook::ResponseHeaders if response.is_some() => {
                    let backend = backend.or(told.backend()).unwrap_or(0);
                    let question = EditResponse {
                        pool,
                        status,
                        backend,
                    };
                    told.response = Some(self.call(&question, &mut script, &mut told));
                }
                Hook::Range | Hook::ResponseHeaders => {}
            }
            if told.answer().is_some() {
                break;
            }
        }
        told.draws_left = script.draws.len();
        told
    }

    /// Calls one hook with what is left of the script.
    fn call<Q: Ask>(
        &mut self,
        question: &Q,
        script: &mut Script,
        told: &mut Told,
    ) -> Result<Q::Answer, Fault> {
        let hook = Q::HOOK;
        let began = Instant::now();
        let answer = loop {
            self.seat
                .insert_tape(Box::new(Tape::scripted(script.clone()).keeping_lines()));
            let mut message = Message {
                head: &mut told.head,
                response: Some(&mut told.response_fields),
            };
            match question.ask(&mut self.seat, &mut message) {
                // How long a fresh instance takes is the machine's affair, and not the policy's.
                Err(Fault {
                    kind: FaultKind::Rebuilding,
                    ..
                }) if began.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(1));
                }
                answer => break answer,
            }
        };
        told.calls.push(Call {
            hook,
            took: self.seat.took(),
            fuel: self.seat.fuel(),
        });
        if let Some(mut tape) = self.seat.eject_tape() {
            told.lines.append(&mut tape.take_lines());
            script.draws.drain(..script.draws.len() - tape.draws_left());
            told.complaint = told
                .complaint
                .take()
                .or_else(|| tape.complaint().map(|c| format!("{hook}: {c}")));
        }
        // The next hook draws on, and not the same again.
        script.seed = script
            .seed
            .wrapping_mul(0x5851_f42d_4c95_7f2d)
            .wrapping_add(1);
        answer
    }

    /// The seat, to be asked without a script.
    pub fn seat(&mut self) -> &mut Seat {
        &mut self.seat
    }

    /// What the policy is told of its backends.
    pub fn facts(&self) -> &GivenFacts {
        &self.facts
    }

    /// The policy's store.
    pub fn store(&self) -> &Arc<Store> {
        self.seat.generation().store()
    }

    /// Sets the time of the store, in nanoseconds, if it is told: as [`Script::monotonic`] does
    /// with each question.
    pub fn set_time(&self, nanoseconds: u64) {
        if let Some(clock) = &self.clock {
            clock.store(nanoseconds, Relaxed);
        }
    }

    /// What the policy wrote into its log while it was set up, if a script was given for that.
    pub fn heard_at_setup(&self) -> &[LogLine] {
        self.seat.generation().heard_at_setup()
    }

    /// The policy's own counters, by name.
    pub fn counters(&self) -> BTreeMap<String, u64> {
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

    /// What is counted of the policy.
    pub fn shard(&self) -> &PolicyShard {
        self.seat.shard()
    }
}

impl Told {
    /// The backend that was selected.
    pub fn backend(&self) -> Option<u32> {
        match self.selection {
            Some(Ok(Selected::Backend(backend))) => Some(backend),
            _ => None,
        }
    }

    /// The answer that the client would get from the policy, and the hook that gave it.
    pub fn answer(&self) -> Option<(Hook, &Reply)> {
        match (&self.range, &self.request, &self.selection, &self.response) {
            (Some(Ok(RangeVerdict::Answer(reply))), ..) => Some((Hook::Range, reply)),
            (_, Some(Ok(Edited::Answer(reply))), ..) => Some((Hook::RequestHeaders, reply)),
            (_, _, Some(Ok(Selected::Answer(reply))), _) => Some((Hook::Selection, reply)),
            (.., Some(Ok(Edited::Answer(reply)))) => Some((Hook::ResponseHeaders, reply)),
            _ => None,
        }
    }

    /// The hooks that failed, and how.
    pub fn faults(&self) -> impl Iterator<Item = (Hook, &Fault)> {
        let faults = [
            (
                Hook::Range,
                self.range.as_ref().and_then(|r| r.as_ref().err()),
            ),
            (
                Hook::RequestHeaders,
                self.request.as_ref().and_then(|r| r.as_ref().err()),
            ),
            (
                Hook::Selection,
                self.selection.as_ref().and_then(|r| r.as_ref().err()),
            ),
            (
                Hook::ResponseHeaders,
                self.response.as_ref().and_then(|r| r.as_ref().err()),
            ),
        ];
        faults
            .into_iter()
            .filter_map(|(hook, fault)| Some((hook, fault?)))
    }
}

/// Whether the proxy would ask the range hook about it.
fn may_ask_for_range(head: &RequestHead) -> bool {
    let in_query = || {
        head.query()
            .is_some_and(|q| q.contains("range=") || q.contains('%'))
    };
    matches!(head.method, Method::GET | Method::HEAD)
        && (head.fields.contains("range") || in_query())
}

/// What the proxy makes of the request's fields by a verdict.
fn apply(verdict: &Result<RangeVerdict, Fault>, fields: &mut Fields) {
    match verdict {
        Ok(RangeVerdict::Ignore) => {
            fields.remove(b"range");
            fields.remove(b"if-range");
        }
        Ok(RangeVerdict::Ranges(ranges)) => {
            let specs: Vec<String> = ranges.iter().map(ToString::to_string).collect();
            fields.set(b"range", format!("bytes={}", specs.join(", ")).as_bytes());
        }
        Ok(RangeVerdict::Untouched | RangeVerdict::Answer(_)) | Err(_) => {}
    }
}
