//! What crosses the proxy and what does not, in both directions.

mod claims;

use crate::fixtures::{Received, Request, Response, TestProxy, TestUpstream, response};

/// Sends a request with these fields through a proxy of its own and tells what arrived.
pub fn forwarded(proxy: &TestProxy, upstream: &TestUpstream, fields: &[(&str, &str)]) -> Received {
    let mut request = Request::new("GET", "/").host("a.test");
    for (name, value) in fields {
        request = request.field(name, value);
    }
    let before = upstream.received().len();
    assert_eq!(proxy.ask(request.bytes()).status, 200);
    upstream.received().remove(before)
}

/// The response that a client gets for one with these fields.
pub fn returned(fields: &[(&str, &str)]) -> Response {
    let upstream = TestUpstream::answering(response("200 OK", fields, "hello"));
    let proxy = TestProxy::in_front_of(&upstream);
    proxy.get("a.test", "/")
}

#[test]
fn hop_by_hop_fields_of_a_request_never_reach_the_backend() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let cases: &[&[(&str, &str)]] = &[
        &[("Connection", "keep-alive, X-Private"), ("X-Private", "1")],
        &[
            ("Connection", "x-PRIVATE"),
            ("X-Private", "1"),
            ("x-private", "2"),
        ],
        &[
            ("X-Private", "1"),
            ("Connection", "close"),
            ("Connection", "foo , x-private"),
        ],
        &[("Keep-Alive", "timeout=5")],
        &[("Proxy-Connection", "keep-alive")],
        &[("Proxy-Authorization", "Basic Zm9vOmJhcg==")],
        &[("Proxy-Authenticate", "Basic")],
        &[("Proxy-Anything", "1")],
        &[("Connection", "Upgrade"), ("Upgrade", "TLS/1.0")],
        &[("Upgrade", "websocket"), ("Sec-WebSocket-Version", "13")],
        &[("Upgrade", "h2c")],
        &[
            ("Connection", "Upgrade, HTTP2-Settings"),
            ("Upgrade", "h2c"),
            ("HTTP2-Settings", "AAMAAABk"),
        ],
        &[("TE", "gzip"), ("Connection", "TE")],
        &[("Connection", "close")],
        &[("Connection", ",, ,")],
    ];
    let dropped = ["x-private", "keep-alive", "upgrade", "http2-settings"];
    for fields in cases {
        let request = forwarded(&proxy, &upstream, fields);
        let crossed = dropped.iter().find(|name| request.head.has(name));
        assert_eq!(crossed, None, "{fields:?}");
        let proxys = request
            .head
            .fields
            .iter()
            .find(|(n, _)| n.to_ascii_lowercase().starts_with("proxy-"));
        assert_eq!(proxys, None, "{fields:?}");
        assert!(!request.head.lists("te", "gzip"), "{fields:?}");
        assert!(!request.head.lists("connection", "x-private"), "{fields:?}");
    }
}

#[test]
fn that_trailers_are_wanted_is_passed_on_for_clients_of_http_1_1_that_say_so() {
    for (old, says, passed) in [
        (false, true, true),
        (false, false, false),
        (true, true, false),
        (true, false, false),
    ] {
        let upstream = TestUpstream::named("a");
        let proxy = TestProxy::in_front_of(&upstream);
        let mut request = Request::new("GET", "/").host("a.test");
        if says {
            request = request.field("TE", "trailers").field("Connection", "te");
        }
        proxy.ask(if old { request.old() } else { request }.bytes());
        let seen = upstream.only_request();
        let fields = (
            seen.value("te").as_deref() == Some("trailers"),
            seen.head.lists("connection", "te"),
        );
        assert_eq!(fields, (passed, passed), "{old} {says}");
        assert_eq!(seen.head.has("te"), passed, "{old} {says}");
    }
}

#[test]
fn connection_can_not_remove_fields_that_the_proxy_writes() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let named = "close, Host, X-Forwarded-For, X-Forwarded-Proto, X-Forwarded-Host, Forwarded, Via, CDN-Loop, Content-Length";
    let request = Request::new("POST", "/")
        .host("a.test")
        .field("Connection", named)
        .body("hello");
    assert_eq!(proxy.ask(request.bytes()).status, 200);
    let request = upstream.only_request();
    assert_eq!(request.value("host").as_deref(), Some("a.test"));
    assert_eq!(
        request.value("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    for name in [
        "x-forwarded-proto",
        "x-forwarded-host",
        "forwarded",
        "cdn-loop",
    ] {
        assert!(request.head.has(name), "{name}");
    }
    assert_eq!(request.body, b"hello");
}

