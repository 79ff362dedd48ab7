//! Answers that are followed.

use super::{answers, asking, is_in_state, is_said, on_one_port, pool, status};
use crate::fixtures::{Kind, NameServer, Reply, Request, TestUpstream, eventually, get};

#[test]
fn a_change_of_addresses_is_followed_and_said() {
    let server = NameServer::start();
    server.addresses("a.test", &["127.0.0.2"]);
    let (port, [two, three]) = on_one_port([2, 3]);
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a", "/")).text(), "2");
    server.addresses("a.test", &["127.0.0.3"]);
    answers(&proxy, "a", "3");
    assert_eq!(client.ask(get("a", "/")).text(), "3", "the same client");
    let change = format!("+127.0.0.3:{port} -127.0.0.2:{port}");
    is_said(&proxy, &["backends of pool \"a\"", &change]);
    eventually("the connections to the former address are closed", || {
        (two.open_connections() == 0).then_some(())
    });
    assert!(three.open_connections() > 0);
    let status = status(&proxy, "a.test");
    assert_eq!(status["state"], "resolved");
    assert_eq!(status["records"], serde_json::json!(["127.0.0.3"]));
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    assert!(
        metrics.contains("waypost_dns_stale{name=\"a.test\",kind=\"host\"} 0"),
        "{metrics}"
    );
}

#[test]
fn a_name_is_asked_for_as_it_is_written() {
    let server = NameServer::start();
    let names = ["my_app.test", "_x.a_b.test", "xn--a.test"];
    for name in names {
        server.addresses(name, &["127.0.0.2"]);
    }
    let (port, [_two, _three]) = on_one_port([2, 3]);
    let backends = names.map(|name| format!("\"{name}:{port}\""));
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[{}]", backends.join(", "))))
        .start();
    assert_eq!(proxy.get("a", "/").text(), "2");
    for name in names {
        assert_eq!(status(&proxy, name)["state"], "resolved", "{name}");
    }
}

#[test]
fn the_order_of_an_answer_is_no_change() {
    let server = NameServer::start();
    server.addresses("a.test", &["127.0.0.2", "127.0.0.3", "127.0.0.4"]);
    let proxy = asking(&server).tables(&pool("a", "[\"a.test:9\"]")).start();
    let version = || {
        let answer = proxy.admin(Request::new("GET", "/config")).text();
        serde_json::from_str::<serde_json::Value>(&answer).unwrap()["version"].clone()
    };
    is_in_state(&proxy, "a.test", "resolved");
    let before = version();
    for turn in 1..=10 {
        let mut all = ["127.0.0.2", "127.0.0.3", "127.0.0.4"];
        all.rotate_left(turn % 3);
        server.addresses("a.test", &all);
        let asked = server.asked("a.test", Kind::A);
        eventually("another question", || {
            (server.asked("a.test", Kind::A) > asked).then_some(())
        });
    }
    assert_eq!(version(), before);
}

#[test]
fn both_families_are_used_and_neither_waits_for_the_other() {
    let server = NameServer::start();
    server.addresses("a.test", &["127.0.0.2", "::1"]);
    let proxy = asking(&server).tables(&pool("a", "[\"a.test:9\"]")).start();
    let records = |expected: &[&str]| {
        eventually(&format!("{expected:?}"), || {
            (status(&proxy, "a.test")["records"] == serde_json::json!(expected)).then_some(())
        });
    };
    records(&["127.0.0.2", "::1"]);
    // The addresses of the family that is silent stay.
    server.set("a.test", Kind::Aaaa, Reply::Silence);
    for last in 3..6 {
        let next = format!("127.0.0.{last}");
        server.set(
            "a.test",
            Kind::A,
            Reply::Addresses(vec![next.parse().unwrap()]),
        );
        records(&[&next, "::1"]);
    }
    is_in_state(&proxy, "a.test", "stale");
    // One that is gone on purpose goes.
    server.set("a.test", Kind::Aaaa, Reply::Nothing);
    records(&["127.0.0.5"]);
    is_in_state(&proxy, "a.test", "resolved");
}

