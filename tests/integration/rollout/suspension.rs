//! A policy that keeps failing is left alone for a while, and tried again.

use super::deployed;
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, guest};

fn probe(lines: &str) -> (TestProxy, TestUpstream) {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address()], &["probe"])
        .tables(&format!("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"20ms\"\n{lines}"))
        .start();
    (proxy, backend)
}

fn told(proxy: &TestProxy, action: &str) -> u16 {
    proxy.ask(Request::new("GET", "/").host("a.test").field("X-Probe-Select", action).bytes()).status
}

#[test]
fn a_policy_that_keeps_missing_its_deadline_is_suspended_and_comes_back() {
    let (proxy, _backend) = probe("on-failure = 503");
    for _ in 0..3 {
        assert_eq!(told(&proxy, "loop"), 503);
    }
    assert!(proxy.stat("/policies/probe/suspensions") >= 1);
    // The first pause is short, and a busy machine may look too late; each one that follows is twice as long.
    eventually("it is shown as suspended", || {
        told(&proxy, "loop");
        (proxy.policy("probe")["suspended_by_workers"] == 1).then_some(())
    });
    assert!(proxy.stderr.find(|l| l.contains("suspended for 100ms").then_some(())).is_some());
    eventually("it is asked again", || (told(&proxy, "none") == 200).then_some(()));
    assert_eq!(proxy.policy("probe")["suspended_by_workers"], 0);
    assert!(proxy.stderr.find(|l| l.contains("no longer suspended").then_some(())).is_some());
}

#[test]
fn while_it_is_suspended_nothing_is_rebuilt_and_requests_go_by_the_failure_mode() {
    let (proxy, _backend) = probe("");
    let before = proxy.stat("/policies/probe/instances_built");
    for _ in 0..300 {
        assert_eq!(told(&proxy, "trap"), 200);
    }
    let built = proxy.stat("/policies/probe/instances_built") - before;
    assert!((11..40).contains(&built), "{built} instances for 300 requests");
    assert_eq!(proxy.stat("/policies/probe/failure_mode_uses"), 300);
    assert!(proxy.stat("/policies/probe/traps") < 40);
}

#[test]
fn one_that_fails_now_and_then_is_not_suspended() {
    let (proxy, _backend) = probe("");
    for _ in 0..30 {
        told(&proxy, "trap");
        told(&proxy, "none");
        told(&proxy, "none");
    }
    assert_eq!(proxy.stat("/policies/probe/suspensions"), 0);
    assert_eq!(proxy.stat("/policies/probe/traps"), 30);
}

#[test]
fn a_replaced_policy_begins_with_a_clean_slate() {
    let d = deployed(1, "", "");
    d.deploy("", "probe");
    eventually("it is suspended", || {
        (0..12).for_each(|_| assert_eq!(d.told("trap").status, 200));
        (d.now()["suspended_by_workers"] == 1).then_some(())
    });
    d.deploy("", "pick-last");
    assert_eq!(d.now()["suspended_by_workers"], 0);
    assert_eq!(d.decides(), "last");
}
