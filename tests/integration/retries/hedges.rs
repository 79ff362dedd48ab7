//! A second backend beside one that has not answered in the usual time.

use super::{Picking, picking};
use crate::fixtures::{Gate, TestProxy, TestUpstream, eventually, response};

const HEDGE: &str = "hedge = { after = \"20ms\" }";

/// Holds every request until its connection ends.
fn holding() -> TestUpstream {
    TestUpstream::start(|connection| {
        connection.request();
        connection.wait_for_close();
    })
}

/// Answers by this once the other one has been asked.
fn after(gate: &Gate, answer: Vec<u8>) -> TestUpstream {
    let gate = gate.clone();
    TestUpstream::replying(move |_| {
        gate.wait();
        answer.clone()
    })
}

/// Opens the gate when it is asked, and answers by this, or not at all.
fn opening(gate: &Gate, answer: Option<Vec<u8>>) -> TestUpstream {
    let gate = gate.clone();
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            gate.open();
            match &answer {
                Some(answer) => connection.send(answer),
                None => return connection.wait_for_close(),
            };
        }
    })
}

fn ok(text: &str) -> Vec<u8> {
    response("200 OK", &[], text)
}

fn error(text: &str) -> Vec<u8> {
    response("500 Internal Server Error", &[], text)
}

#[track_caller]
fn assert_hedges(proxy: &TestProxy, made: u64, won: u64) {
    let attempts = proxy.stats()["attempts"].clone();
    let counted = (attempts["hedges"].as_u64(), attempts["hedges_won"].as_u64());
    assert_eq!(counted, (Some(made), Some(won)));
}

#[track_caller]
fn assert_no_failures(proxy: &TestProxy, upstreams: &[&TestUpstream]) {
    let stats = proxy.stats();
    for upstream in upstreams {
        let address = upstream.address().to_string();
        assert_eq!(stats["backends"][address]["failures"], 0);
    }
}

#[test]
fn the_second_backend_answers_and_the_first_is_given_up_without_blame() {
    let (one, two) = (holding(), TestUpstream::named("two"));
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    for n in 1..=3 {
        let answer = client.ask(Picking::get("0,1"));
        assert_eq!((answer.status, answer.text()), (200, "two".to_owned()));
        assert_eq!((one.received().len(), two.received().len()), (n, n));
    }
    one.wait_until_unused();
    assert_eq!(two.connections(), 1, "its connection is kept");
    assert_hedges(&proxy, 3, 3);
    assert_no_failures(&proxy, &[&one, &two]);
    proxy.logged(&["\"hedge\":\"won\"", "\"attempts\":2"]);
}

#[test]
fn the_first_backend_answers_after_all_and_the_second_is_given_up_without_blame() {
    let gate = Gate::new();
    let (one, two) = (after(&gate, ok("one")), opening(&gate, None));
    let proxy = picking(&[&one, &two], HEDGE);
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "one");
    two.wait_until_unused_after(1);
    assert_hedges(&proxy, 1, 0);
    assert_no_failures(&proxy, &[&one, &two]);
    proxy.logged(&["\"hedge\":\"lost\"", "\"attempts\":2"]);
}

#[test]
fn an_answer_in_time_is_not_hedged_nor_is_what_must_not_be_sent_twice() {
    let (one, two) = (TestUpstream::named("one"), TestUpstream::named("two"));
    let proxy = picking(&[&one, &two], "hedge = { after = \"20s\" }");
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "one");
    let gate = Gate::new();
    let slow = TestUpstream::behind(&gate);
    let proxy = picking(&[&slow, &two], "hedge = { after = \"1ms\" }");
    let mut client = proxy.client();
    client.send(Picking::of("POST", "0,1").body("x").bytes());
    slow.wait_for_heads(1);
    // One that is hedged, so that the other had the time as well.
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "two");
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_eq!(two.received().len(), 1);
}

#[test]
fn a_failure_of_the_first_waits_for_the_second() {
    let gate = Gate::new();
    let (one, two) = (after(&gate, error("one")), opening(&gate, Some(ok("two"))));
    let proxy = picking(&[&one, &two], HEDGE);
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "two");
}

#[test]
fn a_failure_of_the_second_does_not_win() {
    let gate = Gate::new();
    let (one, two) = (after(&gate, ok("one")), opening(&gate, Some(error("two"))));
    let proxy = picking(&[&one, &two], HEDGE);
    let answer = proxy.ask(Picking::get("0,1"));
    assert_eq!((answer.status, answer.text()), (200, "one".to_owned()));
    assert_hedges(&proxy, 1, 0);
}

