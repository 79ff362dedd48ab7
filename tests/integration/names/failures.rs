//! No answer of use: the last good list stays.

use super::{answers, asking, is_in_state, is_said, on_one_port, pool, status};
use crate::fixtures::{Gate, NameServer, Reply, Request};

#[test]
fn the_last_good_list_stays_whatever_a_server_does() {
    let server = NameServer::start();
    let (port, _all) = on_one_port([2, 3]);
    server.addresses("a.test", &["127.0.0.2"]);
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    answers(&proxy, "a", "2");
    let elsewhere = vec!["127.0.0.3".parse().unwrap()];
    let looped = vec!["b.test".to_owned(), "a.test".to_owned()];
    let cases = [
        (Reply::Error, "error"),
        (Reply::NoName, "NXDOMAIN"),
        (Reply::Nothing, "NODATA"),
        (Reply::Silence, "answered within"),
        (Reply::Garbage, ""),
        (Reply::WrongId(elsewhere), ""),
        (Reply::Chain(looped, Vec::new()), ""),
    ];
    for (at, (reply, said)) in cases.into_iter().enumerate() {
        server.both("a.test", &reply);
        let stale = is_in_state(&proxy, "a.test", "stale");
        let error = stale["last_error"].as_str().unwrap();
        assert!(!error.is_empty() && error.contains(said), "{at}: {error:?}");
        assert!(stale["stale_since"].is_string());
        assert_eq!(proxy.get("a", "/").text(), "2", "{at}");
        let notes = proxy.admin(Request::new("GET", "/readyz"));
        assert_eq!(notes.status, 200);
        assert!(notes.text().contains("a.test"), "{}", notes.text());
        server.addresses("a.test", &["127.0.0.2"]);
        is_in_state(&proxy, "a.test", "resolved");
    }
    is_said(&proxy, &["a.test", "NXDOMAIN", "stay in use"]);
    is_said(&proxy, &["a.test", "resolved again"]);
    server.addresses("a.test", &["127.0.0.3"]);
    answers(&proxy, "a", "3");
}

#[test]
fn a_name_that_is_answered_late_delays_no_other() {
    let server = NameServer::start();
    let (port, _all) = on_one_port([2, 3]);
    server.addresses("slow.test", &["127.0.0.2"]);
    server.addresses("quick.test", &["127.0.0.2"]);
    let pools = ["slow", "quick"].map(|name| pool(name, &format!("[\"{name}.test:{port}\"]")));
    // No look-up may time out for want of an answer that the test holds.
    let address = server.address();
    let proxy = crate::fixtures::TestProxy::builder()
        .tables(&format!(
            "[resolver]\nservers = [\"{address}\"]\nmin-ttl = \"20ms\"\ntimeout = \"30s\"\n"
        ))
        .tables(&pools.concat())
        .start();
    answers(&proxy, "slow", "2");
    let gate = Gate::new();
    let late = Reply::Addresses(vec!["127.0.0.3".parse().unwrap()]);
    let late = Reply::Held(gate.clone(), Box::new(late));
    server.set("slow.test", crate::fixtures::Kind::A, late);
    for last in [3, 2, 3] {
        server.addresses("quick.test", &[&format!("127.0.0.{last}")]);
        answers(&proxy, "quick", &last.to_string());
        assert_eq!(proxy.get("slow", "/").text(), "2");
    }
    assert_eq!(
        status(&proxy, "slow.test")["records"],
        serde_json::json!(["127.0.0.2"])
    );
    gate.open();
    answers(&proxy, "slow", "3");
}
