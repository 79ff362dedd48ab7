//! Backends that don't answer in time.

use super::{Picking, picking};
use crate::fixtures::{Request, TestProxy, TestUpstream};

fn silent() -> TestUpstream {
    TestUpstream::start(|connection| {
        connection.request();
        connection.wait_for_close();
    })
}

#[test]
fn after_the_time_of_one_try_another_backend_is_asked() {
    let (one, two) = (silent(), TestUpstream::named("ok"));
    let proxy = picking(&[&one, &two], "retry = { try-timeout = \"100ms\" }");
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "ok");
    proxy
        .ask(Picking::of("POST", "0,1").body("x").bytes())
        .assert_refusal(504);
    assert_eq!((one.received().len(), two.received().len()), (2, 1));
    one.wait_until_unused();
    let retries = proxy.stats()["attempts"]["retries_by_reason"].clone();
    assert_eq!(retries["timeout"], 1);
}

#[test]
fn interim_responses_do_not_prolong_a_try() {
    let slow = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 103 Early Hints\r\n\r\n");
        connection.wait_for_close();
    });
    let two = TestUpstream::named("ok");
    let proxy = picking(&[&slow, &two], "retry = { try-timeout = \"100ms\" }");
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "ok");
    assert_eq!(proxy.stats()["attempts"]["retries_by_reason"]["timeout"], 1);
}

#[test]
fn a_get_whose_response_times_out_is_tried_at_one_other_backend() {
    let (one, two, three) = (silent(), silent(), TestUpstream::named("ok"));
    let proxy = picking_with(&[&one, &two, &three], "[timeouts]\nresponse = \"100ms\"");
    assert_eq!(proxy.ask(Picking::get("0,2")).text(), "ok");
    proxy.ask(Picking::get("0,1,2")).assert_refusal(504);
    let sent = [&one, &two, &three].map(|upstream| upstream.received().len());
    assert_eq!(sent, [2, 1, 1]);
}

#[test]
fn the_only_backend_is_not_asked_again_after_a_time_out() {
    let one = silent();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = \"{}\"\nretry = {{ try-timeout = \"50ms\" }}\n[[routes]]\npool = \"a\"",
            one.address()
        ))
        .start();
    proxy.get("a.test", "/").assert_refusal(504);
    assert_eq!(one.received().len(), 1);
}

fn picking_with(backends: &[&TestUpstream], tables: &str) -> TestProxy {
    super::picking_builder(backends, "").tables(tables).start()
}

#[test]
fn without_the_condition_nothing_is_tried_again() {
    let (one, two) = (silent(), TestUpstream::named("ok"));
    let keys = "retry = { try-timeout = \"50ms\", on = [] }";
    let proxy = picking(&[&one, &two], keys);
    proxy.ask(Picking::get("0,1")).assert_refusal(504);
    let (_held, refusing) = crate::fixtures::refusing_address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{refusing}\"]\n{keys}\n[[routes]]\npool = \"a\""
        ))
        .start();
    proxy
        .ask(Request::new("GET", "/").host("a.test").bytes())
        .assert_refusal(502);
    assert_eq!(proxy.stat("/retries"), 0);
}
