//! `/pools` of the admin listener.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::{answers, backends, call, change, endpoints, last_of, say};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually, get, response};

#[test]
fn a_backend_that_is_added_gets_requests_as_soon_as_that_is_answered() {
    let [one, two, three] = ["one", "two", "three"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one]))).start();
    let mut client = proxy.client();
    let mut ask = || client.ask(get("a.test", "/")).text();
    assert_eq!(ask(), "one");
    let path = "/pools/x/backends";
    change(&proxy, "PUT", path, &backends(&[&two]));
    // The policy has the list already, and its last position is the new one.
    assert_eq!(ask(), "two");
    let one_more = format!("{path}/{}", three.address());
    let labelled = r#"{"weight": 3, "labels": {"zone": "b"}}"#;
    let changed = change(&proxy, "PUT", &one_more, labelled);
    assert_eq!(ask(), "three");
    assert_eq!(changed["endpoints"][2]["weight"], 3);
    assert_eq!(changed["endpoints"][2]["labels"]["zone"], "b");
    assert_eq!(
        endpoints(&proxy),
        [
            format!("{} configuration healthy", one.address()),
            format!("{} api healthy", two.address()),
            format!("{} api healthy", three.address()),
        ]
    );
    change(&proxy, "DELETE", &format!("{path}/{}", two.address()), "");
    assert_eq!(ask(), "three");
    let object = format!("{{\"backends\": {}}}", backends(&[&two]));
    change(&proxy, "PUT", path, &object);
    assert_eq!(ask(), "two");
    change(&proxy, "DELETE", path, "");
    assert_eq!(ask(), "one");
    assert_eq!(one.connections(), 1, "what stayed keeps its connection");
    let gone = proxy.stat(&format!("/backends/{}/requests", three.address()));
    assert_eq!(gone, 2, "what left keeps its counters");
}

#[test]
fn what_is_drained_or_down_gets_no_request_and_health_does_not_undo_it() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one, &two]))).start();
    assert_eq!(answers(&proxy), "two");
    for (what, state) in [
        ("drain", "draining"),
        ("down", "down"),
        ("weight?value=0", "draining"),
    ] {
        say(&proxy, two.address(), what);
        let before = two.received().len();
        for _ in 0..20 {
            assert_eq!(answers(&proxy), "one", "{what}");
        }
        assert_eq!(two.received().len(), before, "{what}");
        let shown = format!("{} configuration {state}", two.address());
        assert!(
            endpoints(&proxy).contains(&shown),
            "{what}: {:?}",
            endpoints(&proxy)
        );
        let back = if what == "weight?value=0" {
            "weight?value=configured"
        } else {
            "up"
        };
        say(&proxy, two.address(), back);
        assert_eq!(answers(&proxy), "two", "{what}");
    }
    let changed = say(&proxy, one.address(), "drain");
    assert_eq!(
        changed["warnings"].as_array().unwrap().len(),
        0,
        "{changed:#}"
    );
    let changed = say(&proxy, two.address(), "down");
    let warned = changed["warnings"][0].as_str().unwrap();
    assert!(
        warned.starts_with("no backend of pool \"x\" gets new requests"),
        "{changed:#}"
    );
    let refused = proxy.get("a.test", "/");
    refused.assert_refusal(503);
    assert!(
        refused.text().contains("No backend is available"),
        "{}",
        refused.text()
    );
    let stats = proxy.stats();
    let shown = &stats["topology"]["x"]["endpoints"];
    assert_eq!(
        (&shown[0]["admin"], &shown[1]["admin"]),
        (&"draining".into(), &"down".into())
    );
    let page = proxy
        .admin(Request::new("GET", "/stats").field("Accept", "text/html"))
        .text();
    assert!(page.contains(">down</span>"), "{page}");
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    let sample = format!("backend=\"{}\",state=\"down\"}} 1", two.address());
    assert!(metrics.contains(&sample), "{metrics}");
    say(&proxy, one.address(), "up");
    assert_eq!(answers(&proxy), "one");
}

#[test]
fn a_request_that_has_begun_goes_on_when_its_backend_is_drained() {
    let gate = Arc::new(Gate::new());
    let held = Arc::clone(&gate);
    let slow = TestUpstream::replying(move |_| {
        held.wait();
        response("200 OK", &[], "slow")
    });
    let proxy = last_of(&format!("backends = {}", backends(&[&slow]))).start();
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    eventually("the request is under way", || {
        (!slow.received().is_empty()).then_some(())
    });
    say(&proxy, slow.address(), "drain");
    proxy.get("a.test", "/").assert_refusal(503);
    gate.open();
    assert_eq!(client.response().text(), "slow");
}

