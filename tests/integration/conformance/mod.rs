//! One battery for policies in every language: the same assertions over real requests, whatever the
//! component was made from.
//!
//! Two policies stand for a language: `header-router`, as a user would write it, and `conformance`,
//! which reaches what that does not (`guest-policies/conformance/SPEC.md`). Rust, C and Zig are
//! checked in. JavaScript and Python have to be built first, with tools of their own: they are
//! tests of the feature `built-languages` (`built.rs`), which `.ci/run languages` turns on after it
//! has built them. A language whose components are not there never passes.
//!
//! With `WAYPOST_CONFORMANCE_REPORT`, a folder, each language writes `LANGUAGE.json` there: what
//! passed, for docs/languages.md.

#[cfg(feature = "built-languages")]
mod built;
mod completion;
mod connection;
mod hooks;
mod host;
mod hostile;
mod router;
mod subject;
mod ways;

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;

use serde_json::json;

use crate::fixtures::repository;
use subject::Subject;

/// What a language is tested with.
pub struct Language {
    name: &'static str,
    router: &'static str,
    conformance: &'static str,
    /// A runtime is part of the component: it needs memory and time.
    large: bool,
    /// Cases that its tool is known to fail, and why. One that passes by now is a failed test: then
    /// this list is to be shorter.
    known: &'static [(&'static str, &'static str)],
}

/// What is claimed, and the proof.
type Case = (&'static str, fn(&Subject));

const RUST: Language = Language {
    name: "rust",
    router: "header-router/header-router.wasm",
    conformance: "conformance/rust",
    large: false,
    known: &[],
};
const C: Language = Language {
    name: "c",
    router: "header-router-c/header-router-c.wasm",
    conformance: "conformance/c",
    large: false,
    known: &[],
};
const ZIG: Language = Language {
    name: "zig",
    router: "header-router-zig/header-router-zig.wasm",
    conformance: "conformance/zig",
    large: false,
    known: &[],
};
#[test]
fn rust_keeps_the_contract() {
    run(&RUST);
}

#[test]
fn c_keeps_the_contract() {
    run(&C);
}

#[test]
fn zig_keeps_the_contract() {
    run(&ZIG);
}

/// The line of its module `waypost` that logs a panic.
#[test]
fn a_panic_in_zig_is_logged_with_its_message() {
    let [router, conformance] = components(&ZIG);
    let subject = Subject::start(&ZIG, router, conformance);
    subject.told(&[b"select trap"]);
    let fault = |line: &str| line.contains("it wrote: ").then(|| line.to_owned());
    let line = subject.proxy.stderr.find(fault).expect("it is logged");
    assert!(line.contains("; it wrote: told to"), "{line}");
}

/// `header-router` and `conformance`.
fn components(language: &Language) -> [Vec<u8>; 2] {
    let files = [
        language.router.to_owned(),
        format!("{}/conformance.wasm", language.conformance),
    ];
    let paths = files.map(|file| repository().join("guest-policies").join(file));
    paths.map(|path| {
        std::fs::read(&path)
            .unwrap_or_else(|e| panic!("{}: {}: {e}", language.name, path.display()))
    })
}

fn run(language: &Language) {
    let [router, conformance] = components(language);
    let subject = Subject::start(language, router, conformance);
    let cases = [
        router::CASES,
        hooks::CASES,
        host::CASES,
        connection::CASES,
        completion::CASES,
        ways::CASES,
        hostile::CASES,
    ]
    .concat();
    let failed: Vec<&str> = cases
        .iter()
        .filter(|case| !passes(case, &subject))
        .map(|(claim, _)| *claim)
        .collect();
    println!(
        "{}: {} of {} cases passed",
        language.name,
        cases.len() - failed.len(),
        cases.len()
    );
    report(language, cases.len(), &failed);
    let known: Vec<&str> = language.known.iter().map(|(claim, _)| *claim).collect();
    if failed != known {
        eprintln!("--- the proxy's log\n{}", subject.proxy.stderr.text());
    }
    assert_eq!(
        failed, known,
        "{}: failed cases, and those that are known to fail",
        language.name
    );
}

fn passes((_, prove): &Case, subject: &Subject) -> bool {
    let passed = catch_unwind(AssertUnwindSafe(|| prove(subject))).is_ok();
    if !passed {
        // What it did to the instance is nothing that the next case should see.
        subject.recover();
    }
    passed
}

fn report(language: &Language, cases: usize, failed: &[&str]) {
    let Some(folder) = std::env::var_os("WAYPOST_CONFORMANCE_REPORT").map(PathBuf::from) else {
        return;
    };
    std::fs::create_dir_all(&folder).unwrap();
    let known: BTreeMap<_, _> = language.known.iter().copied().collect();
    let passed = cases - failed.len();
    let text = json!({ "language": language.name, "passed": passed, "cases": cases, "failed": failed, "known": known });
    std::fs::write(
        folder.join(format!("{}.json", language.name)),
        text.to_string(),
    )
    .unwrap();
}
