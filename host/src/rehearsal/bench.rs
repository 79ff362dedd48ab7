//! The costs of a policy: time and instructions of each hook, load time and memory.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use serde_json::Value;

use super::RehearsalError;
use super::harness::{Harness, Setup};
use super::host::{HTTPS, Host, usual};
use super::scenario::{ScenarioFile, Step};
use super::source::Source;
use super::times::Times;
use crate::decision::{Caller, HookFacts, ask_hook};
use crate::message::{Fields, RequestHead};
use crate::policy::{Attempt, EngineOptions, Hook, LocalSource, Message, PolicyHandle};

/// Calls between two changes of the request; the change itself is not timed.
const BATCH: u32 = 64;
/// Decisions whose instructions are counted.
const COUNTED: u32 = 256;
/// A benchmark refuses no policy for its memory.
const MEMORY: u64 = 1 << 30;
/// A hook that is interpreted and cold needs longer than one in a proxy is given.
const DEADLINE: Duration = Duration::from_secs(10);

/// The requests without a scenario file.
pub(super) const PLAIN: &str = r#"
[[scenario]]
name = "a plain request"
[scenario.request]
path = "/index.html"
client = "10.1.2.0/26"
headers = ["user-agent: bench", "accept: */*", "x-tenant: tenant-one", "x-forwarded-for: 10.1.2.3"]
"#;

/// The results of a benchmark.
#[derive(Debug)]
pub(super) struct Measured {
    /// The component as it was named.
    pub file: String,
    /// Its digest.
    pub digest: String,
    /// Its size in bytes.
    pub size: usize,
    /// Compiling, checking, and an instance.
    pub cold: Duration,
    /// The same with the component from the cache.
    pub cached: Duration,
    /// The most memory that the instance had, in bytes.
    pub instance_bytes: u64,
    /// How many scenarios were asked about, and how many there are.
    pub scenarios: (usize, usize),
    /// By hook, in the proxy's order.
    pub hooks: Vec<(Hook, Cost)>,
}

/// The costs of a hook.
#[derive(Debug)]
pub(super) struct Cost {
    /// Time of each call.
    pub times: Times,
    /// Instructions of a decision: least, mean and most.
    pub instructions: (u64, u64, u64),
}

/// Measures each hook for this many seconds. `progress` gets the name of each step.
pub(super) fn bench(
    source: &Source,
    file: &ScenarioFile,
    settings: Option<Value>,
    seconds: f64,
    mut progress: impl FnMut(&str),
) -> Result<Measured, RehearsalError> {
    let Asked {
        setup,
        steps,
        scenarios,
    } = asked(file, settings)?;
    let cache = Scratch::new()?;
    progress("loading");
    let (_, cold) = load(source, &setup, &cache.0)?;
    let (mut host, cached) = load(source, &setup, &cache.0)?;
    let exported = host.handle().hooks();
    let mut hooks = Vec::new();
    for hook in Hook::ALL.into_iter().filter(|hook| exported.has(*hook)) {
        progress(hook.name());
        let times = time(&mut host, hook, &steps, Duration::from_secs_f64(seconds))?;
        hooks.push((
            hook,
            Cost {
                times,
                instructions: (0, 0, 0),
            },
        ));
    }
    let instance_bytes = host.shard().memory_peak.value();
    drop(host);
    progress("counting instructions");
    let mut counting = Harness::with_given_time(
        source.clone(),
        EngineOptions {
            fuel: true,
            ..EngineOptions::default()
        },
    )?;
    counting.set_time(steps.first().map_or(0, |step| step.monotonic));
    let mut host = counting.host(&setup, steps.first().map(Step::setup_script))?;
    for (hook, cost) in &mut hooks {
        cost.instructions = count(&mut host, *hook, &steps)?;
    }
    let digest = crate::policy::digest(&source.bytes);
    let (file, size) = (source.name.clone(), source.bytes.len());
    Ok(Measured {
        file,
        digest,
        size,
        cold,
        cached,
        instance_bytes,
        scenarios,
        hooks,
    })
}

/// The setup of the policy, and at least one step: those of all scenarios with that setup.
struct Asked {
    setup: Setup,
    steps: Vec<Step>,
    scenarios: (usize, usize),
}

fn asked(file: &ScenarioFile, settings: Option<Value>) -> Result<Asked, RehearsalError> {
    let mut wanted = file
        .scenarios
        .iter()
        .filter(|scenario| !scenario.steps.is_empty())
        .peekable();
    let Some(first) = wanted.peek() else {
        return Err(RehearsalError::NothingToMeasure(file.name.clone()));
    };
    let mut setup = first.setup.clone();
    let alike: Vec<_> = wanted.filter(|scenario| scenario.setup == setup).collect();
    let steps = alike
        .iter()
        .flat_map(|scenario| scenario.steps.clone())
        .collect();
    setup.settings = settings.unwrap_or(setup.settings);
    setup.memory = setup.memory.max(MEMORY);
    setup.deadline = DEADLINE;
    Ok(Asked {
        setup,
        steps,
        scenarios: (alike.len(), file.scenarios.len()),
    })
}

fn load(source: &Source, setup: &Setup, cache: &Path) -> Result<(Host, Duration), RehearsalError> {
    let options = EngineOptions {
        cache: Some(cache.to_owned()),
        ..EngineOptions::default()
    };
    let mut harness = Harness::new(source.clone(), options)?;
    let start = Instant::now();
    // The calls that are timed read the real clocks, and time must not go back.
    let host = harness.host(setup, None)?;
    Ok((host, start.elapsed()))
}

