//! One battery for policies in every language: the same assertions over real requests, whatever the component was made from.
//!
//! Two policies stand for a language: `header-router`, as a user would write it, and `conformance`, which reaches what that does not
//! (`guest-policies/conformance/SPEC.md`). Rust, C and Zig are checked in. JavaScript and Python have to be built first, with tools of
//! their own, so `cargo test` shows them as ignored and says how; `.ci/run languages` builds them and runs them all. A language whose
//! components are not there never passes.
//!
//! With `WAYPOST_CONFORMANCE_REPORT`, a folder, each language writes `LANGUAGE.json` there: what passed, for docs/languages.md.

mod hooks;
mod host;
mod hostile;
mod router;
mod subject;

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
    /// Cases that its tool is known to fail, and why. One that passes by now is a failed test: then this list is to be shorter.
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
const JAVASCRIPT: Language = Language {
    name: "js",
    router: "header-router-js/header-router-js.wasm",
    conformance: "conformance/js",
    large: true,
    known: &[
        (
            host::NEGATIVE,
            "componentize-js 0.23 traps when a negative s64 is passed to the host (ComponentizeJS issue 343), which only \
             `store.increment` takes; `store.decrement` counts down without one",
        ),
        (
            host::UPPER_HALF,
            "componentize-js 0.23 passes another number to the host in place of a u32 from 2147483648 on; only \
             `random.below` could be asked for so much, and `random.bits` draws it without",
        ),
    ],
};
const PYTHON: Language = Language {
    name: "py",
    router: "header-router-py/header-router-py.wasm",
    conformance: "conformance/py",
    large: true,
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

#[test]
#[ignore = "not checked in; guest-policies/conformance/build js makes it, and .ci/run languages runs this"]
fn javascript_keeps_the_contract() {
    run(&JAVASCRIPT);
}

#[test]
#[ignore = "not checked in; guest-policies/conformance/build py makes it, and .ci/run languages runs this"]
fn python_keeps_the_contract() {
    run(&PYTHON);
}

fn run(language: &Language) {
    let files = [language.router.to_owned(), format!("{}/conformance.wasm", language.conformance)];
    let paths = files.map(|file| repository().join("guest-policies").join(file));
    let [router, conformance] =
        paths.map(|path| std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {}: {e}", language.name, path.display())));
    let subject = Subject::start(language, router, conformance);
    let cases = [router::CASES, hooks::CASES, host::CASES, hostile::CASES].concat();
    let failed: Vec<&str> = cases.iter().filter(|case| !passes(case, &subject)).map(|(claim, _)| *claim).collect();
    println!("{}: {} of {} cases passed", language.name, cases.len() - failed.len(), cases.len());
    report(language, cases.len(), &failed);
    let known: Vec<&str> = language.known.iter().map(|(claim, _)| *claim).collect();
    if failed != known {
        eprintln!("--- the proxy's log\n{}", subject.proxy.stderr.text());
    }
    assert_eq!(failed, known, "{}: failed cases, and those that are known to fail", language.name);
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
    let Some(folder) = std::env::var_os("WAYPOST_CONFORMANCE_REPORT").map(PathBuf::from) else { return };
    std::fs::create_dir_all(&folder).unwrap();
    let known: BTreeMap<_, _> = language.known.iter().copied().collect();
    let passed = cases - failed.len();
    let text = json!({ "language": language.name, "passed": passed, "cases": cases, "failed": failed, "known": known });
    std::fs::write(folder.join(format!("{}.json", language.name)), text.to_string()).unwrap();
}
