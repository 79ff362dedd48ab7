//! `waypost policy replay` and `diff`, on recordings that a proxy wrote and on some that nobody
//! did.

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use super::stop;
use crate::fixtures::{
    Client, Exit, Request, Scratch, TestProxy, TestUpstream, get, guest, refusing_address,
    response, waypost,
};

const RECORD: &str =
    "[record]\nfile = \"requests.jsonl\"\nsample = 1.0\nredact = [\"authorization\"]\n";

/// The built-in policies with requests for each of them.
const POLICIES: [&str; 6] = [
    "random",
    "range",
    "least-loaded",
    "tenants",
    "limit",
    "sticky",
];

fn replay<const N: usize>(scratch: &Scratch, arguments: [&str; N]) -> Exit {
    let mut command = crate::fixtures::command();
    crate::fixtures::run(
        command
            .args(["policy"])
            .args(arguments)
            .current_dir(scratch.path()),
    )
}

#[track_caller]
fn told(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|e| panic!("{e}: {exit:?}"))
}

fn all_policies(backends: &[SocketAddr]) -> TestProxy {
    let list: Vec<String> = backends
        .iter()
        .map(|a| {
            format!(
                "{{ address = \"{a}\", labels = {{ name = \"b{}\" }} }}",
                a.port()
            )
        })
        .collect();
    let sections = POLICIES.map(|name| {
        let builtin = match name {
            "tenants" => "header-router",
            "limit" => "rate-limit",
            other => other,
        };
        format!("[policies.{name}]\nbuiltin = \"{builtin}\"\ndeadline = \"2s\"\n")
    });
    let route = |host: &str, policies: &str| {
        format!("[[routes]]\nhost = \"{host}\"\npool = \"all\"\npolicies = [{policies}]\n")
    };
    TestProxy::builder()
        .workers(2)
        .tables(&format!("[pools.all]\nbackends = [{}]\nmax-failures = 2\nfail-timeout = \"60s\"\n", list.join(", ")))
        .tables(&sections.concat())
        .tables(&format!(
            "[policies.tenants.settings]\nheader = \"X-Tenant\"\nroutes = {{ one = \"b{}\" }}\n\
             request = {{ set = {{ x-seen = \"yes\" }} }}\nresponse = {{ set = {{ x-served = \"waypost\" }} }}\n\
             [policies.limit.settings]\nrate = 1\nburst = 30\n",
            backends[0].port()
        ))
        .tables(
            &[
                route("default.test", "\"range\", \"random\""),
                route("loaded.test", "\"least-loaded\""),
                route("tenants.test", "\"tenants\", \"random\""),
                route("limit.test", "\"limit\", \"random\""),
                route("sticky.test", "\"sticky\""),
            ]
            .concat(),
        )
        .tables(RECORD)
        .start()
}

fn ask(client: &mut Client, host: &str, n: usize) {
    let path = ["/", "/a?range=2-5", "/b?range=9-", "/c?range=7d&x=%20"][n % 4];
    let mut request = Request::new("GET", path).host(host);
    if n.is_multiple_of(3) {
        request = request.field(
            "Range",
            ["bytes=0-3", "bytes=-2,4-5", "bytes=5-2", "bytes=2-5"][n / 12 % 4],
        );
    }
    request = request
        .field("X-Tenant", ["one", "two"][n % 2])
        .field("Authorization", "Bearer abcdefghijklmnop");
    if n.is_multiple_of(5) {
        request = request.field("Cookie", "waypost=0123456789abcdef; other=1");
    }
    let answer = client.ask(request.bytes());
    assert!(
        matches!(answer.status, 200 | 206 | 416 | 429),
        "{}",
        answer.text()
    );
}

