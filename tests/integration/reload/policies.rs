//! Policies that come, change, stay and go.

use super::{edit, editable, refusal, reload};
use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, guest};

fn start(upstream: &TestUpstream) -> TestProxy {
    let builder = TestProxy::builder()
        .file("first.wasm", guest("pick-first"))
        .file("last.wasm", guest("pick-last"))
        .tables("[policies.mine]\ncomponent = \"first.wasm\"\ndeadline = \"2s\"\n")
        .pool_for_all(&[upstream.address()], &["mine"]);
    editable(builder)
}

fn decided(proxy: &TestProxy) -> String {
    proxy
        .get("a.test", "/")
        .value("x-policy")
        .unwrap_or_default()
}

#[test]
fn a_policy_is_loaded_again_only_if_it_is_configured_in_another_way() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    assert_eq!(decided(&proxy), "first");
    assert_eq!(proxy.put_policy("mine", &guest("pick-last")).status, 200);
    assert_eq!(decided(&proxy), "last");
    // What was deployed stays deployed ...
    edit(&proxy, |text| format!("{text}\n[limits]\nbody-bytes = 7\n"));
    reload(&proxy);
    assert_eq!(
        (
            decided(&proxy).as_str(),
            proxy.policy("mine")["generation"].as_u64()
        ),
        ("last", Some(2))
    );
    // ... with the settings of now ...
    edit(&proxy, |text| {
        text.replace("deadline = \"2s\"", "deadline = \"3s\"")
    });
    let check = proxy.admin(Request::new("POST", "/reload?check"));
    assert_eq!(check.status, 200, "{}", check.text());
    let changes = reload(&proxy);
    assert_eq!(changes["policies"]["changed"][0], "mine");
    let policy = proxy.policy("mine");
    assert_eq!(policy["deadline_microseconds"], 3_000_000);
    assert_eq!(
        (decided(&proxy).as_str(), policy["generation"].as_u64()),
        ("last", Some(3))
    );
    // ... until the configuration names another component.
    edit(&proxy, |text| {
        text.replace("component = \"first.wasm\"", "builtin = \"random\"")
    });
    reload(&proxy);
    assert_eq!(decided(&proxy), "");
    assert_eq!(proxy.policy("mine")["source"], "built-in random");
}

#[test]
fn a_policy_comes_and_goes_with_its_routes() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    edit(&proxy, |text| {
        text.replace("policies = [\"mine\"]", "policies = [\"other\"]")
            .replace("[policies.mine]", "[policies.other]")
            .replace("first.wasm", "last.wasm")
    });
    let changes = reload(&proxy);
    assert_eq!(changes["policies"]["added"][0], "other");
    assert_eq!(changes["policies"]["removed"][0], "mine");
    assert_eq!(decided(&proxy), "last");
    let gone = proxy.admin(Request::new("GET", "/policies/mine"));
    assert_eq!(gone.status, 404);
    edit(&proxy, |text| {
        text.replace("\"other\"", "\"mine\"")
            .replace("[policies.other]", "[policies.mine]")
    });
    reload(&proxy);
    assert_eq!(decided(&proxy), "last");
}

#[test]
fn a_trial_goes_on_and_what_would_end_it_is_refused() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    let shadow = Request::new("PUT", "/policies/mine?mode=shadow&percent=100");
    assert_eq!(proxy.admin(shadow.body(guest("pick-last"))).status, 200);
    edit(&proxy, |text| {
        text.replace("deadline = \"2s\"", "deadline = \"3s\"")
    });
    assert!(refusal(&proxy).join("\n").contains("on trial"));
    edit(&proxy, |text| {
        text.replace("deadline = \"3s\"", "deadline = \"2s\"")
    });
    edit(&proxy, |text| {
        text.replace("host = \"*\"", "host = \"b.test\"")
    });
    assert!(refusal(&proxy).join("\n").contains("counted by route"));
    edit(&proxy, |text| {
        text.replace("host = \"b.test\"", "host = \"*\"")
            .replace("policies = [\"mine\"]", "policies = [\"other\"]")
            .replace("[policies.mine]", "[policies.other]")
    });
    assert!(refusal(&proxy).join("\n").contains("no longer in the"));
    edit(&proxy, |text| {
        text.replace("[policies.other]", "[policies.mine]")
            .replace("[\"other\"]", "[]")
    });
    assert!(refusal(&proxy).join("\n").contains("counted by route"));
    edit(&proxy, |text| {
        text.replace("policies = []", "policies = [\"mine\"]")
    });
    edit(&proxy, |text| format!("{text}\n[limits]\nbody-bytes = 7\n"));
    reload(&proxy);
    assert_eq!(proxy.policy("mine")["on_trial"]["mode"], "shadow");
    assert_eq!(decided(&proxy), "first");
    assert_eq!(proxy.policy("mine")["on_trial"]["requests"], 1);
}

#[test]
fn a_component_and_the_file_that_change_together_are_both_followed() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    assert_eq!(decided(&proxy), "first");
    let text = std::fs::read_to_string(proxy.scratch.path().join("waypost.toml")).unwrap();
    for turn in 3..6 {
        let component = if turn % 2 == 0 {
            "pick-first"
        } else {
            "pick-last"
        };
        proxy.scratch.replace("first.wasm", guest(component));
        let deadline = format!("deadline = \"{turn}s\"");
        proxy
            .scratch
            .replace("waypost.toml", text.replace("deadline = \"2s\"", &deadline));
        let expected = component.trim_start_matches("pick-");
        eventually("both have come", || {
            let policy = proxy.policy("mine");
            let deadline = policy["deadline_microseconds"].as_u64() == Some(turn * 1_000_000);
            (deadline && decided(&proxy) == expected).then_some(())
        });
    }
    assert_eq!(proxy.stat("/reload/refused"), 0);
}

#[test]
fn a_component_that_is_named_anew_must_be_there() {
    let upstream = TestUpstream::named("one");
    let proxy = start(&upstream);
    edit(&proxy, |text| {
        text.replace("component = \"first.wasm\"", "component = \"frist.wasm\"")
    });
    let refused = refusal(&proxy).join("\n");
    let is_named = |part| assert!(refused.contains(part), "{part:?}: {refused}");
    is_named("`policies.mine.component`: policy \"mine\": ");
    is_named("frist.wasm can't be read");
    assert_eq!(decided(&proxy), "first");
    // What the section has named all along may have gone since it was read.
    edit(&proxy, |text| {
        text.replace("\"frist.wasm\"", "\"first.wasm\"")
    });
    std::fs::remove_file(proxy.scratch.path().join("first.wasm")).unwrap();
    edit(&proxy, |text| format!("{text}\n[limits]\nbody-bytes = 7\n"));
    reload(&proxy);
    assert_eq!(decided(&proxy), "first");
}
