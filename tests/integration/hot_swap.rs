//! Policies replaced while traffic flows: all or nothing, for all workers, without losing a
//! request.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use crate::fixtures::{
    Gate, Request, Response, TestProxy, TestUpstream, eventually, get, guest, response,
};

struct Swapped {
    proxy: TestProxy,
    _backends: [TestUpstream; 2],
}

/// Two backends, `first` and `last`, and a policy `mine` that is `pick-first` for now.
fn swapped(workers: usize) -> Swapped {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = TestProxy::builder()
        .workers(workers)
        .file("mine.wasm", guest("pick-first"))
        .pool_for_all(&[backends[0].address(), backends[1].address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"")
        .start();
    Swapped {
        proxy,
        _backends: backends,
    }
}

fn status(proxy: &TestProxy) -> serde_json::Value {
    let answer = proxy.admin(Request::new("GET", "/policies/mine"));
    assert_eq!(answer.status, 200, "{}", answer.text());
    serde_json::from_slice(&answer.body).unwrap()
}

/// A component whose `configure` does this, with one hook beside it so that it is a policy.
fn configured_by(code: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (import "waypost:policy/types@0.1.0" (instance $types
                (export "request" (type (sub resource)))
                (export "headers" (type (sub resource)))
                (type $fields (list (tuple string (list u8))))
                (type $answer (record (field "status" u16) (field "headers" $fields) (field "body" (list u8))))
                (export "response" (type (eq $answer)))))
            (alias export $types "request" (type $request))
            (alias export $types "headers" (type $headers))
            (alias export $types "response" (type $response))
            (core module $m
                (memory (export "memory") 1)
                (data (i32.const 64) "not with me")
                (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024)
                (func (export "edit") (param i32 i32) (result i32) unreachable)
                (func (export "configure") (param i32 i32) (result i32) {code}))
            (core instance $i (instantiate $m))
            (func $edit (param "request" (borrow $request)) (param "headers" (borrow $headers))
                (result (result (error $response)))
                (canon lift (core func $i "edit") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (func $configure (param "settings" string) (result (result (error string)))
                (canon lift (core func $i "configure") (memory (core memory $i "memory")) (realloc (core func $i "realloc"))))
            (instance $hook (export "edit-request" (func $edit)))
            (export "waypost:policy/request-headers@0.1.0" (instance $hook))
            (instance $settings (export "configure" (func $configure)))
            (export "waypost:policy/configuration@0.1.0" (instance $settings)))"#
    );
    wat::parse_str(text).unwrap()
}

/// Returns the error `not with me`: a discriminant, where the text is, and how long it is.
const REFUSES: &str = "(i32.store (i32.const 0) (i32.const 1)) (i32.store (i32.const 4) (i32.const 64)) \
                       (i32.store (i32.const 8) (i32.const 11)) (i32.const 0)";

/// Which policy answered. It chooses the backend and names itself in the response; the two must
/// agree.
#[track_caller]
fn policy_of(answer: &Response) -> String {
    assert_eq!(answer.status, 200, "{}", answer.text());
    let named = answer.value("x-policy").expect("the policy names itself");
    assert_eq!(answer.text(), named, "one request, two policies");
    named
}

#[test]
fn a_put_replaces_the_policy_for_every_worker() {
    let s = swapped(2);
    let mut clients: Vec<_> = (0..8).map(|_| s.proxy.client()).collect();
    for client in &mut clients {
        assert_eq!(policy_of(&client.ask(get("a.test", "/"))), "first");
    }
    let before = status(&s.proxy);
    let answer = s.proxy.put_policy("mine", &guest("pick-last"));
    assert!(matches!(answer.status, 200..=204), "{}", answer.text());
    let after = status(&s.proxy);
    assert!(
        after["generation"].as_u64() > before["generation"].as_u64(),
        "{after:#}"
    );
    assert_ne!(after["digest"], before["digest"]);
    for client in &mut clients {
        eventually("this worker has the new policy", || {
            (policy_of(&client.ask(get("a.test", "/"))) == "last").then_some(())
        });
        assert_eq!(
            policy_of(&client.ask(get("a.test", "/"))),
            "last",
            "and there is no way back"
        );
    }
}

#[test]
fn what_can_not_be_a_policy_changes_nothing() {
    let s = swapped(1);
    let before = status(&s.proxy);
    let good = guest("pick-last");
    let mut flipped = good.clone();
    flipped[good.len() / 2] ^= 0xff;
    for (what, bytes, words) in [
        ("a core module", guest("core-module"), "core module"),
        ("another version", guest("other-version"), "0.2.0"),
        (
            "an import of another version",
            guest("other-import-version"),
            "0.2.0",
        ),
        ("an unknown import", guest("wants-vault"), "vault"),
        ("wrong types", guest("wrong-types"), "select"),
        ("no hooks", guest("no-hooks"), "hook"),
        (
            "a configure that traps",
            configured_by("unreachable"),
            "unreachable",
        ),
        (
            "a configure that never ends",
            configured_by("(loop $forever br $forever) unreachable"),
            "",
        ),
        (
            "a configure that refuses",
            configured_by(REFUSES),
            "not with me",
        ),
        ("half a component", good[..good.len() / 2].to_vec(), ""),
        (
            "a flipped byte at the start",
            [b"x", &good[1..]].concat(),
            "",
        ),
        ("text", b"hello".to_vec(), ""),
        ("nothing", Vec::new(), ""),
    ] {
        let answer = s.proxy.put_policy("mine", &bytes);
        assert!(
            (400..500).contains(&answer.status),
            "{what}: {} {}",
            answer.status,
            answer.text()
        );
        let reason = answer.text().to_lowercase();
        assert!(
            reason.len() > 10 && reason.contains(words),
            "{what}: {reason}"
        );
        let now = status(&s.proxy);
        assert_eq!(
            (&now["generation"], &now["digest"]),
            (&before["generation"], &before["digest"]),
            "{what}"
        );
        assert_eq!(policy_of(&s.proxy.get("a.test", "/")), "first", "{what}");
    }
    assert!(
        matches!(s.proxy.put_policy("mine", &good).status, 200..=204),
        "a good one is still taken"
    );
}

#[test]
fn an_unknown_policy_is_a_404() {
    let s = swapped(1);
    let answer = s.proxy.put_policy("other", &guest("pick-last"));
    assert_eq!(answer.status, 404, "{}", answer.text());
    assert_eq!(
        s.proxy.admin(Request::new("GET", "/policies/other")).status,
        404
    );
}

#[test]
fn what_runs_is_listed() {
    let s = swapped(1);
    let answer = s.proxy.admin(Request::new("GET", "/policies"));
    let list: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    let mine = list["policies"]
        .as_array()
        .unwrap()
        .iter()
        .find(|p| p["name"] == "mine")
        .unwrap();
    assert!(
        mine["generation"].is_u64() && mine["digest"].as_str().unwrap().len() >= 16,
        "{mine:#}"
    );
}

#[test]
fn a_built_in_policy_can_be_replaced_too() {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let proxy = TestProxy::builder()
        .host("*", &[backends[0].address(), backends[1].address()])
        .start();
    assert!(matches!(
        proxy.put_policy("random", &guest("pick-last")).status,
        200..=204
    ));
    eventually("the new policy decides", || {
        proxy.get("a.test", "/").head.has("x-policy").then_some(())
    });
    assert_eq!(policy_of(&proxy.get("a.test", "/")), "last");
}

#[test]
fn under_load_a_swap_loses_no_request_and_mixes_no_policies() {
    let s = swapped(2);
    let address = s.proxy.address();
    let (stop, answered) = (AtomicBool::new(false), AtomicUsize::new(0));
    let seen = std::thread::scope(|scope| {
        let load = || {
            let mut seen = BTreeMap::new();
            let mut client = crate::fixtures::Client::connect(address);
            while !stop.load(Ordering::Relaxed) {
                *seen
                    .entry(policy_of(&client.ask(get("a.test", "/"))))
                    .or_insert(0) += 1;
                answered.fetch_add(1, Ordering::Relaxed);
            }
            seen
        };
        let threads: Vec<_> = (0..4).map(|_| scope.spawn(load)).collect();
        for turn in 0..10 {
            // Some requests between two swaps, however fast or slow the machine is.
            let enough = answered.load(Ordering::Relaxed) + 50;
            eventually("requests are answered", || {
                (answered.load(Ordering::Relaxed) >= enough
                    || threads.iter().any(|t| t.is_finished()))
                .then_some(())
            });
            let name = if turn % 2 == 0 {
                "pick-last"
            } else {
                "pick-first"
            };
            let answer = s.proxy.put_policy("mine", &guest(name));
            assert!(matches!(answer.status, 200..=204), "{}", answer.text());
        }
        stop.store(true, Ordering::Relaxed);
        threads
            .into_iter()
            .map(|t| t.join().unwrap())
            .collect::<Vec<_>>()
    });
    for policy in ["first", "last"] {
        assert!(
            seen.iter().any(|s| s.contains_key(policy)),
            "{policy} was never seen: {seen:?}"
        );
    }
    assert_eq!(s.proxy.stat("/policies/mine/failure_mode_uses"), 0);
}

#[test]
fn a_request_in_flight_ends_with_the_policy_that_it_began_with() {
    let gate = Gate::new();
    let opened = gate.clone();
    let first = TestUpstream::start(move |connection| {
        connection.request();
        opened.wait();
        connection.send(response("200 OK", &[], "first"));
    });
    let last = TestUpstream::named("last");
    let proxy = TestProxy::builder()
        .file("mine.wasm", guest("pick-first"))
        .pool_for_all(&[first.address(), last.address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"")
        .start();
    let mut early = proxy.client();
    early.send(get("a.test", "/"));
    first.wait_for_heads(1);
    assert!(matches!(
        proxy.put_policy("mine", &guest("pick-last")).status,
        200..=204
    ));
    eventually("the new policy decides", || {
        (policy_of(&proxy.get("a.test", "/")) == "last").then_some(())
    });
    gate.open();
    assert_eq!(policy_of(&early.response()), "first");
}

#[test]
fn a_file_that_changes_on_disk_is_picked_up() {
    let s = swapped(1);
    let proxy = &s.proxy;
    assert_eq!(policy_of(&proxy.get("a.test", "/")), "first");
    proxy.scratch.replace("mine.wasm", guest("pick-last"));
    eventually("the new file decides", || {
        (policy_of(&proxy.get("a.test", "/")) == "last").then_some(())
    });
    let good = status(proxy);

    // A bad file is told and changes nothing.
    proxy.scratch.replace("mine.wasm", b"half a download");
    eventually("the bad file is noticed", || {
        let now = status(proxy);
        (now["last_error"].as_str().is_some_and(|e| !e.is_empty())).then_some(())
    });
    assert_eq!(status(proxy)["digest"], good["digest"]);
    assert_eq!(policy_of(&proxy.get("a.test", "/")), "last");

    // Written in place this time, not renamed.
    proxy.scratch.write("mine.wasm", guest("pick-first"));
    eventually("the good file decides", || {
        (policy_of(&proxy.get("a.test", "/")) == "first").then_some(())
    });
}

#[test]
fn many_swaps_do_not_grow_the_process() {
    let s = swapped(1);
    let components = [guest("pick-last"), guest("pick-first")];
    let mut swap = |turn: usize| {
        assert!(matches!(
            s.proxy.put_policy("mine", &components[turn % 2]).status,
            200..=204
        ));
        policy_of(&s.proxy.get("a.test", "/"));
    };
    (0..10).for_each(&mut swap);
    let settled = s.proxy.resident_kib();
    (0..40).for_each(&mut swap);
    let now = s.proxy.resident_kib();
    assert!(
        now < settled + 16 * 1024,
        "{settled} KiB after 10 swaps, {now} KiB after 50"
    );
    let instances = s.proxy.stats()["policies"]["mine"]["memory"].clone();
    assert!(
        instances["now_bytes"].as_u64().unwrap()
            <= 2 * instances["peak_instance_bytes"].as_u64().unwrap()
    );
}
