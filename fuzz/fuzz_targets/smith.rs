//! Components that wasm-smith makes: refused, or run.
//!
//! Half of the inputs are whole components, which are seldom policies: they go through everything
//! that is done before one is taken. The other half are core modules with the exports of a policy,
//! put into a component that is one: what is accepted is asked. Both use every feature that
//! wasm-smith knows; those that no policy may use must be refused.
//!
//! A panic, a hang and memory that grows are findings; a fault of the guest is none.

#![no_main]

mod policies;

use std::sync::OnceLock;

use libfuzzer_sys::arbitrary::{Error, Unstructured};
use libfuzzer_sys::fuzz_target;
use policies::Policies;
use wasm_smith::{Component, Config, Module};
use waypost::config::CompileLimits;
use waypost::message::RequestHead;
use waypost::policy::Compiler;

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
    policies: Policies,
    exports: Vec<u8>,
    policy: Vec<u8>,
}

fn host() -> &'static Host {
    static HOST: OnceLock<Host> = OnceLock::new();
    HOST.get_or_init(|| Host {
        policies: Policies::new(),
        exports: wat::parse_str(EXPORTS).expect("text"),
        policy: wat::parse_str(POLICY).expect("text"),
    })
}

fuzz_target!(|bytes: &[u8]| {
    let Ok(component) = smithed(&mut Unstructured::new(bytes)) else {
        return;
    };
    Compiler::Here
        .anatomy(&component, CompileLimits::default())
        .expect("what it is made of");
    host().policies.run(&component, &[], 1, |handle| {
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
    });
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
