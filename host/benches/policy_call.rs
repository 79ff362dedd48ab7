//! What one call of a policy costs: the built-in policies through a worker's seat, as the proxy asks them.
//!
//! `cargo bench --bench policy_call` prints nanoseconds per call, the median of several rounds.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a program for people, run by hand")]

use std::sync::Arc;
use std::time::{Duration, Instant};

use waypost::config::{Isolation, OnFailure, StoreLimits};
use waypost::policy::{
    Attempt, BackendFacts, BackendSpec, Engine, EngineOptions, PolicySpec, PoolSpec, Seat, Store, builtin,
};
use waypost::stats::Stats;
use waypost::wire::{Fields, RequestHead};

/// Calls in a round.
const CALLS: u32 = 50_000;
const ROUNDS: usize = 9;

struct Facts;

impl BackendFacts for Facts {
    fn in_flight(&self, _pool: u32, backend: u32) -> u32 {
        backend
    }
    fn latency_microseconds(&self, _pool: u32, _backend: u32) -> u64 {
        900
    }
    fn healthy(&self, _pool: u32, _backend: u32) -> bool {
        true
    }
    fn consecutive_failures(&self, _pool: u32, _backend: u32) -> u32 {
        0
    }
    fn backend_count(&self, _pool: u32) -> u32 {
        4
    }
}

fn main() {
    let engine = Engine::new(EngineOptions { workers: 1, instances: Some(64) }).unwrap();
    let first = Attempt { number: 1, failed: &[] };
    let mut head = request();

    let mut random = seat(&engine, "random", Isolation::Worker, serde_json::Value::Null);
    report("random: select", || drop(random.select(&mut head, 0, first).unwrap()));
    let mut least = seat(&engine, "least-loaded", Isolation::Worker, serde_json::Value::Null);
    report("least-loaded: select", || drop(least.select(&mut head, 0, first).unwrap()));
    let mut range = seat(&engine, "range", Isolation::Worker, serde_json::Value::Null);
    report("range: check", || drop(range.check_range(&mut head, 0).unwrap()));

    let edits = serde_json::json!({ "set": { "x-by": "waypost" } });
    let settings = serde_json::json!({
        "header": "x-tenant", "routes": { "a": "10.0.0.2:80" }, "request": edits, "response": edits,
    });
    let mut router = seat(&engine, "header-router", Isolation::Worker, settings);
    report("header-router: select, reading a field", || drop(router.select(&mut head, 0, first).unwrap()));
    report("header-router: edit-request, setting a field", || {
        fill(&mut head.fields);
        drop(router.edit_request(&mut head, 0).unwrap());
    });
    let mut fields = Fields::new();
    report("header-router: edit-response, setting a field", || {
        fill(&mut fields);
        drop(router.edit_response(&mut head, 0, 200, 0, &mut fields).unwrap());
    });
    let limits = serde_json::json!({ "rate": 1_000_000, "burst": 1_000_000 });
    let mut limit = seat(&engine, "rate-limit", Isolation::Worker, limits);
    report("rate-limit: edit-request, get and compare-and-set in the store", || {
        drop(limit.edit_request(&mut head, 0).unwrap());
    });
    let mut sticky = seat(&engine, "sticky", Isolation::Worker, serde_json::Value::Null);
    report("sticky: select without a cookie, get in the store", || drop(sticky.select(&mut head, 0, first).unwrap()));
    let mut fields = Fields::new();
    sticky.edit_response(&mut head, 0, 200, 0, &mut fields).unwrap();
    let cookie = fields.first("set-cookie").and_then(|set| set.split(|b| *b == b';').next()).unwrap().to_vec();
    head.fields.append(b"cookie", &cookie);
    report("sticky: select by a cookie", || drop(sticky.select(&mut head, 0, first).unwrap()));
    store();

    let mut fresh = seat(&engine, "random", Isolation::Request, serde_json::Value::Null);
    report_rounds(CALLS / 20, "random, a fresh instance: select", || drop(fresh.select(&mut head, 0, first).unwrap()));
}

/// The store by itself, with as many keys as it holds.
fn store() {
    let store = Store::new(StoreLimits::default(), &Stats::new(1).policy("store"));
    store.reserve();
    let keys: Vec<String> = (0..8_000).map(|n| format!("c 10.0.{}.{}", n / 256, n % 256)).collect();
    let mut turn = 0;
    let mut next = || {
        turn = (turn + 1) % keys.len();
        keys[turn].clone()
    };
    report("a key: what the next lines spend beside the store", || drop(next()));
    report("store: set", || store.set(next(), vec![1; 8], 60_000).unwrap());
    report("store: get", || drop(store.get(&next()).unwrap()));
    report("store: compare-and-set", || {
        store.compare_and_set(next(), Some(&[1; 8]), vec![1; 8], 60_000).unwrap();
    });
    report("store: increment", || {
        store.increment(next(), 1, 60_000).unwrap();
    });
    let mut flood = 0_u64;
    report("store: set of a new key when it is full", || {
        flood += 1;
        store.set(format!("flood {flood}"), vec![1; 8], 60_000).unwrap();
    });
    let shared = std::sync::atomic::AtomicBool::new(true);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while shared.load(std::sync::atomic::Ordering::Relaxed) {
                store.increment("c 10.0.0.1".to_owned(), 1, 0).unwrap();
            }
        });
        report("store: increment of the one key that another thread increments all the time", || {
            store.increment("c 10.0.0.1".to_owned(), 1, 0).unwrap();
        });
        shared.store(false, std::sync::atomic::Ordering::Relaxed);
    });
}

fn seat(engine: &Engine, name: &str, isolation: Isolation, settings: serde_json::Value) -> Seat {
    let spec = PolicySpec {
        name: name.to_owned(),
        component: builtin(name).unwrap().into(),
        settings,
        deadline: Duration::from_secs(1),
        memory: 16 << 20,
        on_failure: OnFailure::Random,
        isolation,
        shadow: false,
        store: StoreLimits::default(),
        source: "built-in".to_owned(),
    };
    let backend = |n: u32| BackendSpec { address: format!("10.0.0.{n}:80"), weight: 1, labels: Vec::new() };
    let pools = [PoolSpec { id: 0, name: "web".to_owned(), backends: (1..=4).map(backend).collect() }];
    let generation = engine.load(&spec, &pools, 1, &Stats::new(1).policy(name), 1).unwrap();
    let shard = generation.shard(0);
    Seat::adopt(generation, 0, Arc::new(Facts), shard)
}

fn request() -> RequestHead {
    let mut head = RequestHead {
        target: "/index.html".to_owned(),
        path_len: 11,
        host: "example.com".to_owned(),
        ..RequestHead::default()
    };
    fill(&mut head.fields);
    head
}

fn fill(fields: &mut Fields) {
    fields.clear();
    for (name, value) in [("user-agent", "bench"), ("accept", "*/*"), ("x-tenant", "a"), ("x-forwarded-for", "::1")] {
        fields.append(name.as_bytes(), value.as_bytes());
    }
}

fn report(what: &str, call: impl FnMut()) {
    report_rounds(CALLS, what, call);
}

fn report_rounds(calls: u32, what: &str, mut call: impl FnMut()) {
    let mut rounds: Vec<f64> = (0..ROUNDS)
        .map(|_| {
            let start = Instant::now();
            (0..calls).for_each(|_| call());
            start.elapsed().as_nanos() as f64 / f64::from(calls)
        })
        .collect();
    rounds.sort_by(f64::total_cmp);
    println!("{:>8.0} ns  {what}", rounds[ROUNDS / 2]);
}
