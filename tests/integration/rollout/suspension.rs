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
    eventually("it is suspended", || {
        assert_eq!(told(&proxy, "loop"), 503);
        (proxy.stat("/policies/probe/suspensions") >= 1).then_some(())
    });
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
    let failed = || {
        assert_eq!(told(&proxy, "trap"), 200);
    };
    eventually("it is suspended", || {
        failed();
        (proxy.stat("/policies/probe/suspensions") >= 1).then_some(())
    });
    let now = || ["instances_built", "traps", "failure_mode_uses"].map(|n| proxy.stat(&format!("/policies/probe/{n}")));
    let before = now();
    (0..300).for_each(|_| failed());
    let after = now();
    // Each pause is twice as long, and ends with one trap.
    assert!(after[0] - before[0] < 30, "{} instances for 300 requests", after[0] - before[0]);
    assert!(after[1] - before[1] < 30, "{} traps", after[1] - before[1]);
    assert!(after[2] - before[2] >= 300, "{} uses of the failure mode", after[2] - before[2]);
}

#[test]
fn one_that_fails_now_and_then_is_not_suspended() {
    let (proxy, _backend) = probe("on-failure = 503");
    for n in 1..=30 {
        assert_eq!(told(&proxy, "trap"), 503);
        assert_eq!(proxy.stat("/policies/probe/traps"), n);
        // Its new instance may be built off the worker.
        (0..2).for_each(|_| eventually("it answers again", || (told(&proxy, "none") == 200).then_some(())));
    }
    assert_eq!(proxy.stat("/policies/probe/suspensions"), 0);
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
