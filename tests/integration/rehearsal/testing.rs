//! `waypost policy test`: what passes, what fails and how that reads, and mistakes in a scenario
//! file.

use std::path::Path;

use super::{policy, refused, well, with_scenarios};
use crate::fixtures::{Exit, Scratch, repository};

/// The guest that does what it is told; tests/guests/README.md.
fn probe() -> String {
    repository()
        .join("tests/guests/probe/probe.wasm")
        .display()
        .to_string()
}

#[track_caller]
fn test_probe(scenarios: &str) -> Exit {
    let scratch = with_scenarios(scenarios);
    policy(scratch.path(), &["test", &probe(), "scenarios.toml"])
}

#[track_caller]
fn assert_passes(scenarios: &str) {
    let exit = test_probe(scenarios);
    assert_eq!(
        (exit.code, exit.stderr.as_str()),
        (Some(0), ""),
        "{}",
        exit.stdout
    );
}

/// Standard output of a file of which something fails.
#[track_caller]
fn failing(scenarios: &str) -> String {
    let exit = test_probe(scenarios);
    assert_eq!(
        (exit.code, exit.stderr.as_str()),
        (Some(1), ""),
        "{}",
        exit.stdout
    );
    exit.stdout
}

#[test]
fn a_hook_sees_the_request_of_the_scenario() {
    assert_passes(
        r#"
        [settings]
        request = ["echo", "facts=2", "clock", "random=10", "topology", "values=x-many"]

        [[pools]]
        name = "web"
        backends = ["10.0.0.1:80", { address = "10.0.0.2:80", weight = 3, labels = { zone = "a" }, in-flight = 2, latency = "5ms", consecutive-failures = 4 }]

        [[scenario]]
        name = "all of it"
        facts."0".healthy = false
        time = { monotonic = "5s", unix = "2026-11-21T10:00:00Z" }
        random = [7, "0xffffffffffffffff"]
        [scenario.request]
        method = "PUT"
        scheme = "https"
        host = "Shop.Example.com:8080"
        path = "/a%20b?c=d"
        client = "2001:db8::7"
        headers = { x-many = ["one", { hex = "ff fe" }, "two"] }
        [scenario.expect.request-headers]
        x-probe-echo = "PUT https shop.example.com /a%20b ?c=d 2001:db8::7"
        x-probe-facts = "0/0/false/0,2/5000/true/4"
        x-probe-clock = "5000000000/1795255200000"
        x-probe-values = "6f6e65,fffe,74776f"
        x-probe-random = "7/18446744073709551615"
        x-probe-topology = "0 web 1 10.0.0.1:80/1 10.0.0.2:80/3/zone=a"
        "#,
    );
}

#[test]
fn hooks_see_what_those_before_them_made_and_an_answer_ends_it() {
    assert_passes(
        r#"
        [[scenario]]
        name = "in order"
        request.headers = { x-probe-request = "set=x-pick:1", x-probe-response = "answer" }
        response = 204
        expect = { backend = 1, response-headers = { x-probe-answer = "204 1" } }

        [[scenario]]
        name = "an answer"
        request.headers = { x-probe-request = ["refuse=418", "refuse-body=3", "refuse-field=x-why:tea"], x-probe-select = "trap" }
        expect.answer = { status = 418, hook = "request-headers", body = "xxx", headers = { x-why = "tea" } }
        "#,
    );
}

#[test]
fn faults_can_be_expected() {
    assert_passes(
        r#"
        policy.deadline = "20ms"
        [[scenario]]
        name = "a trap"
        request.headers = { x-probe-select = "trap" }
        expect.fault = "trap"

        [[scenario]]
        name = "an endless loop"
        request.headers = { x-probe-request = "loop" }
        expect.fault = { kind = "deadline", hook = "request-headers" }

        [[scenario]]
        name = "an index that is none, after which another instance answers"
        [[scenario.step]]
        request.headers = { x-pick = "9" }
        expect.fault = { kind = "invalid", contains = "9" }
        [[scenario.step]]
        request.headers = { x-pick = "3" }
        expect.backend = 3
        "#,
    );
    let text = failing(
        "[[scenario]]\nname = \"no\"\nrequest.headers = { x-probe-range = \"trap\", range = \"bytes=0-1\" }\n",
    );
    assert!(
        text.contains("fault") && text.contains("expected  none") && text.contains("trap in range"),
        "{text}"
    );
    let text = failing("[[scenario]]\nname = \"no\"\nexpect.fault = \"trap\"\n");
    assert!(
        text.contains("expected  trap") && text.contains("actual    none"),
        "{text}"
    );
}

