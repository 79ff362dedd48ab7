//! `waypost policy inspect`

use serde_json::Value;

use super::{checked_in, policy, well};
use crate::fixtures::{Scratch, repository};

fn test_guest(name: &str) -> String {
    repository()
        .join(format!("tests/guests/{name}/{name}.wasm"))
        .display()
        .to_string()
}

#[test]
fn a_policy_is_described() {
    let scratch = Scratch::new();
    let text = well(scratch.path(), &["inspect", &checked_in("sticky")]);
    for part in [
        "component",
        "waypost:policy@0.1.0",
        "configuration, topology, selection, response-headers",
        "waypost:policy/store@0.1.0 (",
        "compare-and-set",
        "sha256:",
        "a proxy would accept it",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert!(
        text.lines()
            .any(|line| line.starts_with("wasi") && line.ends_with("none")),
        "{text}"
    );
}

#[test]
fn settings_that_it_needs_are_a_note_and_no_refusal() {
    let scratch = Scratch::new();
    let text = well(scratch.path(), &["inspect", &checked_in("rate-limit")]);
    assert!(
        text.contains("it needs settings (`--settings`): rate: missing"),
        "{text}"
    );
}

#[test]
fn settings_are_given_to_it_as_a_proxy_gives_them() {
    let scratch = Scratch::new();
    let with = |settings: &str| {
        policy(
            scratch.path(),
            &["inspect", "builtin:rate-limit", "--settings", settings],
        )
    };
    let exit = with(r#"{"rate": 5}"#);
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("a proxy would accept it") && !exit.stdout.contains("needs settings"),
        "{}",
        exit.stdout
    );
    let exit = with(r#"{"rat": 5}"#);
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stdout.contains("it rejected its settings: rat"),
        "{}",
        exit.stdout
    );
}

#[test]
fn json_has_it_all() {
    let scratch = Scratch::new();
    let text = well(
        scratch.path(),
        &["inspect", &checked_in("random"), "--format", "json"],
    );
    assert_eq!(
        text,
        well(
            scratch.path(),
            &["inspect", &checked_in("random"), "--json"]
        )
    );
    let json: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(json["form"], "component");
    assert_eq!(json["hooks"], serde_json::json!(["topology", "selection"]));
    assert_eq!(
        (&json["refused"], &json["wasi"]),
        (&Value::Null, &serde_json::json!([]))
    );
    let size = std::fs::metadata(checked_in("random")).unwrap().len();
    assert_eq!(json["size_bytes"].as_u64(), Some(size));
    assert!(
        json["initial_memory_bytes"].as_u64().unwrap() >= 65_536,
        "{json}"
    );
    let random = json["imports"]
        .as_array()
        .unwrap()
        .iter()
        .find(|i| i["name"] == "waypost:policy/random@0.1.0")
        .unwrap();
    assert_eq!(random["functions"], serde_json::json!(["below"]));
}

#[test]
fn a_refused_component_is_described_with_the_reason() {
    let scratch = Scratch::new();
    for (guest, told) in [
        ("core-module", &["core module", "refused"][..]),
        (
            "no-hooks",
            &["component", "exports no hook of `waypost:policy@0.1.0`"],
        ),
        (
            "other-version",
            &["waypost:policy@", "the host speaks `waypost:policy@0.1.0`"],
        ),
        (
            "other-import-version",
            &["waypost:policy@", "the host speaks `waypost:policy@0.1.0`"],
        ),
        (
            "wants-vault",
            &["others", "vault", "which this host does not offer"],
        ),
        (
            "wrong-types",
            &[
                "refused",
                "does not have the type that the contract defines",
            ],
        ),
    ] {
        let exit = policy(scratch.path(), &["inspect", &test_guest(guest)]);
        assert_eq!(
            (exit.code, exit.stderr.as_str()),
            (Some(1), ""),
            "{guest}: {exit:?}"
        );
        for part in told {
            assert!(
                exit.stdout.contains(part),
                "{guest}, {part}: {}",
                exit.stdout
            );
        }
        assert!(
            exit.stdout.contains("sha256:") && !exit.stdout.contains("a proxy would accept it"),
            "{}",
            exit.stdout
        );
        let json = policy(scratch.path(), &["inspect", &test_guest(guest), "--json"]);
        assert!(
            serde_json::from_str::<Value>(&json.stdout).unwrap()["refused"].is_string(),
            "{}",
            json.stdout
        );
    }
}

#[test]
fn a_component_that_was_cut_off_is_described_as_far_as_it_goes() {
    let scratch = Scratch::new();
    let whole = std::fs::read(checked_in("random")).unwrap();
    scratch.write("cut.wasm", &whole[..whole.len() / 2]);
    let exit = policy(scratch.path(), &["inspect", "cut.wasm"]);
    assert_eq!(exit.code, Some(1));
    assert!(
        exit.stdout.contains("component")
            && exit.stdout.contains("not a valid WebAssembly component"),
        "{exit:?}"
    );
}

#[test]
fn a_component_that_ends_the_process_that_reads_it_is_described_from_outside_and_compiling_has_flags()
 {
    let scratch = Scratch::new();
    // 36 KB of types within each other: more than any stack has.
    let mut nested = b"\0asm\x0d\0\x01\0".to_vec();
    let mut section = vec![1];
    (0..12_000).for_each(|_| section.extend([0x41, 1, 1]));
    section.extend([0x41, 0]);
    nested.push(7);
    // As LEB128 in three bytes.
    nested.extend(
        [
            section.len() & 0x7f | 0x80,
            section.len() >> 7 & 0x7f | 0x80,
            section.len() >> 14,
        ]
        .map(|b| b as u8),
    );
    nested.extend(section);
    scratch.write("nested.wasm", nested);
    let exit = policy(scratch.path(), &["inspect", "nested.wasm", "--json"]);
    let json: Value =
        serde_json::from_str(&exit.stdout).unwrap_or_else(|e| panic!("{e}: {exit:?}"));
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), ""), "{exit:?}");
    assert!(
        json["refused"]
            .as_str()
            .is_some_and(|refused| refused.contains("nested")),
        "{json}"
    );
    assert!(
        json["digest"]
            .as_str()
            .is_some_and(|digest| digest.starts_with("sha256:")),
        "{json}"
    );

    scratch.write("scenarios.toml", "[[scenario]]\nname = \"one\"\n");
    std::fs::copy(checked_in("random"), scratch.path().join("random.wasm")).unwrap();
    for words in [
        &["inspect", "random.wasm"][..],
        &["test", "random.wasm", "scenarios.toml"],
        &["bench", "random.wasm", "--seconds", "0.01"],
    ] {
        let with = |limits: &[&str]| policy(scratch.path(), &[words, limits].concat());
        let exit = with(&["--compile-time", "20s", "--compile-memory", "512MiB"]);
        assert_eq!(exit.code, Some(0), "{words:?}: {exit:?}");
        let exit = with(&["--compile-memory", "1MiB"]);
        assert!(
            exit.code == Some(2) && exit.stderr.contains("64MiB to 64GiB"),
            "{words:?}: {exit:?}"
        );
    }
}

#[test]
fn wasi_is_listed_separately() {
    let scratch = Scratch::new();
    let exit = policy(
        scratch.path(),
        &["inspect", &test_guest("outward"), "--json"],
    );
    let json: Value = serde_json::from_str(&exit.stdout).unwrap();
    let names: Vec<&str> = json["wasi"]
        .as_array()
        .unwrap()
        .iter()
        .filter_map(|i| i["name"].as_str())
        .collect();
    assert!(
        !names.is_empty() && names.iter().all(|name| name.starts_with("wasi:")),
        "{names:?}"
    );
}