#[test]
fn a_truncated_answer_is_asked_for_again_over_tcp_and_a_very_long_one_is_bounded() {
    let server = NameServer::start();
    let many = |count: u32| {
        let all = (1..=count).map(|n| std::net::Ipv4Addr::from_bits(0x0a00_0000 + n).into());
        Reply::OverTcp(Box::new(Reply::Addresses(all.collect())))
    };
    server.both("a.test", &Reply::Nothing);
    server.set("a.test", Kind::A, many(300));
    let proxy = asking(&server).tables(&pool("a", "[\"a.test:9\"]")).start();
    let count = |expected: usize| {
        eventually(&format!("{expected} addresses"), || {
            let status = status(&proxy, "a.test");
            (status["records"].as_array().unwrap().len() == expected).then_some(())
        });
    };
    count(300);
    server.set("a.test", Kind::A, many(4_000));
    count(1_024);
    is_said(&proxy, &["a.test", "2976 records", "too many"]);
}

#[test]
fn aliases_are_followed_and_addresses_of_other_names_are_not_taken() {
    let server = NameServer::start();
    let ip = |last: u8| std::net::IpAddr::from([127, 0, 0, last]);
    for name in [
        "chain.test",
        "alias.test",
        "end.test",
        "stranger.test",
        "mixed.test",
    ] {
        server.both(name, &Reply::Nothing);
    }
    let chain = ["b.test", "c.test", "d.test"].map(str::to_owned).to_vec();
    server.set("chain.test", Kind::A, Reply::Chain(chain, vec![ip(2)]));
    server.set("alias.test", Kind::A, Reply::Alias("end.test".to_owned()));
    server.set("end.test", Kind::A, Reply::Addresses(vec![ip(3)]));
    server.set("mixed.test", Kind::A, Reply::WithStranger(ip(4), ip(9)));
    let (port, _all) = on_one_port([2, 3, 4, 9]);
    let pools =
        ["chain", "alias", "mixed"].map(|name| pool(name, &format!("[\"{name}.test:{port}\"]")));
    let proxy = asking(&server).tables(&pools.concat()).start();
    answers(&proxy, "chain", "2");
    answers(&proxy, "alias", "3");
    answers(&proxy, "mixed", "4");
    let records = &status(&proxy, "mixed.test")["records"];
    assert_eq!(*records, serde_json::json!(["127.0.0.4"]));
}

#[test]
fn a_time_to_live_is_kept_within_its_limits() {
    let server = NameServer::start();
    let upstream = TestUpstream::named("one");
    server.ttl(86_400);
    server.addresses("a.test", &["127.0.0.1"]);
    let port = upstream.address().port();
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    answers(&proxy, "a", "one");
    assert_eq!(status(&proxy, "a.test")["ttl_seconds"], 1.0);
    let asked = server.asked("a.test", Kind::A);
    eventually("another question after a second, not after a day", || {
        (server.asked("a.test", Kind::A) > asked).then_some(())
    });
}

#[test]
fn a_time_to_live_of_more_than_31_bits_counts_as_none() {
    let server = NameServer::start();
    server.ttl(0x8000_0000);
    server.addresses("a.test", &["127.0.0.1"]);
    let proxy = asking(&server).tables(&pool("a", "[\"a.test:9\"]")).start();
    let resolved = is_in_state(&proxy, "a.test", "resolved");
    assert_eq!(resolved["ttl_seconds"], 0.02, "the least: {resolved}");
}

#[test]
fn addresses_where_nothing_can_listen_are_left_out_and_said() {
    let server = NameServer::start();
    let (port, _two) = on_one_port([2]);
    let nowhere = ["0.0.0.0", "255.255.255.255", "224.0.0.1", "::", "ff02::1"];
    let mapped = ["::ffff:0.0.0.0", "::ffff:224.0.0.1"];
    let all = [&nowhere[..], &mapped, &["127.0.0.2"]].concat();
    server.addresses("a.test", &all);
    let proxy = asking(&server)
        .tables(&pool("a", &format!("[\"a.test:{port}\"]")))
        .start();
    answers(&proxy, "a", "2");
    let records = || status(&proxy, "a.test")["records"].clone();
    assert_eq!(records(), serde_json::json!(["127.0.0.2"]));
    is_said(&proxy, &["a.test: ", "0.0.0.0", "can't be a backend"]);
    // An answer of nothing else is none.
    server.addresses("a.test", &["0.0.0.0", "::"]);
    let stale = is_in_state(&proxy, "a.test", "stale");
    let error = stale["last_error"].as_str().unwrap();
    assert!(error.contains("no address of a backend"), "{error}");
    answers(&proxy, "a", "2");
}
