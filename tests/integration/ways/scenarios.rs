//! `policy test` knows where requests go.

use crate::fixtures::{Scratch, command, guest, run};

const SCENARIOS: &str = r#"
[[pools]]
name = "one"
backends = ["10.0.0.1:80"]

[[pools]]
name = "two"
backends = ["10.0.1.1:80", "10.0.1.2:80"]

[[scenario]]
name = "a pool is chosen"
route-pools = ["one", "two"]

[[scenario.step]]
request.headers = { x-route = "pool=two", x-select = "index=1" }
expect = { pool = "two", backend = "10.0.1.2:80" }

[[scenario.step]]
expect = { pool = "none", backend = "none" }

[[scenario.step]]
request.headers = { x-route = "index=7" }
expect = { fault = { kind = "invalid", hook = "routing", contains = "pool 7" } }

[[scenario]]
name = "a target is edited"
policies-may-edit = ["path", "query"]
request = { path = "/a?b=c", headers = { x-path = "/x", x-query = "none", x-authority = "no" } }
expect.target = { path = "/x", query = false, host = "example.com" }

[[scenario]]
name = "nothing may be edited"
request = { path = "/a?b=c", headers = { x-path = "/x" } }
expect.target = { path = "/a", query = "b=c" }

[[scenario]]
name = "an answer is edited"
request.headers = { x-request = "refuse=429" }
expect.answer = { status = 429, headers = { x-of = "policy", x-local = "429 policy" } }

[[scenario]]
name = "a refusal is edited"
local-response = { status = 503, headers = { retry-after = "1" } }
expect.response-headers = { x-local = "503 proxy", retry-after = "1" }

[[scenario]]
name = "destinations"
route-pools = ["two"]
settings = { rules = ["a.test:443 pool=two", "b.test:80 refuse=451", "c.test:443 tell"] }

[[scenario.step]]
request = "CONNECT http://a.test/"
destination = 443
expect.pool = "two"

[[scenario.step]]
request = "GET http://b.test/"
destination = { port = 80 }
expect.answer = { status = 451, headers = { x-of = "policy", x-local = false } }

[[scenario.step]]
request = "CONNECT http://c.test/"
destination = { port = 443, user = "ann" }
expect.answer = { status = 403, body-contains = "user=ann" }
"#;

fn test(scenarios: &str, json: bool) -> crate::fixtures::Exit {
    let scratch = Scratch::new();
    scratch.write("pathfinder.wasm", guest("pathfinder"));
    scratch.write("scenarios.toml", scenarios);
    let mut command = command();
    command.args(["policy", "test", "pathfinder.wasm", "scenarios.toml"]);
    if json {
        command.arg("--json");
    }
    run(command.current_dir(scratch.path()))
}

#[test]
fn scenarios_say_where_requests_go() {
    let tested = test(SCENARIOS, false);
    assert_eq!(tested.code, Some(0), "{tested:?}");
}

#[test]
fn what_goes_elsewhere_is_a_failure() {
    let failing = r#"
policies = 1
"#;
    let tested = test(failing, false);
    assert_eq!(tested.code, Some(2), "{tested:?}");
    let failing = r#"
[[scenario]]
name = "elsewhere"
policies-may-edit = "path"
request.headers = { x-path = "/x" }
expect = { pool = "web", target = { path = "/y", query = "q", host = "other" } }
"#;
    let tested = test(failing, true);
    assert_eq!(tested.code, Some(1), "{tested:?}");
    for what in ["\"pool\"", "target path", "target query", "target host"] {
        assert!(tested.stdout.contains(what), "{what}: {}", tested.stdout);
    }
}

#[test]
fn mistakes_in_scenarios_name_their_keys() {
    for (lines, key) in [
        ("route-pools = [\"none\"]", "route-pools"),
        ("route-pools = [\"web\", \"web\"]", "route-pools"),
        ("policies-may-edit = [\"body\"]", "policies-may-edit"),
        ("policies-may-edit = []", "policies-may-edit"),
        (
            "policies-may-edit = [\"path\", \"path\"]",
            "policies-may-edit",
        ),
        ("destination = 0", "destination"),
        ("destination = { user = \"a\" }", "destination"),
        ("expect.pool = \"x\"", "expect.pool"),
        ("expect.target = { query = true }", "expect.target.query"),
        ("expect.target = { port = 1 }", "expect.target.port"),
    ] {
        let tested = test(&format!("[[scenario]]\nname = \"a\"\n{lines}\n"), false);
        assert_eq!(tested.code, Some(2), "{lines}: {tested:?}");
        assert!(tested.stderr.contains(key), "{key}: {}", tested.stderr);
    }
}

#[test]
fn each_hook_is_measured() {
    let scratch = Scratch::new();
    scratch.write("pathfinder.wasm", guest("pathfinder"));
    let mut command = command();
    let arguments = ["policy", "bench", "pathfinder.wasm", "--seconds", "0.01"];
    let measured = run(command.args(arguments).current_dir(scratch.path()));
    assert_eq!(measured.code, Some(0), "{measured:?}");
    for hook in ["destination", "request-target", "routing", "local-response"] {
        assert!(measured.stdout.contains(hook), "{}", measured.stdout);
    }
}
