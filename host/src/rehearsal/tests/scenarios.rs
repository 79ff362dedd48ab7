//! Scenario files.

use std::time::Duration;

use super::mutation::{Dice, assert_plain, assert_readable, mutated, survive};
use crate::policy::EngineOptions;
use crate::rehearsal::harness::Harness;
use crate::rehearsal::source::Source;
use crate::rehearsal::{junit, report, run::play, scenario};

/// The seed of everything here.
const SEED: u64 = 0x5ce7_a210;
const READ: usize = 1_500;
/// Of each policy.
const PLAYED: usize = 60;
/// A mutation may well ask for ten million.
const RUNS: u32 = 50;

/// Those of the repository, and the example of every key.
const FILES: [&str; 17] = [
    include_str!("../../../../examples/scenarios.toml"),
    include_str!("../../../../guest-policies/header-router/scenarios.toml"),
    include_str!("../../../../guest-policies/least-loaded/scenarios.toml"),
    include_str!("../../../../guest-policies/random/scenarios.toml"),
    include_str!("../../../../guest-policies/range/scenarios.toml"),
    include_str!("../../../../guest-policies/rate-limit/scenarios.toml"),
    include_str!("../../../../guest-policies/sticky/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/ab-cookie/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/blue-green-by-time/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/canary-by-header/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/client-certificate/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/geographic/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/least-loaded-zone/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/maintenance-page/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/retry-aware/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/tenant-shard/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/weighted/scenarios.toml"),
];

/// Policies with the files that are about them.
const WITH_POLICY: [(&str, &str); 3] = [
    ("random", FILES[3]),
    ("header-router", FILES[1]),
    ("rate-limit", FILES[5]),
];

/// The mistakes in a file.
#[track_caller]
fn mistakes(text: &str) -> String {
    let told = scenario::parse("scenarios.toml", text)
        .unwrap_err()
        .to_string();
    assert_readable(&told);
    told
}

#[test]
fn a_mutated_file_is_read_or_its_mistakes_are_reported() {
    let mut dice = Dice(SEED);
    let (mut read, mut refused) = (0, 0);
    for case in 0..READ {
        let (file, donor) = (FILES[case % FILES.len()], FILES[dice.below(FILES.len())]);
        let bytes = mutated(file.as_bytes(), donor.as_bytes(), &mut dice);
        let text = String::from_utf8_lossy(&bytes);
        match survive(case, &bytes, || scenario::parse("scenarios.toml", &text)) {
            Ok(_) => read += 1,
            Err(errors) => {
                assert_readable(&errors.to_string());
                refused += 1;
            }
        }
    }
    // Else the mutations have become so coarse, or so fine, that they prove nothing.
    assert!(read > READ / 5 && refused > READ / 5, "{read} {refused}");
}

#[test]
fn a_mutated_file_is_played_to_its_end() {
    let mut dice = Dice(SEED + 1);
    for (policy, file) in WITH_POLICY {
        let source =
            Source::open(format!("builtin:{policy}").as_ref(), Default::default()).unwrap();
        let mut harness = Harness::with_given_time(source, EngineOptions::default()).unwrap();
        let mut played = 0;
        for case in 0..PLAYED {
            let donor = FILES[dice.below(FILES.len())];
            let bytes = mutated(file.as_bytes(), donor.as_bytes(), &mut dice);
            let Ok(mut file) = scenario::parse("scenarios.toml", &String::from_utf8_lossy(&bytes))
            else {
                continue;
            };
            file.scenarios
                .iter_mut()
                .flat_map(|s| &mut s.steps)
                .for_each(|step| step.repeat = step.repeat.min(RUNS));
            match survive(case, &bytes, || play(&mut harness, &file, None, |_| {})) {
                Ok(all) => {
                    assert_plain(&report::text(std::slice::from_ref(&all), 0, Duration::ZERO));
                    assert!(junit::xml(&[all]).ends_with("</testsuites>\n"));
                    played += 1;
                }
                Err(error) => assert_readable(&error.told()),
            }
        }
        assert!(played > PLAYED / 10, "{policy}: {played}");
    }
}