#[test]
fn where_the_first_fails_the_second_is_taken_whatever_it_says() {
    let gate = Gate::new();
    let opened = gate.clone();
    let one = TestUpstream::start(move |connection| {
        connection.request();
        opened.wait();
    });
    let two = opening(&gate, Some(error("two")));
    let proxy = picking(&[&one, &two], HEDGE);
    let answer = proxy.ask(Picking::get("0,1"));
    assert_eq!((answer.status, answer.text()), (500, "two".to_owned()));
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
}

#[test]
fn where_both_fail_the_request_ends_or_goes_on_to_a_third() {
    let closing = |gate: &Gate, opens: bool| {
        let gate = gate.clone();
        TestUpstream::start(move |connection| {
            connection.request();
            match opens {
                true => gate.open(),
                false => gate.wait(),
            }
        })
    };
    let gate = Gate::new();
    let (one, two) = (closing(&gate, false), closing(&gate, true));
    let proxy = picking(&[&one, &two], HEDGE);
    proxy.ask(Picking::get("0,1")).assert_refusal(502);
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
    let gate = Gate::new();
    let (one, two) = (closing(&gate, false), closing(&gate, true));
    let three = TestUpstream::named("three");
    let proxy = picking(&[&one, &two, &three], HEDGE);
    assert_eq!(proxy.ask(Picking::get("0,1,2")).text(), "three");
}

#[test]
fn a_client_that_leaves_ends_both() {
    let (one, two) = (holding(), holding());
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    client.send(Picking::get("0,1"));
    two.wait_for_heads(1);
    drop(client);
    one.wait_until_unused_after(1);
    two.wait_until_unused_after(1);
    assert_no_failures(&proxy, &[&one, &two]);
    proxy.logged(&["the client left"]);
}

#[test]
fn bodies_heads_and_long_answers_are_hedged() {
    let (one, two) = (holding(), TestUpstream::echo());
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    let body = super::body_of(5_000);
    let answer = client.ask(Picking::of("PUT", "0,1").body(&body).bytes());
    assert_eq!(answer.body, body);
    let long = super::body_of(3_000_000);
    let (one, two) = (
        holding(),
        TestUpstream::answering(response("200 OK", &[], &long)),
    );
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    assert_eq!(client.ask(Picking::get("0,1")).body, long);
    assert_eq!(client.ask(Picking::get("1")).body, long);
    let two = TestUpstream::answering(b"HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n");
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(Picking::of("HEAD", "0,1").bytes());
        assert_eq!(answer.value("content-length").as_deref(), Some("7"));
    }
    assert_eq!(two.connections(), 1);
}

#[test]
fn the_budget_pays_for_hedges() {
    let gate = Gate::new();
    let (one, two) = (TestUpstream::behind(&gate), TestUpstream::named("two"));
    let keys = format!("{HEDGE}\nretry = {{ budget = {{ share = 0, least = 0 }} }}");
    let proxy = picking(&[&one, &two], &keys);
    let mut client = proxy.client();
    client.send(Picking::get("0,1"));
    eventually("a hedge that is refused", || {
        (proxy.stats()["requests"]["active"] == 1).then_some(())
    });
    one.wait_for_heads(1);
    let other = proxy.ask(Picking::get("1"));
    assert_eq!(other.text(), "two");
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_hedges(&proxy, 0, 0);
    assert_eq!(two.received().len(), 1);
}

/// Before enough responses are known, nothing is hedged.
#[test]
fn a_percentile_is_that_of_the_pools_own_responses() {
    let gate = Gate::new();
    let held = gate.clone();
    let one = TestUpstream::replying(move |request| {
        if request.target() == "/slow" {
            held.wait();
        }
        ok("one")
    });
    let two = TestUpstream::named("two");
    let proxy = picking(&[&one, &two], "hedge = { after = \"p95\" }");
    let mut client = proxy.client();
    for _ in 0..40 {
        client.ask(Picking::get("0"));
    }
    let mut slow = Vec::new();
    eventually("a hedge", || {
        let mut client = proxy.client();
        client.send(Picking::at("/slow", "0,1"));
        slow.push(client);
        (proxy.stats()["attempts"]["hedges"] != 0).then_some(())
    });
    gate.open();
    slow.iter_mut()
        .for_each(|client| assert_eq!(client.response().status, 200));
}
