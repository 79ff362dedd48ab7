//! A policy that some requests make fail: whose requests are still decided by it, and what becomes
//! of the others.

use std::net::{IpAddr, Ipv4Addr};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

use super::deployed;
use crate::fixtures::{Client, Request, TestProxy, TestUpstream, eventually, guest};

fn probe(lines: &str) -> (TestProxy, TestUpstream) {
    let backend = TestUpstream::named("served");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[backend.address()], &["probe"])
        .tables(&format!(
            "[policies.probe]\ncomponent = \"probe.wasm\"\n{lines}"
        ))
        .start();
    (proxy, backend)
}

fn address(n: u16) -> IpAddr {
    let [high, low] = n.to_be_bytes();
    Ipv4Addr::new(127, 1, high, low).into()
}

/// What a client at this address gets, whose request tells the probe's `select` to do this.
fn told(proxy: &TestProxy, from: IpAddr, action: &str) -> u16 {
    let request = Request::new("GET", "/")
        .host("a.test")
        .field("X-Probe-Select", action);
    Client::connect_from(from, proxy.address())
        .ask(request.field("Connection", "close").bytes())
        .status
}

/// Each of the other client's requests while one client sends traps, so many a second: how many
/// there were, and how many the policy did not decide.
fn undecided_during_traps(proxy: &TestProxy, pause: Duration) -> (u32, u32) {
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Relaxed) {
                assert_eq!(told(proxy, address(1), "trap"), 503);
                thread::sleep(pause);
            }
        });
        eventually("the attack has begun", || {
            (proxy.stat("/policies/probe/traps") > 0).then_some(())
        });
        let asked = 200;
        let undecided = (0..asked)
            .filter(|_| told(proxy, address(2), "none") != 200)
            .count();
        over.store(true, Relaxed);
        (asked, u32::try_from(undecided).unwrap())
    })
}

#[test]
fn traps_of_one_client_leave_the_answers_of_others_to_the_policy() {
    for pause in [100, 1] {
        // An instance takes its time here where the machine is busy, and then there is none for a
        // moment: a quarter of the time where six compilers ran beside. Without pauses it is nearly
        // all of the time.
        let (proxy, _backend) = probe("deadline = \"1s\"\non-failure = 503");
        let (asked, undecided) = undecided_during_traps(&proxy, Duration::from_millis(pause));
        assert!(
            undecided * 2 < asked,
            "{undecided} of {asked}, with a trap each {pause} ms"
        );
        assert_eq!(proxy.stat("/policies/probe/suspensions"), 0);
        assert!(proxy.stat("/policies/probe/fault_microseconds") > 0);
        let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
        let cost = "waypost_policy_fault_seconds_total{policy=\"probe\"} ";
        let mut cost = metrics.lines().filter_map(|l| l.strip_prefix(cost));
        let cost: f64 = cost.next().unwrap().parse().unwrap();
        assert!(0.0 < cost && cost < 600.0, "{cost}");
    }
}

#[test]
fn a_client_whose_requests_cost_too_much_is_paused_and_gets_no_way_around_the_policy() {
    for (on_failure, expected) in [("next", 503), ("random", 200)] {
        let (proxy, _backend) = probe(&format!(
            "deadline = \"20ms\"\non-failure = \"{on_failure}\""
        ));
        eventually("it is paused", || {
            told(&proxy, address(1), "loop");
            (proxy.stat("/policies/probe/paused_calls") > 0).then_some(())
        });
        assert!(proxy.stat("/policies/probe/client_pauses") > 0);
        // The pause is some seconds long, and each further miss makes it longer.
        eventually("its requests get the failure answer", || {
            let before = proxy.stat("/policies/probe/paused_calls");
            let status = told(&proxy, address(1), "loop");
            (proxy.stat("/policies/probe/paused_calls") > before)
                .then(|| assert_eq!(status, expected))
        });
        eventually("others are decided", || {
            (told(&proxy, address(2), "pick=0") == 200).then_some(())
        });
        assert_eq!(proxy.stat("/policies/probe/suspensions"), 0);
    }
}

#[test]
fn many_clients_together_suspend_it_for_a_while_and_a_guard_stays_shut() {
    let (proxy, _backend) = probe("deadline = \"20ms\"\non-failure = \"next\"");
    let over = AtomicBool::new(false);
    thread::scope(|scope| {
        for attacker in 0..4u16 {
            let (proxy, over) = (&proxy, &over);
            scope.spawn(move || {
                for n in (0..).take_while(|_| !over.load(Relaxed)) {
                    told(
                        proxy,
                        address(1_000 + attacker * 10_000 + n % 10_000),
                        "loop",
                    );
                }
            });
        }
        eventually("it is shown as suspended", || {
            (proxy.policy("probe")["suspended_by_workers"] == 1)
                .then(|| told(&proxy, address(2), "none"))
        });
        eventually("nobody passes meanwhile", || {
            (told(&proxy, address(2), "none") == 503).then_some(())
        });
        over.store(true, Relaxed);
    });
    assert!(
        proxy
            .stderr
            .find(|l| l
                .contains("faults of many clients cost too much")
                .then_some(()))
            .is_some()
    );
    eventually("it is asked again", || {
        (told(&proxy, address(3), "none") == 200).then_some(())
    });
    eventually("and shown as well", || {
        (proxy.policy("probe")["suspended_by_workers"] == 0).then_some(())
    });
}

#[test]
fn cheap_faults_pause_no_client() {
    let (proxy, _backend) = probe("deadline = \"1s\"\non-failure = 503");
    for n in 1..=30 {
        assert_eq!(told(&proxy, address(1), "trap"), 503);
        assert_eq!(proxy.stat("/policies/probe/traps"), n);
        // Its new instance may be built off the worker.
        eventually("it answers again", || {
            (told(&proxy, address(1), "none") == 200).then_some(())
        });
    }
    assert_eq!(proxy.stat("/policies/probe/suspensions"), 0);
    assert_eq!(proxy.stat("/policies/probe/paused_calls"), 0);
}

#[test]
fn a_replaced_policy_begins_with_a_clean_slate() {
    let d = deployed(1, "deadline = \"20ms\"\non-failure = 503", "");
    d.deploy("", "probe");
    eventually("this client is paused", || {
        d.told("loop");
        (d.proxy.stat("/policies/mine/paused_calls") > 0).then_some(())
    });
    d.deploy("", "pick-last");
    assert_eq!(d.now()["suspended_by_workers"], 0);
    assert_eq!(d.decides(), "last");
}
