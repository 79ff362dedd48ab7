//! The file: what is in it, what is not, and what it may take.

mod file;
mod secrets;

use serde_json::{Value, json};

use super::{lines, requests, stop};
use crate::fixtures::{
    Request, TestProxy, TestUpstream, eventually, get, guest, refusing_address, response,
};

const ALL: &str = "[record]\nfile = \"requests.jsonl\"\nsample = \"100%\"\n";

fn probed(record: &str, backends: &[&TestUpstream]) -> TestProxy {
    let addresses: Vec<_> = backends.iter().map(|b| b.address()).collect();
    TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&addresses, &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\nsettings = { select = [\"pick=0\"] }")
        .tables(record)
        .start()
}

fn call<'a>(request: &'a Value, hook: &str) -> &'a Value {
    let calls = request["calls"].as_array().unwrap();
    calls
        .iter()
        .find(|call| call["hook"] == hook)
        .unwrap_or_else(|| panic!("no {hook}: {request:#}"))
}

fn field(list: &Value, name: &str) -> Vec<Value> {
    list.as_array()
        .unwrap()
        .iter()
        .filter(|f| f[0] == name)
        .map(|f| f[1].clone())
        .collect()
}

#[test]
fn a_request_is_recorded_with_all_its_calls() {
    let backend = TestUpstream::answering(response("200 OK", &[("X-From", "backend")], "served"));
    let mut proxy = probed(ALL, &[&backend]);
    let ask = Request::new("GET", "/a?b=c")
        .host("A.test")
        .field("X-Twice", "1")
        .field("X-Twice", "2")
        .field("X-Raw", "~!")
        .field("X-Probe-Request", "set=x-set:yes")
        .field("X-Probe-Response", "random=10");
    // No text: what is between 0x80 and 0xff may stand in a value (RFC 9110 section 5.5).
    let bytes: Vec<u8> = ask
        .bytes()
        .into_iter()
        .map(|b| if b == b'~' { 0xff } else { b })
        .collect();
    assert_eq!(proxy.ask(bytes).status, 200);
    stop(&mut proxy);
    let all = lines(&proxy.scratch, "requests.jsonl");
    let [lineup, request] = all.as_slice() else {
        panic!("{all:#?}")
    };
    let lineup = &lineup["lineup"];
    assert_eq!(
        (&lineup["format"], &lineup["sample"], &lineup["workers"]),
        (&json!(1), &json!(1.0), &json!(1))
    );
    assert_eq!(
        lineup["pools"][0]["backends"][0]["address"],
        backend.address().to_string()
    );
    let policy = &lineup["policies"][0];
    assert_eq!(
        (&policy["name"], &policy["settings"]),
        (&json!("probe"), &json!({"select": ["pick=0"]}))
    );
    assert_eq!(
        (&policy["deadline_microseconds"], &policy["pools"]),
        (&json!(2_000_000), &json!([0]))
    );
    assert!(
        policy["active"]["digest"]
            .as_str()
            .unwrap()
            .starts_with("sha256:"),
        "{policy:#}"
    );

    let request = &request["request"];
    assert_eq!(request["lineup"], lineup["lineup"]);
    let head = ["method", "scheme", "host", "path", "query", "client"]
        .map(|key| request[key].as_str().unwrap());
    assert_eq!(head, ["GET", "http", "a.test", "/a", "b=c", "127.0.0.1"]);
    assert_eq!(field(&request["fields"], "x-twice"), ["1", "2"]);
    assert_eq!(field(&request["fields"], "x-raw"), [json!({"hex": "ff21"})]);
    assert_eq!(request["status"], 200);

    let edit = call(request, "request-headers");
    assert_eq!(field(&edit["edited"], "x-set"), ["yes"]);
    assert_eq!(
        (&edit["answer"], &edit["role"], &edit["policy"]),
        (&json!("done"), &json!("active"), &json!("probe"))
    );
    let select = call(request, "selection");
    assert_eq!(
        (&select["answer"], &select["attempt"]),
        (&json!({"backend": 0}), &json!(1))
    );
    assert!(
        select.get("sees").is_none() && select.get("edited").is_none(),
        "{select:#}"
    );
    let seed = select["tape"]["seed"].as_str().unwrap();
    assert!(seed.len() == 16 && seed != edit["tape"]["seed"], "{seed}");
    let after = call(request, "response-headers");
    assert_eq!(
        (&after["response"]["status"], &after["response"]["backend"]),
        (&json!(200), &json!(0))
    );
    assert_eq!(field(&after["response"]["fields"], "x-from"), ["backend"]);
    assert!(
        after["edited"].is_array() && after["nanoseconds"].as_u64().unwrap() > 0,
        "{after:#}"
    );
    assert_eq!(
        after["facts"][0].as_array().unwrap().len(),
        7,
        "the request is in flight now"
    );
}

