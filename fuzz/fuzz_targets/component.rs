//! Bytes as `PUT /policies/NAME` takes them: refused, or a policy whose every hook is asked once.
//!
//! A panic, a hang and memory that grows are findings; a fault of the guest is none.

#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use waypost::config::{CompileLimits, Isolation, OnFailure, StoreLimits};
use waypost::message::{Fields, RequestHead};
use waypost::policy::{
    Attempt, BackendSpec, Compiler, Engine, EngineOptions, PolicyHandle, PolicySpec, PoolSpec,
    Selected,
};
use waypost::stats::{PolicyStats, Stats};
use waypost::upstream::BackendFacts;

const BACKENDS: u32 = 2;

struct Host {
    engine: Engine,
    stats: Arc<PolicyStats>,
}

/// One engine for all inputs, as in the proxy: what one of them leaves behind, the next one finds.
fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| {
        let options = EngineOptions {
            workers: 1,
            instances: Some(8),
            compiler: Compiler::Here,
            ..EngineOptions::default()
        };
        Host {
            engine: Engine::new(options).expect("an engine"),
            stats: Stats::new(1).policy("fuzzed"),
        }
    })
}

struct Idle;

impl BackendFacts for Idle {
    fn in_flight(&self, _: u32, _: u32) -> u32 {
        0
    }
    fn latency_microseconds(&self, _: u32, _: u32) -> u64 {
        0
    }
    fn healthy(&self, _: u32, backend: u32) -> bool {
        backend < BACKENDS
    }
    fn consecutive_failures(&self, _: u32, _: u32) -> u32 {
        0
    }
    fn backend_count(&self, _: u32) -> u32 {
        BACKENDS
    }
}

fuzz_target!(|bytes: &[u8]| {
    let host = host();
    let spec = PolicySpec {
        setup: None,
        name: "fuzzed".to_owned(),
        component: bytes.into(),
        settings: serde_json::Value::Null,
        deadline: Duration::from_millis(5),
        memory: 16 << 20,
        on_failure: OnFailure::Random,
        isolation: Isolation::Worker,
        shadow: false,
        store: StoreLimits::default(),
        compiling: CompileLimits::default(),
        source: "fuzzer".to_owned(),
    };
    let backend = |n: u32| BackendSpec {
        address: format!("10.0.0.{n}:80"),
        weight: 1,
        labels: Vec::new(),
    };
    let pools = [PoolSpec {
        id: 0,
        name: "pool".to_owned(),
        backends: (0..BACKENDS).map(backend).collect(),
    }];
    match host.engine.load(&spec, &pools, 1, &host.stats, 1) {
        Ok(generation) => ask(PolicyHandle::adopt(
            generation,
            0,
            Arc::new(Idle),
            Arc::clone(&host.stats.shards[0]),
        )),
        // The loader's own thread catches a panic and says so.
        Err(refused) => assert!(!refused.to_string().contains("panicked"), "{refused}"),
    }
    assert_eq!(
        host.stats.shards[0].memory.value(),
        0,
        "an instance was left behind"
    );
});

fn ask(mut handle: PolicyHandle) {
    let mut request = RequestHead {
        target: "/a?range=0-1".to_owned(),
        path_len: 2,
        authority: "a.test".to_owned(),
        host: "a.test".to_owned(),
        ..RequestHead::default()
    };
    request.fields.append(b"range", b"bytes=0-1");
    let mut response = Fields::new();
    response.append(b"server", b"backend");
    handle.begin_request();
    let _ = handle.check_range(&mut request, 0);
    let _ = handle.edit_request(&mut request, 0);
    if let Ok(Selected::Backend(index)) = handle.select(
        &mut request,
        0,
        Attempt {
            number: 1,
            failed: &[],
        },
    ) {
        assert!(index < BACKENDS, "backend {index} of {BACKENDS}");
    }
    let _ = handle.edit_response(&mut request, 0, 200, 0, &mut response);
    handle.end_request();
    for (name, value) in request.fields.iter().chain(response.iter()) {
        assert!(
            !name.is_empty()
                && !name
                    .iter()
                    .chain(value)
                    .any(|b| matches!(b, b'\r' | b'\n' | 0)),
            "{name:?}"
        );
    }
}
