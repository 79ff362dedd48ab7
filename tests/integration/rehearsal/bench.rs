//! `waypost policy bench`

use serde_json::Value;

use super::{checked_in, refused, well};
use crate::fixtures::Scratch;

/// Short: what is measured is not looked at, but what is told.
fn measured(scratch: &Scratch, words: &[&str]) -> Value {
    let words: Vec<&str> = ["bench"]
        .iter()
        .chain(words)
        .chain(&["--seconds", "0.05", "--format", "json"])
        .copied()
        .collect();
    serde_json::from_str(&well(scratch.path(), &words)).unwrap()
}

#[test]
fn a_policy_is_measured() {
    let scratch = Scratch::new();
    let json = measured(&scratch, &[&checked_in("random")]);
    let selection = &json["hooks"]["selection"];
    for number in [
        &json["size_bytes"],
        &json["instance_bytes"],
        &selection["calls"],
        &selection["per_second"],
        &selection["ns"]["mean"],
        &selection["ns"]["p50"],
        &selection["ns"]["max"],
        &selection["instructions"]["min"],
    ] {
        assert!(number.as_u64().is_some_and(|n| n > 0), "{json:#}");
    }
    let at = |key: &str| selection["ns"][key].as_u64().unwrap();
    assert!(
        at("p50") <= at("p90") && at("p90") <= at("p99") && at("p99") <= at("max"),
        "{json:#}"
    );
    let instructions = |key: &str| selection["instructions"][key].as_u64().unwrap();
    assert!(
        instructions("min") <= instructions("mean") && instructions("mean") <= instructions("max"),
        "{json:#}"
    );
    assert!(
        json["load_ms"]["cold"].is_number() && json["load_ms"]["cached"].is_number(),
        "{json:#}"
    );
    assert!(json["digest"].as_str().unwrap().starts_with("sha256:"));
    assert_eq!(
        json["hooks"].as_object().unwrap().len(),
        1,
        "only the hooks that it has"
    );
    // The same draws and the same code: the same number of instructions, on any machine and any
    // day.
    assert_eq!(
        measured(&scratch, &[&checked_in("random")])["hooks"]["selection"]["instructions"],
        selection["instructions"]
    );
}

#[test]
fn settings_and_scenarios_define_the_calls() {
    let scratch = Scratch::new();
    let settings = r#"{"header": "x-tenant", "routes": {"tenant-one": "10.0.0.1:80"}}"#;
    let hooks = |json: &Value| {
        json["hooks"]
            .as_object()
            .unwrap()
            .keys()
            .cloned()
            .collect::<Vec<_>>()
    };
    let json = measured(&scratch, &["builtin:header-router", "--settings", settings]);
    assert_eq!(
        hooks(&json),
        ["request-headers", "response-headers", "selection"]
    );
    scratch.write("settings.json", settings);
    let from_file = measured(
        &scratch,
        &["builtin:header-router", "--settings", "@settings.json"],
    );
    let instructions = |json: &Value| json["hooks"]["selection"]["instructions"].clone();
    assert_eq!(instructions(&from_file), instructions(&json));
    scratch.write(
        "scenarios.toml",
        "[settings]\nheader = \"x-other\"\n[[scenario]]\nname = \"nothing to route by\"\nexpect.backend = \"none\"\n",
    );
    let other = measured(
        &scratch,
        &["builtin:header-router", "--scenarios", "scenarios.toml"],
    );
    assert_ne!(instructions(&other), instructions(&json));
}

#[test]
fn ranges_are_asked_for_where_a_policy_checks_them() {
    let scratch = Scratch::new();
    let json = measured(&scratch, &["builtin:range"]);
    assert!(
        json["hooks"]["range"]["instructions"]["min"]
            .as_u64()
            .unwrap()
            > 0,
        "{json:#}"
    );
}

#[test]
fn the_results_are_a_table_too() {
    let scratch = Scratch::new();
    let text = well(
        scratch.path(),
        &["bench", "builtin:least-loaded", "--seconds", "0.02"],
    );
    for part in [
        "builtin:least-loaded",
        "loaded in",
        "instructions",
        "\nselection",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[test]
fn slips_and_refusals_are_reported() {
    let scratch = Scratch::new();
    let settings = |text| {
        [
            "bench",
            "builtin:rate-limit",
            "--seconds",
            "0.01",
            "--settings",
            text,
        ]
    };
    assert!(refused(scratch.path(), &settings("{"), 2).contains("not a JSON object"));
    assert!(refused(scratch.path(), &settings("3"), 2).contains("not a JSON object"));
    assert!(refused(scratch.path(), &settings("{}"), 1).contains("rate: missing"));
    assert!(
        refused(
            scratch.path(),
            &["bench", "builtin:random", "--settings", r#"{"a": 1}"#],
            1
        )
        .contains("remove the settings")
    );
}

#[test]
fn scenarios_that_are_not_measured_are_counted() {
    let scratch = Scratch::new();
    let of = |text: &str| {
        scratch.write("scenarios.toml", text);
        [
            "bench",
            "builtin:random",
            "--scenarios",
            "scenarios.toml",
            "--seconds",
            "0.02",
        ]
    };
    let refusal =
        "[[scenario]]\nname = \"a\"\nsettings = { a = 1 }\nexpect.refused = \"settings\"\n";
    assert!(
        refused(scratch.path(), &of(refusal), 2).contains("scenarios.toml has nothing to measure")
    );
    let some = format!(
        "{refusal}[[scenario]]\nname = \"b\"\n[[scenario]]\nname = \"c\"\npool = \"web\"\n\
         [[scenario]]\nname = \"d\"\npools = [{{ name = \"one\", backends = [\"10.0.0.1:80\"] }}]\n"
    );
    let words = of(&some);
    let text = well(scratch.path(), &words);
    assert!(text.contains("2 of 4 scenarios measured"), "{text}");
    let json = measured(&scratch, &words[1..4]);
    assert_eq!(
        (&json["scenarios"]["measured"], &json["scenarios"]["all"]),
        (&2.into(), &4.into()),
        "{json:#}"
    );
    let all = well(scratch.path(), &of("[[scenario]]\nname = \"a\"\n"));
    assert!(!all.contains("scenarios measured"), "{all}");
}
