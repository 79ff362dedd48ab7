//! A canary decides a share of the requests, falls back where it fails, and goes by itself if it is
//! worse.

mod blame;

use std::collections::BTreeMap;
use std::net::IpAddr;

use super::{deployed, said, states};
use crate::fixtures::{Client, Request, Response, TestProxy, TestUpstream, eventually, get, guest};

#[test]
fn a_share_of_the_requests_is_decided_by_the_canary() {
    let d = deployed(2, "", "");
    d.deploy("?mode=canary&percent=50&by=request", "pick-last");
    let mut seen = BTreeMap::new();
    let mut client = d.proxy.client();
    for _ in 0..200 {
        *seen
            .entry(client.ask(get("a.test", "/")).value("x-policy").unwrap())
            .or_insert(0) += 1;
    }
    assert!(
        (50..150).contains(&seen["first"]) && seen["first"] + seen["last"] == 200,
        "{seen:?}"
    );
    let trial = eventually("all are counted", || {
        let trial = d.now()["trial"].clone();
        let of = |arm: &str| trial[arm]["requests"].as_u64().unwrap();
        (of("canary") + of("control") == 200).then_some(trial)
    });
    assert_eq!(trial["canary"]["requests"], seen["last"], "{trial:#}");
    assert_eq!(trial["canary"]["failed"], 0, "{trial:#}");
    assert_eq!(trial["percent"], 50.0);
}

#[test]
fn a_client_stays_with_its_generation_while_the_share_grows() {
    let d = deployed(2, "", "");
    d.deploy("?mode=canary&percent=30", "pick-last");
    let decided = |n: u8| -> String {
        let mut client = Client::connect_from(IpAddr::from([127, 0, 1, n]), d.proxy.address());
        let all: Vec<_> = (0..4)
            .map(|_| client.ask(get("a.test", "/")).value("x-policy").unwrap())
            .collect();
        assert!(all.iter().all(|p| *p == all[0]), "{all:?}");
        all[0].clone()
    };
    let at_30: Vec<_> = (1..=60).map(decided).collect();
    let canaries = at_30.iter().filter(|p| *p == "last").count();
    assert!((5..35).contains(&canaries), "{canaries} of 60 clients");
    said(d.ask("POST", "canary?percent=70"));
    let at_70: Vec<_> = (1..=60).map(decided).collect();
    assert!(
        at_30
            .iter()
            .zip(&at_70)
            .all(|(before, after)| before == "first" || after == "last")
    );
    assert!(at_70.iter().filter(|p| *p == "last").count() > canaries);
}

#[test]
fn a_canary_that_traps_costs_no_request_and_is_withdrawn() {
    let d = deployed(2, "", "");
    d.deploy("?mode=canary&percent=100&by=request", "probe");
    for _ in 0..20 {
        let answer = d.told("trap");
        assert_eq!(
            (answer.status, answer.value("x-policy").as_deref()),
            (200, Some("first")),
            "{}",
            answer.text()
        );
    }
    let now = eventually("it is withdrawn", || {
        let now = d.now();
        now["trial"].is_null().then_some(now)
    });
    assert_eq!(states(&now, 2), ["loading", "canary", "failed"]);
    let reason = now["history"][0]["reason"].as_str().unwrap();
    assert!(reason.contains("traps"), "{reason}");
    assert!(
        now["last_error"].as_str().unwrap().contains(reason),
        "{now:#}"
    );
    assert!(
        d.proxy
            .stderr
            .find(|l| l.contains("canary withdrawn").then_some(()))
            .is_some()
    );
    assert_eq!(
        (&now["state"], &now["generation"]),
        (&"active".into(), &1.into())
    );
    // The workers follow a moment after it is shown.
    eventually("it decides no more", || {
        (d.decides() == "first").then_some(())
    });
}

/// What its faults have cost nobody is told all the same: such requests say nothing good of it.
#[test]
fn a_request_that_the_active_generation_had_to_decide_is_counted_as_given_up() {
    let d = deployed(1, "", "");
    d.deploy("?mode=canary&percent=100&by=request", "probe");
    for action in ["pick=0", "trap", "pick=0"] {
        assert_eq!(d.told(action).status, 200);
    }
    // One fault withdraws no canary.
    let arm = eventually("all are counted", || {
        let arm = d.now()["trial"]["canary"].clone();
        (arm["requests"] == 3).then_some(arm)
    });
    assert_eq!(arm["given_up"], 1, "{arm:#}");
}

