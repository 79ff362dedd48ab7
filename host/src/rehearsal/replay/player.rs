//! A component in the place of a recorded policy: the same settings and pools, a seat for each
//! worker, and for each call the same request, draws, time, facts and answers of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;
use std::time::{Duration, Instant};

use http::Method;
use serde_json::Value;

use super::super::RehearsalError;
use super::super::error::named;
use super::super::facts::{BackendState, GivenFacts};
use super::super::source::Source;
use super::super::stage::PATIENCE;
use super::log::{Cue, find};
use crate::config::{self, OnFailure, StoreLimits, brief};
use crate::message::{Fields, RequestHead, Scheme, syntax};
use crate::policy::{
    Ask, Attempt, BackendSpec, CheckRange, EditRequest, EditResponse, Engine, EngineOptions, Fault,
    FaultKind, Generation, Hook, Message, PolicySpec, PoolSpec, Recorded, Script, Seat, Select,
    Tape,
};
use crate::recording::{self, Answer, Fact, Field, Isolation, Lineup, Policy, Pool, Recordable};
use crate::stats::Stats;
use crate::upstream::{BackendFacts, FailedAttempt};

/// Seats at most: a worker's requests beyond them share one with another's.
const SEATS: usize = 64;

/// A recording is input like any other: what it says of limits is bounded as in a configuration.
const LONGEST_DEADLINE: Duration = Duration::from_secs(3600);
const MOST_MEMORY: u64 = 4 << 30;
const MOST_ENTRIES: usize = 10_000_000;
const MOST_STORE: u64 = 4 << 30;
/// Longer than any name that the proxy takes.
const LONGEST_NAME: usize = u16::MAX as usize;

/// What instances draw from while they are set up: any number, as long as it is always the same.
const SETUP_SEED: u64 = 0;

/// When something was: in nanoseconds of the monotonic clock and milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
struct Moment {
    monotonic: u64,
    unix: u64,
}

/// A component that is asked what was recorded.
pub(super) struct Player {
    pub source: Source,
    engine: Engine,
    engine_workers: usize,
    fuel: bool,
    /// What stores go by.
    clock: Arc<AtomicU64>,
    settings: Option<Value>,
    deadline: Option<Duration>,
    memory: Option<u64>,
    scene: Option<Scene>,
    scenes: u64,
}

/// The component loaded as some lineup says.
struct Scene {
    pools: Vec<Pool>,
    policy: Policy,
    generation: Arc<Generation>,
    stats: Stats,
    facts: Arc<GivenFacts>,
    seats: Vec<Seat>,
    /// Seats at which a request is under way.
    open: Vec<bool>,
}

/// What a component said.
#[derive(Debug)]
pub(super) struct Played {
    pub answer: Answer,
    /// The fields that the hook may edit, as it left them; none for hooks that edit nothing.
    pub fields: Vec<Field>,
    pub took: Duration,
    /// Instructions, if they are counted.
    pub fuel: Option<u64>,
}

impl Player {
    pub fn new(
        source: Source,
        settings: Option<Value>,
        deadline: Option<Duration>,
        memory: Option<u64>,
        fuel: bool,
    ) -> Result<Self, RehearsalError> {
        let clock = Arc::new(AtomicU64::new(0));
        let engine = engine(1, fuel, &clock)?;
        Ok(Self {
            source,
            engine,
            engine_workers: 1,
            fuel,
            clock,
            settings,
            deadline,
            memory,
            scene: None,
            scenes: 0,
        })
    }

    /// Whether the component has this hook; false before it was asked anything.
    pub fn has(&self, hook: Hook) -> bool {
        let hooks = self.scene.as_ref().map(|scene| scene.generation.hooks());
        hooks.is_some_and(|hooks| hooks.has(hook))
    }

