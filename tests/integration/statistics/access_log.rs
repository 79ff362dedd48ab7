//! The access log has a line for each request.

use std::time::{Duration, SystemTime};

use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, get, response};

#[test]
fn every_request_has_a_line_in_the_access_log() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    proxy.get("a.test", "/seen?x=y");
    let line = proxy.logged(&["/seen", "200", "127.0.0.1"]);
    assert!(line.contains("GET") && line.contains("a.test"), "{line}");
}

/// The time is that of the request's head, and the duration goes to the end of the response.
#[test]
fn a_line_of_the_access_log_has_time_duration_client_and_backend() {
    const TAKES: Duration = Duration::from_millis(150);
    let upstream = TestUpstream::replying(|_| {
        std::thread::sleep(TAKES);
        response("200 OK", &[], "a")
    });
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let begun = SystemTime::now();
    assert_eq!(
        proxy
            .ask(
                Request::new("PUT", "/timed?x")
                    .host("A.test")
                    .body("x")
                    .bytes()
            )
            .status,
        200
    );
    let line: serde_json::Value = serde_json::from_str(&proxy.logged(&["/timed?x"])).unwrap();
    let ended = SystemTime::now();
    let time = humantime::parse_rfc3339(line["time"].as_str().unwrap()).unwrap();
    let took = Duration::from_micros(line["duration_microseconds"].as_u64().unwrap());
    // Stamps are cut to microseconds, and the clock of days may be set by a little while it runs.
    let slack = Duration::from_millis(5);
    assert!(
        took >= TAKES && time + slack >= begun && time + took <= ended + slack,
        "{line}: {begun:?} to {ended:?}"
    );
    let expected = serde_json::json!({
        "time": line["time"], "duration_microseconds": line["duration_microseconds"],
        "client": "127.0.0.1", "protocol": "HTTP/1.1", "scheme": "http", "method": "PUT", "host": "a.test", "target": "/timed?x", "status": 200,
        "backend": upstream.address().to_string(), "attempts": 1, "route": "a.test/", "pool": "a.test",
        "bytes_from_client": 1, "bytes_to_client": 1,
        "upstream_microseconds": line["upstream_microseconds"], "policies": line["policies"],
    });
    assert_eq!(line, expected);
    let upstream_took = line["upstream_microseconds"].as_u64().unwrap();
    assert!(u128::from(upstream_took) <= took.as_micros(), "{line}");
    assert!(
        upstream_took >= 140_000,
        "the backend took most of it: {line}"
    );
    let asked = line["policies"].as_array().unwrap();
    assert_eq!(
        (asked.len(), &asked[0]["name"]),
        (1, &"random".into()),
        "{line}"
    );
    let nanoseconds = asked[0]["nanoseconds"].as_u64().unwrap();
    assert!(
        nanoseconds > 0 && u128::from(nanoseconds) <= took.as_nanos(),
        "{line}"
    );
    let latency = proxy.stat("/requests/latency/p50_microseconds");
    assert!(
        latency >= 100_000,
        "{latency}: the only request took longer than that"
    );
    proxy.ask(b"x\r\n\r\n");
    let line: serde_json::Value = serde_json::from_str(&proxy.logged(&["\"status\":400"])).unwrap();
    assert_eq!(
        (&line["client"], &line["method"], &line["target"]),
        (&"127.0.0.1".into(), &"".into(), &"".into())
    );
    assert_eq!((&line["attempts"], line.get("backend")), (&0.into(), None));
}

#[test]
fn a_line_of_the_access_log_is_json_for_any_request() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
    });
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let line = |parts: &[&str]| -> serde_json::Value {
        serde_json::from_str(&proxy.logged(parts)).unwrap()
    };

    proxy.ask(b"GET /\x1b[31m HTTP/1.1\r\nHost: a.test\r\n\r\n");
    let refused = line(&["\"status\":400"]);
    assert!(
        refused["reason"].as_str().is_some_and(|r| r.len() > 10),
        "{refused}"
    );

    proxy.get("b.test", "/\"},{\"status\":200");
    let unknown = line(&["\"status\":404"]);
    assert_eq!(unknown["target"], "/\"},{\"status\":200");
    assert_eq!(
        (&unknown["status"], &unknown["host"], &unknown["method"]),
        (&404.into(), &"b.test".into(), &"GET".into())
    );

    let mut client = proxy.client();
    client.send(get("a.test", "/cut-short"));
    assert!(client.try_response_to("GET").is_err());
    let cut = line(&["/cut-short"]);
    assert_eq!(cut["status"], 200);
    assert_eq!(cut["backend"], upstream.address().to_string());
    assert!(
        cut["reason"]
            .as_str()
            .is_some_and(|r| r.contains("backend")),
        "why it was not completed: {cut}"
    );
}

#[test]
fn the_access_log_can_be_a_file_and_only_of_what_was_refused() {
    let upstream = TestUpstream::named("a");
    let builder = TestProxy::builder().host("a.test", &[upstream.address()]);
    let proxy = builder
        .access_log("requests = \"refused\"\npath = \"access.log\"")
        .start();
    assert_eq!(proxy.get("a.test", "/fine").status, 200);
    assert_eq!(proxy.get("b.test", "/refused").status, 404);
    let log = eventually("the line is written", || {
        std::fs::read_to_string(proxy.scratch.path().join("access.log"))
            .ok()
            .filter(|l| l.contains("/refused"))
    });
    assert!(!log.contains("/fine"), "{log}");
    assert!(proxy.stdout.text().is_empty());
}
