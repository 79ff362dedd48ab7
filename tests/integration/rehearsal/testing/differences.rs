//! Decisions that differ from those expected.

use super::super::{policy, with_scenarios};
use super::{assert_passes, failing, probe, test_probe};

#[test]
fn what_differs_is_shown_with_its_line() {
    let text = failing(
        "[[scenario]]\nname = \"good\"\n\n[[scenario]]\nname = \"bad\"\n\n[[scenario.step]]\nexpect.backend = \"none\"\n
[[scenario.step]]\nname = \"worse\"\nrequest.headers = { x-pick = \"1\", x-one = \"here\" }
expect = { backend = 2, request-headers = { x-one = \"there\", x-two = \"2\" }, counters = { none = 1 }, range = \"ignore\" }\n",
    );
    for line in [
        "scenarios.toml",
        "  ok      good",
        "  FAILED  bad (line 4)",
        "worse (line 10)",
        "backend",
        "expected  backend 2 (10.0.0.3:80)",
        "actual    backend 1 (10.0.0.2:80)",
        "request field x-one",
        "expected  \"there\"",
        "actual    \"here\"",
        "actual    not there",
        "counter none",
        "actual    not asked",
    ] {
        assert!(
            text.lines().any(|l| l.trim() == line.trim()),
            "{line}: {text}"
        );
    }
    assert!(text.contains("1 passed, 1 failed, in "), "{text}");
    assert!(!text.contains("step 1"), "that one is as expected: {text}");
}

#[test]
fn draws_that_do_not_fit_are_failures() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"too large\"\nrandom = [4]\n\n[[scenario]]\nname = \"too many\"\nrandom = [1, 2]\nexpect.backend = 1\n",
    );
    let exit = policy(
        scratch.path(),
        &["test", "builtin:random", "scenarios.toml"],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stdout.contains("the listed draw 4 is not below 4"),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("expected  2 draws") && exit.stdout.contains("1 draw asked for"),
        "{}",
        exit.stdout
    );
}

#[test]
fn shares_out_of_bounds_are_failures() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"all of it\"\nrepeat = 100\nexpect.share = { \"0\" = [0.9, 1] }\n",
    );
    let exit = policy(
        scratch.path(),
        &["test", "builtin:random", "scenarios.toml"],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    assert!(
        exit.stdout.contains("share of 0") && exit.stdout.contains("90.0 % to 100.0 %"),
        "{}",
        exit.stdout
    );
    assert!(exit.stdout.contains("of 100)"), "{}", exit.stdout);
}

#[test]
fn refusals_are_expected_or_failures() {
    assert_passes(
        "[[scenario]]\nname = \"no\"\nsettings = { on_configure = \"error:not today\" }\nexpect.refused = \"not today\"\n",
    );
    let text =
        failing("[[scenario]]\nname = \"no\"\nsettings = { on_configure = \"error:not today\" }\n");
    assert!(
        text.contains("refusal") && text.contains("it rejected its settings: not today"),
        "{text}"
    );
    let text = failing("[[scenario]]\nname = \"no\"\nexpect.refused = \"not today\"\n");
    assert!(text.contains("actual    it is accepted"), "{text}");
}

#[test]
fn lines_of_the_log_are_expected_or_failures() {
    let exit = test_probe(
        r#"
        [settings]
        on_configure = "log-error=no backend there"
        range = ["log=of the range"]
        request = ["log=one", "log-error=two", "log-flood=60"]
        response = ["log=last"]

        [[scenario]]
        name = "some, in order, of all hooks"
        request.headers = { range = "bytes=0-" }
        expect.log = [
            "range",
            { level = "info", contains = "one" },
            { level = "error" },
            "flood 59",
            { contains = "last" },
        ]

        [[scenario]]
        name = "of each run, and none of the one before"
        repeat = 3
        expect = { log = { level = "error", contains = "two" }, setup-log = { level = "error", contains = "no backend" } }

        [[scenario]]
        name = "nothing"
        settings = {}
        expect = { log = false, setup-log = false }
        "#,
    );
    assert_eq!(exit.code, Some(0), "{}", exit.stdout);

    let settings = "settings = { on_configure = \"log=set up\", request = [\"log=one\", \"log-error=two\"] }\n";
    for (expected, said) in [
        (
            "log = \"three\"",
            "expected  a line that says \"three\"\n              actual    info \"one\"; error \"two\"",
        ),
        (
            "log = [\"two\", \"one\"]",
            "a line that says \"one\" after those before it\n              actual    after those: nothing",
        ),
        (
            "log = { level = \"debug\", contains = \"two\" }",
            "expected  a line at debug that says \"two\"",
        ),
        ("log = { level = \"warn\" }", "expected  a line at warn\n"),
        (
            "log = false",
            "expected  nothing\n              actual    info \"one\"; error \"two\"",
        ),
        (
            "setup-log = \"one\"",
            "set-up log\n              expected  a line that says \"one\"\n              actual    info \"set up\"",
        ),
        ("log = [\"one\", \"one\"]", "after those: error \"two\""),
    ] {
        let scratch = with_scenarios(&format!(
            "[[scenario]]\nname = \"a\"\n{settings}expect.{expected}\n"
        ));
        let exit = policy(
            scratch.path(),
            &["test", &probe(), "scenarios.toml", "--junit", "out.xml"],
        );
        assert_eq!(exit.code, Some(1), "{expected}: {exit:?}");
        assert!(exit.stdout.contains(said), "{expected}: {}", exit.stdout);
        let xml = std::fs::read_to_string(scratch.path().join("out.xml")).unwrap();
        assert!(xml.contains("log: expected "), "{expected}: {xml}");
        let json = policy(
            scratch.path(),
            &["test", &probe(), "scenarios.toml", "--json"],
        );
        let told: serde_json::Value = serde_json::from_str(&json.stdout).unwrap();
        let what = told["scenarios"][0]["failures"][0]["differences"][0]["what"]
            .as_str()
            .unwrap()
            .to_owned();
        assert!(
            ["log", "set-up log"].contains(&what.as_str()),
            "{expected}: {told:#}"
        );
    }
    let text = failing(
        "[[scenario]]\nname = \"a\"\nsettings = { request = [\"log-flood=60\"] }\nexpect.log = false\n",
    );
    assert!(text.contains("info \"flood 7\"; 52 more\n"), "{text}");
}
