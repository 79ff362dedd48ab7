//! What happened, as JSON, as a page, and as Prometheus text.

mod access_log;
mod routes;
mod series;

use std::time::{Duration, Instant};

use crate::fixtures::{
    Client, Gate, Request, TestProxy, TestUpstream, eventually, get, refusing_address, response,
};

#[test]
fn the_statistics_count_what_happened() {
    let upstream = TestUpstream::answering(response("200 OK", &[], vec![b'x'; 1_000]));
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    for _ in 0..5 {
        assert_eq!(
            client
                .ask(
                    Request::new("POST", "/")
                        .host("a.test")
                        .body(vec![b'y'; 500])
                        .bytes()
                )
                .status,
            200
        );
    }
    assert_eq!(client.ask(get("unknown.test", "/")).status, 404);
    let stats = eventually("the last request is counted", || {
        let stats = proxy.stats();
        let requests = &stats["requests"];
        (requests["by_status"]["404"] == 1 && requests["active"] == 0).then_some(stats)
    });
    assert!(stats["uptime_seconds"].is_number(), "{stats:#}");
    assert_eq!(stats["requests"]["total"], 6);
    assert_eq!(stats["requests"]["by_status"]["200"], 5);
    for (direction, least) in [
        ("from_clients", 2_500),
        ("to_clients", 5_000),
        ("from_backends", 5_000),
        ("to_backends", 2_500),
    ] {
        let n = stats["bytes"][direction].as_u64().unwrap();
        assert!((least..least + 10_000).contains(&n), "{direction}: {n}");
    }
    assert!(
        stats["connections"]["accepted"].as_u64().unwrap() >= 1,
        "{stats:#}"
    );
    assert_eq!(stats["connections"]["active"], 1);
    let backend = &stats["backends"][upstream.address().to_string()];
    assert_eq!(
        (
            &backend["requests"],
            &backend["failures"],
            &backend["in_flight"]
        ),
        (&5.into(), &0.into(), &0.into())
    );
    assert!(
        backend["latency"]["p50_microseconds"].as_u64().unwrap() > 0,
        "{backend:#}"
    );
    let random = &stats["policies"]["random"];
    assert_eq!(random["calls"], 5);
    for key in [
        "generation",
        "digest",
        "traps",
        "deadlines",
        "refusals",
        "memory",
    ] {
        assert!(!random[key].is_null(), "{key} of {random:#}");
    }
    assert!(
        random["call_time"]["p99_nanoseconds"].as_u64().unwrap() > 0,
        "{random:#}"
    );
}

/// Each of these is what an operator looks at when something is slow, and has to be the very
/// number.
#[test]
fn connections_attempts_and_requests_without_an_answer_are_counted_one_by_one() {
    let gate = Gate::new();
    let wait = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() == "/never" {
                wait.wait();
            }
            connection.send(response("200 OK", &[], "a"));
        }
    });
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables(&format!(
            "[pools.dead]\nbackends = [\"{dead}\"]\nattempts = 3\nmax-failures = 0\n\
             [[routes]]\nhost = \"dead.test\"\npool = \"dead\""
        ))
        .start();
    let counted = |pointer: &str, expected: u64| {
        eventually(pointer, || (proxy.stat(pointer) == expected).then_some(()));
    };
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    assert_eq!(
        (
            proxy.stat("/connections/upstream_opened"),
            proxy.stat("/connections/upstream_reused")
        ),
        (1, 2)
    );
    assert_eq!(
        proxy.stat("/retries"),
        0,
        "a pooled connection is no second attempt"
    );
    assert_eq!(client.ask(get("dead.test", "/dead")).status, 502);
    assert_eq!(
        (
            proxy.stat("/connections/upstream_opened"),
            proxy.stat("/connections/upstream_reused")
        ),
        (4, 2)
    );
    assert_eq!(proxy.stat("/retries"), 2, "of three attempts");
    proxy.logged(&["\"target\":\"/dead\"", "\"attempts\":3,", "\"status\":502"]);
    client.send(get("a.test", "/never"));
    upstream.wait_for_heads(4);
    assert_eq!(
        (
            proxy.stat("/connections/active"),
            proxy.stat("/requests/active")
        ),
        (1, 1)
    );
    assert_eq!(
        proxy.stat(&format!("/backends/{}/in_flight", upstream.address())),
        1
    );
    client.reset();
    counted("/requests/active", 0);
    counted("/connections/active", 0);
    counted("/requests/unanswered", 1);
    counted(&format!("/backends/{}/in_flight", upstream.address()), 0);
    gate.open();
    assert_eq!(
        (
            proxy.stat("/connections/accepted"),
            proxy.stat("/requests/total")
        ),
        (1, 5)
    );
    assert_eq!(
        proxy.stats()["requests"]["by_status"],
        serde_json::json!({ "200": 3, "502": 1 })
    );
}

#[test]
fn failures_of_a_backend_are_counted_under_its_address() {
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder().host("*", &[dead]).start();
    proxy.get("a.test", "/");
    assert!(
        proxy.stats()["backends"][dead.to_string()]["failures"]
            .as_u64()
            .unwrap()
            >= 1
    );
}

#[test]
fn a_browser_gets_a_page() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    proxy.get("a.test", "/");
    let accept = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8";
    let page = proxy.admin(Request::new("GET", "/stats").field("Accept", accept));
    assert_eq!(page.status, 200);
    assert!(page.value("content-type").unwrap().starts_with("text/html"));
    assert!(
        page.text().contains(&upstream.address().to_string()),
        "{}",
        page.text()
    );
    let json = proxy.admin(Request::new("GET", "/stats").field("Accept", "*/*"));
    assert!(
        json.value("content-type")
            .unwrap()
            .starts_with("application/json")
    );
}

