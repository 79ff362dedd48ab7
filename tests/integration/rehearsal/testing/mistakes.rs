//! Mistakes in a scenario file.

use std::path::Path;

use super::super::{policy, refused, with_scenarios};
use crate::fixtures::Scratch;

#[test]
fn mistakes_in_a_file_are_reported_with_key_and_line() {
    for (text, line, key, told) in [
        (
            "[[scenario]]\nname = \"a\"\nexpct.backend = 1",
            3,
            "scenario.expct",
            "did you mean `expect`?",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.bakend = 1",
            3,
            "scenario.expect.bakend",
            "did you mean `backend`?",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.backend = 4",
            3,
            "scenario.expect.backend",
            "0 to 3",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.backend = \"zone=a\"",
            3,
            "scenario.expect.backend",
            "is not a backend of the pool web",
        ),
        (
            "[[scenario]]\nexpect.backend = 1",
            1,
            "scenario",
            "has no `name`",
        ),
        ("[scenario]\nname = \"a\"", 1, "scenario", "[[scenario]]"),
        ("[settings]\na = 1", 1, "", "has no scenario"),
        (
            "[[scenario]]\nname = \"a\"\npool = \"app\"",
            3,
            "scenario.pool",
            "there is no pool \"app\"; there are: web",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrequest = \"GET nowhere\"",
            3,
            "scenario.request",
            "is not a path",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrequest.headers = { \"a b\" = \"c\" }",
            3,
            "scenario.request.headers.\"a b\"",
            "not a field's name",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrequest.headers = [\"a\"]",
            3,
            "scenario.request.headers",
            "name: value",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrequest.headers.a = { hex = \"0\" }",
            3,
            "scenario.request.headers.a.hex",
            "two digits",
        ),
        (
            "[[scenario]]\nname = \"a\"\ntime = \"noon\"",
            3,
            "scenario.time",
            "is not a duration",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrandom = [-1]",
            3,
            "scenario.random",
            "is not a whole number",
        ),
        (
            "[[scenario]]\nname = \"a\"\nfailed = [{ failure = \"connect\" }]",
            3,
            "scenario.failed",
            "has no `backend`",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.share = { none = [0, 1] }",
            1,
            "scenario",
            "`repeat`",
        ),
        (
            "[[scenario]]\nname = \"a\"\nrepeat = 2\nexpect.share = { none = [1, 0] }",
            4,
            "scenario.expect.share.none",
            "the least and the most",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.fault = \"crash\"",
            3,
            "scenario.expect.fault",
            "is not a kind of fault",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.log = true",
            3,
            "scenario.expect.log",
            "or `false` if no lines are expected",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.log = []",
            3,
            "scenario.expect.log",
            "write `false`",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.log = {}",
            3,
            "scenario.expect.log",
            "neither `level` nor `contains`",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.log = { level = \"fatal\" }",
            3,
            "scenario.expect.log.level",
            "is not a level",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.range = \"0-9\"",
            3,
            "scenario.expect.range",
            "is not a verdict",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.request-headers.a = true",
            3,
            "scenario.expect.request-headers.a",
            "false if the field must be absent",
        ),
        (
            "[[scenario]]\nname = \"a\"\n[[scenario.step]]\nexpect.refused = \"a\"",
            1,
            "scenario",
            "has steps",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect = { refused = \"a\", backend = 1 }",
            3,
            "scenario.expect.backend",
            "a refused policy gets no request",
        ),
        (
            "[[scenario]]\nname = \"a\"\nexpect.refused = \"a\"\nrequest = \"/b\"",
            4,
            "scenario.request",
            "a refused policy gets no request",
        ),
        (
            "[[scenario]]\nname = \"a\"\npolicy.dedline = \"1s\"",
            3,
            "scenario.policy.dedline",
            "did you mean `deadline`?",
        ),
        (
            "[[pools]]\nname = \"a\"\n[[scenario]]\nname = \"a\"",
            1,
            "pools",
            "has no `backends`",
        ),
    ] {
        let scratch = with_scenarios(text);
        let sentence = refused(
            scratch.path(),
            &["test", "builtin:random", "scenarios.toml"],
            2,
        );
        let place = format!("scenarios.toml, line {line}, column ");
        assert!(
            sentence.contains(&place) && sentence.contains(told),
            "{text}\n{sentence}"
        );
        assert!(
            key.is_empty() || sentence.contains(&format!("`{key}`")),
            "{text}\n{sentence}"
        );
    }
}

#[test]
fn all_mistakes_are_reported_together_and_nothing_is_run() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = 1\n[[scenario]]\nname = \"a\"\nseed = \"x\"\nstep = []\nnonsense = 1\n",
    );
    let sentence = refused(
        scratch.path(),
        &["test", "builtin:random", "scenarios.toml"],
        2,
    );
    assert_eq!(sentence.lines().count(), 4, "{sentence}");
    let scratch = Scratch::new();
    scratch.write("broken.toml", "[[scenario]\n");
    scratch.write("latin.toml", b"# one\n# caf\xe9\n");
    for (file, told) in [
        ("broken.toml", "line 1"),
        ("latin.toml", "line 2, column 1: is not UTF-8"),
    ] {
        assert!(
            refused(scratch.path(), &["test", "builtin:random", file], 2).contains(told),
            "{file}"
        );
    }
    assert!(
        policy(Path::new("."), &["test", "builtin:random"])
            .stderr
            .contains("Usage:")
    );
}
