//! `waypost policy test`: what passes, what fails and how that reads, and mistakes in a scenario
//! file.

mod differences;
mod mistakes;
mod results;
mod set_up;

use super::{policy, well, with_scenarios};
use crate::fixtures::{Exit, repository};

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
