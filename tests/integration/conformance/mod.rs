//! One battery for policies in every language: the same assertions over real requests, whatever the component was made from.
//!
//! Two policies stand for a language: `header-router`, as a user would write it, and `conformance`, which reaches what that does not
//! (`guest-policies/conformance/SPEC.md`). Rust, C and Zig are checked in. JavaScript and Python are tested where they have been built;
//! where they have not, the test says so, and fails if `WAYPOST_CONFORMANCE_REQUIRED` is set, as `.ci/run languages` does.
//!
//! With `WAYPOST_CONFORMANCE_REPORT`, a folder, each language writes `LANGUAGE.json` there: what passed, for docs/languages.md.

mod contract;
mod hostile;
mod router;
mod subject;

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
}

/// What is claimed, and the proof.
type Case = (&'static str, fn(&Subject));

const RUST: Language = Language {
    name: "rust",
    router: "header-router/header-router.wasm",
    conformance: "conformance/rust",
    large: false,
};
const C: Language =
    Language { name: "c", router: "header-router-c/header-router-c.wasm", conformance: "conformance/c", large: false };
const ZIG: Language = Language {
    name: "zig",
    router: "header-router-zig/header-router-zig.wasm",
    conformance: "conformance/zig",
    large: false,
};
const JAVASCRIPT: Language = Language {
    name: "js",
    router: "header-router-js/header-router-js.wasm",
    conformance: "conformance/js",
    large: true,
};
const PYTHON: Language = Language {
    name: "py",
    router: "header-router-py/header-router-py.wasm",
    conformance: "conformance/py",
    large: true,
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

#[test]
fn javascript_keeps_the_contract() {
    run(&JAVASCRIPT);
}

#[test]
fn python_keeps_the_contract() {
    run(&PYTHON);
}

fn run(language: &Language) {
    let files = [language.router.to_owned(), format!("{}/conformance.wasm", language.conformance)];
    let paths = files.map(|file| repository().join("guest-policies").join(file));
    let [Ok(router), Ok(conformance)] = paths.each_ref().map(std::fs::read) else {
        let missing: Vec<_> =
            paths.iter().filter(|path| !path.exists()).map(|path| path.display().to_string()).collect();
        let sentence = format!("{}: NOT TESTED, not built: {}", language.name, missing.join(", "));
        let may_be_missing = language.large && std::env::var_os("WAYPOST_CONFORMANCE_REQUIRED").is_none();
        assert!(may_be_missing, "{sentence}");
        println!("{sentence}");
        return;
    };
    let subject = Subject::start(language, router, conformance);
    let mut passed = 0;
    let mut failed = Vec::new();
    let cases = [router::CASES, contract::CASES, hostile::CASES].concat();
    for (claim, prove) in &cases {
        match catch_unwind(AssertUnwindSafe(|| prove(&subject))) {
            Ok(()) => passed += 1,
            Err(_) => failed.push(*claim),
        }
    }
    println!("{}: {passed} of {} cases passed", language.name, cases.len());
    report(language, passed, cases.len(), &failed);
    if !failed.is_empty() {
        eprintln!("--- the proxy's log\n{}", subject.proxy.stderr.text());
    }
    assert!(failed.is_empty(), "{}: {} of {} cases failed: {failed:#?}", language.name, failed.len(), cases.len());
}

fn report(language: &Language, passed: usize, cases: usize, failed: &[&str]) {
    let Some(folder) = std::env::var_os("WAYPOST_CONFORMANCE_REPORT").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let text = json!({ "language": language.name, "passed": passed, "cases": cases, "failed": failed }).to_string();
    std::fs::write(folder.join(format!("{}.json", language.name)), text).unwrap();
}
