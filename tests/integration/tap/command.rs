//! `waypost tap`.

use std::process::Command;

use serde_json::Value;

use crate::fixtures::{Running, TestProxy, TestUpstream, command, run};

use super::choosing;

fn tap(proxy: &TestProxy, words: &[&str]) -> Command {
    let mut command = command();
    command
        .arg("tap")
        .args(words)
        .current_dir(proxy.scratch.path())
        .env("WAYPOST_ADMIN_LISTEN", proxy.admin_address().to_string());
    command
}

#[test]
fn it_prints_requests_for_people_and_for_scripts() {
    let upstreams = ["a", "b"].map(TestUpstream::named);
    let addresses = upstreams.each_ref().map(TestUpstream::address);
    let proxy = choosing(&addresses).start();
    let people = Running::start(&mut tap(&proxy, &["--limit", "1", "--policy", "choice"]));
    let scripts = Running::start(&mut tap(&proxy, &["--json", "--limit", "2"]));
    people.wait_for("watching 1 worker");
    scripts.wait_for("watching 1 worker");
    proxy.get("a.test", "/first");
    proxy.get("a.test", "/second");
    let shown = people.end();
    assert_eq!(shown.code, Some(0), "{shown:?}");
    for part in [
        "GET a.test/first: 200",
        "pool all",
        "selection: choice (generation 1) backend 1",
        "policy choice took",
        "of 2 candidates",
        "the policy chose it",
    ] {
        assert!(shown.stdout.contains(part), "{part}: {shown:?}");
    }
    assert!(
        shown.stdout.contains(&format!("not {}", addresses[0])),
        "{shown:?}"
    );
    let printed = scripts.end();
    assert_eq!(printed.code, Some(0), "{printed:?}");
    let lines: Vec<Value> = printed
        .stdout
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let paths: Vec<_> = lines
        .iter()
        .map(|line| line["path"].as_str().unwrap())
        .collect();
    assert_eq!(paths, ["/first", "/second"]);
}

#[test]
fn it_ends_when_it_is_interrupted_and_says_what_is_wrong() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::in_front_of(&upstream);
    let running = Running::start(&mut tap(&proxy, &[]));
    running.wait_for("watching 1 worker");
    running.signal("INT");
    assert_eq!(running.end().code, Some(0));

    let refused = run(&mut tap(&proxy, &["--status", "many"]));
    assert_eq!(refused.code, Some(1), "{refused:?}");
    assert!(refused.stderr.contains("is no status"), "{refused:?}");
    let refused = run(&mut tap(&proxy, &["--policy", "mine"]));
    assert!(refused.stderr.contains("no policy is named"), "{refused:?}");

    let running = Running::start(&mut tap(&proxy, &[]));
    running.wait_for("watching 1 worker");
    proxy.signal("TERM");
    let ended = running.end();
    assert_eq!(ended.code, Some(1), "{ended:?}");
    assert!(ended.stderr.contains("stopped watching"), "{ended:?}");
    assert_eq!(proxy.exit_code(), 0);
}
