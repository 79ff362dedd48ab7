//! Components that wasm-smith makes: refused, or run.
//!
//! Half of the inputs are whole components, which are seldom policies: they go through everything
//! that is done before one is taken. The other half are core modules with the exports of a policy,
//! put into a component that is one: what is accepted is asked. Both use every feature that
//! wasm-smith knows; those that no policy may use must be refused.
//!
//! A panic, a hang and memory that grows are findings; a fault of the guest is none.

#![no_main]

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use libfuzzer_sys::arbitrary::{Error, Unstructured};
use libfuzzer_sys::fuzz_target;
use wasm_smith::{Component, Config, Module};
use waypost::config::{CompileLimits, Isolation, OnFailure, StoreLimits};
use waypost::message::RequestHead;
use waypost::policy::{Compiler, Engine, EngineOptions, PolicyHandle, PolicySpec};
use waypost::stats::{PolicyStats, Stats};
use waypost::upstream::BackendFacts;

/// What the module in it must export.
const EXPORTS: &str = r#"(module
    (memory (export "memory") 1)
    (func (export "edit") (param i32 i32) (result i32) unreachable))"#;

/// A policy whose core module is to be another.
const POLICY: &str = r#"(component
    (import "waypost:policy/types@0.1.0" (instance $types
        (export "request" (type (sub resource)))
        (export "headers" (type (sub resource)))
        (type $answer (record (field "status" u16) (field "headers" (list (tuple string (list u8)))) (field "body" (list u8))))
        (export "response" (type (eq $answer)))))
    (alias export $types "request" (type $request))
    (alias export $types "headers" (type $headers))
    (alias export $types "response" (type $response))
    (core module $m
        (memory (export "memory") 1)
        (func (export "edit") (param i32 i32) (result i32) unreachable))
    (core instance $i (instantiate $m))
    (func $edit (param "request" (borrow $request)) (param "headers" (borrow $headers)) (result (result (error $response)))
        (canon lift (core func $i "edit") (memory (core memory $i "memory"))))
    (instance $hook (export "edit-request" (func $edit)))
    (export "waypost:policy/request-headers@0.1.0" (instance $hook)))"#;

/// The section of a component that holds a core module.
const MODULE: u8 = 1;

struct Host {
    engine: Engine,
    stats: Arc<PolicyStats>,
    exports: Vec<u8>,
    policy: Vec<u8>,
}

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
            stats: Stats::new(1).policy("smithed"),
            exports: wat::parse_str(EXPORTS).expect("text"),
            policy: wat::parse_str(POLICY).expect("text"),
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
    fn healthy(&self, _: u32, _: u32) -> bool {
        true
    }
    fn consecutive_failures(&self, _: u32, _: u32) -> u32 {
        0
    }
    fn backend_count(&self, _: u32) -> u32 {
        1
    }
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(component) = smithed(&mut Unstructured::new(bytes)) else {
        return;
    };
    let host = host();
    Compiler::Here
        .anatomy(&component, CompileLimits::default())
        .expect("what it is made of");
    let spec = PolicySpec {
        setup: None,
        name: "smithed".to_owned(),
        component: component.into(),
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
    match host.engine.load(&spec, &[], 1, &host.stats, 1) {
        Ok(generation) => {
            let mut handle = PolicyHandle::adopt(
                generation,
                0,
                Arc::new(Idle),
                Arc::clone(&host.stats.shards[0]),
            );
            let mut request = RequestHead {
                target: "/".to_owned(),
                path_len: 1,
                authority: "a.test".to_owned(),
                host: "a.test".to_owned(),
                ..RequestHead::default()
            };
            handle.begin_request();
            let _ = handle.edit_request(&mut request, 0);
            handle.end_request();
        }
        Err(refused) => assert!(!refused.to_string().contains("panicked"), "{refused}"),
    }
    assert_eq!(
        host.stats.shards[0].memory.value(),
        0,
        "an instance was left behind"
    );
});

/// With everything on that wasm-smith knows.
fn smithed(u: &mut Unstructured<'_>) -> Result<Vec<u8>, Error> {
    let mut config: Config = u.arbitrary()?;
    config.gc_enabled = u.arbitrary()?;
    config.reference_types_enabled = true;
    config.bulk_memory_enabled = true;
    if u.arbitrary()? {
        return Ok(Component::new(config, u)?.to_bytes());
    }
    config.exports = Some(host().exports.clone());
    config.min_memories = 1;
    config.max_memories = config.max_memories.max(1);
    config.min_funcs = config.min_funcs.max(1);
    config.max_funcs = config.max_funcs.max(config.min_funcs);
    config.max_imports = 0;
    config.min_imports = 0;
    let module = Module::new(config, u)?.to_bytes();
    Ok(with_module(&host().policy, &module))
}

/// The same component around another core module.
fn with_module(component: &[u8], module: &[u8]) -> Vec<u8> {
    let mut made = component[..8].to_vec();
    let mut rest = &component[8..];
    while let Some((&id, after)) = rest.split_first() {
        let (size, after) = size(after);
        let (section, next) = after.split_at(size);
        let content = if id == MODULE { module } else { section };
        made.push(id);
        push_size(&mut made, content.len());
        made.extend_from_slice(content);
        rest = next;
    }
    made
}

fn size(bytes: &[u8]) -> (usize, &[u8]) {
    let mut value = 0;
    for (at, &byte) in bytes.iter().enumerate() {
        value |= usize::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            return (value, &bytes[at + 1..]);
        }
    }
    (value, &[])
}

fn push_size(bytes: &mut Vec<u8>, mut size: usize) {
    while size >= 0x80 {
        bytes.push((size & 0x7f) as u8 | 0x80);
        size >>= 7;
    }
    bytes.push(size as u8);
}
