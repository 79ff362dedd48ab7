//! Connections that are passed on: what their policies decide is recorded and replayed as for
//! requests.

use std::net::{SocketAddr, TcpListener, TcpStream};

use serde_json::json;

use super::super::{requests, stop};
use super::{RECORD, replay, told};
use crate::fixtures::TestProxy;

/// A listener for bytes of any kind, before two backends.
fn passing(backends: &[SocketAddr]) -> TestProxy {
    let list: Vec<String> = backends.iter().map(|a| format!("\"{a}\"")).collect();
    TestProxy::builder()
        .listener("tcp = { pool = \"all\", policies = [\"least-loaded\"] }")
        .tables(&format!(
            "[pools.all]\nbackends = [{}]\n[policies.least-loaded]\nbuiltin = \"least-loaded\"\n\
             deadline = \"2s\"\n",
            list.join(", ")
        ))
        .tables(RECORD)
        .start()
}

#[test]
fn what_chose_the_backend_of_a_connection_is_replayed() {
    let backends = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses = [0, 1].map(|n: usize| backends[n].local_addr().unwrap());
    let mut proxy = passing(&addresses);
    for opened in 1..=4 {
        drop(TcpStream::connect(proxy.address()).unwrap());
        proxy.wait_for_stat("/layer4/opened", opened);
    }
    // What waits at the backends ends with them.
    drop(backends);
    stop(&mut proxy);

    let recorded = requests(&proxy.scratch, "requests.jsonl");
    assert_eq!(recorded.len(), 4);
    for request in &recorded {
        let (method, host, path) = (&request["method"], &request["host"], &request["path"]);
        assert_eq!(
            (method, host, path),
            (&json!("CONNECT"), &json!(""), &json!(""))
        );
        assert_eq!(request["calls"][0]["hook"], "selection", "{request:#}");
    }
    let exit = replay(
        &proxy.scratch,
        [
            "replay",
            "builtin:least-loaded",
            "requests.jsonl",
            "--policy",
            "least-loaded",
            "--expect-same",
            "--format",
            "json",
        ],
    );
    let result = told(&exit);
    assert_eq!(exit.code, Some(0), "{result:#}");
    assert_eq!(
        (&result["differing"], &result["faults"]),
        (&json!(0), &json!({}))
    );
    assert_eq!(result["calls"], 4, "{result:#}");
}
