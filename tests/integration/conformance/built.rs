//! Languages whose components are too large to be checked in: `guest-policies/conformance/build js`
//! and `py` make them, and `guest-policies/conformance/run` runs these.

use super::{Language, host, run};

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
