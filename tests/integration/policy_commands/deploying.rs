//! `policy deploy`: built-in policies, and what it warns of; `policy status` after faults.

use super::{operated, operated_with};
use crate::fixtures::{Request, Scratch, eventually};

#[test]
fn a_built_in_policy_is_deployed_by_its_name() {
    let o = operated();
    let told = o.well("deploy mine builtin:least-loaded");
    assert!(told.contains("mine: generation 2 ("), "{told}");
    let inspected = o.well("inspect builtin:least-loaded --json");
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!(o.now()["digest"], inspected["digest"]);
    let refused = o.policy("deploy mine builtin:least");
    let sentence = &refused.stderr;
    assert!(
        sentence.contains("builtin:least: no built-in policy")
            && sentence.contains("least-loaded,"),
        "{refused:?}"
    );
}

#[test]
fn a_deployment_that_may_not_be_meant_is_warned_of() {
    let gone = "what is deployed is gone after a restart";
    let o = operated();
    let told = o.well("deploy mine probe.wasm");
    assert!(
        told.starts_with(&format!("warning: {gone}")) && told.lines().count() == 2,
        "{told}"
    );
    let told = o.well("deploy mine probe.wasm");
    assert!(
        told.starts_with(
            "warning: this component is the one that decided already, as generation 2"
        ),
        "{told}"
    );
    // As a trial, too.
    let told = o.well("deploy mine last.wasm --mode shadow --no-watch");
    for hook in ["configuration", "request-headers", "range"] {
        let lost = format!("warning: generation 3 exports `{hook}` and this component does not");
        assert!(told.contains(&lost), "{lost}: {told}");
    }
    assert!(!told.contains("`selection`"), "{told}");
    // Scripts read what the proxy answers.
    let json = o.well("deploy mine last.wasm --json");
    let answer: serde_json::Value = serde_json::from_str(&json).unwrap();
    assert_eq!(answer["survives_restart"], false);

    let folder = Scratch::new();
    let state = folder.path().join("state").display().to_string();
    let o = operated_with(&[], &format!("state-dir = {state:?}"));
    let told = o.well("deploy mine last.wasm");
    assert!(!told.contains("warning"), "{told}");
}

#[test]
fn a_component_that_is_deployed_again_is_not_what_a_rollback_returns_to() {
    let o = operated();
    o.well("deploy mine last.wasm");
    let again = o.well("deploy mine last.wasm");
    assert!(
        again.contains("generation 1 is kept for a rollback"),
        "{again}"
    );
    assert_eq!(o.decides(), "last");
    o.well("rollback mine");
    assert_eq!(o.decides(), "first");
    o.well("rollback mine");
    assert_eq!(o.decides(), "last", "and back");
}

#[test]
fn a_status_counts_calls_and_faults_and_shows_the_last_one() {
    let o = operated();
    let told = o.well("status mine");
    assert!(
        told.contains("0 calls, no faults") && !told.contains("last fault"),
        "{told}"
    );
    o.well("deploy mine probe.wasm");
    let answer = |action: &str| {
        let request = Request::new("GET", "/").host("a.test");
        o.proxy
            .ask(request.field("X-Probe-Select", action).bytes())
            .status
    };
    assert_eq!(answer("pick=0"), 200);
    answer("trap");
    // The policy's instance is built again.
    let told = eventually("it is counted", || {
        let told = o.well("status mine");
        told.contains("1 fault (1 trap, ").then_some(told)
    });
    let line = |name: &str| {
        let found = told.lines().find(|line| line.trim().starts_with(name));
        found
            .unwrap_or_else(|| panic!("no {name}: {told}"))
            .to_owned()
    };
    let last = line("last fault");
    assert!(
        last.contains(", generation 2: selection: ") && last.contains("act::trap"),
        "{last}"
    );
    let table = o.well("status");
    let cells = |line: Option<&str>| -> Vec<String> {
        let line = line.unwrap_or_else(|| panic!("{table}"));
        line.split_whitespace().map(str::to_owned).collect()
    };
    let head = cells(table.lines().next());
    let row = cells(table.lines().find(|line| line.starts_with("mine")));
    let at = head.iter().position(|name| name == "FAULTS").unwrap();
    assert_eq!((head[at - 1].as_str(), row[at].as_str()), ("CALLS", "1"));
    assert!(row[at - 1].parse::<u64>().unwrap() >= 2, "{table}");
}

#[test]
fn the_history_of_a_canary_says_of_whom_its_share_is() {
    let o = operated();
    let reason = || {
        let event = o.now()["history"][0]["reason"].clone();
        event.as_str().unwrap().to_owned()
    };
    o.well("deploy mine last.wasm --mode canary --percent 5 --no-watch");
    assert_eq!(reason(), "canary for 5 % of the clients");
    o.well("canary mine --percent 7");
    assert_eq!(reason(), "7 % of the clients");
    o.well("canary mine --percent 8 --by request");
    assert_eq!(reason(), "canary for 8 % of the requests");
    o.well("canary mine --percent 9");
    assert_eq!(reason(), "9 % of the requests");
    o.well("deploy mine last.wasm --mode shadow --percent 50 --no-watch");
    assert_eq!(reason(), "shadow for 50 % of the requests");
}