#[test]
fn prometheus_gets_its_text() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    proxy.get("a.test", "/");
    let metrics = proxy.admin(Request::new("GET", "/metrics"));
    assert_eq!(metrics.status, 200);
    let text = metrics.text();
    assert!(
        text.lines().any(|l| l.starts_with("# TYPE ")) && text.contains("waypost_"),
        "{text}"
    );
    for line in text
        .lines()
        .filter(|l| !l.is_empty() && !l.starts_with('#'))
    {
        let value = line.rsplit(' ').next().unwrap();
        assert!(value.parse::<f64>().is_ok(), "{line}");
    }
}

#[test]
fn health_and_readiness_are_reported() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    for path in ["/healthz", "/readyz"] {
        // At once: when the log says that it listens, it is ready.
        assert_eq!(proxy.admin(Request::new("GET", path)).status, 200, "{path}");
    }
    assert_eq!(proxy.admin(Request::new("GET", "/nothing")).status, 404);
    assert_eq!(proxy.admin(Request::new("DELETE", "/stats")).status, 405);
}

#[test]
fn the_data_plane_serves_the_statistics_where_that_is_asked_for() {
    let upstream = TestUpstream::named("backend");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[stats]\npath = \"/_stats\"")
        .start();
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).text(), "backend");
    let answer = client.ask(get("any.test", "/_stats"));
    let stats: serde_json::Value = serde_json::from_slice(&answer.body).unwrap();
    assert!(
        stats["requests"]["total"].as_u64().unwrap() >= 1,
        "{stats:#}"
    );
    let page = client.ask(
        Request::new("GET", "/_stats")
            .host("any.test")
            .field("Accept", "text/html")
            .bytes(),
    );
    assert!(page.value("content-type").unwrap().starts_with("text/html"));
    let admins = proxy.admin(Request::new("GET", "/stats").field("Accept", "text/html"));
    for name in [
        "content-security-policy",
        "x-content-type-options",
        "x-frame-options",
        "referrer-policy",
        "cache-control",
        "vary",
    ] {
        assert!(page.head.has(name), "{name}");
        assert_eq!(page.value(name), admins.value(name), "{name}");
    }
    assert_eq!(client.ask(get("any.test", "//x/..//%5Fstats")).status, 200);
    assert_eq!(
        client.ask(get("any.test", "/_stats/x")).text(),
        "backend",
        "only this path"
    );
    assert_eq!(
        client.ask(get("any.test", "/_statsx")).text(),
        "backend",
        "only this path"
    );
    let head = client.ask(Request::new("HEAD", "/_stats").host("any.test").bytes());
    assert_eq!(head.status, 200);
    assert_eq!(client.ask(get("any.test", "/")).text(), "backend");
    proxy.logged(&[
        "\"target\":\"/_stats\"",
        "\"method\":\"HEAD\"",
        "\"status\":200",
    ]);
}

#[test]
fn without_a_stats_path_the_data_plane_gives_nothing_away() {
    let upstream = TestUpstream::named("backend");
    let proxy = TestProxy::in_front_of(&upstream);
    for path in ["/stats", "/metrics", "/policies", "/healthz"] {
        assert_eq!(proxy.get("a.test", path).text(), "backend", "{path}");
    }
}

#[test]
fn a_token_is_wanted_where_one_is_set() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"127.0.0.1:0\"\ntoken = \"a-token-of-some-length\"")
        .start();
    let with = |token: &str| {
        proxy
            .admin(Request::new("GET", "/stats").field("Authorization", token))
            .status
    };
    assert_eq!(proxy.admin(Request::new("GET", "/stats")).status, 401);
    assert_eq!(with("Bearer wrong"), 401);
    assert_eq!(with("Bearer a-token-of-some-length"), 200);
    assert_eq!(proxy.put_policy("random", b"x").status, 401);
    assert_eq!(
        proxy.admin(Request::new("GET", "/healthz")).status,
        200,
        "a probe needs no token"
    );
}

#[test]
fn the_admin_listener_can_be_switched_off() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .admin("listen = \"off\"")
        .start();
    assert_eq!(proxy.get("a.test", "/").text(), "a");
    assert!(!proxy.stderr.text().contains("admin listening"));
}

#[test]
fn a_page_elsewhere_can_not_reach_the_admin_listener_by_name() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = Client::connect(proxy.admin_address());
    assert_eq!(client.ask(get("rebound.evil.test", "/stats")).status, 403);
}

#[test]
fn a_slow_upload_of_a_client_is_not_the_latency_of_its_backend() {
    const SLOW: Duration = Duration::from_millis(400);
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let begun = Instant::now();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    upstream.wait_for_heads(1);
    // The client takes its time.
    std::thread::sleep(SLOW);
    client.send("0\r\n\r\n");
    assert_eq!(client.response().status, 200);
    let all = begun.elapsed();
    let backend = &proxy.stats()["backends"][upstream.address().to_string()];
    let latency = backend["latency"]["ewma_microseconds"].as_u64().unwrap();
    assert!(latency > 0, "{backend:#}");
    assert!(
        Duration::from_micros(latency) + SLOW <= all,
        "{latency} of {all:?}"
    );
}
