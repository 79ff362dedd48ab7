//! Languages whose components are too large to be checked in: `guest-policies/conformance/build js`
//! and `py` make them, and `guest-policies/conformance/run` runs these.

use super::{Language, host, run};
use crate::fixtures::{Scratch, command, repository};

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
fn javascript_keeps_the_contract() {
    run(&JAVASCRIPT);
}

#[test]
fn python_keeps_the_contract() {
    run(&PYTHON);
}

/// What `policy test` says of each of these ways to fail (`words.py`, `words.js`): of the fault
/// what stands after `it wrote:`, if anything does, and what else contains the text.
#[track_caller]
fn said(language: &str, ways: &[(&str, &str)]) -> String {
    let scratch = Scratch::new();
    let scenario = |(way, _): &(&str, &str)| {
        format!("[[scenario]]\nname = \"{way}\"\nrequest.headers = {{ x-do = \"{way}\" }}\n")
    };
    let head = "[policy]\nmemory = \"128MiB\"\ndeadline = \"5s\"\n";
    let scenarios: String = ways.iter().map(scenario).collect();
    scratch.write("scenarios.toml", head.to_owned() + &scenarios);
    let component = repository().join(format!("guest-policies/conformance/{language}/words.wasm"));
    let ran = command()
        .args(["policy", "test"])
        .arg(component)
        .arg("scenarios.toml")
        .current_dir(scratch.path())
        .output()
        .unwrap();
    let text = String::from_utf8(ran.stdout).unwrap();
    assert_eq!(ran.status.code(), Some(1), "{text}");
    for (way, expected) in ways {
        let begin = text.find(&format!("FAILED  {way} ")).expect(way);
        let of = &text[begin..];
        let of = of[1..].find("FAILED  ").map_or(of, |end| &of[..end]);
        assert!(of.contains(expected), "{way}: {expected:?} is not in {of}");
        for glue in ["RUST_BACKTRACE", "runtime/src/lib.rs", "PyErr", "export_"] {
            assert!(!of.contains(glue), "{way}: {glue} in {of}");
        }
        let longest = of.lines().map(str::len).max();
        assert!(longest < Some(2_500), "{way}: {longest:?}");
    }
    text
}

#[test]
fn python_says_why_a_hook_failed() {
    let text = said(
        "py",
        &[
            ("raise", "in select | ValueError: the reason"),
            (
                "text as Err",
                "does not have the type that the contract declares: AttributeError(\"'str' object has no",
            ),
            (
                "another type",
                "does not have the type that the contract declares: TypeError(\"'str' object cannot",
            ),
            (
                "out of range",
                "does not have the type that the contract declares: OverflowError(",
            ),
            (
                "exit",
                "it ended itself with exit status 1; it wrote: the reason",
            ),
            ("long", "in select | ValueError: the head xxx"),
            ("many lines", "in select | ValueError: the head\n"),
        ],
    );
    assert!(text.contains("lines are left out)"), "{text}");
}

#[test]
fn javascript_says_why_a_hook_failed() {
    said(
        "js",
        &[
            ("throw", "it wrote: uncaught TypeError: the reason < "),
            ("a property of nothing", "it wrote: uncaught TypeError: "),
            ("text", "it wrote: uncaught the reason"),
            ("long", "it wrote: uncaught Error: the head xxx"),
        ],
    );
}