#[test]
fn a_canary_that_misses_its_deadline_is_withdrawn() {
    let d = deployed(1, "deadline = \"100ms\"", "");
    d.deploy("?mode=canary&percent=100&by=request", "probe");
    let now = eventually("it is withdrawn", || {
        let answer = d.told("loop");
        assert_eq!(
            (answer.status, answer.value("x-policy").as_deref()),
            (200, Some("first"))
        );
        let now = d.now();
        now["trial"].is_null().then_some(now)
    });
    let reason = now["history"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("(0 traps,") && !reason.contains(" 0 missed deadlines"),
        "{now:#}"
    );
}

#[test]
fn a_canary_whose_requests_fail_more_often_is_withdrawn() {
    let d = deployed(2, "", "[rollout]\nmin-requests = 30\nfailure-margin = 10");
    d.deploy("?mode=canary&percent=50&by=request", "probe");
    let mut refused = 0;
    // Without the canary nothing fails, so this ends.
    eventually("it is withdrawn", || {
        refused += u32::from(d.told("refuse=503").status == 503);
        d.now()["trial"].is_null().then_some(())
    });
    assert!(refused >= 15, "{refused}");
    let now = d.now();
    let reason = now["history"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("100.0 %") && reason.contains("control group"),
        "{reason}"
    );
    assert_eq!(d.told("refuse=503").status, 200);
}

#[test]
fn answers_below_500_are_not_failures() {
    let d = deployed(1, "", "[rollout]\nmin-requests = 5");
    d.deploy("?mode=canary&percent=50&by=request", "probe");
    for _ in 0..40 {
        assert!(matches!(d.told("refuse=429").status, 200 | 429));
    }
    let now = d.now();
    assert_eq!(
        (&now["trial"]["canary"]["failed"], &now["trial"]["mode"]),
        (&0.into(), &"canary".into()),
        "{now:#}"
    );
}

#[test]
fn a_canary_is_promoted_withdrawn_or_rolled_back_at_once() {
    let d = deployed(2, "", "");
    for (method, below, decides) in [
        ("DELETE", "canary", "first"),
        ("POST", "rollback", "first"),
        ("POST", "promote", "last"),
    ] {
        // Of 10,000 keys one has 127.0.0.1 in the first ten-thousandth.
        d.deploy("?mode=canary&percent=0.01", "pick-last");
        assert_eq!(d.decides(), "first");
        let now = said(d.ask(method, below));
        assert!(now["trial"].is_null(), "{now:#}");
        assert_eq!(d.decides(), decides, "{below}");
    }
    assert_eq!(d.ask("DELETE", "canary").status, 409);
    assert_eq!(d.ask("POST", "promote").status, 409);
    assert_eq!(d.ask("POST", "canary?percent=5").status, 409);
    assert_eq!(said(d.ask("POST", "rollback"))["generation"], 1);
    assert_eq!(d.decides(), "first");
}

#[test]
fn a_shadow_becomes_a_canary_without_being_sent_again() {
    let d = deployed(1, "", "");
    d.deploy("?mode=shadow", "pick-last");
    let now = said(d.ask("POST", "canary?percent=100"));
    assert_eq!(
        (&now["trial"]["mode"], &now["trial"]["generation"]),
        (&"canary".into(), &2.into()),
        "{now:#}"
    );
    assert_eq!(d.decides(), "last");
    assert_eq!(states(&d.now(), 2), ["loading", "shadow", "canary"]);
}

