//! A policy that misbehaves while it is set up: the `PUT` is refused with the reason, and nothing
//! that runs changes.

use super::Contained;
use super::text::{ANSWER, Hooks};
use crate::fixtures::{Request, guest};

/// What a setup step does, and words of the refusal.
struct Setup {
    what: &'static str,
    hooks: Hooks<'static>,
    words: &'static [&'static str],
}

/// A module's function that never comes back for the lack of stack.
const DEEP: &str = "(func $deeper (call $deeper) (call $deeper))";
/// One that takes all the memory that it gets, and a step more.
const GREEDY: &str = "(func $grow_on (loop $more (br_if $more (i32.ge_s (memory.grow (i32.const 16)) (i32.const 0)))) unreachable)";
/// An error whose text is as long as a hundred million bytes.
const LIAR: &str = r#"(data (i32.const 2048) "\01\00\00\00\00\00\00\00\00\e1\f5\05")"#;
/// One of 50 MB that is really there.
const LONG: &str = r#"(data (i32.const 2048) "\01\00\00\00\00\00\00\00\80\f0\fa\02")
    (func $make_room (drop (memory.grow (i32.const 900)))
        (memory.fill (i32.const 65536) (i32.const 120) (i32.const 50000000)))"#;

const NONE: Hooks<'static> = Hooks {
    module: "",
    configure: "",
    backends_changed: "",
    select: "",
    edit_request: "",
    edit_response: "",
    check: "",
};

/// Refused by the step that failed, in words that name it and the guest's function where there is
/// one.
const SETUPS: &[Setup] = &[
    Setup {
        what: "a trap in configure",
        hooks: Hooks {
            configure: "unreachable",
            ..NONE
        },
        words: &["configure", "unreachable", "configuring"],
    },
    Setup {
        what: "a trap in backends-changed",
        hooks: Hooks {
            backends_changed: "unreachable",
            ..NONE
        },
        words: &["backends-changed", "unreachable", "told"],
    },
    Setup {
        what: "deep recursion in configure",
        hooks: Hooks {
            module: DEEP,
            configure: "(call $deeper) i32.const 1024",
            ..NONE
        },
        words: &["configure", "call stack exhausted", "deeper"],
    },
    Setup {
        what: "deep recursion in backends-changed",
        hooks: Hooks {
            module: DEEP,
            backends_changed: "(call $deeper)",
            ..NONE
        },
        words: &["backends-changed", "call stack exhausted", "deeper"],
    },
    Setup {
        what: "too much memory in configure",
        hooks: Hooks {
            module: GREEDY,
            configure: "(call $grow_on) i32.const 1024",
            ..NONE
        },
        words: &["bytes of memory", "raise `memory`"],
    },
    Setup {
        what: "too much memory in backends-changed",
        hooks: Hooks {
            module: GREEDY,
            backends_changed: "(call $grow_on)",
            ..NONE
        },
        words: &["bytes of memory", "raise `memory`"],
    },
    Setup {
        what: "a loop in configure",
        hooks: Hooks {
            configure: "(loop $ever (br $ever)) unreachable",
            ..NONE
        },
        words: &["did not finish configure"],
    },
    Setup {
        what: "a loop in backends-changed",
        hooks: Hooks {
            backends_changed: "(loop $ever (br $ever))",
            ..NONE
        },
        words: &["did not finish backends-changed"],
    },
    Setup {
        what: "a trap in the start function",
        hooks: Hooks {
            module: "(func $begin unreachable) (start $begin)",
            select: ANSWER,
            ..NONE
        },
        words: &["instantiation", "unreachable", "begin"],
    },
    Setup {
        what: "a loop in the start function",
        hooks: Hooks {
            module: "(func $begin (loop $ever (br $ever))) (start $begin)",
            select: ANSWER,
            ..NONE
        },
        words: &["did not finish instantiation"],
    },
    Setup {
        what: "an error that lies about its length",
        hooks: Hooks {
            module: LIAR,
            configure: "i32.const 2048",
            ..NONE
        },
        words: &["configure"],
    },
    Setup {
        what: "an error of 50 MB",
        hooks: Hooks {
            module: LONG,
            configure: "(call $make_room) i32.const 2048",
            ..NONE
        },
        words: &["configure"],
    },
    Setup {
        what: "an answer of configure that is nowhere",
        hooks: Hooks {
            configure: "i32.const -8",
            ..NONE
        },
        words: &["configure"],
    },
];

#[test]
fn every_failure_in_setup_refuses_the_policy_and_changes_nothing() {
    let c = Contained::probe("deadline = \"2s\"\nmemory = \"96MiB\"");
    let status = || {
        let answer = c.proxy.admin(Request::new("GET", "/policies/bad"));
        let status: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
        (status["generation"].clone(), status["digest"].clone())
    };
    let (before, running) = (c.at_rest(), status());
    for Setup { what, hooks, words } in SETUPS {
        let answer = c.proxy.put_policy("bad", &hooks.component());
        let reason = answer.text();
        assert_eq!(answer.status, 422, "{what}: {reason}");
        assert!(reason.len() < 4_096, "{what}: {} bytes", reason.len());
        for word in *words {
            assert!(reason.contains(word), "{what}: no {word:?} in {reason}");
        }
        assert_eq!(status(), running, "{what}");
        assert!(
            c.told("Response", "calls").head.has("x-probe-calls"),
            "{what}"
        );
        c.bystander.goes_on();
    }
    assert_eq!(c.count("failure_mode_uses"), 0);
    c.is_as_before(&before, 0);
    c.is_replaced_by(&guest("pick-first"));
    c.end();
}
