//! A component in the place of a recorded policy: for each recorded call the same request, draws,
//! time, facts and answers of the store.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::super::RehearsalError;
use super::super::facts::BackendState;
use super::super::script::ask_patiently;
use super::super::source::Source;
use super::loaded::{Loaded, Moment, Overrides, engine};
use super::log::{RecordedCall, find};
use super::message::{broken, fields, head};
use crate::decision::{Caller, HookFacts, ask_hook};
use crate::policy::{
    Ask, Attempt, Engine, Fault, Hook, Message, PolicyHandle, Recorded, RoutePools, Tape,
};
use crate::recording::{self, Answer, Fact, Field, Policy, Recordable, Target};
use crate::upstream::{BackendHealth, FailedAttempt};

/// Handles at most: a worker's requests beyond them share one with another's.
const HANDLES: usize = 64;

/// A component that gets the recorded calls.
pub(super) struct Replayer {
    pub source: Source,
    engine: Engine,
    engine_workers: usize,
    fuel: bool,
    /// What stores follow in place of the time.
    clock: Arc<AtomicU64>,
    overrides: Overrides,
    loaded: Option<Loaded>,
    loads: u64,
}

/// A component's decision.
#[derive(Debug)]
pub(super) struct Played {
    pub answer: Answer,
    /// The fields that the hook may edit, as it left them; none for hooks that edit nothing.
    pub fields: Vec<Field>,
    /// What the backend is asked for after it, if the hook may edit that.
    pub target: Option<Target>,
    pub took: Duration,
    /// Instructions, if they are counted.
    pub fuel: Option<u64>,
}

impl Replayer {
    pub(super) fn new(
        source: Source,
        overrides: Overrides,
        fuel: bool,
    ) -> Result<Self, RehearsalError> {
        let clock = Arc::new(AtomicU64::new(0));
        let engine = engine(1, fuel, &clock, source.cache.as_deref())?;
        Ok(Self {
            source,
            engine,
            engine_workers: 1,
            fuel,
            clock,
            overrides,
            loaded: None,
            loads: 0,
        })
    }

    /// Whether the component has this hook; false before it was asked anything.
    pub(super) fn has(&self, hook: Hook) -> bool {
        let hooks = self.loaded.as_ref().map(Loaded::hooks);
        hooks.is_some_and(|hooks| hooks.has(hook))
    }

    /// Repeats a recorded call. Instances live on from call to call; after a fault there is a fresh
    /// one.
    pub(super) fn ask(&mut self, recorded: &RecordedCall<'_>) -> Result<Played, RehearsalError> {
        let tape = recorded.call.tape.clone().unwrap_or_default();
        let moment = self.moment(recorded, &tape);
        self.load_for(recorded, moment)?;
        let Some(loaded) = &mut self.loaded else {
            return Err(RehearsalError::Recording(
                "the recording does not mention the policy".to_owned(),
            ));
        };
        let states: Vec<BackendState> = recorded.facts.iter().map(state).collect();
        loaded.facts.set_pool(recorded.pool(), &states);
        loaded.facts.set_pool_queue(recorded.call.pool_queue);

        let mut head = head(recorded)?;
        head.deadline = loaded.moment(recorded.request.deadline);
        let response = recorded.call.response.as_ref();
        let response = response.map(|response| fields(recorded, &response.fields));
        let mut response = response.transpose()?.unwrap_or_default();
        let mut message = Message {
            head: &mut head,
            response: Some(&mut response),
        };
        let worker = recorded.request.worker;
        let handle = loaded.begin(worker);
        let answer = ask_recorded(handle, &tape, recorded, &mut message);
        handle.eject_tape();
        let (took, fuel) = (handle.took(), handle.fuel());
        if matches!(answer, Answer::Fault { .. }) {
            loaded.renew(worker);
        }
        let fields = match recorded.call.hook {
            Hook::RequestHeaders => recording::fields(&head.fields),
            Hook::ResponseHeaders | Hook::LocalResponse => recording::fields(&response),
            _ => Vec::new(),
        };
        let edits_target = recorded.call.hook == Hook::RequestTarget;
        Ok(Played {
            answer,
            fields,
            target: edits_target.then(|| Target::of(&head)),
            took,
            fuel,
        })
    }

    /// The request that this worker served has ended.
    pub(super) fn end_request(&mut self, worker: usize) {
        if let Some(loaded) = &mut self.loaded {
            loaded.end(worker);
        }
    }

