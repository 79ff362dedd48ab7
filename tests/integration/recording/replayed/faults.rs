//! Faults and set-up in a replay.

use serde_json::{Value, json};

use super::{first_recorded, replay, told};

#[test]
fn what_a_policy_draws_and_reads_while_it_is_set_up_is_the_same_each_time() {
    let proxy = first_recorded();
    let text = std::fs::read_to_string(proxy.scratch.path().join("requests.jsonl")).unwrap();
    let first: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let tape = &first["request"]["calls"][0]["tape"];
    let settings = r#"{"on_configure": "remember", "on_topology": "remember", "select": ["pick-remembered=2"], "response": ["remembered"]}"#;
    let times = format!(
        "/{}/{}",
        tape["monotonic_nanoseconds"], tape["unix_milliseconds"]
    );
    let played = || {
        let mut command = crate::fixtures::command();
        command.args([
            "policy",
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--samples",
            "200",
            "--json",
        ]);
        command
            .args(["--settings", settings])
            .env("WAYPOST_LOG", "policy=debug")
            .current_dir(proxy.scratch.path());
        let exit = crate::fixtures::run(&mut command);
        let set_up: Vec<&str> = exit
            .stderr
            .lines()
            .filter_map(|l| Some(l.split_once("remembered ")?.1))
            .collect();
        assert!(
            set_up.len() >= 2 && set_up.iter().all(|told| told.contains(&times)),
            "{times}: {}",
            exit.stderr
        );
        let mut result = told(&exit);
        assert_eq!(
            (exit.code, &result["calls"]),
            (Some(0), &json!(100)),
            "{result:#}"
        );
        for hook in ["selection", "response-headers"] {
            result["hooks"][hook].as_object_mut().unwrap().remove("ns");
        }
        let set_up: Vec<_> = set_up
            .iter()
            .map(|told| told.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        (result, set_up)
    };
    assert_eq!(played(), played());
    // Each of the two is set up for itself.
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "probe.wasm",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--json",
        ],
    );
    assert_eq!(
        (exit.code, told(&exit)["differing"].clone()),
        (Some(0), json!(0)),
        "{exit:?}"
    );
}

#[test]
fn the_two_of_a_comparison_can_have_settings_of_their_own() {
    let proxy = first_recorded();
    let compare = |one: &str, other: &str| {
        let exit = replay(
            &proxy.scratch,
            [
                "diff",
                "probe.wasm",
                "probe.wasm",
                "requests.jsonl",
                "--old-settings",
                one,
                "--new-settings",
                other,
                "--json",
            ],
        );
        (exit.code, told(&exit)["differing"].clone())
    };
    let (first, second) = (r#"{"select": ["pick=0"]}"#, r#"{"select": ["pick=1"]}"#);
    assert_eq!(compare(first, first), (Some(0), json!(0)));
    let (code, differing) = compare(first, second);
    assert_eq!(code, Some(1));
    assert!(differing.as_u64() > Some(0), "{differing}");
}

#[test]
fn faults_are_counted_and_cost_nothing_but_their_call() {
    let proxy = first_recorded();
    let settings = r#"{"select": ["trap"]}"#;
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--format",
            "json",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let result = told(&exit);
    let trap = &result["faults"]["trap"];
    assert_eq!(
        (&trap["count"], &trap["line"]),
        (&json!(50), &json!(2)),
        "all of them, and none suspended: {result:#}"
    );
    assert!(
        trap["first"].as_str().unwrap().contains("selection"),
        "{result:#}"
    );
    assert_eq!(
        result["hooks"]["response-headers"]["decisions"]["done"], 50,
        "{result:#}"
    );

    let settings = r#"{"select": ["loop"]}"#;
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--deadline",
            "1ms",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        (
            exit.code,
            told(&exit)["faults"]["deadline"]["count"].clone()
        ),
        (Some(1), json!(50)),
        "{exit:?}"
    );
}
