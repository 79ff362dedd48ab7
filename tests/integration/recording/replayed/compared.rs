//! Two components on one recording.

use serde_json::json;

use super::{first_recorded, replay, told};

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
