//! What two attempts that run beside each other leave behind: for the health of their backends, and
//! for the attempts that follow.

use super::{Picking, picking};
use crate::fixtures::{Gate, TestProxy, TestUpstream, eventually, response};

const HEDGE: &str = "hedge = { after = \"20ms\" }";

/// Holds every request until its connection ends, and opens the gate before.
fn hanging(asked: &Gate) -> TestUpstream {
    let asked = asked.clone();
    TestUpstream::start(move |connection| {
        connection.request();
        asked.open();
        connection.wait_for_close();
    })
}

/// Waits for one gate, answers by this or closes the connection, and opens the other gate.
fn between(first: &Gate, answer: Option<Vec<u8>>, then: &Gate) -> TestUpstream {
    let (first, then) = (first.clone(), then.clone());
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            first.wait();
            if let Some(answer) = &answer {
                connection.send(answer);
            }
            then.open();
            if answer.is_none() {
                return;
            }
        }
    })
}

/// The same, which says by the first gate that it was asked.
fn asked(first: &Gate, then: &Gate, answer: Option<Vec<u8>>) -> TestUpstream {
    let (first, then) = (first.clone(), then.clone());
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            first.open();
            then.wait();
            match &answer {
                Some(answer) => connection.send(answer),
                None => return,
            };
        }
    })
}

fn busy(text: &str) -> Option<Vec<u8>> {
    Some(response("503 Busy", &[], text))
}

fn ok(text: &str) -> Option<Vec<u8>> {
    Some(response("200 OK", &[], text))
}

fn backend(proxy: &TestProxy, of: &TestUpstream) -> serde_json::Value {
    proxy.stats()["backends"][of.address().to_string()].clone()
}

#[track_caller]
fn assert_failures(proxy: &TestProxy, of: &TestUpstream, failures: u64) {
    eventually("its failures are counted", || {
        (backend(proxy, of)["failures"] == failures).then_some(())
    });
}

#[test]
fn a_backend_that_hangs_and_loses_every_time_is_avoided() {
    let (one, two) = (hanging(&Gate::new()), TestUpstream::named("two"));
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    eventually("it is degraded", || {
        assert_eq!(client.ask(Picking::get("0,1")).text(), "two");
        (backend(&proxy, &one)["state"] == "degraded").then_some(())
    });
    assert_eq!(backend(&proxy, &one)["failures"], 0, "it may only be slow");
}

#[test]
fn a_503_that_loses_is_a_failure_of_its_backend() {
    let (begun, refused) = (Gate::new(), Gate::new());
    let one = between(&begun, busy("one"), &refused);
    let two = asked(&begun, &refused, ok("two"));
    let proxy = picking(&[&one, &two], HEDGE);
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "two");
    assert_failures(&proxy, &one, 1);
    assert_failures(&proxy, &two, 0);

    let answered = Gate::new();
    let one = between(&answered, ok("one"), &Gate::new());
    let two = TestUpstream::answering(response("503 Busy", &[], "two"));
    let proxy = picking(&[&one, &two], HEDGE);
    let mut client = proxy.client();
    client.send(Picking::get("0,1"));
    eventually("the second has answered", || {
        (proxy.stat("/bytes/from_backends") > 0).then_some(())
    });
    answered.open();
    assert_eq!(client.response().text(), "one");
    assert_failures(&proxy, &two, 1);
    assert_failures(&proxy, &one, 0);
}

/// The second attempt is not waited for longer than the first one was.
#[test]
fn where_the_first_fails_and_the_second_hangs_a_third_is_asked() {
    for answer in [None, busy("one")] {
        let begun = Gate::new();
        let one = between(&begun, answer, &Gate::new());
        let (two, three) = (hanging(&begun), TestUpstream::named("three"));
        let proxy = picking(&[&one, &two, &three], HEDGE);
        assert_eq!(proxy.ask(Picking::get("0,1,2")).text(), "three");
        proxy.logged(&["\"attempts\":3"]);
        two.wait_until_unused_after(1);
    }
}

#[test]
fn a_backend_that_failed_before_is_not_asked_beside_another() {
    let zero = TestUpstream::start(|connection| {
        connection.request();
    });
    let gate = Gate::new();
    let (one, two) = (TestUpstream::behind(&gate), TestUpstream::named("two"));
    // Long enough for the first backend to fail before it, on a busy machine too.
    let proxy = picking(&[&zero, &one, &two], "hedge = { after = \"250ms\" }");
    let mut client = proxy.client();
    client.send(Picking::get("0,1,0"));
    one.wait_for_heads(1);
    // Hedged later than the other one would have been.
    assert_eq!(proxy.ask(Picking::get("1,2")).text(), "two");
    gate.open();
    assert_eq!(client.response().text(), "ok");
    assert_eq!(zero.received().len(), 1);
}

#[test]
fn the_last_503_is_passed_on_whichever_attempt_it_answers() {
    let (begun, ended) = (Gate::new(), Gate::new());
    let zero = TestUpstream::start(|connection| {
        connection.request();
    });
    let one = between(&begun, None, &ended);
    let two = asked(&begun, &ended, busy("two"));
    let proxy = picking(&[&zero, &one, &two], HEDGE);
    let answer = proxy.ask(Picking::get("0,1,2"));
    assert_eq!((answer.status, answer.text()), (503, "two".to_owned()));

    let (begun, refused) = (Gate::new(), Gate::new());
    let one = between(&begun, busy("one"), &refused);
    let two = asked(&begun, &refused, None);
    let proxy = picking(&[&one, &two], HEDGE);
    let answer = proxy.ask(Picking::get("0,1"));
    assert_eq!((answer.status, answer.text()), (503, "one".to_owned()));
}

#[test]
fn two_at_a_time_are_two_of_the_attempts() {
    let (begun, ended) = (Gate::new(), Gate::new());
    let one = between(&begun, None, &ended);
    let two = asked(&begun, &ended, None);
    let three = TestUpstream::named("three");
    let keys = format!("{HEDGE}\nretry = {{ attempts = 2 }}");
    let proxy = picking(&[&one, &two, &three], &keys);
    proxy.ask(Picking::get("0,1,2")).assert_refusal(502);
    assert_eq!(three.received().len(), 0);
    proxy.logged(&["\"attempts\":2", "\"hedge\":\"lost\""]);
}
