//! What changes while a request is under way.

use super::{heard, hearing_builder, request};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, guest};

/// A proxy whose pool also has these backends, after the one that is configured.
fn with_more(configured: &TestUpstream, more: &[&TestUpstream]) -> TestProxy {
    let proxy = hearing_builder(&[configured], "", "").start();
    let more = more.iter().map(|u| format!("\"{}\"", u.address()));
    let list = format!("[{}]", more.collect::<Vec<_>>().join(", "));
    ask(&proxy, Request::new("PUT", "/pools/x/backends").body(list));
    proxy
}

fn remove(proxy: &TestProxy, backend: &TestUpstream) {
    let path = format!("/pools/x/backends/{}", backend.address());
    ask(proxy, Request::new("DELETE", &path));
}

#[track_caller]
fn ask(proxy: &TestProxy, request: Request) {
    let answer = proxy.admin(request);
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert!(answer.text().contains("\"adopted\""), "{}", answer.text());
}

#[test]
fn the_index_is_that_of_the_list_that_the_policy_has_now() {
    let gate = Gate::new();
    let held = TestUpstream::behind(&gate);
    let [first, second] = ["first", "second"].map(TestUpstream::named);
    let proxy = with_more(&first, &[&second, &held]);
    let mut client = proxy.client();
    client.send(request("moves").field("X-Picks", "2").bytes());
    held.wait_for_heads(1);
    remove(&proxy, &second);
    gate.open();
    assert_eq!(client.response().status, 200);
    heard(&proxy, "moves").has("backend=1 status=200 failure=none");
}

#[test]
fn a_backend_that_has_left_has_no_index() {
    let gate = Gate::new();
    let (held, first) = (TestUpstream::behind(&gate), TestUpstream::named("first"));
    let proxy = with_more(&first, &[&held]);
    let mut client = proxy.client();
    client.send(request("left").field("X-Picks", "1").bytes());
    held.wait_for_heads(1);
    remove(&proxy, &held);
    gate.open();
    assert_eq!(client.response().status, 200);
    heard(&proxy, "left").has("backend=4294967295 status=200 failure=none");
}

#[test]
fn the_generation_that_was_asked_hears_of_it_and_the_next_does_not() {
    let gate = Gate::new();
    let held = TestUpstream::behind(&gate);
    let proxy = hearing_builder(&[&held], "", "").start();
    let mut client = proxy.client();
    client.send(request("a").bytes());
    held.wait_for_heads(1);
    // It has no store and no such hook: what is heard, the former generation has heard.
    assert_eq!(proxy.put_policy("hearer", &guest("pick-first")).status, 200);
    gate.open();
    assert_eq!(client.response().status, 200);
    proxy.stderr.says("heard of a");
    assert_eq!(proxy.put_policy("hearer", &guest("hearer")).status, 200);
    heard(&proxy, "a").has("status=200");
}

#[test]
fn the_last_requests_of_a_process_are_heard_of() {
    let gate = Gate::new();
    let held = TestUpstream::behind(&gate);
    let mut proxy = hearing_builder(&[&held], "", "").start();
    let mut client = proxy.client();
    client.send(request("last").bytes());
    held.wait_for_heads(1);
    proxy.signal("TERM");
    gate.open();
    assert_eq!(client.response().status, 200);
    assert_eq!(proxy.exit_code(), 0);
    assert!(proxy.stderr.whole().contains("heard of last"));
}

#[test]
fn a_request_that_is_cut_off_by_the_end_of_a_drain_is_heard_of() {
    let gate = Gate::new();
    let held = TestUpstream::behind(&gate);
    let mut proxy = hearing_builder(&[&held], "", "")
        .tables("[timeouts]\ndrain = \"100ms\"")
        .start();
    let mut client = proxy.client();
    client.send(request("cut").bytes());
    held.wait_for_heads(1);
    proxy.signal("TERM");
    proxy.exit_code();
    assert!(proxy.stderr.whole().contains("heard of cut"));
    gate.open();
}