    /// Asks what was asked. Instances live on from call to call; after a fault there is a fresh
    /// one.
    pub fn ask(&mut self, cue: &Cue<'_>) -> Result<Played, RehearsalError> {
        let tape = cue.call.tape.clone().unwrap_or_default();
        let now = tape
            .unix_milliseconds()
            .max(cue.request.time)
            .saturating_mul(1_000_000);
        // Before an instance is set up: what it stores then has its time as well.
        self.clock.fetch_max(now, Relaxed);
        // A call that was never made, because the policy was suspended, has no time of its own;
        // others of the request have.
        let times = cue
            .request
            .calls
            .iter()
            .filter_map(|call| call.tape.as_ref())
            .map(Recorded::monotonic_nanoseconds);
        let monotonic = match tape.monotonic_nanoseconds() {
            0 => times.filter(|&at| at > 0).min().unwrap_or_default(),
            at => at,
        };
        self.set(
            cue,
            Moment {
                monotonic,
                unix: now / 1_000_000,
            },
        )?;
        let Some(scene) = &mut self.scene else {
            return Err(RehearsalError::Recording(
                "the recording says nothing of the policy".to_owned(),
            ));
        };
        let states: Vec<BackendState> = cue.facts.iter().map(state).collect();
        scene.facts.set_pool(cue.request.pool, &states);

        let mut head = head(cue)?;
        let response = cue
            .call
            .response
            .as_ref()
            .map(|response| as_fields(cue, &response.fields));
        let mut response = response.transpose()?.unwrap_or_default();
        let at = cue.request.worker % scene.seats.len();
        if !std::mem::replace(&mut scene.open[at], true) {
            scene.seats[at].begin_request();
        }
        let began = Instant::now();
        let answer = loop {
            let seat = &mut scene.seats[at];
            seat.insert_tape(Box::new(Tape::recorded(&tape)));
            let mut message = Message {
                head: &mut head,
                response: Some(&mut response),
            };
            let answer = call(seat, cue, &mut message);
            // The fresh instance of a large component is built elsewhere: the proxy goes on without
            // it, and here it is waited for.
            match answer {
                Err(Fault {
                    kind: FaultKind::Rebuilding,
                    ..
                }) if began.elapsed() < PATIENCE => {
                    thread::sleep(Duration::from_millis(2));
                }
                answer => break answer,
            }
        };
        let seat = &mut scene.seats[at];
        seat.eject_tape();
        let (took, fuel) = (seat.took(), seat.fuel());
        if matches!(answer, Err(Fault { .. })) {
            scene.take_seat_again(at);
        }
        let fields = match cue.call.hook {
            Hook::RequestHeaders => recording::fields(&head.fields),
            Hook::ResponseHeaders => recording::fields(&response),
            Hook::Range | Hook::Selection => Vec::new(),
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(fault) => fault.answer(),
        };
        Ok(Played {
            answer,
            fields,
            took,
            fuel,
        })
    }

    /// The request that this worker served has ended.
    pub fn end_request(&mut self, worker: usize) {
        if let Some(scene) = &mut self.scene {
            let at = worker % scene.seats.len();
            if std::mem::replace(&mut scene.open[at], false) {
                scene.seats[at].end_request();
            }
        }
    }

    /// Loads the component as the lineup of a call says, unless it is so. The call is made `now`.
    fn set(&mut self, cue: &Cue<'_>, now: Moment) -> Result<(), RehearsalError> {
        let policy = find(cue.lineup, &cue.call.policy);
        let policy = policy.ok_or_else(|| {
            broken(
                cue,
                &format!("its lineup has no policy {:?}", cue.call.policy),
            )
        })?;
        let policy = Policy {
            active: None,
            trial: None,
            ..policy.clone()
        };
        if self
            .scene
            .as_ref()
            .is_some_and(|scene| scene.policy == policy && scene.pools == cue.lineup.pools)
        {
            return Ok(());
        }
        let workers = cue.lineup.workers.clamp(1, SEATS);
        if workers != self.engine_workers {
            self.scene = None;
            self.engine = engine(workers, self.fuel, &self.clock)?;
            self.engine_workers = workers;
        }
        self.scenes += 1;
        // The former one keeps what was compiled until the next has it.
        let former = self
            .scene
            .replace(self.load(policy, cue.lineup, workers, now)?);
        if let Some(former) = former {
            // Or a recording of many lineups would leave one of each.
            self.engine.forget_store(former.generation.name());
        }
        Ok(())
    }