#[test]
fn attempts_faults_and_refusals_are_recorded() {
    let backend = TestUpstream::named("served");
    let (_held, dead) = refusing_address();
    let mut proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[dead, backend.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .tables(ALL)
        .start();
    let select = |action: &str| {
        Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Select", action)
            .bytes()
    };
    let mut client = proxy.client();
    assert_eq!(client.ask(select("picks=0,1")).text(), "served");
    client.ask(select("refuse=403"));
    client.ask(select("trap"));
    stop(&mut proxy);
    let all = requests(&proxy.scratch, "requests.jsonl");
    let selections = |request: &Value| -> Vec<Value> {
        request["calls"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|c| c["hook"] == "selection")
            .cloned()
            .collect()
    };
    let [first, second] = selections(&all[0]).try_into().unwrap();
    assert_eq!(
        (&first["answer"], &second["answer"]),
        (&json!({"backend": 0}), &json!({"backend": 1}))
    );
    assert_eq!(
        (&second["attempt"], &second["failed"]),
        (&json!(2), &json!([{"backend": 0, "failure": "connect"}]))
    );
    let reply = &selections(&all[1])[0]["answer"]["reply"];
    assert_eq!(
        (&reply["status"], &all[1]["status"]),
        (&json!(403), &json!(403))
    );
    let fault = &selections(&all[2])[0]["answer"]["fault"];
    assert_eq!(fault["kind"], "trap", "{fault:#}");
    assert_eq!(proxy_counts(&all), 3);
}

fn proxy_counts(all: &[Value]) -> usize {
    all.iter()
        .filter(|request| {
            request["time"]
                .as_u64()
                .is_some_and(|time| time > 1_600_000_000_000)
        })
        .count()
}

#[test]
fn nothing_is_recorded_unless_it_is_asked_for() {
    let backend = TestUpstream::named("served");
    let mut proxy = probed("", &[&backend]);
    proxy.get("a.test", "/");
    assert_eq!(proxy.stat("/recording/recorded"), 0);
    stop(&mut proxy);
    let names: Vec<_> = std::fs::read_dir(proxy.scratch.path())
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        !names
            .iter()
            .any(|name| name.to_string_lossy().contains("jsonl")),
        "{names:?}"
    );
}

#[test]
fn a_share_and_some_policies_can_be_recorded() {
    let backend = TestUpstream::named("served");
    let tables = |record: &str| {
        TestProxy::builder()
            .file("probe.wasm", guest("probe"))
            .pool_for_all(&[backend.address()], &["probe", "random"])
            .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\n[policies.random]\nbuiltin = \"random\"\ndeadline = \"1s\"")
            .tables(record)
            .start()
    };
    let mut proxy =
        tables("[record]\nfile = \"some.jsonl\"\nsample = 0.5\npolicies = [\"random\"]");
    let mut client = proxy.client();
    (0..400).for_each(|_| assert_eq!(client.ask(get("a.test", "/")).status, 200));
    drop(client);
    stop(&mut proxy);
    let all = requests(&proxy.scratch, "some.jsonl");
    // A fair coin is outside of this once in a billion times.
    assert!((140..=260).contains(&all.len()), "{}", all.len());
    let policies = all
        .iter()
        .flat_map(|r| r["calls"].as_array().unwrap())
        .map(|c| c["policy"].as_str().unwrap());
    assert!(policies.into_iter().all(|policy| policy == "random"));
    let lineup = &lines(&proxy.scratch, "some.jsonl")[0]["lineup"];
    assert_eq!(
        lineup["policies"].as_array().unwrap().len(),
        1,
        "{lineup:#}"
    );
}