#[test]
fn the_component_that_was_recorded_decides_the_same_again() {
    let backends: Vec<_> = (0..3)
        .map(|_| TestUpstream::answering(response("200 OK", &[], "0123456789")))
        .collect();
    let (_held, dead) = refusing_address();
    let mut addresses: Vec<_> = backends.iter().map(TestUpstream::address).collect();
    addresses.push(dead);
    let mut proxy = all_policies(&addresses);
    let hosts = [
        "default.test",
        "loaded.test",
        "tenants.test",
        "limit.test",
        "sticky.test",
    ];
    thread::scope(|scope| {
        for client in 0..4 {
            let proxy = &proxy;
            scope.spawn(move || {
                let mut client = (client, proxy.client());
                (0..120).for_each(|n| ask(&mut client.1, hosts[(n + client.0) % hosts.len()], n));
            });
        }
    });
    assert!(proxy.stat("/retries") > 0, "the dead backend was tried");
    assert!(proxy.stat("/requests/by_status/429") > 0 && proxy.stat("/requests/by_status/416") > 0);
    stop(&mut proxy);
    assert_eq!(super::requests(&proxy.scratch, "requests.jsonl").len(), 480);
    for policy in POLICIES {
        let builtin = match policy {
            "tenants" => "header-router",
            "limit" => "rate-limit",
            other => other,
        };
        let component = format!("builtin:{builtin}");
        let exit = replay(
            &proxy.scratch,
            [
                "replay",
                &component,
                "requests.jsonl",
                "--policy",
                policy,
                "--expect-same",
                "--format",
                "json",
            ],
        );
        let result = told(&exit);
        assert_eq!(exit.code, Some(0), "{policy}: {result:#}");
        assert_eq!(
            (&result["differing"], &result["faults"]),
            (&json!(0), &json!({})),
            "{policy}: {result:#}"
        );
        assert!(
            result["calls"].as_u64().unwrap() >= 60,
            "{policy}: {result:#}"
        );
        assert_eq!(result["recording"]["lines_passed_over"], 0);
    }
    // The draws are recorded and not only the answers: another policy that draws lots is another.
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "builtin:random",
            "builtin:least-loaded",
            "requests.jsonl",
            "--policy",
            "random",
            "--format",
            "json",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let result = told(&exit);
    assert!(result["differing"].as_u64().unwrap() > 0, "{result:#}");
    // As text, with instructions.
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "builtin:random",
            "requests.jsonl",
            "--policy",
            "random",
            "--fuel",
        ],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("(100 %) are those that were recorded"),
        "{}",
        exit.stdout
    );
    assert!(exit.stdout.contains("instructions"), "{}", exit.stdout);
}

/// A recording of some requests that `pick-first` decided.
fn first_recorded() -> TestProxy {
    let backends = [TestUpstream::named("first"), TestUpstream::named("last")];
    let mut proxy = TestProxy::builder()
        .file("first.wasm", guest("pick-first"))
        .file("last.wasm", guest("pick-last"))
        .file("probe.wasm", guest("probe"))
        .file("core.wasm", guest("core-module"))
        .pool_for_all(&[backends[0].address(), backends[1].address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"first.wasm\"\ndeadline = \"2s\"")
        .tables(RECORD)
        .start();
    let mut client = proxy.client();
    for n in 0..50 {
        assert_eq!(client.ask(get("a.test", &format!("/{n}"))).text(), "first");
    }
    drop(client);
    stop(&mut proxy);
    proxy
}

#[test]
fn two_components_are_compared() {
    let proxy = first_recorded();
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "first.wasm",
            "last.wasm",
            "requests.jsonl",
            "--format",
            "json",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let result = told(&exit);
    let selection = &result["hooks"]["selection"];
    assert_eq!(
        (&selection["calls"], &selection["differing"]),
        (&json!(50), &json!(50)),
        "{result:#}"
    );
    let change = &selection["changes"][0];
    assert!(
        change["old"]
            .as_str()
            .unwrap()
            .starts_with("backend 0 (127.0.0.1:"),
        "{change:#}"
    );
    assert!(
        change["new"]
            .as_str()
            .unwrap()
            .starts_with("backend 1 (127.0.0.1:"),
        "{change:#}"
    );
    assert_eq!(change["calls"], 50);
    let headers = &result["hooks"]["response-headers"];
    assert_eq!(
        (&headers["differing"], &headers["fields"]),
        (&json!(50), &json!({"x-policy": 50})),
        "{result:#}"
    );
    assert_eq!(result["samples"].as_array().unwrap().len(), 10);

    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "first.wasm",
            "last.wasm",
            "requests.jsonl",
            "--samples",
            "1",
        ],
    );
    assert!(
        exit.stdout
            .contains("they differ in 100 of 100 calls (100 %)"),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("field x-policy") && exit.stdout.contains("GET a.test/0, client"),
        "{}",
        exit.stdout
    );
    let exit = replay(
        &proxy.scratch,
        ["diff", "first.wasm", "first.wasm", "requests.jsonl"],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout
            .contains("they decide the same in all 100 calls"),
        "{}",
        exit.stdout
    );

    let exit = replay(&proxy.scratch, ["replay", "last.wasm", "requests.jsonl"]);
    assert_eq!(
        exit.code,
        Some(0),
        "another decision is no failure unless that is asked for: {exit:?}"
    );
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "last.wasm",
            "requests.jsonl",
            "--expect-same",
            "--json",
        ],
    );
    assert_eq!(
        (exit.code, told(&exit)["differing"].clone()),
        (Some(1), json!(100)),
        "{exit:?}"
    );
}

