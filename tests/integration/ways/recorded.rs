//! What policies say of where requests go is recorded, and replayed.

use serde_json::Value;

use super::{finding, request, with_pools};
use crate::fixtures::{Scratch, TestUpstream, command, guest, run};
use crate::forward_proxy::{THIS_MACHINE, refused, with_forward};

#[test]
fn recorded_ways_are_replayed() {
    let backends = ["one", "two"].map(TestUpstream::named);
    let pools = [("one", &backends[0]), ("two", &backends[1])];
    let builder = finding("")
        .tables("[record]\nfile = \"requests.jsonl\"\nsample = 1.0\npolicies = [\"finder\"]\n");
    let lines = "policies-may-edit = [\"path\", \"query\", \"host\"]";
    let builder = with_pools(builder, &pools, lines);
    let folder = builder.folder().to_owned();
    let mut proxy = builder.start();
    let fields = [
        ("X-Route", "pool=two"),
        ("X-Path", "/x"),
        ("X-Query", "none"),
        ("X-Authority", "b.test"),
    ];
    assert_eq!(proxy.ask(request(&fields).bytes()).text(), "two");
    let answered = [("X-Route", "pool=two"), ("X-Tell", "1")];
    assert_eq!(proxy.ask(request(&answered).bytes()).status, 200);
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);

    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
    let calls: Vec<Value> = lines
        .filter_map(|line: Value| line.get("request").cloned())
        .flat_map(|request| request["calls"].as_array().unwrap().clone())
        .collect();
    let of =
        |hook: &str| -> Vec<&Value> { calls.iter().filter(|call| call["hook"] == hook).collect() };
    assert_eq!(of("routing")[0]["answer"], serde_json::json!({ "pool": 1 }));
    let edited = of("request-target")[0];
    assert_eq!(edited["target"]["path"], "/asked", "{edited:#}");
    assert_eq!(
        edited["edited_target"],
        serde_json::json!({ "path": "/x", "host": "b.test" })
    );
    let selected = of("selection")[0];
    assert!(selected["pool"].is_u64(), "{selected:#}");
    let local = of("local-response")[0];
    assert_eq!(
        (&local["source"], &local["response"]["status"]),
        (&"policy".into(), &200.into())
    );

    let scratch = Scratch::new();
    scratch.write("requests.jsonl", &text);
    scratch.write("pathfinder.wasm", guest("pathfinder"));
    scratch.write("hearer.wasm", guest("hearer"));
    let policy = |arguments: &[&str]| {
        let mut command = command();
        let command = command.arg("policy").args(arguments).arg("requests.jsonl");
        run(command.arg("--json").current_dir(scratch.path()))
    };
    let replayed = policy(&["replay", "pathfinder.wasm"]);
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let told: Value = serde_json::from_str(&replayed.stdout).unwrap();
    for hook in ["request-target", "routing", "local-response"] {
        assert!(told["hooks"][hook]["calls"].as_u64() > Some(0), "{told:#}");
    }
    let compared = policy(&["diff", "pathfinder.wasm", "hearer.wasm"]);
    assert_eq!(compared.code, Some(1), "{compared:?}");
    for name in ["two", "path", "query", "host", "x-local"] {
        assert!(
            compared.stdout.contains(name),
            "{name}: {}",
            compared.stdout
        );
    }
}

#[test]
fn recorded_destinations_are_replayed() {
    let backend = TestUpstream::named("inner");
    let lines = format!("{THIS_MACHINE}\npolicies = [\"finder\"]\npools = [\"inner\"]");
    let settings = "settings = { rules = [\"a.test:443 refuse=451\", \"b.test:443 tell\"] }";
    let builder = with_forward(finding(settings), &lines).tables(&format!(
        "[pools.inner]\nbackends = [\"{}\"]\n\
         [record]\nfile = \"requests.jsonl\"\nsample = 1.0\npolicies = [\"finder\"]\n",
        backend.address()
    ));
    let folder = builder.folder().to_owned();
    let mut proxy = builder.start();
    assert_eq!(refused(&proxy, "a.test:443").0, 451);
    assert_eq!(refused(&proxy, "b.test:443").0, 403);
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let recorded = text.matches("\"hook\":\"destination\"").count();
    assert_eq!(recorded, 2, "{text}");
    assert!(text.contains("\"destination\":{\"port\":443}"), "{text}");

    let scratch = Scratch::new();
    scratch.write("requests.jsonl", &text);
    scratch.write("pathfinder.wasm", guest("pathfinder"));
    let mut command = command();
    let arguments = [
        "policy",
        "replay",
        "pathfinder.wasm",
        "requests.jsonl",
        "--json",
    ];
    let replayed = run(command.args(arguments).current_dir(scratch.path()));
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let told: Value = serde_json::from_str(&replayed.stdout).unwrap();
    assert_eq!(told["hooks"]["destination"]["calls"], 2, "{told:#}");
}
