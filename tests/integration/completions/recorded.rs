//! Completions are recorded, and replayed.

use serde_json::Value;

use super::{heard, hearing_builder, request};
use crate::fixtures::{Scratch, TestUpstream, guest, run};

#[test]
fn a_recorded_completion_is_replayed() {
    let upstream = TestUpstream::named("backend");
    let builder = hearing_builder(&[&upstream], "", "")
        .tables("[record]\nfile = \"requests.jsonl\"\nsample = 1.0\npolicies = [\"hearer\"]\n");
    let folder = builder.folder().to_owned();
    let mut proxy = builder.start();
    for id in ["a", "b", "c"] {
        assert_eq!(proxy.ask(request(id).bytes()).status, 200);
        heard(&proxy, id);
    }
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    let text = std::fs::read_to_string(folder.join("requests.jsonl")).unwrap();
    let requests: Vec<Value> = text
        .lines()
        .filter_map(|line| {
            serde_json::from_str::<Value>(line)
                .unwrap()
                .get("request")
                .cloned()
        })
        .collect();
    let calls: Vec<&Value> = requests
        .iter()
        .flat_map(|request| request["calls"].as_array().unwrap())
        .filter(|call| call["hook"] == "completion")
        .collect();
    assert_eq!(calls.len(), requests.len(), "one of each request");
    let of_backend: Vec<_> = calls
        .iter()
        .filter(|call| call["completion"]["backend"] == 0)
        .collect();
    assert_eq!(of_backend.len(), 3);
    for call in of_backend {
        let completion = &call["completion"];
        assert_eq!(completion["status"], 200, "{completion:#}");
        assert!(
            completion["latency_microseconds"].is_u64(),
            "{completion:#}"
        );
        assert_eq!(call["answer"], "done");
    }

    let scratch = Scratch::new();
    scratch.write("requests.jsonl", &text);
    scratch.write("hearer.wasm", guest("hearer"));
    let mut command = crate::fixtures::command();
    let replayed = run(command
        .args([
            "policy",
            "replay",
            "hearer.wasm",
            "requests.jsonl",
            "--json",
        ])
        .current_dir(scratch.path()));
    assert_eq!(replayed.code, Some(0), "{replayed:?}");
    let told: Value = serde_json::from_str(&replayed.stdout).unwrap();
    let completions = &told["hooks"]["completion"];
    assert_eq!(completions["calls"], requests.len(), "{told:#}");
}