#[test]
fn what_a_policy_draws_and_reads_while_it_is_set_up_is_the_same_each_time() {
    let proxy = first_recorded();
    let text = std::fs::read_to_string(proxy.scratch.path().join("requests.jsonl")).unwrap();
    let first: Value = serde_json::from_str(text.lines().nth(1).unwrap()).unwrap();
    let tape = &first["request"]["calls"][0]["tape"];
    let settings = r#"{"on_configure": "remember", "on_topology": "remember", "select": ["pick-remembered=2"], "response": ["remembered"]}"#;
    let times = format!(
        "/{}/{}",
        tape["monotonic_nanoseconds"], tape["unix_milliseconds"]
    );
    let played = || {
        let mut command = crate::fixtures::command();
        command.args([
            "policy",
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--samples",
            "200",
            "--json",
        ]);
        command
            .args(["--settings", settings])
            .env("WAYPOST_LOG", "policy=debug")
            .current_dir(proxy.scratch.path());
        let exit = crate::fixtures::run(&mut command);
        let set_up: Vec<&str> = exit
            .stderr
            .lines()
            .filter_map(|l| Some(l.split_once("remembered ")?.1))
            .collect();
        assert!(
            set_up.len() >= 2 && set_up.iter().all(|told| told.contains(&times)),
            "{times}: {}",
            exit.stderr
        );
        let mut result = told(&exit);
        assert_eq!(
            (exit.code, &result["calls"]),
            (Some(0), &json!(100)),
            "{result:#}"
        );
        for hook in ["selection", "response-headers"] {
            result["hooks"][hook].as_object_mut().unwrap().remove("ns");
        }
        let set_up: Vec<_> = set_up
            .iter()
            .map(|told| told.split(' ').next().unwrap_or_default().to_owned())
            .collect();
        (result, set_up)
    };
    assert_eq!(played(), played());
    // Each of the two is set up for itself.
    let exit = replay(
        &proxy.scratch,
        [
            "diff",
            "probe.wasm",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--json",
        ],
    );
    assert_eq!(
        (exit.code, told(&exit)["differing"].clone()),
        (Some(0), json!(0)),
        "{exit:?}"
    );
}

#[test]
fn faults_are_counted_and_cost_nothing_but_their_call() {
    let proxy = first_recorded();
    let settings = r#"{"select": ["trap"]}"#;
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--format",
            "json",
        ],
    );
    assert_eq!(exit.code, Some(1), "{exit:?}");
    let result = told(&exit);
    let trap = &result["faults"]["trap"];
    assert_eq!(
        (&trap["count"], &trap["line"]),
        (&json!(50), &json!(2)),
        "all of them, and none suspended: {result:#}"
    );
    assert!(
        trap["first"].as_str().unwrap().contains("selection"),
        "{result:#}"
    );
    assert_eq!(
        result["hooks"]["response-headers"]["decisions"]["done"], 50,
        "{result:#}"
    );

    let settings = r#"{"select": ["loop"]}"#;
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "probe.wasm",
            "requests.jsonl",
            "--settings",
            settings,
            "--deadline",
            "1ms",
            "--format",
            "json",
        ],
    );
    assert_eq!(
        (
            exit.code,
            told(&exit)["faults"]["deadline"]["count"].clone()
        ),
        (Some(1), json!(50)),
        "{exit:?}"
    );
}