    fn load(
        &self,
        policy: Policy,
        lineup: &Lineup,
        workers: usize,
        now: Moment,
    ) -> Result<Scene, RehearsalError> {
        // Stores belong to names.
        let name = format!("{}#{}", policy.name, self.scenes);
        let spec = PolicySpec {
            name: name.clone(),
            component: Arc::clone(&self.source.bytes),
            settings: self
                .settings
                .clone()
                .unwrap_or_else(|| policy.settings.clone()),
            deadline: self.deadline.unwrap_or(
                Duration::from_micros(policy.deadline_microseconds).min(LONGEST_DEADLINE),
            ),
            memory: self.memory.unwrap_or(policy.memory_bytes.min(MOST_MEMORY)),
            on_failure: OnFailure::Random,
            // What instances saw while they were set up is not recorded.
            setup: Some(Script {
                seed: SETUP_SEED,
                draws: Vec::new(),
                monotonic: Some(now.monotonic),
                unix: Some(now.unix),
            }),
            isolation: match policy.isolation {
                Isolation::Worker => config::Isolation::Worker,
                Isolation::Request => config::Isolation::Request,
            },
            store: StoreLimits {
                entries: policy.store_entries.clamp(1, MOST_ENTRIES),
                bytes: policy.store_bytes.clamp(1024, MOST_STORE),
            },
            compiling: self.source.compiling,
            shadow: false,
            source: self.source.name.clone(),
        };
        let told = lineup
            .pools
            .iter()
            .filter(|pool| policy.pools.contains(&pool.id));
        let pools: Vec<PoolSpec> = told.map(pool_spec).collect();
        let stats = Stats::new(workers);
        let loaded = self.engine.load(&spec, &pools, 1, &stats.policy(&name), 1);
        let generation = loaded.map_err(|error| named(error, &policy.name))?;
        let idle = |pool: &Pool| {
            pool.backends
                .iter()
                .map(|_| BackendState::default())
                .collect()
        };
        let facts = Arc::new(GivenFacts::new(
            &lineup.pools.iter().map(idle).collect::<Vec<_>>(),
        ));
        let seat = |worker| seat(&generation, worker, &facts, &stats);
        let seats = (0..workers).map(seat).collect();
        Ok(Scene {
            pools: lineup.pools.clone(),
            policy,
            generation,
            stats,
            facts,
            seats,
            open: vec![false; workers],
        })
    }
}

impl Scene {
    /// After a fault there is a fresh instance at once.
    fn take_seat_again(&mut self, at: usize) {
        self.seats[at] = seat(&self.generation, at, &self.facts, &self.stats);
        if self.open[at] {
            self.seats[at].begin_request();
        }
    }
}

fn engine(workers: usize, fuel: bool, clock: &Arc<AtomicU64>) -> Result<Engine, RehearsalError> {
    let instances = u32::try_from(workers * 8 + 8).ok();
    let store_clock = Some(Arc::clone(clock));
    Ok(Engine::new(EngineOptions {
        workers,
        instances,
        fuel,
        store_clock,
        ..EngineOptions::default()
    })?)
}

fn seat(
    generation: &Arc<Generation>,
    worker: usize,
    facts: &Arc<GivenFacts>,
    stats: &Stats,
) -> Seat {
    let facts = Arc::clone(facts) as Arc<dyn BackendFacts>;
    let shard = Arc::clone(&stats.policy(generation.name()).shards[worker]);
    Seat::adopt(Arc::clone(generation), worker, facts, shard).without_breaker()
}

fn pool_spec(pool: &Pool) -> PoolSpec {
    let backends = pool.backends.iter().map(|b| BackendSpec {
        address: b.address.clone(),
        weight: b.weight,
        labels: b.labels.clone(),
    });
    PoolSpec {
        id: pool.id,
        name: pool.name.clone(),
        backends: backends.collect(),
    }
}

/// Asks the hook of a call.
fn call(seat: &mut Seat, cue: &Cue<'_>, message: &mut Message<'_>) -> Result<Answer, Fault> {
    let (call, pool) = (cue.call, cue.request.pool);
    match call.hook {
        Hook::Range => asked(&CheckRange { pool }, seat, message),
        Hook::RequestHeaders => asked(&EditRequest { pool }, seat, message),
        Hook::Selection => {
            let failed: Vec<FailedAttempt> = call.failed.iter().map(Into::into).collect();
            let attempt = Attempt {
                number: call.attempt.unwrap_or(1),
                failed: &failed,
            };
            asked(&Select { pool, attempt }, seat, message)
        }
        Hook::ResponseHeaders => {
            let (status, backend) = call
                .response
                .as_ref()
                .map_or((200, 0), |r| (r.status, r.backend));
            asked(
                &EditResponse {
                    pool,
                    status,
                    backend,
                },
                seat,
                message,
            )
        }
    }
}

