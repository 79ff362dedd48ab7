//! Mistakes in policies.

use super::*;

#[test]
fn wrong_policies_are_errors() {
    let cases = [
        (
            "[policies.a]\ndeadline = \"2ms\"",
            1,
            "policies.a",
            "has no source",
        ),
        (
            "[policies.a]\nbuiltin = \"rand\"",
            2,
            "policies.a.builtin",
            "random, range",
        ),
        (
            "[policies.a]\ncomponent = \"a.wasm\"\nbuiltin = \"random\"",
            3,
            "policies.a.builtin",
            "one source",
        ),
        (
            "[policies.a]\ncomponent = \"builtin:random\"",
            2,
            "policies.a.component",
            "write builtin = \"random\"",
        ),
        (
            "[policies.a]\ncomponent = \"\"",
            2,
            "policies.a.component",
            "not a path",
        ),
        (
            "[policies.random]\ndeadline = \"1us\"",
            2,
            "policies.random.deadline",
            "1ms to 10s",
        ),
        (
            "[policies.random]\nmemory = \"1KiB\"",
            2,
            "policies.random.memory",
            "out of range",
        ),
        (
            "[policies.random]\ncompile-time = \"10ms\"",
            2,
            "policies.random.compile-time",
            "1s to 1h",
        ),
        (
            "[policies.random]\ncompile-memory = \"1MiB\"",
            2,
            "policies.random.compile-memory",
            "out of range",
        ),
        (
            "[policies.random.store]\nentries = 0",
            2,
            "policies.random.store.entries",
            "1 to 10000000",
        ),
        (
            "[policies.random.store]\nbytes = 100",
            2,
            "policies.random.store.bytes",
            "out of range",
        ),
        (
            "[policies.random.store]\nbytes = \"17GiB\"",
            2,
            "policies.random.store.bytes",
            "out of range",
        ),
        (
            "[policies.random]\nstore = 5",
            2,
            "policies.random.store",
            "a table",
        ),
        (
            "[policies.random]\non-failure = \"open\"",
            2,
            "policies.random.on-failure",
            "\"next\"",
        ),
        (
            "[policies.random]\non-failure = 200",
            2,
            "policies.random.on-failure",
            "400 to 599",
        ),
        (
            "[policies.random]\nisolation = \"thread\"",
            2,
            "policies.random.isolation",
            "\"request\"",
        ),
        (
            "[policies.\"a/b\"]\nbuiltin = \"random\"",
            1,
            "policies.\"a/b\"",
            "not a name",
        ),
        (
            "[policies]\nrandom = 1",
            2,
            "policies.random",
            "write a table",
        ),
    ];
    for (text, line, key, words) in cases {
        assert_error(text, line, key, words);
    }
}

#[test]
fn an_unknown_policy_is_answered_with_each_known_name_once() {
    let route = |policy| {
        format!("[[routes]]\nhost = \"{policy}.test\"\npool = \"a\"\npolicies = [\"{policy}\"]\n")
    };
    let pool = "[pools.a]\nbackends = [\"127.0.0.1:1\"]\n";
    let text = format!("{}{}{pool}", route("random"), route("rnge"));
    let found = errors(&text);
    assert_eq!(found.len(), 1, "{found:#?}");
    let said = &found[0].message;
    for name in ["random", "range"] {
        assert_eq!(said.matches(name).count(), 1, "{said}");
    }
}