#[test]
fn an_expected_fault_hides_no_other() {
    let both = "[[scenario]]\nname = \"both\"\nrequest.headers = { x-probe-request = \"trap\", x-probe-select = \"trap\" }\n";
    let text = failing(&format!(
        "{both}expect.fault = {{ kind = \"trap\", hook = \"selection\" }}\n"
    ));
    assert!(
        text.contains("expected  none but what is expected"),
        "{text}"
    );
    assert!(
        text.contains("trap in request-headers") && !text.contains("trap in selection"),
        "{text}"
    );
    assert_passes(&format!("{both}expect.fault = \"trap\"\n"));
    let list = |second: &str| {
        format!(
            "{both}expect.fault = [{{ kind = \"trap\", hook = \"selection\" }}, \"{second}\"]\n"
        )
    };
    assert_passes(&list("trap"));
    let text = failing(&list("deadline"));
    assert!(
        text.contains("expected  deadline") && text.contains("actual    trap in request-headers"),
        "{text}"
    );
}

#[test]
fn entries_of_the_setup_have_the_scenario_s_time() {
    let scratch = with_scenarios(
        r#"
        [[scenario]]
        name = "hours later"
        time = "3h"

        [[scenario]]
        name = "stored when it was loaded"
        settings = { on_configure = "store-set=mine:here:1000" }
        [[scenario.step]]
        time = "1m"
        expect.store.values.mine = "here"
        [[scenario.step]]
        time = "61s"
        expect.store.values.mine = false
        "#,
    );
    let probe = probe();
    let words = ["test", &probe, "scenarios.toml", "--filter", "stored"];
    for words in [&words[..3], &words[..]] {
        assert!(
            well(scratch.path(), words).contains(" 0 failed"),
            "{words:?}"
        );
    }
}

#[test]
fn facts_of_one_pool_do_not_apply_to_another() {
    assert_passes(
        r#"
        [settings]
        request = ["facts=2"]

        [[pools]]
        name = "one"
        backends = ["10.0.0.1:80", "10.0.0.2:80"]
        [[pools]]
        name = "two"
        backends = ["10.0.1.1:80", "10.0.1.2:80"]

        [[scenario]]
        name = "a step changes the pool"
        facts."10.0.0.2:80".in-flight = 7
        response.backend = "10.0.0.2:80"
        request.headers = { x-pick = "0", x-probe-response = "answer" }
        [[scenario.step]]
        expect.request-headers = { x-probe-facts = "0/0/true/0,7/0/true/0" }
        expect.response-headers = { x-probe-answer = "200 1" }
        [[scenario.step]]
        pool = "two"
        expect.request-headers = { x-probe-facts = "0/0/true/0,0/0/true/0" }
        expect.response-headers = { x-probe-answer = "200 0" }
        [[scenario.step]]
        pool = "two"
        facts."10.0.1.1:80".healthy = false
        response.backend = 1
        expect.request-headers = { x-probe-facts = "0/0/false/0,0/0/true/0" }
        expect.response-headers = { x-probe-answer = "200 1" }
        "#,
    );
}

#[test]
fn steps_share_counters_and_the_store_and_scenarios_do_not() {
    assert_passes(
        r#"
        [[scenario]]
        name = "entries go by the scenario's time"
        [[scenario.step]]
        store = { values = { given = "before" }, counters = { hits = 5 } }
        request.headers = { x-probe-request = ["store-set=mine:here:1000", "store-increment=hits:2", "count=seen", "store-get=given"] }
        [scenario.step.expect]
        store = { values = { mine = "here", given = "before" }, counters = { hits = 7 } }
        counters = { seen = 1 }
        request-headers = { x-probe-did = "ok, 7, counted, before" }
        [[scenario.step]]
        time = "999ms"
        expect.store.values.mine = "here"
        [[scenario.step]]
        time = "1s"
        expect.store = { values = { mine = false }, counters = { hits = 7 } }

        [[scenario]]
        name = "a fresh start"
        expect.store = { values = { given = false }, counters = { hits = 0 } }
        "#,
    );
}