#[test]
fn a_line_that_can_t_be_replayed_is_reported_with_its_number() {
    let proxy = first_recorded();
    let scratch = &proxy.scratch;
    let text = std::fs::read_to_string(scratch.path().join("requests.jsonl")).unwrap();
    // A proxy that was killed while it wrote leaves a last line that has no end.
    let cut = &text[..text.len() - 40];
    scratch.write("cut.jsonl", cut);
    let exit = replay(
        scratch,
        ["replay", "first.wasm", "cut.jsonl", "--expect-same"],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(
        exit.stdout.contains("line 51 is skipped: it is incomplete"),
        "{}",
        exit.stdout
    );
    assert!(
        exit.stdout.contains("98 of 98 decisions"),
        "{}",
        exit.stdout
    );

    let broken: Vec<&str> = text
        .lines()
        .enumerate()
        .map(|(n, line)| if n == 9 { "{\"request\":" } else { line })
        .collect();
    scratch.write("broken.jsonl", broken.join("\n"));
    let exit = replay(scratch, ["replay", "first.wasm", "broken.jsonl"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr.contains("broken.jsonl, line 10") && exit.stderr.contains("--lenient"),
        "{exit:?}"
    );
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "broken.jsonl",
            "--lenient",
            "--expect-same",
        ],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    assert!(exit.stdout.contains("line 10 is skipped"), "{exit:?}");

    // A lineup that can't be read takes the requests that name it along.
    let (lineup, requests) = text.split_once('\n').unwrap();
    let first: Vec<&str> = requests.lines().take(2).collect();
    scratch.write(
        "lineup.jsonl",
        format!(
            "{}\n{}\n{text}",
            &lineup[..lineup.len() / 2],
            first.join("\n")
        ),
    );
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "lineup.jsonl",
            "--lenient",
            "--expect-same",
            "--json",
        ],
    );
    assert_eq!(exit.code, Some(0), "{exit:?}");
    let result = told(&exit);
    assert_eq!(
        (&result["recording"]["lines_passed_over"], &result["calls"]),
        (&json!(3), &json!(100)),
        "{result:#}"
    );
    scratch.write("lost.jsonl", requests);
    let exit = replay(scratch, ["replay", "first.wasm", "lost.jsonl", "--lenient"]);
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr
            .contains("contains no recording: line 1 was skipped: no line before it defines"),
        "{exit:?}"
    );

    scratch.write(
        "newer.jsonl",
        text.replacen("\"format\":1", "\"format\":2", 1),
    );
    scratch.write("other.jsonl", "no recording\nat all\n");
    scratch.write("empty.jsonl", "");
    scratch.write("headless.jsonl", text.split_once('\n').unwrap().1);
    for (file, said) in [
        (
            "newer.jsonl",
            "has format 2, but this Waypost reads format 1",
        ),
        ("other.jsonl", "line 1: this is not a line of a recording"),
        ("empty.jsonl", "contains no recording"),
        ("headless.jsonl", "no line before it defines lineup"),
        ("missing.jsonl", "can't be read"),
    ] {
        let exit = replay(scratch, ["replay", "first.wasm", file]);
        assert_eq!(exit.code, Some(2), "{file}: {exit:?}");
        assert!(exit.stderr.contains(said), "{file}: {exit:?}");
    }
    let exit = replay(
        scratch,
        [
            "replay",
            "first.wasm",
            "requests.jsonl",
            "--policy",
            "other",
        ],
    );
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr
            .contains("does not record policy \"other\", but: mine"),
        "{exit:?}"
    );
    for (arguments, code) in [
        (["replay", "core.wasm", "requests.jsonl", "--json"], 1),
        (["replay", "nowhere.wasm", "requests.jsonl", "--json"], 2),
        (["diff", "first.wasm", "core.wasm", "requests.jsonl"], 2),
        (["replay", "first.wasm", "requests.jsonl", "--memory=1"], 2),
    ] {
        let exit = replay(scratch, arguments);
        assert_eq!(exit.code, Some(code), "{arguments:?}: {exit:?}");
        assert!(!exit.stderr.is_empty(), "{arguments:?}: {exit:?}");
    }
}

#[test]
fn of_several_policies_one_has_to_be_chosen() {
    let backend = TestUpstream::named("served");
    let mut proxy = TestProxy::builder()
        .host("*", &[backend.address()])
        .tables(RECORD)
        .start();
    proxy.get("a.test", "/");
    stop(&mut proxy);
    let exit = waypost(
        ["policy", "replay", "builtin:random", "requests.jsonl"],
        proxy.scratch.path(),
    );
    assert_eq!(exit.code, Some(2), "{exit:?}");
    assert!(
        exit.stderr.contains("--policy") && exit.stderr.contains("range, random"),
        "{exit:?}"
    );
}

#[test]
fn a_recording_with_a_shadow_replays_the_active_generation() {
    let backends: Vec<_> = (0..4)
        .map(|n| TestUpstream::named(&n.to_string()))
        .collect();
    let addresses: Vec<_> = backends.iter().map(TestUpstream::address).collect();
    let mut proxy = TestProxy::builder()
        .host("*", &addresses)
        .tables(RECORD)
        .start();
    let random =
        std::fs::read(crate::fixtures::repository().join("guest-policies/random/random.wasm"))
            .unwrap();
    assert_eq!(
        proxy
            .admin(Request::new("PUT", "/policies/random?mode=shadow").body(&random))
            .status,
        200
    );
    let mut client = proxy.client();
    (0..100).for_each(|_| assert_eq!(client.ask(get("a.test", "/")).status, 200));
    let compared = proxy.policy("random")["trial"]["hooks"]["selection"].clone();
    assert_eq!(
        (&compared["compared"], &compared["agreed"]),
        (&json!(100), &json!(100)),
        "{compared:#}"
    );
    drop(client);
    stop(&mut proxy);
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "builtin:random",
            "requests.jsonl",
            "--policy",
            "random",
            "--expect-same",
            "--json",
        ],
    );
    assert_eq!(
        (exit.code, told(&exit)["calls"].clone()),
        (Some(0), json!(100)),
        "{exit:?}"
    );
}
