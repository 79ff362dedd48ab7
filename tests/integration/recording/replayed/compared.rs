//! Two components on one recording.

use serde_json::json;

use super::super::stop;
use super::{first_recorded, replay, told};
use crate::fixtures::{Request, TestProxy, TestUpstream};

#[test]
fn two_components_are_compared() {
    let proxy = first_recorded();
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "first.wasm",
            "last.wasm",
            "requests.jsonl",
            "--format",
            "json",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let result = told(&exit);
    let selection = &result["hooks"]["selection"];
    assert_eq!(
        (&selection["calls"], &selection["differing"]),
        (&json!(50), &json!(50)),
        "{result:#}"
    );
    let change = &selection["changes"][0];
    assert!(
        change["old"]
            .as_str()
            .unwrap()
            .starts_with("backend 0 (127.0.0.1:"),
        "{change:#}"
    );
    assert!(
        change["new"]
            .as_str()
            .unwrap()
            .starts_with("backend 1 (127.0.0.1:"),
        "{change:#}"
    );
    assert_eq!(change["calls"], 50);
    let recorded = ["old", "new"].map(|side| &result[side]["is_recorded_component"]);
    assert_eq!(recorded, [&json!(true), &json!(false)]);
    let headers = &result["hooks"]["response-headers"];
    assert_eq!(
        (&headers["differing"], &headers["fields"]),
        (&json!(50), &json!({"x-policy": 50})),
        "{result:#}"
    );
    assert_eq!(result["samples"].as_array().unwrap().len(), 10);

    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "first.wasm",
            "last.wasm",
            "requests.jsonl",
            "--samples",
            "1",
        ],
    );
    assert!(
        exit.stdout
            .contains("they differ in 100 of 100 calls (100 %)"),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("field x-policy") && exit.stdout.contains("GET a.test/0, client"),
        "{}",
        exit.stdout
    );
    let exit = replay(
        &proxy.scratch,
        ["diff", "first.wasm", "first.wasm", "requests.jsonl"],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout
            .contains("they decide the same in all 100 calls"),
        "{}",
        exit.stdout
    );

    let exit = replay(&proxy.scratch, ["replay", "last.wasm", "requests.jsonl"]);
    assert_eq!(
        exit.code,
        Some(0),
        "another decision is no failure unless that is asked for: {exit:?}"
    );
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "last.wasm",
            "requests.jsonl",
            "--expect-same",
            "--json",
        ],
    );
    assert_eq!(
        (exit.code, told(&exit)["differing"].clone()),
        (Some(1), json!(100)),
        "{exit:?}"
    );
}

#[test]
fn what_differs_is_shown_value_by_value_and_the_recorded_component_is_named() {
    let proxy = first_recorded();
    let samples = ["requests.jsonl", "--samples", "2"];
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "first.wasm",
            "last.wasm",
            samples[0],
            samples[1],
            samples[2],
        ],
    );
    let lines: Vec<&str> = exit.stdout.lines().map(str::trim_end).collect();
    let shown = [
        "    field x-policy",
        "      old  \"first\"",
        "      new  \"last\"",
    ];
    assert!(
        lines.windows(3).any(|three| three == shown),
        "{}",
        exit.stdout
    );

    let is_it = "this component is the one that was recorded";
    for (component, expected) in [("first.wasm", true), ("last.wasm", false)] {
        let text = replay(&proxy.scratch, ["replay", component, "requests.jsonl"]).stdout;
        assert_eq!(text.contains(is_it), expected, "{component}: {text}");
        let json = replay(
            &proxy.scratch,
            ["replay", component, "requests.jsonl", "--json"],
        );
        let json = told(&json);
        assert_eq!(json["is_recorded_component"], expected, "{component}");
        let change = &json["samples"][1]["changes"][0];
        let differs =
            json!({ "what": "field x-policy", "recorded": "\"first\"", "replayed": "\"last\"" });
        assert_eq!(*change, if expected { json!(null) } else { differs });
    }
}

/// A policy that decided by a value which the recording does not have decides otherwise in a
/// replay, and that is said.
#[test]
fn a_difference_that_comes_of_the_redaction_is_named() {
    let backends = [TestUpstream::named("one"), TestUpstream::named("two")];
    let addresses = [backends[0].address(), backends[1].address()];
    let mut proxy = TestProxy::builder()
        .pool_for_all(&addresses, &["header-router"])
        .tables(&format!(
            "[policies.header-router]\ndeadline = \"2s\"\n[policies.header-router.settings]\n\
             header = \"x-key\"\nroutes = {{ a-secret-of-some-length = \"{}\" }}\n\
             [record]\nfile = \"requests.jsonl\"\nsample = 1.0\nredact = [\"x-key\"]\n",
            addresses[1]
        ))
        .start();
    let request = Request::new("GET", "/").host("a.test");
    let answer = proxy.ask(request.field("X-Key", "a-secret-of-some-length").bytes());
    assert_eq!(answer.text(), "two");
    stop(&mut proxy);
    let words = ["replay", "builtin:header-router", "requests.jsonl"];
    let text = replay(&proxy.scratch, words).stdout;
    assert!(
        text.contains("1 of the 1 that differ may differ by the redaction")
            && text.contains("hashes in place of the values of x-key"),
        "{text}"
    );
    let json = replay(&proxy.scratch, [words[0], words[1], words[2], "--json"]);
    let redacted = &told(&json)["redacted"];
    assert_eq!(*redacted, json!({ "differing": 1, "fields": ["x-key"] }));
    // The hash makes both decide alike, whatever they would do with the value.
    let recorded = "builtin:header-router";
    let settings = r#"{"header": "x-key", "routes": {}}"#;
    let words = [
        "diff",
        recorded,
        recorded,
        "requests.jsonl",
        "--new-settings",
        settings,
    ];
    let exit = replay(&proxy.scratch, words);
    for part in [
        "old is the component that was recorded",
        "hashes in place of the values of x-key, which are not recorded",
        "they decide the same",
    ] {
        assert!(exit.stdout.contains(part), "{part}: {exit:?}");
    }
    let words = ["diff", recorded, recorded, "requests.jsonl", "--json"];
    let json = told(&replay(&proxy.scratch, words));
    assert_eq!(json["redacted"]["fields"], json!(["x-key"]), "{json:#}");
}
