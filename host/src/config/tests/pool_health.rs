//! When a pool's backends are healthy: `ejection`, `health` and the keys beside them.

use super::*;

fn health(keys: &str) -> PoolHealth {
    let text = format!("[pools.a]\nprotocol = \"h2c\"\nbackends = [\"10.0.0.1\"]\n{keys}");
    load(&text).pools[0].health.clone()
}

fn probe(keys: &str) -> Probe {
    health(&format!("health = {{ {keys} }}")).probe.unwrap()
}

#[test]
fn every_key_of_an_ejection_is_read() {
    assert_eq!(health(""), PoolHealth::default());
    let read = health(
        "max-failures = 7\nfail-timeout = \"3s\"\nslow-start = \"20s\"\n\
         [pools.a.ejection]\nmax-time = \"1m\"\nmax-share = 0.25\ninterval = \"2s\"\n\
         statuses = [500, \"502-504\", \"4xx\"]\nmin-requests = 9\nfailure-share = 0.1\n\
         latency-factor = 2.5\nlatency-ejects = true\nstalled-after = \"1s\"\nreconnect = \"0s\"",
    );
    let expected = PoolHealth {
        max_failures: 7,
        fail_timeout: Duration::from_secs(3),
        slow_start: Duration::from_secs(20),
        ejection: Ejection {
            max_time: Duration::from_secs(60),
            max_share: 0.25,
            statuses: vec![500..=500, 502..=504, 400..=499],
            interval: Duration::from_secs(2),
            min_requests: 9,
            failure_share: 0.1,
            latency_factor: 2.5,
            latency_ejects: true,
            stalled_after: Duration::from_secs(1),
            reconnect: Duration::ZERO,
        },
        probe: None,
    };
    assert_eq!(read, expected);
    let counted = [399, 404, 500, 501, 503].map(|status| read.counts(status));
    assert_eq!(counted, [false, true, true, false, true]);
    let usual = [500, 502, 503, 504, 505].map(|status| PoolHealth::default().counts(status));
    assert_eq!(usual, [false, true, true, true, false]);
    let none = health("ejection = { statuses = [] }");
    assert!(!none.counts(503), "an empty list is no status");
}

#[test]
fn the_kind_of_a_probe_follows_from_its_keys() {
    let http = |path: &str| ProbeKind::Http {
        path: path.to_owned(),
        host: None,
        expect: vec![200..=399],
        body: None,
    };
    assert_eq!(probe("").kind, ProbeKind::Tcp);
    assert_eq!(probe("port = 9").kind, ProbeKind::Tcp);
    assert_eq!(probe("path = \"/a?b=%20c\"").kind, http("/a?b=%20c"));
    assert_eq!(probe("kind = \"http\"").kind, http("/"));
    let all = "path = \"/a\", host = \"b.test:81\", expect = [204, \"5xx\"], body = \"c\"";
    let kind = ProbeKind::Http {
        path: "/a".to_owned(),
        host: Some("b.test:81".to_owned()),
        expect: vec![204..=204, 500..=599],
        body: Some("c".to_owned()),
    };
    assert_eq!(probe(all).kind, kind);
    let grpc = |service: &str, host: Option<&str>| ProbeKind::Grpc {
        service: service.to_owned(),
        host: host.map(str::to_owned),
    };
    assert_eq!(probe("kind = \"grpc\"").kind, grpc("", None));
    let keys = "service = \"a.B\", host = \"b.test\"";
    assert_eq!(probe(keys).kind, grpc("a.B", Some("b.test")));
    let keys = "interval = \"1s\", timeout = \"2s\", healthy = 3, unhealthy = 4, port = 5";
    let expected = Probe {
        kind: ProbeKind::Tcp,
        interval: Duration::from_secs(1),
        timeout: Duration::from_secs(2),
        healthy: 3,
        unhealthy: 4,
        port: Some(5),
    };
    assert_eq!(probe(keys), expected);
}

#[test]
fn wrong_values_of_health_are_errors_that_say_what_to_write() {
    let of = |table: &str, value: &str| {
        format!(
            "[pools.a]\nbackends = [\"b\"]\n[pools.a.{table}]\n{value}\n[hosts]\n\"*\" = [\"b\"]"
        )
    };
    for (table, key, value, words) in [
        ("ejection", "max-share", "1.5", "0 to 1"),
        (
            "ejection",
            "statuses",
            "\"6xx\"",
            "a status from 400 to 599",
        ),
        ("ejection", "statuses", "\"504-502\"", "502-504"),
        ("ejection", "statuses", "200", "a status from 400 to 599"),
        ("ejection", "interval", "\"0s\"", "out of range"),
        ("ejection", "min-requests", "0", "out of range"),
        ("ejection", "latency-ejects", "1", "true or false"),
        (
            "health",
            "kind",
            "\"ping\"",
            "\"http\", \"tcp\" or \"grpc\"",
        ),
        ("health", "kind", "\"grpc\"", "needs HTTP/2"),
        ("health", "path", "\"health\"", "begins with a slash"),
        ("health", "path", "\"/a b\"", "percent-encoded"),
        ("health", "host", "\"a@b\"", "is not a host"),
        ("health", "host", "\"a b\"", "is not a host"),
        ("health", "expect", "\"1xx\"", "a status from 200 to 599"),
        ("health", "expect", "\"abc\"", "\"5xx\" or \"502-504\""),
        ("health", "body", "\"\"", "remove it"),
        ("health", "interval", "\"0s\"", "out of range"),
        ("health", "healthy", "0", "1 to 1000"),
        ("health", "port", "0", "1 to 65535"),
    ] {
        let text = of(table, &format!("{key} = {value}"));
        let found = errors(&text);
        assert_eq!(found.len(), 1, "{text}: {found:#?}");
        assert!(found[0].message.contains(words), "{}", found[0]);
    }
    let twice = of("health", "kind = \"tcp\"\npath = \"/\"");
    assert!(errors(&twice)[0].message.contains("unknown key"), "{twice}");
}