#[test]
fn a_canary_without_a_control_group_goes_if_it_fails_always() {
    let d = deployed(1, "", "");
    d.deploy("?mode=canary&percent=100&by=request", "probe");
    eventually("it is withdrawn", || {
        d.told("refuse=500");
        d.now()["trial"].is_null().then_some(())
    });
    assert!(
        d.now()["history"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("control group"),
        "{:#}",
        d.now()
    );
}

#[test]
fn a_rollback_that_comes_too_late_does_not_roll_back_what_was_good() {
    let d = deployed(1, "", "");
    d.deploy("", "pick-last");
    d.deploy("?mode=canary&percent=100&by=request", "probe");
    eventually("it is withdrawn", || {
        d.told("trap");
        d.now()["trial"].is_null().then_some(())
    });
    let late = d.ask("POST", "rollback");
    assert_eq!(late.status, 409);
    assert!(
        late.text()
            .contains("generation 3 was withdrawn automatically"),
        "{}",
        late.text()
    );
    assert_eq!(d.ask("POST", "rollback?generation=3").status, 409);
    assert_eq!(d.decides(), "last");
    assert_eq!(
        said(d.ask("POST", "rollback?generation=2"))["generation"],
        1
    );
    assert_eq!(d.decides(), "first");
}

#[test]
fn what_a_canary_decides_counts_for_the_policy_also_when_it_is_over() {
    let d = deployed(1, "", "");
    for _ in 0..2 {
        d.deploy("?mode=canary&percent=100&by=request", "pick-last");
        (0..5).for_each(|_| assert_eq!(d.decides(), "last"));
        said(d.ask("DELETE", "canary"));
    }
    let decisions = d.proxy.stats()["policies"]["mine"]["decisions"]["all"].clone();
    assert_eq!(
        decisions[d.backends[1].address().to_string()],
        10,
        "{decisions:#}"
    );
    let metrics = d
        .proxy
        .admin(crate::fixtures::Request::new("GET", "/metrics"))
        .text();
    assert!(metrics.contains("waypost_policy_decisions"), "{metrics}");
}

/// A client with another address of this machine.
fn ask_as(proxy: &TestProxy, client: [u8; 4], path: &str) -> Response {
    Client::connect_from(IpAddr::from(client), proxy.address()).ask(get("a.test", path))
}

#[test]
fn a_canary_that_takes_longer_is_withdrawn() {
    let d = deployed(1, "", "[rollout]\nmin-requests = 5");
    d.deploy("?mode=canary&percent=50&by=request", "probe");
    let mut client = d.proxy.client();
    // Far more than a busy machine makes of nearly all usual requests.
    let slow = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Select", "spin=100000")
        .bytes();
    let now = eventually("it is withdrawn", || {
        (0..8).for_each(|_| assert_eq!(client.ask(&slow).status, 200));
        let now = d.now();
        now["trial"].is_null().then_some(now)
    });
    let reason = now["history"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("took longer than") && reason.contains("requests to */"),
        "{reason}"
    );
}

#[test]
fn a_canary_whose_answers_break_off_is_withdrawn() {
    let first = TestUpstream::named("first");
    let breaking = TestUpstream::start(|connection| {
        if connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
        }
    });
    let backends = [first, breaking];
    let proxy = super::start(&backends, 1, "", "", "pick-first");
    let put = Request::new("PUT", "/policies/mine?mode=canary&percent=50&by=request")
        .body(guest("pick-last"));
    said(proxy.admin(put));
    let now = eventually("it is withdrawn", || {
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        let _ = client.try_response_to("GET");
        let now = proxy.policy("mine");
        now["trial"].is_null().then_some(now)
    });
    let reason = now["history"][0]["reason"].as_str().unwrap();
    assert!(
        reason.contains("100.0 %") && reason.contains("failed"),
        "{reason}"
    );
}

#[test]
fn which_clients_are_the_canarys_is_drawn_at_each_start() {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let canaries = || {
        let proxy = super::start(&backends, 1, "", "", "pick-first");
        let put = || {
            Request::new("PUT", "/policies/mine?mode=canary&percent=50").body(guest("pick-last"))
        };
        let decided = || {
            said(proxy.admin(put()));
            let decides = |n| {
                ask_as(&proxy, [127, 0, 3, n], "/")
                    .value("x-policy")
                    .unwrap()
            };
            (1..=64).map(decides).collect::<Vec<_>>()
        };
        let all = decided();
        assert_eq!(
            all,
            decided(),
            "a candidate that is sent again keeps its clients"
        );
        all
    };
    // The same 64 times by chance: once in 2^64.
    assert_ne!(canaries(), canaries());
}