#[test]
fn hop_by_hop_fields_of_a_response_never_reach_the_client() {
    let response = returned(&[
        ("Connection", "X-Private, keep-alive"),
        ("X-Private", "1"),
        ("Keep-Alive", "timeout=5, max=100"),
        ("Proxy-Connection", "keep-alive"),
        ("Proxy-Authenticate", "Basic"),
        ("Proxy-Authentication-Info", "x"),
        ("Upgrade", "h2c"),
        ("X-Public", "2"),
    ]);
    assert_eq!(response.text(), "hello");
    for name in [
        "x-private",
        "keep-alive",
        "proxy-connection",
        "proxy-authenticate",
        "proxy-authentication-info",
        "upgrade",
    ] {
        assert!(!response.head.has(name), "{name}");
    }
    assert!(!response.head.lists("connection", "x-private"));
    assert_eq!(response.value("x-public").as_deref(), Some("2"));
}

/// A proxy with these keys in `[forwarded]`.
pub fn with(upstream: &TestUpstream, keys: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(&format!("[forwarded]\n{keys}"))
        .start()
}

#[test]
fn a_backend_can_not_forge_the_proxys_fields() {
    let answer = returned(&[
        ("X-Waypost-Trace", "forged"),
        ("x_waypost_trace", "forged"),
        ("X-Waypost-New", "forged"),
    ]);
    assert!(
        !String::from_utf8_lossy(&answer.head.raw).contains("forged"),
        "{answer:?}"
    );
}

#[test]
fn end_to_end_fields_cross_untouched_in_order_and_as_often_as_they_were_sent() {
    let upstream = TestUpstream::answering(
        b"HTTP/1.1 200 Fine By Me\r\nSet-Cookie: a=1\r\nX-Other: x\r\nSet-Cookie: b=2\r\nX-Latin: caf\xe9\r\nX-Empty:\r\nContent-Length: 0\r\n\r\n",
    );
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(
        b"GET / HTTP/1.1\r\nHost: a.test\r\nCookie: a=1\r\nX-Latin: caf\xe9\r\nCookie: b=2\r\nAccept: */*;q=0.8\r\nX-Empty:\r\nX_Under: 1\r\n\r\n",
    );
    let request = upstream.only_request();
    assert_eq!(request.head.values("cookie"), ["a=1", "b=2"]);
    assert_eq!(request.value("accept").as_deref(), Some("*/*;q=0.8"));
    assert_eq!(request.value("x-empty").as_deref(), Some(""));
    assert_eq!(request.value("x_under").as_deref(), Some("1"));
    let latin = |fields: &[(String, Vec<u8>)]| {
        fields
            .iter()
            .find(|(n, _)| n.eq_ignore_ascii_case("x-latin"))
            .map(|(_, v)| v.clone())
    };
    assert_eq!(latin(&request.head.fields).unwrap(), b"caf\xe9");
    assert_eq!(answer.head.values("set-cookie"), ["a=1", "b=2"]);
    assert_eq!(latin(&answer.head.fields).unwrap(), b"caf\xe9");
    assert_eq!(answer.value("x-empty").as_deref(), Some(""));
    assert!(
        answer.head.start.ends_with(" Fine By Me"),
        "{}",
        answer.head.start
    );
}

#[test]
fn names_that_some_backends_can_not_tell_from_ours_are_dropped() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    for name in [
        "Transfer_Encoding",
        "transfer_encoding",
        "Content_Length",
        "CONTENT_LENGTH",
        "x_forwarded_proto",
    ] {
        let request = forwarded(&proxy, &upstream, &[(name, "5")]);
        assert!(!request.head.has(name), "{name}");
    }
}

#[test]
fn a_response_has_a_date_and_keeps_the_one_it_came_with() {
    let date = "Sun, 06 Nov 1994 08:49:37 GMT";
    assert_eq!(
        returned(&[("Date", date)]).value("date").as_deref(),
        Some(date)
    );
    let made = returned(&[])
        .value("date")
        .expect("a Date is added (RFC 9110 section 6.6.1)");
    assert!(made.ends_with(" GMT"), "{made}");
}