/// Calls the hook again and again, as the proxy does: warm, on one thread, nothing scripted.
fn time(
    host: &mut Host,
    hook: Hook,
    steps: &[Step],
    wanted: Duration,
) -> Result<Times, RehearsalError> {
    let mut batch = Batch::default();
    let mut times = Times::default();
    let warm = Instant::now() + wanted.div_f64(10.0);
    let mut end = None;
    let mut at = 0u32;
    loop {
        for step in steps {
            batch.prepare(host, hook, step, at);
            at = at.wrapping_add(BATCH);
            let warming = end.is_none();
            batch.run(&mut host.handle(), hook, step, |took| {
                if !warming {
                    times.record(took);
                }
            })?;
        }
        let now = Instant::now();
        match end {
            None if now >= warm => end = Some(now + wanted),
            Some(end) if now >= end => return Ok(times),
            _ => {}
        }
    }
}

/// The instructions of some decisions, whose draws and times are the same everywhere.
fn count(host: &mut Host, hook: Hook, steps: &[Step]) -> Result<(u64, u64, u64), RehearsalError> {
    let (mut least, mut sum, mut most, mut calls) = (u64::MAX, 0u64, 0, 0u64);
    for (run, step) in (0..COUNTED.max(steps.len() as u32)).zip(steps.iter().cycle()) {
        host.facts().set_pool(step.pool, &step.states);
        let mut question = step.question(run);
        // Time goes on, and draws are not those of a test.
        question.script.draws.clear();
        question.script.monotonic =
            Some(step.monotonic.saturating_add(u64::from(run) * 10_000_000));
        add_range(hook, &mut question.head);
        let decisions = host.ask_one(hook, question);
        if let Some((_, fault)) = decisions.faults().next() {
            return Err(RehearsalError::Faulted(fault.message.clone()));
        }
        for fuel in decisions.fuel {
            (least, sum, most, calls) = (
                least.min(fuel),
                sum.saturating_add(fuel),
                most.max(fuel),
                calls + 1,
            );
        }
    }
    Ok((
        if calls == 0 { 0 } else { least },
        sum.checked_div(calls).unwrap_or(0),
        most,
    ))
}

/// Messages that are asked about, in buffers that are used again as those of a connection are.
#[derive(Default)]
struct Batch {
    heads: Vec<RequestHead>,
    response: Vec<Fields>,
}

impl Batch {
    fn prepare(&mut self, host: &Host, hook: Hook, step: &Step, first: u32) {
        host.facts().set_pool(step.pool, &step.states);
        self.heads.resize_with(BATCH as usize, RequestHead::default);
        self.response.resize_with(BATCH as usize, Fields::new);
        for (n, (head, response)) in (0..).zip(self.heads.iter_mut().zip(&mut self.response)) {
            let fields = std::mem::take(&mut head.fields);
            *head = RequestHead {
                fields,
                ..step.head_without_fields(first.wrapping_add(n))
            };
            refill(&mut head.fields, &step.head.fields);
            add_range(hook, head);
            refill(response, &step.response.fields);
        }
    }

    /// Each call from the end of the one before, a look at the clock included.
    fn run(
        &mut self,
        handle: &mut PolicyHandle,
        hook: Hook,
        step: &Step,
        mut took: impl FnMut(Duration),
    ) -> Result<(), RehearsalError> {
        let (status, backend) = (step.response.status, step.response.backend.unwrap_or(0));
        let destination = step.ways.destination.as_ref();
        let facts = HookFacts {
            pools: step.ways.from(step.pool),
            rights: step.ways.rights,
            attempt: Attempt {
                number: step.attempt,
                failed: &step.failed,
            },
            status,
            backend,
            source: LocalSource::Proxy,
            port: destination.map_or(HTTPS, |(port, _)| *port),
            user: destination.and_then(|(_, user)| user.as_ref()),
            completion: &step.completion.unwrap_or_else(|| usual(status, backend)),
        };
        let mut before = Instant::now();
        for (head, response) in self.heads.iter_mut().zip(&mut self.response) {
            let mut message = Message {
                head,
                response: Some(response),
            };
            handle.begin_request();
            let answer = ask_hook(Unscripted, handle, hook, facts, &mut message);
            handle.end_request();
            answer.map_err(|fault| RehearsalError::Faulted(fault.message))?;
            let now = Instant::now();
            took(now - before);
            before = now;
        }
        Ok(())
    }
}

/// Calls hooks as the proxy does, with nothing scripted.
#[derive(Clone, Copy)]
struct Unscripted;

impl Caller for Unscripted {}

fn refill(fields: &mut Fields, from: &Fields) {
    fields.clear();
    from.iter()
        .for_each(|(name, value)| fields.append(name, value));
}

/// The proxy asks this hook only about requests that have one.
fn add_range(hook: Hook, head: &mut RequestHead) {
    if hook == Hook::Range
        && !head.fields.contains("range")
        && !head.query().is_some_and(|q| q.contains("range="))
    {
        head.fields.append(b"range", b"bytes=0-99");
    }
}

/// A folder that is gone when it is done with.
struct Scratch(PathBuf);

impl Scratch {
    fn new() -> Result<Self, RehearsalError> {
        let path = std::env::temp_dir().join(format!(
            "waypost-{}-{:016x}",
            std::process::id(),
            rand::random::<u64>()
        ));
        // Fails if it is there: another user's folder is not used, and no other user can write into
        // this one.
        let made = DirBuilder::new().mode(0o700).create(&path);
        made.map_err(|error| RehearsalError::Write {
            path: path.clone(),
            error,
        })?;
        Ok(Self(path))
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // What can't be removed now is removed with the system's other temporary files.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
