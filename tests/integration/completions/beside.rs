//! Completions run beside requests: none waits for them, and none is hurt by them.

use super::{asked, heard, hearing, hearing_builder, request};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually};

#[test]
fn a_response_does_not_wait_for_its_completion() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing_builder(&[&upstream], "deadline = \"1s\"", "").start();
    let answer = proxy.ask(request("a").field("X-Completed", "loop").bytes());
    assert_eq!(answer.text(), "backend");
    // It takes a second of the worker's time to miss its deadline.
    assert_eq!(proxy.stat("/policies/hearer/deadlines"), 0);
    proxy.wait_for_stat("/policies/hearer/deadlines", 1);
    assert_eq!(asked(&proxy, "a").0, 0, "it did not get to its end");
}

#[test]
fn what_waits_in_the_input_of_a_connection_goes_before_completions() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing(&[&upstream]);
    let mut client = proxy.client();
    // The first's completion would have to end before the second is read, else both are answered.
    let first = request("a").field("X-Completed", "spin=300000").bytes();
    let all = [first, request("b").bytes()].concat();
    client.send(all);
    assert_eq!(client.response().text(), "backend");
    assert_eq!(client.response().text(), "backend");
    heard(&proxy, "a");
    heard(&proxy, "b");
}

/// Asks until the answer is a 200, and counts those before it. On a slow machine the instance that
/// takes the place of one that has failed is built beside the worker, and missed meanwhile.
fn answered(proxy: &TestProxy, request: Vec<u8>) -> u64 {
    let mut missed = 0;
    eventually("it is answered", || {
        let status = proxy.ask(request.clone()).status;
        missed += u64::from(status == 503);
        (status == 200).then_some(missed)
    })
}

#[test]
fn a_completion_that_fails_is_the_policys_fault_and_hurts_no_request() {
    let upstream = TestUpstream::named("backend");
    let proxy = hearing_builder(&[&upstream], "on-failure = 503", "").start();
    let mut without = 0;
    for n in 0..20 {
        let trapping = request(&n.to_string()).field("X-Completed", "trap");
        without += answered(&proxy, trapping.bytes());
    }
    proxy.wait_for_stat("/policies/hearer/traps", 20);
    without += answered(&proxy, request("after").bytes());
    let stats = &proxy.stats()["policies"]["hearer"];
    assert_eq!(stats["failure_mode_uses"], without, "{stats:#}");
    assert_eq!(stats["client_pauses"], 0, "no client pays for it");
    heard(&proxy, "after");
}

#[test]
fn a_completion_that_never_ends_is_cut_off_and_no_client_pays_for_it() {
    let upstream = TestUpstream::named("backend");
    let lines = "deadline = \"20ms\"\non-failure = 503";
    let proxy = hearing_builder(&[&upstream], lines, "").start();
    let mut without = 0;
    for _ in 0..10 {
        let looping = request("loops").field("X-Completed", "loop");
        without += answered(&proxy, looping.bytes());
    }
    eventually("each is cut off, or not begun", || {
        let stats = &proxy.stats()["policies"]["hearer"];
        let number = |key: &str| stats[key].as_u64().unwrap();
        (number("deadlines") + number("completions_dropped") == 10).then_some(())
    });
    let stats = &proxy.stats()["policies"]["hearer"];
    assert_eq!(stats["client_pauses"], 0, "{stats:#}");
    assert_eq!(stats["failure_mode_uses"], without, "{stats:#}");
}

#[test]
fn completions_that_find_no_room_are_dropped_and_counted() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = hearing(&[&upstream]);
    // Their heads are more than may wait, and all of them end at once.
    let long = "x".repeat(30_000);
    let mut clients: Vec<_> = (0..200)
        .map(|n| {
            let mut client = proxy.client();
            let request = request(&n.to_string()).field("X-Completed", "spin=20000");
            client.send(request.field("X-Long", &long).bytes());
            client
        })
        .collect();
    upstream.wait_for_heads(200);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
    let calls = "/policies/hearer/calls_by_hook/completion";
    let dropped = "/policies/hearer/completions_dropped";
    eventually("each is told or counted", || {
        (proxy.stat(calls) + proxy.stat(dropped) == 200).then_some(())
    });
    assert!(proxy.stat(dropped) > 0);
    proxy.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("X-Id", "z")
            .bytes(),
    );
    heard(&proxy, "z");
}

#[test]
fn with_an_instance_for_each_request_completions_have_one_of_their_own() {
    let upstream = TestUpstream::named("backend");
    let lines = "isolation = \"request\"";
    let proxy = hearing_builder(&[&upstream], lines, "").start();
    let mut client = proxy.client();
    for n in 0..10 {
        let id = n.to_string();
        assert_eq!(client.ask(request(&id).bytes()).status, 200);
        heard(&proxy, &id).has("status=200 failure=none");
    }
}
