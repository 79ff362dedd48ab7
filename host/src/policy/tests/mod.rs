//! The room as its callers see it, with real components.

mod bounds;
mod cached;
mod calls;
mod edits;
mod hostile;
mod loading;
mod mutated;
mod rebuilding;
mod shapes;
mod sharing;
mod topology;
mod wasi;

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, LazyLock, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::*;
use crate::config::{CompileLimits, Isolation, OnFailure, StoreLimits};
use crate::message::RequestHead;
use crate::stats::{PolicyShard, PolicyStats, Stats};
use crate::upstream::{BackendFacts, BackendHealth, FailedAttempt, Failure};

const PROBE: &[u8] = include_bytes!("../../../../tests/guests/probe/probe.wasm");

/// Pool 0 has three backends, pool 1 has one.
struct TestFacts {
    in_flight: AtomicU32,
}

impl BackendFacts for TestFacts {
    fn in_flight(&self, pool: u32, backend: u32) -> u32 {
        self.in_flight.load(Relaxed) + 10 * pool + backend
    }
    fn latency_microseconds(&self, _pool: u32, backend: u32) -> u64 {
        u64::from(backend) * 1000
    }
    fn healthy(&self, _pool: u32, backend: u32) -> bool {
        backend != 1
    }
    fn consecutive_failures(&self, _pool: u32, backend: u32) -> u32 {
        u32::from(backend == 1)
    }
    fn state(&self, pool: u32, backend: u32) -> BackendHealth {
        match self.healthy(pool, backend) {
            true => BackendHealth::Healthy,
            false => BackendHealth::Ejected,
        }
    }
    fn in_flight_of_all(&self, pool: u32, backend: u32) -> u32 {
        self.in_flight(pool, backend)
    }
    fn backend_count(&self, pool: u32) -> u32 {
        if pool == 0 { 3 } else { 1 }
    }
}

/// An engine with one worker, and the statistics of a policy `p`.
pub(super) struct TestEngine {
    engine: Engine,
    stats: Arc<PolicyStats>,
    facts: Arc<TestFacts>,
}

impl TestEngine {
    pub(super) fn new() -> Self {
        Self::with_room_for(32)
    }

    fn with_room_for(instances: u32) -> Self {
        Self::with(EngineOptions {
            instances: Some(instances),
            ..EngineOptions::default()
        })
    }

    fn with(options: EngineOptions) -> Self {
        crate::ground::limit_this_test();
        let engine = Engine::new(EngineOptions {
            workers: 1,
            ..options
        })
        .unwrap();
        let facts = Arc::new(TestFacts {
            in_flight: AtomicU32::new(0),
        });
        Self {
            engine,
            stats: Stats::new(1).policy("p"),
            facts,
        }
    }

    pub(super) fn load(&self, spec: &PolicySpec) -> Result<Arc<Generation>, Refusal> {
        self.engine
            .load(spec, &pools(), 7, &self.stats, 1)
            .map_err(|e| match e {
                PolicyError::Refused { reason, .. } => reason,
                other => panic!("{other}"),
            })
    }

    fn handle(&self, spec: &PolicySpec) -> PolicyHandle {
        self.adopt(self.load(spec).unwrap())
    }

    fn adopt(&self, generation: Arc<Generation>) -> PolicyHandle {
        let facts = Arc::clone(&self.facts) as Arc<dyn BackendFacts>;
        PolicyHandle::adopt(generation, 0, facts, Arc::clone(&self.stats.shards[0]))
    }

    fn facts(&self) -> Arc<dyn BackendFacts> {
        Arc::clone(&self.facts) as Arc<dyn BackendFacts>
    }

    fn shard(&self) -> &PolicyShard {
        &self.stats.shards[0]
    }
}

fn pools() -> Vec<PoolSpec> {
    let backend = |n: u32| BackendSpec {
        address: format!("10.0.0.{n}:80"),
        weight: n,
        labels: vec![("zone".to_owned(), "a".to_owned())],
    };
    vec![
        PoolSpec {
            id: 0,
            name: "web".to_owned(),
            backends: vec![backend(1), backend(2), backend(3)],
        },
        PoolSpec {
            id: 1,
            name: "other".to_owned(),
            backends: vec![backend(9)],
        },
    ]
}

/// A policy with a deadline that a busy machine keeps too.
pub(super) fn spec(component: &[u8]) -> PolicySpec {
    PolicySpec {
        setup: None,
        name: "p".to_owned(),
        component: component.into(),
        settings: Value::Null,
        deadline: Duration::from_secs(20),
        memory: 16 << 20,
        on_failure: OnFailure::Random,
        isolation: Isolation::Worker,
        shadow: false,
        store: StoreLimits::default(),
        compiling: CompileLimits::default(),
        source: "test".to_owned(),
    }
}

fn probe(settings: Value) -> PolicySpec {
    PolicySpec {
        settings,
        ..spec(PROBE)
    }
}

/// One that does not wait for what never ends.
fn impatient(spec: PolicySpec) -> PolicySpec {
    PolicySpec {
        deadline: Duration::from_millis(5),
        ..spec
    }
}