    /// Sets the time of a call. Stores follow it from here on, before an instance is set up, so
    /// that entries of its setup have this time too.
    fn moment(&self, recorded: &RecordedCall<'_>, tape: &Recorded) -> Moment {
        let unix = tape.unix_milliseconds().max(recorded.request.time);
        let now = unix.saturating_mul(1_000_000);
        self.clock.fetch_max(now, Relaxed);
        // A call that was not made, because the policy was suspended, has no time; other calls of
        // the request have one.
        let tapes = recorded.request.calls.iter();
        let times = tapes
            .filter_map(|call| call.tape.as_ref())
            .map(Recorded::monotonic_nanoseconds);
        let monotonic = match tape.monotonic_nanoseconds() {
            0 => times.filter(|&at| at > 0).min().unwrap_or_default(),
            at => at,
        };
        Moment {
            monotonic,
            unix: now / 1_000_000,
        }
    }

    /// Loads the component as the lineup of a call says, unless it is so. The call is made `now`.
    fn load_for(&mut self, recorded: &RecordedCall<'_>, now: Moment) -> Result<(), RehearsalError> {
        let (lineup, name) = (recorded.lineup, &recorded.call.policy);
        let policy = find(lineup, name).ok_or_else(|| {
            broken(
                recorded,
                &format!(
                    "its lineup does not contain the policy \
                {name:?}"
                ),
            )
        })?;
        let policy = Policy {
            active: None,
            trial: None,
            ..policy.clone()
        };
        let loaded = self.loaded.as_ref();
        if loaded.is_some_and(|loaded| loaded.is_of(&policy, &lineup.pools)) {
            return Ok(());
        }
        let workers = lineup.workers.clamp(1, HANDLES);
        if workers != self.engine_workers {
            self.loaded = None;
            self.engine = engine(
                workers,
                self.fuel,
                &self.clock,
                self.source.cache.as_deref(),
            )?;
            self.engine_workers = workers;
        }
        self.loads += 1;
        // Stores belong to names.
        let name = format!("{}#{}", policy.name, self.loads);
        let spec = self.overrides.spec(&self.source, &policy, name, now);
        let next = Loaded::load(&self.engine, &spec, policy, lineup, workers)?;
        // The previous one keeps the compiled component until the next one has it.
        if let Some(former) = self.loaded.replace(next) {
            // Or a recording of many lineups would leave one of each.
            self.engine.forget_store(former.name());
        }
        Ok(())
    }
}

/// Calls hooks with the tape of a recorded call.
#[derive(Clone, Copy)]
struct OnTape<'a>(&'a Recorded);

impl Caller for OnTape<'_> {
    fn call<Q: Ask>(
        self,
        handle: &mut PolicyHandle,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        ask_patiently(handle, question, message, || Tape::recorded(self.0))
    }
}

/// Asks the hook of a call about a message.
fn ask_recorded(
    handle: &mut PolicyHandle,
    tape: &Recorded,
    recorded: &RecordedCall<'_>,
    message: &mut Message<'_>,
) -> Answer {
    let call = recorded.call;
    let failed: Vec<FailedAttempt> = call.failed.iter().map(Into::into).collect();
    let response = call.response.as_ref();
    let (status, backend) = response.map_or((200, 0), |r| (r.status, r.backend));
    let completion = call.completion.unwrap_or_default();
    let destination = call.destination.as_ref();
    let user: Option<Arc<str>> = destination.and_then(|d| d.user.as_deref().map(Into::into));
    let facts = HookFacts {
        pools: RoutePools {
            chosen: recorded.pool(),
            all: &recorded.request.pools,
        },
        rights: call.may_edit.as_ref().map(Into::into).unwrap_or_default(),
        attempt: Attempt {
            number: call.attempt.unwrap_or(1),
            failed: &failed,
        },
        status,
        backend,
        source: call.source.unwrap_or_default(),
        port: destination.map_or(0, |destination| destination.port),
        user: user.as_ref(),
        completion: &completion,
    };
    ask_hook(OnTape(tape), handle, call.hook, facts, message).answer()
}

fn state(fact: &Fact) -> BackendState {
    let Fact(in_flight, latency_microseconds, healthy, consecutive_failures, state, of_all, queued) =
        *fact;
    let usual = match healthy {
        true => BackendHealth::Healthy,
        false => BackendHealth::Ejected,
    };
    BackendState {
        state: state.unwrap_or(usual),
        in_flight_elsewhere: of_all.saturating_sub(in_flight),
        in_flight,
        latency_microseconds,
        healthy,
        consecutive_failures,
        queued,
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
        let mut replayer = Replayer::new(source, Overrides::default(), false).unwrap();
        let mut stores = Vec::new();
        loop {
            match log.next().unwrap() {
                Next::End => break,
                Next::RequestEnds(worker) => replayer.end_request(worker),
                Next::Call(recorded) => {
                    assert_eq!(replayer.ask(&recorded).unwrap().answer, Answer::Done);
                    stores.push(Arc::downgrade(replayer.loaded.as_ref().unwrap().store()));
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