#[test]
fn a_retry_sees_the_failed_attempts() {
    assert_passes(
        r#"
        [[scenario]]
        name = "the third attempt"
        request.headers = { x-probe-response = "attempt" }
        failed = [2, { backend = "10.0.0.1:80", failure = "closed" }]
        expect.response-headers = { x-probe-attempt = "0 3 2:connect 0:closed" }
        "#,
    );
}

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

/// What a policy drew and read in `configure` and `backends-changed`, as a failure shows it.
#[track_caller]
fn remembered(scenario: &str) -> String {
    let text = failing(&format!(
        "[[scenario]]\nname = \"a\"\n{scenario}\n[scenario.settings]\non_configure = \"remember\"\non_topology = \"remember\"\n\
         request = [\"remembered\"]\n[scenario.expect.request-headers]\nx-probe-remembered = \"\"\n"
    ));
    let told = text
        .lines()
        .find_map(|line| line.trim().strip_prefix("actual    \"")?.strip_suffix('"'));
    told.unwrap_or_else(|| panic!("{text}")).to_owned()
}

#[test]
fn what_a_policy_draws_and_reads_while_it_is_set_up_is_the_scenarios() {
    let first = remembered("");
    let calls: Vec<Vec<&str>> = first
        .split(' ')
        .map(|call| call.split('/').collect())
        .collect();
    assert_eq!(calls.len(), 2, "{first}");
    assert!(
        calls
            .iter()
            .all(|call| call[2..] == ["1000000000000", "1767225600000"]),
        "{first}"
    );
    assert_ne!(calls[0][..2], calls[1][..2], "it draws on");
    assert_eq!(remembered(""), first, "each time the same");
    assert_eq!(
        remembered("policy.isolation = \"request\""),
        first,
        "in each instance"
    );
    assert_ne!(
        remembered("seed = 1").split('/').next(),
        first.split('/').next(),
        "by the seed"
    );
    let later = remembered("time = { monotonic = \"5s\", unix = \"2026-11-21T10:00:00Z\" }");
    assert!(later.ends_with("/5000000000/1795255200000"), "{later}");
    let [before, after] =
        [&first, &later].map(|told| told.split('/').take(2).collect::<Vec<_>>().join("/"));
    assert_eq!(before, after, "whatever the time is");
}

#[test]
fn an_instance_after_a_fault_is_set_up_like_the_first() {
    let first = remembered("");
    assert_passes(&format!(
        "[settings]\non_configure = \"remember\"\non_topology = \"remember\"\n[[scenario]]\nname = \"a\"\n\
         [[scenario.step]]\nrequest.headers = {{ x-probe-request = \"trap\" }}\nexpect.fault = \"trap\"\n\
         [[scenario.step]]\ntime = \"1m\"\nseed = 9\nrequest.headers = {{ x-probe-request = \"remembered\" }}\n\
         expect.request-headers = {{ x-probe-remembered = \"{first}\" }}\n"
    ));
}

#[test]
fn a_seed_and_a_time_may_stand_beside_a_refusal() {
    // `configure`, which refuses, goes by them; a request would go with nothing.
    assert_passes(
        "[[scenario]]\nname = \"no\"\nseed = 3\ntime.unix = \"2026-11-21T10:00:00Z\"\n\
         settings = { on_configure = \"error:not today\" }\nexpect.refused = \"not today\"\n",
    );
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

#[test]
fn a_filter_leaves_scenarios_out() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"one\"\n[[scenario]]\nname = \"two\"\nexpect.backend = \"none\"\n",
    );
    let text = well(
        scratch.path(),
        &["test", "builtin:random", "scenarios.toml", "--filter", "on"],
    );
    assert!(text.contains("1 passed, 0 failed, 1 left out"), "{text}");
    let sentence = refused(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--filter",
            "three",
        ],
        2,
    );
    assert!(
        sentence.contains("none of the 2 scenarios has \"three\" in its name"),
        "{sentence}"
    );
}

