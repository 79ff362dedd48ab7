//! Shapes that no tool for policies writes: each is refused with a sentence that names it, and
//! nothing panics.

use super::*;

/// Two components, of which the outer one is a policy's or is not: the inner one lifts a function
/// of these types, another lowers it.
fn passing(parameter: &str, result: &str, core: &str, options: &str, memories: bool) -> String {
    let memory = if memories {
        "(memory $memory) (realloc $realloc)"
    } else {
        ""
    };
    let result = if result.is_empty() {
        String::new()
    } else {
        format!("(result {result})")
    };
    format!(
        r#"(component
            (component $giver
                (core module $m
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0))
                    (func (export "f") {core} unreachable))
                (core instance $i (instantiate $m))
                (alias core export $i "memory" (core memory $memory))
                (alias core export $i "realloc" (core func $realloc))
                (func $f (param "p" {parameter}) {result}
                    (canon lift (core func $i "f") {memory} {options}))
                (export "f" (func $f)))
            (component $taker
                (import "f" (func $f (param "p" {parameter}) {result}))
                (core module $libc
                    (memory (export "memory") 1)
                    (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 0)))
                (core instance $libc (instantiate $libc))
                (alias core export $libc "memory" (core memory $memory))
                (alias core export $libc "realloc" (core func $realloc))
                (core func $lowered (canon lower (func $f) {memory}))
                (core module $n (import "" "f" (func {core})))
                (core instance (instantiate $n (with "" (instance (export "f" (func $lowered)))))))
            (instance $giver (instantiate $giver))
            (instance (instantiate $taker (with "f" (func $giver "f")))))"#
    )
}

#[track_caller]
fn refusal(test: &TestEngine, what: &str, text: &str) -> String {
    let bytes = wat::parse_str(text).unwrap_or_else(|e| panic!("{what}: {e}"));
    let reason = test
        .load(&spec(&bytes))
        .map(|_| ())
        .expect_err(what)
        .to_string();
    assert!(
        !reason.contains('\n') && !reason.contains("panicked"),
        "{what}: {reason}"
    );
    reason
}

#[test]
fn components_that_pass_values_in_memory_to_each_other_are_refused_by_name() {
    let test = TestEngine::new();
    for (what, parameter, result, core, options) in [
        ("a string", "string", "", "(param i32 i32)", ""),
        (
            "a string in UTF-16",
            "string",
            "",
            "(param i32 i32)",
            "string-encoding=utf16",
        ),
        (
            "a string in Latin 1",
            "string",
            "",
            "(param i32 i32)",
            "string-encoding=latin1+utf16",
        ),
        ("a list", "(list u8)", "", "(param i32 i32)", ""),
        (
            "a list of strings",
            "(list string)",
            "",
            "(param i32 i32)",
            "",
        ),
        (
            "an option of a string",
            "(option string)",
            "",
            "(param i32 i32 i32)",
            "",
        ),
        (
            "many parameters",
            "(tuple u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64 u64)",
            "",
            "(param i32)",
            "",
        ),
    ] {
        let reason = refusal(
            &test,
            what,
            &passing(parameter, result, core, options, true),
        );
        assert!(
            reason.contains("multi-memory") && reason.contains("link the parts"),
            "{what}: {reason}"
        );
    }
}

#[test]
fn components_that_pass_plain_values_to_each_other_are_compiled() {
    let test = TestEngine::new();
    for (what, parameter, result, core) in [
        ("a number", "u32", "u32", "(param i32) (result i32)"),
        (
            "a flag and a float",
            "(tuple bool f64)",
            "",
            "(param i32 f64)",
        ),
        ("an enumeration", "u8", "bool", "(param i32) (result i32)"),
        ("an option", "(option u64)", "", "(param i32 i64)"),
        ("a character", "char", "char", "(param i32) (result i32)"),
    ] {
        let reason = refusal(&test, what, &passing(parameter, result, core, "", false));
        assert!(reason.contains("exports no hook"), "{what}: {reason}");
    }
}

#[test]
fn what_a_core_module_may_not_use_is_refused_by_the_features_name() {
    let test = TestEngine::new();
    let with = |module: &str| format!("(component (core module {module}))");
    for (what, text, word) in [
        ("memory64", with("(memory i64 1)"), "memory64"),
        ("several memories", with("(memory 1) (memory 1)"), "memor"),
        ("a shared memory", with("(memory 1 1 shared)"), "thread"),
        ("an exception", with("(tag)"), "exception"),
        (
            "a tail call",
            with("(func $f (return_call $f))"),
            "tail call",
        ),
        ("a structure", with("(type (struct))"), "gc"),
        (
            "a function reference",
            with("(type $f (func)) (func (param (ref $f)))"),
            "reference",
        ),
        (
            "relaxed SIMD",
            with(
                "(func (result v128) (i8x16.relaxed_swizzle (v128.const i64x2 0 0) (v128.const i64x2 0 0)))",
            ),
            "relaxed",
        ),
        (
            "wide arithmetic",
            with(
                "(func (param i64 i64) (result i64 i64) (i64.mul_wide_u (local.get 0) (local.get 1)))",
            ),
            "wide",
        ),
        (
            "a stream",
            "(component (type (stream u8)))".to_owned(),
            "async",
        ),
        (
            "a future",
            "(component (type (future)))".to_owned(),
            "async",
        ),
        (
            "an error context",
            "(component (core func (canon error-context.drop)))".to_owned(),
            "error",
        ),
        (
            "a task",
            "(component (core func (canon backpressure.inc)))".to_owned(),
            "async",
        ),
        (
            "an asynchronous function",
            "(component (type (func async)))".to_owned(),
            "async",
        ),
    ] {
        let reason = refusal(&test, what, &text);
        assert!(reason.to_lowercase().contains(word), "{what}: {reason}");
    }
}
