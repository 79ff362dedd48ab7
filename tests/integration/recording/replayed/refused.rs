//! Recordings that can't be replayed as they are.

use serde_json::json;

use super::super::stop;
use super::{RECORD, first_recorded, replay, told};
use crate::fixtures::{TestProxy, TestUpstream, waypost};

#[test]
fn a_line_that_can_t_be_replayed_is_reported_with_its_number() {
    let proxy = first_recorded();
    let scratch = &proxy.scratch;
    let text = std::fs::read_to_string(scratch.path().join("requests.jsonl")).unwrap();
    // A proxy that was killed while it wrote leaves a last line that has no end.
    let cut = &text[..text.len() - 40];
    scratch.write("cut.jsonl", cut);
    let exit = replay(
        scratch,
        ["replay", "first.wasm", "cut.jsonl", "--expect-same"],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("line 51 is skipped: it is incomplete"),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("98 of 98 decisions"),
        "{}",
        exit.stdout
    );

    let broken: Vec<&str> = text
        .lines()
        .enumerate()
        .map(|(n, line)| if n == 9 { "{\"request\":" } else { line })
        .collect();
    scratch.write("broken.jsonl", broken.join("\n"));
    let exit = replay(scratch, ["replay", "first.wasm", "broken.jsonl"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr.contains("broken.jsonl, line 10") && exit.stderr.contains("--lenient"),
        "{exit:?}"
    );
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "broken.jsonl",
            "--lenient",
            "--expect-same",
        ],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("line 10 is skipped"), "{exit:?}");

    // A lineup that can't be read takes the requests that name it along.
    let (lineup, requests) = text.split_once('\n').unwrap();
    let first: Vec<&str> = requests.lines().take(2).collect();
    scratch.write(
        "lineup.jsonl",
        format!(
            "{}\n{}\n{text}",
            &lineup[..lineup.len() / 2],
            first.join("\n")
        ),
    );
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "lineup.jsonl",
            "--lenient",
            "--expect-same",
            "--json",
        ],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let result = told(&exit);
    assert_eq!(
        (&result["recording"]["lines_passed_over"], &result["calls"]),
        (&json!(3), &json!(100)),
        "{result:#}"
    );
    scratch.write("lost.jsonl", requests);
    let exit = replay(scratch, ["replay", "first.wasm", "lost.jsonl", "--lenient"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr
            .contains("contains no recording: line 1 was skipped: no line before it defines"),
        "{exit:?}"
    );

    scratch.write(
        "newer.jsonl",
        text.replacen("\"format\":1", "\"format\":2", 1),
    );
    scratch.write("other.jsonl", "no recording\nat all\n");
    scratch.write("empty.jsonl", "");
    scratch.write("headless.jsonl", text.split_once('\n').unwrap().1);
    for (file, said) in [
        (
            "newer.jsonl",
            "has format 2, but this Waypost reads format 1",
        ),
        ("other.jsonl", "line 1: this is not a line of a recording"),
        ("empty.jsonl", "contains no recording"),
        ("headless.jsonl", "no line before it defines lineup"),
        ("missing.jsonl", "can't be read"),
    ] {
        let exit = replay(scratch, ["replay", "first.wasm", file]);
        assert_eq!(exit.code, Some(2), "{file}: {exit:?}");
        assert!(exit.stderr.contains(said), "{file}: {exit:?}");
    }
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "requests.jsonl",
            "--policy",
            "other",
        ],
    );
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr
            .contains("does not record policy \"other\", but: mine"),
        "{exit:?}"
    );
    for (arguments, code) in [
        (["replay", "core.wasm", "requests.jsonl", "--json"], 1),
        (["replay", "nowhere.wasm", "requests.jsonl", "--json"], 2),
        (["diff", "first.wasm", "core.wasm", "requests.jsonl"], 2),
        (["replay", "first.wasm", "requests.jsonl", "--memory=1"], 2),
    ] {
        let exit = replay(scratch, arguments);
        assert_eq!(exit.code, Some(code), "{arguments:?}: {exit:?}");
        assert!(!exit.stderr.is_empty(), "{arguments:?}: {exit:?}");
    }
}

#[test]
fn of_several_policies_one_has_to_be_chosen() {
    let backend = TestUpstream::named("served");
    let mut proxy = TestProxy::builder()
        .host("*", &[backend.address()])
        .tables(RECORD)
        .start();
    proxy.get("a.test", "/");
    stop(&mut proxy);
    let exit = waypost(
        ["policy", "replay", "builtin:random", "requests.jsonl"],
        proxy.scratch.path(),
    );
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr.contains("--policy") && exit.stderr.contains("range, random"),
        "{exit:?}"
    );
}
