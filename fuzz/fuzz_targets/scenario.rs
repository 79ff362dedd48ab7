//! A scenario file as `waypost policy test` takes it: its mistakes are told, or it is played to its
//! end and reported.
//!
//! A panic, a hang, memory without end, a sentence that nobody can read and a report that is none
//! are findings.

#![no_main]

use std::cell::RefCell;
use std::io::Write;
use std::os::fd::AsRawFd;
use std::path::PathBuf;

use libfuzzer_sys::fuzz_target;
use waypost::config::CompileLimits;
use waypost::policy::{Compiler, EngineOptions, builtin_names};
use waypost::rehearsal::{Harness, Source, rehearse};
use waypost::text::is_unseen;

/// A file may ask for ten million.
const RUNS: u32 = 20;
/// Sentences about what is wrong, at most, and one of them.
const LONGEST: usize = 100_000;
const LONGEST_LINE: usize = 2_500;
/// How much longer a report may be than what it is about.
const TIMES: usize = 100;

thread_local! {
    /// Each with one of the policies that are built in: they have every hook, a store, counters and
    /// a log.
    static HARNESSES: RefCell<Vec<Harness>> = RefCell::new(harnesses());
}

fn harnesses() -> Vec<Harness> {
    // A policy that is refused would be compiled for each scenario again. Other fuzzers may use it
    // too.
    let compiled = std::env::temp_dir().join("waypost-fuzz-compiled");
    let harness = |name| {
        let path = PathBuf::from(format!("builtin:{name}"));
        let source = Source::open(&path, CompileLimits::default()).expect("it is there");
        let cache = Some(compiled.clone());
        let options = EngineOptions {
            compiler: Compiler::Here,
            cache,
            ..EngineOptions::default()
        };
        Harness::with_given_time(source, options).expect("an engine")
    };
    builtin_names().map(harness).collect()
}

fuzz_target!(|bytes: &[u8]| {
    // Removed at once: whatever ends the process, nothing is left behind.
    let path = std::env::temp_dir().join(format!("waypost-fuzz-{}.toml", std::process::id()));
    let mut file = std::fs::File::create(&path).expect("a file");
    std::fs::remove_file(&path).expect("a file that was made");
    file.write_all(bytes).expect("room for it");
    let path = PathBuf::from(format!("/proc/self/fd/{}", file.as_raw_fd()));
    HARNESSES.with_borrow_mut(|harnesses| {
        // By length, so that the same file may be about any of them.
        let at = bytes.len() % harnesses.len();
        match rehearse(&mut harnesses[at], &path, RUNS) {
            Ok([text, json, xml]) => {
                assert!(
                    text.len() <= TIMES * (bytes.len() + 100),
                    "{} bytes of {}",
                    text.len(),
                    bytes.len()
                );
                let told: serde_json::Value = serde_json::from_str(&json).expect("JSON");
                let scenarios = told["scenarios"].as_array().map_or(0, Vec::len);
                assert!(scenarios > 0 && text.contains(" passed, "), "{text}");
                assert_eq!(xml.matches("<testcase ").count(), scenarios, "{xml}");
                assert!(xml.ends_with("</testsuites>\n"), "{xml}");
                for told in [text, xml] {
                    assert!(!told.chars().any(|c| c != '\n' && is_unseen(c)), "{told:?}");
                }
            }
            Err(error) => {
                let told = error.told();
                let longest = told.lines().map(str::len).max().unwrap_or_default();
                assert!(
                    longest > 0 && longest < LONGEST_LINE && told.len() < LONGEST,
                    "{told:?}"
                );
                assert!(!told.chars().any(|c| c != '\n' && is_unseen(c)), "{told:?}");
                assert!(!told.contains("panicked"), "{told}");
            }
        }
    });
});
