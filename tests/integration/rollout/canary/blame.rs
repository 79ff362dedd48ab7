//! Failures that say nothing of a canary.

use std::net::IpAddr;

use super::super::said;
use super::ask_as;
use crate::fixtures::{Client, Request, TestUpstream, eventually, get, guest, response};

/// Answers 503 to `/down` and is well otherwise.
fn half_well(name: &'static str) -> TestUpstream {
    TestUpstream::replying(move |request| match request.target() {
        "/down" => response("503 Service Unavailable", &[], "down"),
        _ => response("200 OK", &[], name),
    })
}

#[test]
fn one_client_can_not_veto_a_canary() {
    let backends = [half_well("first"), half_well("last")];
    let proxy = super::super::start(&backends, 2, "", "", "pick-first");
    let put = Request::new("PUT", "/policies/mine?mode=canary&percent=50").body(guest("pick-last"));
    said(proxy.admin(put));
    let decided = |client: [u8; 4]| ask_as(&proxy, client, "/").value("x-policy").unwrap();
    // Of 64 clients none is the canary's once in 2^64 keys.
    let (canaries, others): (Vec<_>, Vec<_>) = (1..=64)
        .map(|n| [127, 0, 2, n])
        .partition(|client| decided(*client) == "last");
    let attacker = canaries[0];
    let mut client = Client::connect_from(IpAddr::from(attacker), proxy.address());
    for _ in 0..60 {
        assert_eq!(client.ask(get("a.test", "/down")).status, 503);
    }
    for round in 0..6 {
        let all = canaries.iter().skip(1).chain(&others);
        all.for_each(|client| assert_eq!(ask_as(&proxy, *client, "/").status, 200, "{round}"));
    }
    let trial = eventually("all are counted", || {
        let trial = proxy.policy("mine")["trial"].clone();
        let of = |arm: &str| trial[arm]["requests"].as_u64();
        (trial.is_null() || of("canary")? + of("control")? == 64 + 60 + 63 * 6).then_some(trial)
    });
    assert_eq!(trial["canary"]["failed"], 60, "{trial:#}");
    let [route] = trial["routes"].as_array().unwrap().as_slice() else {
        panic!("{trial:#}")
    };
    assert_eq!(route["route"], "*/");
    assert!(route["canary_failed"].as_u64().unwrap() <= 4, "{trial:#}");
    assert!(
        route["canary_requests"].as_u64().unwrap() <= 5 * canaries.len() as u64,
        "{trial:#}"
    );
    assert_eq!(
        said(proxy.admin(Request::new("POST", "/policies/mine/promote")))["generation"],
        2
    );
}

#[test]
fn a_client_that_is_alone_with_a_canary_of_all_requests_can_not_veto_it() {
    let backends = [half_well("first"), half_well("last")];
    let proxy = super::super::start(&backends, 1, "", "", "pick-first");
    for by in ["client", "request"] {
        let put = Request::new(
            "PUT",
            &format!("/policies/mine?mode=canary&percent=100&by={by}"),
        )
        .body(guest("pick-last"));
        let generation = said(proxy.admin(put))["trial"]["generation"].clone();
        let mut client = proxy.client();
        (0..60).for_each(|_| assert_eq!(client.ask(get("a.test", "/down")).status, 503));
        eventually("all are counted", || {
            let trial = proxy.policy("mine")["trial"].clone();
            (trial.is_null() || trial["canary"]["failed"] == 60).then_some(())
        });
        assert_eq!(
            said(proxy.admin(Request::new("POST", "/policies/mine/promote")))["generation"],
            generation,
            "{by}"
        );
    }
}

#[test]
fn a_route_that_is_down_fails_on_both_sides() {
    let backends = [half_well("first"), half_well("last")];
    let proxy = super::super::start(&backends, 2, "", "", "pick-first");
    let put = Request::new("PUT", "/policies/mine?mode=canary&percent=50&by=request")
        .body(guest("pick-last"));
    said(proxy.admin(put));
    let mut client = proxy.client();
    for n in 0..200 {
        client.ask(get("a.test", if n % 4 == 0 { "/" } else { "/down" }));
    }
    let trial = eventually("all are counted", || {
        let trial = proxy.policy("mine")["trial"].clone();
        let of = |arm: &str| trial[arm]["requests"].as_u64();
        (trial.is_null() || of("canary")? + of("control")? == 200).then_some(trial)
    });
    assert!(
        trial["canary"]["failed"].as_u64().unwrap() > 20,
        "{trial:#}"
    );
    assert_eq!(
        said(proxy.admin(Request::new("POST", "/policies/mine/promote")))["generation"],
        2
    );
}

#[test]
fn a_request_on_which_both_generations_fail_says_nothing_of_the_candidate() {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = super::super::start(&backends, 1, "", "[rollout]\nmax-faults = 1", "probe");
    let put = Request::new("PUT", "/policies/mine?mode=canary&percent=100&by=request")
        .body(guest("probe"));
    said(proxy.admin(put));
    let trap = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Select", "trap")
        .bytes();
    assert_eq!(proxy.ask(&trap).status, 200);
    let trial = eventually("it is counted", || {
        let trial = proxy.policy("mine")["trial"].clone();
        (trial.is_null() || trial["faults"]["traps"] == 1).then_some(trial)
    });
    assert_eq!(trial["faults"]["shared"], 1, "{trial:#}");
    assert_eq!(
        said(proxy.admin(Request::new("POST", "/policies/mine/promote")))["generation"],
        2
    );
}

/// Calls that answer late, and calls that never end: by the former the client owes something, and
/// by the latter it is paused for the active generation before it is for the candidate.
#[test]
fn requests_that_take_any_generation_long_say_nothing_of_the_candidate() {
    for (action, times, percent) in [("spin=1500", 30, 100), ("loop", 60, 50)] {
        let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
        let proxy = super::super::start(
            &backends,
            1,
            "deadline = \"1ms\"",
            "[rollout]\nmax-faults = 1",
            "probe",
        );
        let put = Request::new(
            "PUT",
            &format!("/policies/mine?mode=canary&percent={percent}&by=request"),
        );
        said(proxy.admin(put.body(guest("probe"))));
        let mut client = proxy.client();
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Select", action)
            .bytes();
        for _ in 0..times {
            assert_eq!(client.ask(&request).status, 200);
        }
        // A look of the judge's after the last of them.
        let looks = || proxy.policy("mine")["trial"]["canary"]["requests"].as_u64();
        eventually("all are counted", || {
            (looks().is_none_or(|n| n > times / 4)).then_some(())
        });
        let trial = proxy.policy("mine")["trial"].clone();
        assert!(!trial.is_null(), "{action}: {:#}", proxy.policy("mine"));
        assert_eq!(
            said(proxy.admin(Request::new("POST", "/policies/mine/promote")))["generation"],
            2,
            "{action}"
        );
    }
}
