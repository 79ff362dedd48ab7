//! Routes to several pools.

use crate::fixtures::{TestProxy, TestUpstream, get, refusing_address};

/// How many of so many requests each of the two backends answers.
fn shares(proxy: &TestProxy, requests: usize) -> (usize, usize) {
    let mut client = proxy.client();
    let answers: Vec<String> = (0..requests)
        .map(|_| client.ask(get("a.test", "/")).text())
        .collect();
    let count = |name| answers.iter().filter(|text| *text == name).count();
    let (a, b) = (count("a"), count("b"));
    assert_eq!(a + b, requests, "all were answered by a backend");
    (a, b)
}

fn proxy(a: &str, b: &str, pools: &str) -> TestProxy {
    TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [{a}]\n[pools.b]\nbackends = [{b}]\n\
             [[routes]]\npolicies = []\npools = {pools}"
        ))
        .start()
}

fn quoted(upstream: &TestUpstream) -> String {
    format!("\"{}\"", upstream.address())
}

fn without_weight(upstream: &TestUpstream) -> String {
    format!("{{ address = \"{}\", weight = 0 }}", upstream.address())
}

#[test]
fn requests_are_shared_by_the_weights_of_the_pools() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    // 100 of 400 in the mean; fewer than 40 or more than 160 once in two thousand million runs
    // (Chernoff).
    let weighted = "[{ pool = \"a\", weight = 3 }, { pool = \"b\" }]";
    let (_, few) = shares(&proxy(&quoted(&a), &quoted(&b), weighted), 400);
    assert!((40..=160).contains(&few), "{few} of 400");
    // 200 of 400; fewer than 135 or more than 265 is as rare.
    let (_, half) = shares(&proxy(&quoted(&a), &quoted(&b), "[\"a\", \"b\"]"), 400);
    assert!((135..=265).contains(&half), "{half} of 400");
    let none = "[{ pool = \"a\", weight = 0 }, \"b\"]";
    let all = shares(&proxy(&quoted(&a), &quoted(&b), none), 40);
    assert_eq!(all, (0, 40));
}

#[test]
fn another_pool_takes_the_requests_of_one_without_backends() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let both = "[{ pool = \"a\", weight = 9 }, \"b\"]";
    let elsewhere = proxy(&without_weight(&a), &quoted(&b), both);
    assert_eq!(shares(&elsewhere, 40), (0, 40));
    // A pool of weight 0 takes none, even then.
    let alone = "[\"a\", { pool = \"b\", weight = 0 }]";
    let nowhere = proxy(&without_weight(&a), &quoted(&b), alone);
    nowhere.get("a.test", "/").assert_refusal(503);
    let neither = proxy(&without_weight(&a), &without_weight(&b), both);
    neither.get("a.test", "/").assert_refusal(503);
}

#[test]
fn attempts_stay_in_the_pool_that_was_chosen() {
    let ((_held, dead), b) = (refusing_address(), TestUpstream::named("b"));
    // The pool is asked by no more than its own backends, however many attempts there may be.
    let only_a = "[{ pool = \"a\" }, { pool = \"b\", weight = 0 }]\nretry = { attempts = 5 }";
    let proxy = proxy(&format!("\"{dead}\""), &quoted(&b), only_a);
    proxy.get("a.test", "/").assert_refusal(502);
    assert!(b.received().is_empty());
}
