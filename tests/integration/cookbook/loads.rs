//! Policies that look at the load and the latency of all workers' requests.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::{component, request};
use crate::fixtures::{Client, Gate, TestProxy, TestUpstream, eventually, response};

/// A proxy of several workers with this policy.
fn proxy(policy: &str, settings: &str, backends: &[&TestUpstream]) -> TestProxy {
    let backends: Vec<String> = backends
        .iter()
        .map(|backend| format!("\"{}\"", backend.address()))
        .collect();
    TestProxy::builder()
        .workers(WORKERS)
        .file("policy.wasm", component(policy))
        .tables(&format!(
            "[pools.web]\nbackends = [{}]\n[[routes]]\npool = \"web\"\npolicies = [\"it\"]\n\
             [policies.it]\ncomponent = \"policy.wasm\"\ndeadline = \"1s\"\n\
             [policies.it.settings]\n{settings}\n",
            backends.join(", ")
        ))
        .start()
}

const WORKERS: usize = 3;

#[test]
fn bounded_load_keeps_a_hot_key_within_the_bound_and_at_home_while_there_is_room() {
    const REQUESTS: usize = 48;
    let gate = Gate::new();
    let upstreams: [TestUpstream; 4] = std::array::from_fn(|n| {
        let opened = gate.clone();
        TestUpstream::replying(move |request| {
            if request.target() == "/hot" {
                opened.wait();
            }
            response("200 OK", &[], n.to_string())
        })
    });
    let backends: Vec<&TestUpstream> = upstreams.iter().collect();
    let proxy = proxy(
        "bounded-load",
        "key = \"header:x-key\"\nbound = 1.25",
        &backends,
    );
    let fields = [("X-Key", "hot")];
    // By one worker, which sees its own requests end at once.
    let mut client = proxy.client();
    let home: usize = client.ask(request("/", &fields)).text().parse().unwrap();
    for _ in 0..10 {
        assert_eq!(client.ask(request("/", &fields)).text(), home.to_string());
    }
    let held = |upstream: &TestUpstream| {
        let all = upstream.received();
        all.iter().filter(|r| r.target() == "/hot").count()
    };
    let mut clients: Vec<Client> = Vec::new();
    for n in 1..=REQUESTS {
        let mut client = proxy.client();
        client.send(request("/hot", &fields));
        clients.push(client);
        // One after the other, as the workers learn of each other's.
        eventually("it is held", || {
            (upstreams.iter().map(held).sum::<usize>() == n).then_some(())
        });
    }
    let each = upstreams.each_ref().map(held);
    // 1.25 times the average, and one more of each worker.
    let bound = REQUESTS * 5 / (4 * 4) + WORKERS;
    assert!(each.iter().all(|n| *n <= bound), "{each:?}, {bound}");
    assert!(each[home] >= REQUESTS / 4, "{each:?}, home {home}");
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn latency_learning_leaves_a_slow_backend_and_comes_back() {
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = Arc::clone(&slow);
    let changing = TestUpstream::replying(move |_| {
        if is_slow.load(Relaxed) {
            std::thread::sleep(Duration::from_millis(100));
        }
        response("200 OK", &[], "changing")
    });
    let steady = TestUpstream::named("steady");
    let proxy = proxy("latency-learning", "decay = 0.5", &[&changing, &steady]);
    let mut clients: Vec<Client> = (0..2 * WORKERS).map(|_| proxy.client()).collect();
    let mut share = || {
        let mut taken = 0;
        for n in 0..60 {
            let client = &mut clients[n % (2 * WORKERS)];
            taken += usize::from(client.ask(request("/", &[])).text() == "changing");
        }
        taken
    };
    share();
    let while_slow = share();
    assert!(
        while_slow <= 20,
        "{while_slow} of 60 to a backend that is slow"
    );
    slow.store(false, Relaxed);
    eventually("it has its share again", || (share() >= 20).then_some(()));
}