#[test]
fn what_is_wrong_is_said_and_changes_nothing() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one]))).start();
    let path = "/pools/x/backends";
    change(&proxy, "PUT", path, &backends(&[&two]));
    let before = endpoints(&proxy);
    let one_of = |address: &str, what: &str| format!("{path}/{address}{what}");
    let configured = one.address().to_string();
    for (method, target, body, status, says) in [
        (
            "PUT",
            path.to_owned(),
            "[\"a:99999\"]",
            422,
            "the body, /0: \"a:99999\" has no valid port",
        ),
        (
            "PUT",
            path.to_owned(),
            "[\"10.0.0.1:80\"",
            422,
            "the body, line 1, column",
        ),
        ("PUT", path.to_owned(), "", 422, "is empty"),
        (
            "PUT",
            path.to_owned(),
            "[{\"address\": \"a\", \"wait\": 1}]",
            422,
            "weight",
        ),
        (
            "PUT",
            "/pools/y/backends".to_owned(),
            "[]",
            404,
            "no pool is named \"y\"; there are x",
        ),
        (
            "PUT",
            one_of("10.0.0.9", ""),
            "{\"weight\": -1}",
            422,
            "/0/weight: -1 is out of range",
        ),
        ("DELETE", one_of(&configured, ""), "", 422, "has not added"),
        (
            "DELETE",
            one_of("10.0.0.9:80", ""),
            "",
            404,
            "it has 127.0.0.1:",
        ),
        (
            "POST",
            one_of("10.0.0.9", "/drain"),
            "",
            404,
            "pool \"x\" has no backend \"10.0.0.9\"",
        ),
        (
            "POST",
            one_of(&configured, "/weight?value=many"),
            "",
            400,
            "0 to 65535",
        ),
        (
            "POST",
            one_of(&configured, "/stop"),
            "",
            404,
            "there is nothing at",
        ),
    ] {
        let answer = call(&proxy, method, &target, body);
        assert_eq!(
            answer.status,
            status,
            "{method} {target}: {}",
            answer.text()
        );
        assert!(
            answer.text().replace("\\\"", "\"").contains(says),
            "{target}: {}",
            answer.text()
        );
    }
    assert_eq!(endpoints(&proxy), before);
    assert_eq!(answers(&proxy), "two");
}

#[test]
fn a_wrong_token_changes_nothing() {
    let one = TestUpstream::named("one");
    let proxy = last_of(&format!("backends = {}", backends(&[&one])))
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"s3cret-token\"\n")
        .start();
    let drain = format!("/pools/x/backends/{}/drain", one.address());
    let ask = |token: &str| {
        let request = Request::new("POST", &drain).field("Authorization", token);
        proxy.admin(request.body(b"")).status
    };
    assert_eq!(
        (ask("Bearer s3cret"), answers(&proxy)),
        (401, "one".to_owned())
    );
    assert_eq!(ask("Bearer s3cret-token"), 200);
    proxy.get("a.test", "/").assert_refusal(503);
}

#[test]
fn what_the_api_has_said_holds_over_a_reload_for_as_long_as_its_pool_stays() {
    let [one, two] = ["one", "two"].map(TestUpstream::named);
    let proxy = last_of(&format!("backends = {}", backends(&[&one]))).start();
    change(&proxy, "PUT", "/pools/x/backends", &backends(&[&two]));
    say(&proxy, one.address(), "drain");
    let before = endpoints(&proxy);
    let path = proxy.scratch.path().join("waypost.toml");
    let text = std::fs::read_to_string(&path).unwrap();
    let reload = |text: &str| {
        std::fs::write(&path, text).unwrap();
        assert_eq!(call(&proxy, "POST", "/reload", "").status, 200);
    };
    reload(&format!("{text}attempts = 2\n[limits]\nbody-bytes = 70\n"));
    assert_eq!(endpoints(&proxy), before);
    assert_eq!(answers(&proxy), "two");
    let y = text
        .replace("[pools.x]", "[pools.y]")
        .replace("pool = \"x\"", "pool = \"y\"");
    reload(&y);
    assert_eq!(call(&proxy, "GET", "/pools/x", "").status, 404);
    reload(&text);
    let begins_anew = [format!("{} configuration unproven", one.address())];
    assert_eq!(endpoints(&proxy), begins_anew);
}

/// Ends the traffic, also when the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

fn ask_until(proxy: &TestProxy, stop: &AtomicBool, served: &AtomicU64) {
    let mut client = proxy.client();
    while !stop.load(Relaxed) {
        let answer = client.ask(get("a.test", "/"));
        let is_lost = answer.status != 200 || answer.value("connection").is_some();
        assert!(!is_lost, "{} {}", answer.status, answer.text());
        served.fetch_add(1, Relaxed);
    }
}

#[test]
fn two_hundred_changes_under_load_lose_no_request() {
    let all = ["one", "two", "three"].map(TestUpstream::named);
    let [one, two, three] = &all;
    let proxy = last_of(&format!("backends = {}", backends(&[one]))).start();
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..3 {
            scope.spawn(|| ask_until(&proxy, &stop, &served));
        }
        for turn in 0..50 {
            let list = match turn % 2 {
                0 => backends(&[two]),
                _ => backends(&[three, two]),
            };
            change(&proxy, "PUT", "/pools/x/backends", &list);
            say(&proxy, two.address(), "drain");
            say(&proxy, two.address(), "up");
            change(&proxy, "PUT", "/pools/x/backends", "[]");
        }
    });
    assert!(served.load(Relaxed) > 200, "there was traffic");
    for upstream in &all {
        assert!(!upstream.received().is_empty(), "all had a part of it");
    }
    assert_eq!(proxy.stat("/retries"), 0);
}
