//! What policies see of health.

use crate::fixtures::{
    Client, Gate, Request, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
    response,
};

/// A proxy whose policy reports on the pool's backends.
fn reporting(backends: &str, keys: &str) -> TestProxy {
    TestProxy::builder()
        .workers(2)
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [{backends}]\n{keys}\n\
             [[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\""
        ))
        .start()
}

/// The state of each backend, and its requests in flight, as a policy sees them in the response;
/// empty as long as the policy is being loaded.
fn seen(proxy: &TestProxy, backends: usize) -> String {
    let action = format!("health={backends}");
    let request = Request::new("GET", "/").host("a.test");
    let answer = proxy.ask(request.field("X-Probe-Response", &action).bytes());
    answer.value("x-probe-health").unwrap_or_default()
}

#[test]
fn a_policy_sees_the_requests_of_all_workers() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::replying(move |request| {
        if request.target() == "/held" {
            opened.wait();
        }
        response("200 OK", &[], "well")
    });
    let proxy = reporting(&format!("\"{}\"", upstream.address()), "");
    eventually("the policy is loaded", || {
        (!seen(&proxy, 1).is_empty()).then_some(())
    });
    let mut held: Vec<Client> = (0..8)
        .map(|_| {
            let mut client = proxy.client();
            client.send(get("a.test", "/held"));
            client
        })
        .collect();
    eventually("they are held", || {
        let all = upstream.received();
        (all.iter().filter(|r| r.target() == "/held").count() == 8).then_some(())
    });
    // With its own. Every worker answers some of these.
    for _ in 0..8 {
        eventually("the sum of all", || {
            (seen(&proxy, 1) == "healthy/9").then_some(())
        });
    }
    gate.open();
    held.iter_mut().for_each(|client| {
        assert_eq!(client.response().status, 200);
    });
    eventually("its own is left", || {
        (seen(&proxy, 1) == "healthy/1").then_some(())
    });
}

#[test]
fn a_policy_sees_why_a_backend_gets_no_requests() {
    let (_held, dead) = refusing_address();
    let (alive, drained) = (TestUpstream::named("alive"), TestUpstream::named("drained"));
    let proxy = reporting(
        &format!(
            "\"{}\", \"{dead}\", {{ address = \"{}\", weight = 0 }}",
            alive.address(),
            drained.address()
        ),
        "health = { interval = \"20ms\" }",
    );
    eventually("all states", || {
        (seen(&proxy, 3) == "healthy/1,down/0,draining/0").then_some(())
    });
}