#[test]
fn junit_reports_the_same() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"good & true\"\n[[scenario]]\nname = \"<bad>\"\nexpect.backend = \"none\"\n",
    );
    let exit = policy(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--junit",
            "out.xml",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let xml = std::fs::read_to_string(scratch.path().join("out.xml")).unwrap();
    for part in [
        "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites tests=\"2\" failures=\"1\">",
        "<testsuite name=\"scenarios.toml\" tests=\"2\" failures=\"1\"",
        "name=\"good &amp; true\" file=\"scenarios.toml\" line=\"1\"",
        "name=\"&lt;bad&gt;\" file=\"scenarios.toml\" line=\"3\"",
        "<failure message=\"backend: expected none, actual backend",
        "</testsuites>\n",
    ] {
        assert!(xml.contains(part), "{part}: {xml}");
    }
    assert_eq!(
        xml.matches("<testcase ").count(),
        xml.matches("/>\n").count() + xml.matches("</testcase>").count()
    );
    let words = [
        "test",
        "builtin:random",
        "scenarios.toml",
        "--junit",
        "no/such/out.xml",
    ];
    assert!(refused(scratch.path(), &words, 2).contains("can't write no/such/out.xml"));
}

#[test]
fn no_results_of_an_earlier_run_are_left_where_nothing_could_be_played() {
    let scratch = with_scenarios("[[scenario]]\nname = \"a\"\n");
    let core = repository()
        .join("tests/guests/core-module/core-module.wasm")
        .display()
        .to_string();
    for (words, code, told) in [
        (
            ["test", &core, "scenarios.toml", "scenarios.toml"],
            1,
            "policy `core-module` (",
        ),
        (
            ["test", "gone.wasm", "scenarios.toml", "scenarios.toml"],
            2,
            "can't read gone.wasm",
        ),
        (
            ["test", "builtin:random", "scenarios.toml", "gone.toml"],
            2,
            "can't read gone.toml",
        ),
    ] {
        scratch.write("out.xml", "of yesterday");
        let sentence = refused(
            scratch.path(),
            &[&words[..], &["--junit", "out.xml"][..]].concat(),
            code,
        );
        assert!(sentence.contains(told), "{sentence}");
        let xml = std::fs::read_to_string(scratch.path().join("out.xml")).unwrap();
        assert!(
            xml.contains("<testsuites tests=\"2\" failures=\"0\" errors=\"2\">"),
            "{xml}"
        );
        assert_eq!(xml.matches("<error message=\"").count(), 2, "{xml}");
        assert!(
            xml.contains(&format!("<testsuite name=\"{}\" tests=\"1\"", words[3]))
                && xml.contains(told),
            "{xml}"
        );
    }
}

#[test]
fn json_reports_the_same_to_scripts() {
    let scratch = with_scenarios(
        "[[scenario]]\nname = \"good\"\n[[scenario]]\nname = \"bad\"\n[[scenario.step]]\nrepeat = 2\nexpect.backend = \"none\"\n\
         [[scenario]]\nname = \"left out\"\n",
    );
    let exit = policy(
        scratch.path(),
        &[
            "test",
            "builtin:random",
            "scenarios.toml",
            "--filter",
            "d",
            "--json",
        ],
    );
    assert_eq!((exit.code, exit.stderr.as_str()), (Some(1), ""), "{exit:?}");
    let told: serde_json::Value = serde_json::from_str(&exit.stdout).unwrap();
    assert_eq!(
        [&told["passed"], &told["failed"], &told["left_out"]],
        [1, 1, 1],
        "{told:#}"
    );
    let [good, bad] = told["scenarios"].as_array().unwrap().as_slice() else {
        panic!("{told:#}")
    };
    assert_eq!(
        (&good["name"], &good["passed"], &good["line"]),
        (&"good".into(), &true.into(), &1.into())
    );
    assert!(
        good["failures"].as_array().unwrap().is_empty() && bad["passed"] == false,
        "{told:#}"
    );
    let failure = &bad["failures"][0];
    assert_eq!(
        (&failure["step"], &failure["run"], &failure["line"]),
        (&"step 1".into(), &1.into(), &5.into())
    );
    assert_eq!(
        (
            &failure["differences"][0]["what"],
            &failure["differences"][0]["expected"]
        ),
        (&"backend".into(), &"none".into())
    );
}

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