/// What every component imports whose hook is `select`, in text.
const SELECTING: &str = r#"(import "waypost:policy/types@0.1.0" (instance $types
        (export "request" (type $request (sub resource)))
        (type $answer (record (field "status" u16) (field "headers" (list (tuple string (list u8))))
            (field "body" (list u8))))
        (export "response" (type (eq $answer)))))
    (alias export $types "request" (type $request))
    (alias export $types "response" (type $response))"#;

fn wat(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap()
}

/// `GET /a?b=c` with these fields.
fn request(fields: &[(&str, &str)]) -> RequestHead {
    let mut request = RequestHead {
        authority: "Example.com:80".to_owned(),
        host: "example.com".to_owned(),
        ..RequestHead::default()
    };
    request.set_target("/a?b=c");
    for (name, value) in fields {
        request.fields.append(name.as_bytes(), value.as_bytes());
    }
    request
}

fn first_attempt() -> Attempt<'static> {
    Attempt {
        number: 1,
        failed: &[],
    }
}

/// The first went to backend 0, which could not be reached.
fn second_attempt() -> Attempt<'static> {
    Attempt {
        number: 2,
        failed: &[FailedAttempt {
            backend: 0,
            failure: Failure::Connect,
        }],
    }
}

/// Asks again while the instance is being rebuilt.
fn until_available<T>(mut ask: impl FnMut() -> Result<T, Fault>) -> Result<T, Fault> {
    let give_up = Instant::now() + Duration::from_secs(60);
    loop {
        match ask() {
            Err(fault)
                if matches!(fault.kind, FaultKind::Unavailable | FaultKind::Rebuilding)
                    && Instant::now() < give_up =>
            {
                thread::yield_now();
            }
            answer => return answer,
        }
    }
}

fn field<'a>(request: &'a RequestHead, name: &str) -> &'a str {
    std::str::from_utf8(request.fields.first(name).unwrap_or_default()).unwrap()
}

fn probe_actions(key: &str, actions: &[&str]) -> Value {
    json!({ key: actions })
}

/// What `work` writes to the log.
fn logged(work: impl FnOnce()) -> String {
    // With one subscriber alive, the first thread that comes by a line decides for all whether it
    // is of interest, and that of another test has none. With two, every thread is asked.
    static ANOTHER: LazyLock<tracing::Dispatch> = LazyLock::new(|| {
        tracing::Dispatch::new(
            tracing_subscriber::fmt()
                .with_writer(std::io::sink)
                .finish(),
        )
    });
    LazyLock::force(&ANOTHER);
    let sink = Sink::default();
    let written = sink.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_ansi(false)
        .with_writer(move || sink.clone())
        .finish();
    tracing::subscriber::with_default(subscriber, work);
    String::from_utf8(written.0.lock().unwrap().clone()).unwrap()
}

#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }
    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A component with the hook `edit-request`, in text: `imports` at component level, `core` in the
/// module, `body` for the hook, which ends by giving back its two handles and answering ok.
pub(super) fn editing_guest(
    imports: &str,
    core_instances: &str,
    core: &str,
    body: &str,
) -> Vec<u8> {
    wat(&format!(
        r#"(component
            (import "waypost:policy/types@0.1.0" (instance $types
                (export "request" (type $request (sub resource)))
                (export "headers" (type $headers (sub resource)))
                (export "[method]request.path" (func (param "self" (borrow $request)) (result string)))
                (type $r (record (field "status" u16) (field "headers" (list (tuple string (list u8))))
                    (field "body" (list u8))))
                (export "response" (type (eq $r)))))
            (alias export $types "request" (type $request))
            (alias export $types "headers" (type $headers))
            (alias export $types "response" (type $response))
            {imports}
            (core func $drop-request (canon resource.drop $request))
            (core func $drop-headers (canon resource.drop $headers))
            (core module $memory (memory (export "memory") 1)
                (func (export "never") (param i32 i32 i32 i32) (result i32) (loop $l (br $l)) unreachable))
            (core instance $m (instantiate $memory))
            (alias core export $m "memory" (core memory $mem))
            {core_instances}
            (core module $code
                (import "drop" "request" (func $drop-request (param i32)))
                (import "drop" "headers" (func $drop-headers (param i32)))
                (import "m" "memory" (memory 1))
                {core}
                (func (export "edit-request") (param i32 i32) (result i32)
                    {body}
                    (call $drop-request (local.get 0))
                    (call $drop-headers (local.get 1))
                    (i32.const 1024)))
            (core instance $code (instantiate $code
                (with "m" (instance $m))
                (with "drop" (instance
                    (export "request" (func $drop-request)) (export "headers" (func $drop-headers))))
                {with}))
            (func $edit (param "request" (borrow $request)) (param "headers" (borrow $headers))
                (result (result (error $response)))
                (canon lift (core func $code "edit-request") (memory $mem)))
            (instance $hooks (export "edit-request" (func $edit)))
            (export "waypost:policy/request-headers@0.1.0" (instance $hooks)))"#,
        with = if core_instances.is_empty() {
            ""
        } else {
            "(with \"host\" (instance $host))"
        },
    ))
}
