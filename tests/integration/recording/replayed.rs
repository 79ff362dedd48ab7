//! `waypost policy replay` and `diff`, on recordings that a proxy wrote and on some that nobody
//! did.

mod compared;
mod connections;
mod faults;
mod refused;

use std::net::SocketAddr;
use std::thread;

use serde_json::{Value, json};

use super::stop;
use crate::fixtures::{
    Client, Exit, Request, Scratch, TestProxy, TestUpstream, get, guest, refusing_address, response,
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
