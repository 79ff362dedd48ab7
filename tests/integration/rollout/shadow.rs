//! A shadow sees real requests, is compared with what decides, and changes nothing.

use super::{deployed, said, states};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, get, repository};

#[test]
fn a_shadow_is_compared_and_decides_nothing() {
    let d = deployed(2, "", "");
    let answer = d.deploy("?mode=shadow", "pick-last");
    assert_eq!(
        (&answer["generation"], &answer["trial"]["generation"]),
        (&1.into(), &2.into()),
        "{answer:#}"
    );
    for _ in 0..40 {
        assert_eq!(d.decides(), "first");
    }
    let trial = d.now()["trial"].clone();
    assert_eq!(trial["requests_compared"], 40, "{trial:#}");
    let selection = &trial["hooks"]["selection"];
    assert_eq!(
        (&selection["compared"], &selection["agreed"]),
        (&40.into(), &0.into()),
        "{trial:#}"
    );
    assert!(
        selection["shadow_time"]["p50_nanoseconds"]
            .as_u64()
            .unwrap()
            > 0,
        "{trial:#}"
    );
    assert!(
        selection["active_time"]["p50_nanoseconds"]
            .as_u64()
            .unwrap()
            > 0,
        "{trial:#}"
    );

    let samples = trial["samples"].as_array().unwrap();
    assert!(
        (20..=60).contains(&samples.len()),
        "{} samples",
        samples.len()
    );
    let of = |hook: &str| {
        samples
            .iter()
            .find(|s| s["hook"] == hook)
            .unwrap_or_else(|| panic!("no {hook}: {trial:#}"))
    };
    let select = of("selection");
    assert_eq!(
        (&select["active"], &select["shadow"]),
        (&"backend 0".into(), &"backend 1".into())
    );
    assert_eq!(
        (&select["method"], &select["host"], &select["path"]),
        (&"GET".into(), &"a.test".into(), &"/".into())
    );
    assert!(
        of("response-headers")["shadow"]
            .as_str()
            .unwrap()
            .contains("x-policy"),
        "{trial:#}"
    );

    said(d.ask("DELETE", "shadow"));
    assert!(d.now()["trial"].is_null());
    assert_eq!(states(&d.now(), 2), ["loading", "shadow", "retired"]);
    assert_eq!(d.decides(), "first");
}

#[test]
fn the_same_policy_agrees_with_itself_although_it_draws_lots() {
    let backends: Vec<_> = (0..5)
        .map(|n| TestUpstream::named(&format!("backend {n}")))
        .collect();
    let addresses: Vec<_> = backends.iter().map(TestUpstream::address).collect();
    let proxy = TestProxy::builder()
        .workers(2)
        .host("*", &addresses)
        .start();
    let random = std::fs::read(repository().join("guest-policies/random/random.wasm")).unwrap();
    said(proxy.admin(Request::new("PUT", "/policies/random?mode=shadow").body(&random)));
    let mut client = proxy.client();
    let mut seen = std::collections::BTreeSet::new();
    for _ in 0..200 {
        seen.insert(client.ask(get("a.test", "/")).text());
    }
    assert!(seen.len() > 1, "{seen:?}");
    let trial = proxy.policy("random")["trial"].clone();
    let selection = &trial["hooks"]["selection"];
    assert_eq!(
        (&selection["compared"], &selection["agreed"]),
        (&200.into(), &200.into()),
        "{trial:#}"
    );
}

#[test]
fn a_policy_that_reads_the_clock_and_draws_is_given_the_same() {
    let backend = TestUpstream::named("served");
    let probe = crate::fixtures::guest("probe");
    let proxy = TestProxy::builder()
        .file("probe.wasm", &probe)
        .pool_for_all(&[backend.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    said(proxy.admin(Request::new("PUT", "/policies/probe?mode=shadow").body(&probe)));
    for action in ["clock", "random=1000000", "echo", "facts=1"] {
        let request = Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Response", action);
        assert_eq!(proxy.ask(request.bytes()).text(), "served");
    }
    let trial = proxy.policy("probe")["trial"].clone();
    let hook = &trial["hooks"]["response-headers"];
    assert_eq!(
        (&hook["compared"], &hook["agreed"]),
        (&4.into(), &4.into()),
        "{trial:#}"
    );
    assert_eq!(trial["hooks"]["request-headers"]["agreement"], 1.0);
}

#[test]
fn a_shadow_that_fails_harms_no_request_and_is_withdrawn() {
    let d = deployed(1, "", "");
    d.deploy("?mode=shadow", "probe");
    for _ in 0..30 {
        let answer = d.told("trap");
        assert_eq!(
            (answer.status, answer.value("x-policy").as_deref()),
            (200, Some("first"))
        );
    }
    let now = eventually("it is withdrawn", || {
        let now = d.now();
        now["trial"].is_null().then_some(now)
    });
    assert_eq!(states(&now, 2), ["loading", "shadow", "failed"]);
    assert!(
        now["history"][0]["reason"]
            .as_str()
            .unwrap()
            .contains("traps"),
        "{now:#}"
    );
    assert_eq!(now["state"], "active");
    assert_eq!(
        d.proxy.stat("/policies/mine/traps"),
        0,
        "the name's counters are the active generation's"
    );
    assert_eq!(d.proxy.stat("/policies/mine/failure_mode_uses"), 0);
}

#[test]
fn a_share_of_the_requests_is_enough_for_a_shadow() {
    let d = deployed(1, "", "");
    d.deploy("?mode=shadow&percent=50", "pick-last");
    let mut client = d.proxy.client();
    for _ in 0..200 {
        client.ask(get("a.test", "/"));
    }
    let compared = d.now()["trial"]["requests_compared"].as_u64().unwrap();
    assert!((50..150).contains(&compared), "{compared} of 200");
}

#[test]
fn a_shadow_can_be_promoted_and_leaves_no_instance_behind() {
    let d = deployed(1, "", "");
    d.deploy("?mode=shadow", "pick-last");
    assert_eq!(d.decides(), "first");
    let now = said(d.ask("POST", "promote"));
    assert_eq!(
        (&now["generation"], &now["former_generation"]),
        (&2.into(), &1.into()),
        "{now:#}"
    );
    assert_eq!(d.decides(), "last");
    eventually("one instance is left", || {
        (d.proxy.stat("/policies/mine/instances") == 1).then_some(())
    });
    assert_eq!(d.backends[1].received().len(), 1);
}

#[test]
fn a_shadow_that_never_ends_is_stopped_sooner_than_the_deadline_of_its_policy() {
    let d = deployed(1, "deadline = \"10s\"", "");
    d.deploy("?mode=shadow", "probe");
    // Three calls of its own deadline would take half a minute, which is longer than this waits.
    eventually("it is withdrawn", || {
        assert_eq!(d.told("loop").value("x-policy").as_deref(), Some("first"));
        d.now()["trial"].is_null().then_some(())
    });
}