/// Half a record can't be replayed.
#[test]
fn a_request_whose_record_takes_too_much_is_left_out_whole_and_counted() {
    let long = "x".repeat(1_000);
    let large: Vec<(&str, &str)> = (0..50).map(|_| ("X-Long", long.as_str())).collect();
    let (large, small) = (
        response("200 OK", &large, "large"),
        response("200 OK", &[], "small"),
    );
    let backend = TestUpstream::replying(move |request| match request.target() {
        "/large" => large.clone(),
        _ => small.clone(),
    });
    // Of each call the record has the 50 kB of the response: more than a megabyte in all.
    let names: Vec<String> = (0..30).map(|n| format!("p{n}")).collect();
    let tables = names
        .iter()
        .map(|n| format!("[policies.{n}]\ncomponent = \"first.wasm\"\ndeadline = \"2s\"\n"));
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let mut proxy = TestProxy::builder()
        .file("first.wasm", guest("pick-first"))
        .pool_for_all(&[backend.address()], &names)
        .tables(&tables.collect::<String>())
        .tables(ALL)
        .start();
    assert_eq!(proxy.get("a.test", "/small").text(), "small");
    assert_eq!(proxy.get("a.test", "/large").text(), "large");
    assert_eq!(proxy.get("a.test", "/small").text(), "small");
    eventually("the others are recorded", || {
        (proxy.stat("/recording/recorded") == 2).then_some(())
    });
    eventually("and it is counted", || {
        (proxy.stat("/recording/dropped") == 1).then_some(())
    });
    stop(&mut proxy);
    let all = requests(&proxy.scratch, "requests.jsonl");
    assert!(
        all.len() == 2 && all.iter().all(|request| request["path"] == "/small"),
        "{all:#?}"
    );
}

#[test]
fn each_generation_is_in_the_lineup_of_its_decisions() {
    let backend = TestUpstream::named("served");
    let mut proxy = TestProxy::builder()
        .file("mine.wasm", guest("pick-first"))
        .pool_for_all(&[backend.address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"1s\"")
        .tables(ALL)
        .start();
    proxy.get("a.test", "/");
    assert_eq!(proxy.put_policy("mine", &guest("pick-last")).status, 200);
    proxy.get("a.test", "/");
    let shadow = Request::new("PUT", "/policies/mine?mode=shadow").body(guest("pick-first"));
    assert_eq!(proxy.admin(shadow).status, 200);
    proxy.get("a.test", "/");
    stop(&mut proxy);
    let all = lines(&proxy.scratch, "requests.jsonl");
    let lineups: Vec<&Value> = all.iter().filter_map(|line| line.get("lineup")).collect();
    let generations: Vec<&Value> = lineups
        .iter()
        .map(|l| &l["policies"][0]["active"]["generation"])
        .collect();
    assert_eq!(generations, [1, 2, 2]);
    assert_eq!(lineups[2]["policies"][0]["trial"]["role"], "shadow");
    let requests = requests(&proxy.scratch, "requests.jsonl");
    for (request, lineup) in requests.iter().zip(&lineups) {
        assert_eq!(request["lineup"], lineup["lineup"]);
    }
    let roles: Vec<&str> = requests[2]["calls"]
        .as_array()
        .unwrap()
        .iter()
        .map(|c| c["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["active", "shadow", "active", "shadow"]);
}
