//! Services: SRV records.

use super::{answers, asking, is_in_state, pool, status};
use crate::fixtures::{Kind, NameServer, Reply, StreamBackend, TestUpstream, eventually};

fn service(
    priority: u16,
    weight: u16,
    upstream: &TestUpstream,
    host: &str,
) -> (u16, u16, u16, String) {
    (priority, weight, upstream.address().port(), host.to_owned())
}

#[test]
fn a_service_has_its_ports_weights_and_priorities_from_its_records() {
    let server = NameServer::start();
    let [one, two, spare] = ["one", "two", "spare"].map(TestUpstream::named);
    for host in ["one.test", "two.test", "spare.test"] {
        server.addresses(host, &["127.0.0.1"]);
    }
    let records = vec![
        service(1, 10, &one, "one.test"),
        service(1, 20, &two, "two.test"),
        service(2, 1, &spare, "spare.test"),
    ];
    server.set("_web._tcp.test", Kind::Srv, Reply::Services(records));
    let proxy = asking(&server)
        .tables(&pool("a", "[\"srv+http://_web._tcp.test\"]"))
        .start();
    answers(&proxy, "a", "one");
    answers(&proxy, "a", "two");
    let config = proxy
        .admin(crate::fixtures::Request::new("GET", "/config"))
        .text();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    let mut weights: Vec<_> = config["pools"][0]["endpoints"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    weights.sort_by_key(|e| e["weight"].as_u64());
    let expected = [(one.address(), 10), (two.address(), 20)];
    let expected = expected.map(|(a, weight)| (a.to_string(), weight));
    let found = weights.iter().map(|e| {
        let address = e["address"].as_str().unwrap().to_owned();
        (address, e["weight"].as_u64().unwrap())
    });
    assert_eq!(found.collect::<Vec<_>>(), expected);
    assert_eq!(spare.connections(), 0);
    // A port that changes is another backend.
    let records = vec![service(1, 1, &spare, "one.test")];
    server.set("_web._tcp.test", Kind::Srv, Reply::Services(records));
    answers(&proxy, "a", "spare");
    eventually("names that nothing needs are forgotten", || {
        status(&proxy, "two.test.").is_null().then_some(())
    });
    // No list is better than the last one.
    server.set(
        "_web._tcp.test",
        Kind::Srv,
        Reply::Services(vec![(0, 0, 0, ".".to_owned())]),
    );
    is_in_state(&proxy, "_web._tcp.test", "stale");
    assert_eq!(proxy.get("a", "/").text(), "spare");
}

#[test]
fn a_target_without_an_address_leaves_the_others_alone() {
    let server = NameServer::start();
    let one = TestUpstream::named("one");
    server.addresses("one.test", &["127.0.0.1"]);
    server.both("two.test", &Reply::Error);
    let records = vec![
        service(1, 1, &one, "one.test"),
        service(1, 1, &one, "two.test"),
    ];
    server.set("_web._tcp.test", Kind::Srv, Reply::Services(records));
    let proxy = asking(&server)
        .tables(&pool("a", "[\"srv+http://_web._tcp.test\"]"))
        .start();
    answers(&proxy, "a", "one");
    is_in_state(&proxy, "two.test.", "unresolved");
}

#[test]
fn the_scheme_of_a_service_says_what_it_speaks() {
    let server = NameServer::start();
    let backend = StreamBackend::named("by streams");
    server.addresses("one.test", &["127.0.0.1"]);
    let records = vec![(1, 1, backend.address().port(), "one.test".to_owned())];
    server.set("_grpc._tcp.test", Kind::Srv, Reply::Services(records));
    let proxy = asking(&server)
        .tables(&pool("a", "[\"srv+h2c://_grpc._tcp.test\"]"))
        .start();
    answers(&proxy, "a", "by streams");
}

#[test]
fn a_target_without_a_port_is_left_out_and_said() {
    let server = NameServer::start();
    let one = TestUpstream::named("one");
    server.addresses("one.test", &["127.0.0.1"]);
    let good = service(2, 1, &one, "one.test");
    let without = (1, 1, 0, "one.test".to_owned());
    let records = Reply::Services(vec![without, good]);
    server.set("_web._tcp.test", Kind::Srv, records);
    let proxy = asking(&server)
        .tables(&pool("a", "[\"srv+http://_web._tcp.test\"]"))
        .start();
    answers(&proxy, "a", "one");
    super::is_said(&proxy, &["one.test.:0", "can't be a backend"]);
}