fn asked<Q: Ask<Answer: Recordable>>(
    question: &Q,
    seat: &mut Seat,
    message: &mut Message<'_>,
) -> Result<Answer, Fault> {
    question.ask(seat, message).map(|answer| answer.answer())
}

fn head(cue: &Cue<'_>) -> Result<RequestHead, RehearsalError> {
    let request = cue.request;
    let method = Method::from_bytes(request.method.as_bytes())
        .map_err(|_| broken(cue, &format!("{:?} is not a method", request.method)))?;
    let target = match &request.query {
        Some(query) => format!("{}?{query}", request.path),
        None => request.path.clone(),
    };
    let mut head = RequestHead {
        method,
        authority: request.host.clone(),
        host: request.host.clone(),
        scheme: Scheme::parse(request.scheme.as_bytes()).unwrap_or_default(),
        client: request.client,
        fields: as_fields(cue, cue.fields)?,
        ..RequestHead::default()
    };
    head.set_target(&target);
    Ok(head)
}

fn as_fields(cue: &Cue<'_>, list: &[Field]) -> Result<Fields, RehearsalError> {
    let mut fields = Fields::new();
    for Field(name, value) in list {
        if !syntax::is_token(name.as_bytes()) || name.len() > LONGEST_NAME {
            return Err(broken(cue, &format!("{name:?} is not a field's name")));
        }
        fields.append(name.as_bytes(), &value.0);
    }
    Ok(fields)
}

/// What is recorded there can't have been.
fn broken(cue: &Cue<'_>, what: &str) -> RehearsalError {
    RehearsalError::Recording(format!(
        "line {}: {}; no proxy records that: the line was changed, take it out",
        cue.line,
        brief(what)
    ))
}

fn state(fact: &Fact) -> BackendState {
    let Fact(in_flight, latency_microseconds, healthy, consecutive_failures) = *fact;
    BackendState {
        in_flight,
        latency_microseconds,
        healthy,
        consecutive_failures,
    }
}

#[cfg(test)]
mod tests {
    use super::super::log::{Log, Next};
    use super::*;

    #[test]
    fn of_many_lineups_one_store_is_left() {
        let lineup = |number: u32| {
            serde_json::json!({"lineup": {
                "format": 1, "waypost": "0", "lineup": number, "time": 1, "workers": 1, "sample": 1.0,
                "redact": [], "redact_query": false, "redact_client": false, "pools": [],
                "policies": [{
                    "name": "p", "settings": {"rate": 1, "burst": number}, "pools": [], "deadline_microseconds": 1_000_000,
                    "memory_bytes": 16 << 20, "isolation": "worker", "store_entries": 10, "store_bytes": 1 << 20,
                }],
            }})
        };
        let request = |number: u32| {
            serde_json::json!({"request": {
                "lineup": number, "time": 1, "worker": 0, "method": "GET", "scheme": "http", "host": "a", "path": "/",
                "client": "192.0.2.1", "pool": 0, "fields": [], "status": 200,
                "calls": [{
                    "policy": "p", "generation": 1, "role": "active", "hook": "request-headers", "answer": "done",
                    "nanoseconds": 1,
                }],
            }})
        };
        let path = std::env::temp_dir().join(format!(
            "waypost-{}-{:016x}",
            std::process::id(),
            rand::random::<u64>()
        ));
        let lines: String = (1..=20)
            .map(|n| format!("{}\n{}\n", lineup(n), request(n)))
            .collect();
        std::fs::write(&path, lines).unwrap();
        let mut log = Log::open(&path, None, false).unwrap();
        std::fs::remove_file(&path).unwrap();
        let source = Source::open("builtin:rate-limit".as_ref(), Default::default()).unwrap();
        let mut player = Player::new(source, None, None, None, false).unwrap();
        let mut stores = Vec::new();
        loop {
            match log.next().unwrap() {
                Next::End => break,
                Next::RequestEnds(worker) => player.end_request(worker),
                Next::Cue(cue) => {
                    assert_eq!(player.ask(&cue).unwrap().answer, Answer::Done);
                    stores.push(Arc::downgrade(
                        player.scene.as_ref().unwrap().generation.store(),
                    ));
                }
            }
        }
        let left = stores
            .iter()
            .filter(|store| store.upgrade().is_some())
            .count();
        assert_eq!((stores.len(), left), (20, 1));
    }
}
