//! Scenario files.

use super::mutation::{Dice, assert_readable, mutated};
use crate::policy::EngineOptions;
use crate::rehearsal::source::Source;
use crate::rehearsal::stage::House;
use crate::rehearsal::{report, run::play, scenario};

const FILES: [&str; 16] = [
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
    include_str!("../../../../guest-policies/cookbook/geographic/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/least-loaded-zone/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/maintenance-page/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/retry-aware/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/tenant-shard/scenarios.toml"),
    include_str!("../../../../guest-policies/cookbook/weighted/scenarios.toml"),
];

fn cases(default: usize) -> usize {
    std::env::var("CASES").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}
fn seed(default: u64) -> u64 {
    std::env::var("SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(default)
}

#[test]
fn a_mutated_file_is_read_or_its_mistakes_are_told() {
    let mut dice = Dice(seed(0x5ce7_a210));
    let (mut read, mut refused) = (0, 0);
    for case in 0..cases(2_000) {
        let (file, donor) = (FILES[case % FILES.len()], FILES[dice.below(FILES.len())]);
        let bytes = mutated(file.as_bytes(), donor.as_bytes(), &mut dice);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let _ = std::fs::write("/tmp/mutate-last.toml", &text);
        let began = std::time::Instant::now();
        match scenario::parse("scenarios.toml", &text) {
            Ok(_) => read += 1,
            Err(errors) => {
                assert_readable(&errors.to_string());
                refused += 1;
            }
        }
        assert!(began.elapsed().as_secs() < 2);
    }
    assert!(read > 100 && refused > 100, "{read} {refused}");
}

#[test]
fn a_mutated_file_is_played_to_its_end() {
    let mut dice = Dice(seed(0x5ce7_a211));
    for policy in ["random", "header-router", "rate-limit"] {
        let file = FILES.iter().find(|f| f.contains("shares") || true).unwrap();
        let _ = file;
        let text = match policy { "random" => FILES[3], "header-router" => FILES[1], _ => FILES[5] };
        let source = Source::open(format!("builtin:{policy}").as_ref()).unwrap();
        let mut house = House::with_told_time(source, EngineOptions::default()).unwrap();
        let mut played = 0;
        for _ in 0..cases(200) {
            let donor = FILES[dice.below(FILES.len())];
            let bytes = mutated(text.as_bytes(), donor.as_bytes(), &mut dice);
            let text = String::from_utf8_lossy(&bytes).into_owned();
            let Ok(mut book) = scenario::parse("scenarios.toml", &text) else { continue };
            let _ = std::fs::write("/tmp/mutate-last-play.toml", &text);
            book.scenarios.iter_mut().flat_map(|s| &mut s.steps).for_each(|step| step.repeat = step.repeat.min(50));
            let began = std::time::Instant::now();
            match play(&mut house, &book, None, |_| {}) {
                Ok(all) => {
                    played += 1;
                    let all = [all];
                    assert_readable(&report::text(&all, 0, std::time::Duration::ZERO));
                    super::super::junit::xml(&all);
                }
                Err(error) => assert_readable(&error.to_string()),
            }
            if began.elapsed().as_secs() >= 2 { eprintln!("SLOW {:?}", began.elapsed()); let _ = std::fs::write("/tmp/mutate-slow.toml", &text); }
        }
        assert!(played > 0, "{policy}");
    }
}