#[test]
fn a_small_file_does_not_take_all_memory() {
    let pool = |count| {
        format!(
            "[[pools]]\nbackends = [{}]\n",
            "{ address = \"1.1.1.1\", labels = { z = \"a\" } },".repeat(count)
        )
    };
    let scenario = "[[scenario]]\nname = \"a\"\n";
    let facts = |n| format!("\"{}z=a\" = {{ healthy = false }}\n", " ".repeat(n));
    let facts: String = (0..200).map(facts).collect();
    for (text, told) in [
        // Each scenario has the pools of the file, and each step their states and the request
        // beside it.
        (pool(5_000) + &scenario.repeat(5_000), "the limit of memory"),
        (
            pool(10_000) + scenario + &"[[scenario.step]]\n".repeat(20_000),
            "the limit of memory",
        ),
        (
            format!(
                "{scenario}request.headers.a = \"{}\"\n{}",
                "x".repeat(60_000),
                "[[scenario.step]]\n".repeat(20_000)
            ),
            "the limit of memory",
        ),
        // A label means all backends that have it.
        (
            format!(
                "{}{scenario}failed = [{}]\n",
                pool(5_000),
                "\"z=a\",".repeat(50_000)
            ),
            "more than 1000 attempts",
        ),
        (
            format!(
                "{}{scenario}expect.backend = [{}]\n",
                pool(10),
                "\"z=a\",".repeat(50_000)
            ),
            "lists more than 1000",
        ),
        (
            format!("{}{scenario}[scenario.facts]\n{facts}", pool(5_000)),
            "more than 100000 facts",
        ),
        (pool(20_000) + scenario, "lists more than 10000"),
    ] {
        let found = mistakes(&text);
        assert!(found.contains(told), "{told}: {found}");
    }
    // A large file within the limit is read.
    assert!(scenario::parse("scenarios.toml", &(pool(1_000) + &scenario.repeat(500))).is_ok());
}

#[test]
fn a_key_without_end_is_shown_by_its_beginning() {
    let key = "k".repeat(100_000);
    let found = mistakes(&format!(
        "[settings.{key}.b]\na = nan\n[[scenario]]\nname = \"a\"\n"
    ));
    assert!(
        found.contains("`settings.kkk") && found.contains("kkk...`: is not a finite"),
        "{found}"
    );
    let sections = vec!["abcdefghi"; 70].join(".");
    let found = mistakes(&format!(
        "[settings.{sections}]\na = nan\n[[scenario]]\nname = \"a\"\n"
    ));
    assert!(
        found.contains("`settings.abcdefghi.abcdefghi.") && found.contains("...`"),
        "{found}"
    );
}

#[test]
fn a_long_message_is_shortened_and_keeps_its_remedy() {
    let found = mistakes(&format!(
        "[[scenario]]\nname = \"a\"\nrequest = \"{}\"\n",
        "x \\u001b[2J y".repeat(100_000)
    ));
    assert!(
        found.contains("[...]") && found.ends_with("\"GET http://host/path\""),
        "{found}"
    );
    let unknown: String = (0..2_000).map(|n| format!("x{n} = 1\n")).collect();
    let found = mistakes(&format!("[[scenario]]\nname = \"a\"\n{unknown}"));
    assert!(
        found.lines().count() == 51
            && found.ends_with("1950 more mistakes are not shown; correct these first"),
        "{found}"
    );
}

#[test]
fn endless_nesting_is_an_error() {
    let deep = |open: &str, close: &str| {
        format!(
            "[settings]\na = {}1{}\n",
            open.repeat(50_000),
            close.repeat(50_000)
        )
    };
    for text in [
        deep("[", "]"),
        deep("{a=", "}"),
        format!("[settings]\n{} = 1\n", vec!["a"; 50_000].join(".")),
    ] {
        assert!(mistakes(&text).contains("nested too deeply; write fewer levels"));
    }
}

#[test]
fn a_pool_without_backends_has_none_to_name() {
    for line in [
        "failed = 0",
        "expect.backend = 0",
        "response.backend = 0",
        "facts.\"0\".healthy = false",
    ] {
        let found = mistakes(&format!(
            "[[pools]]\nbackends = []\n[[scenario]]\nname = \"a\"\n{line}\n"
        ));
        let is_said = found.contains("no backend") || found.contains("not a backend");
        assert!(is_said, "{line}: {found}");
    }
}
