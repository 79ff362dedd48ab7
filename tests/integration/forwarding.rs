//! What crosses the proxy and what does not, in both directions.

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
        &[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
        ],
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

#[test]
fn the_backend_gets_client_scheme_and_host() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let request = forwarded(&proxy, &upstream, &[]);
    assert_eq!(
        request.value("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(request.value("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.value("x-forwarded-host").as_deref(), Some("a.test"));
    let forwarded = request.value("forwarded").unwrap().to_ascii_lowercase();
    for part in ["for=127.0.0.1", "proto=http", "host=a.test"] {
        assert!(forwarded.replace('"', "").contains(part), "{forwarded}");
    }
    assert!(
        !request.head.has("via"),
        "nginx and others would compress nothing"
    );
}

#[test]
fn what_an_untrusted_client_claims_about_itself_is_replaced() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let request = forwarded(
        &proxy,
        &upstream,
        &[
            ("X-Forwarded-For", "10.9.9.9"),
            ("X-Forwarded-For", "10.8.8.8"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "evil.test"),
            ("Forwarded", "for=10.9.9.9;proto=https;host=evil.test"),
            ("X_Forwarded_For", "10.7.7.7"),
        ],
    );
    assert_eq!(
        request.value("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
    assert_eq!(request.value("x-forwarded-proto").as_deref(), Some("http"));
    assert_eq!(request.value("x-forwarded-host").as_deref(), Some("a.test"));
    let raw = String::from_utf8_lossy(&request.head.raw).into_owned();
    assert!(!raw.contains("10.") && !raw.contains("evil"), "{raw}");
}

#[test]
fn what_a_trusted_proxy_says_is_kept_and_extended() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[forwarded]\ntrusted = [\"127.0.0.0/8\"]")
        .start();
    let request = forwarded(
        &proxy,
        &upstream,
        &[
            ("X-Forwarded-For", "192.0.2.7"),
            ("X-Forwarded-Proto", "https"),
            ("X-Forwarded-Host", "front.test"),
            ("Forwarded", "for=192.0.2.7;proto=https"),
        ],
    );
    assert_eq!(
        request.head.values("x-forwarded-for").join(", "),
        "192.0.2.7, 127.0.0.1"
    );
    assert_eq!(request.value("x-forwarded-proto").as_deref(), Some("https"));
    assert_eq!(
        request.value("x-forwarded-host").as_deref(),
        Some("front.test")
    );
    let forwarded = request.head.values("forwarded").join(", ");
    assert!(
        forwarded.starts_with("for=192.0.2.7;proto=https"),
        "{forwarded}"
    );
    assert!(forwarded.contains("for=127.0.0.1"), "{forwarded}");
}

#[test]
fn trust_is_a_matter_of_the_peers_address() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[forwarded]\ntrusted = [\"10.0.0.0/8\", \"::1\"]")
        .start();
    let request = forwarded(&proxy, &upstream, &[("X-Forwarded-For", "10.0.0.1")]);
    assert_eq!(
        request.value("x-forwarded-for").as_deref(),
        Some("127.0.0.1")
    );
}

/// A proxy with these keys in `[forwarded]`.
pub fn with(upstream: &TestUpstream, keys: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(&format!("[forwarded]\n{keys}"))
        .start()
}

#[test]
fn nothing_that_names_a_client_crosses_from_a_stranger_in_any_spelling() {
    let upstream = TestUpstream::named("a");
    let names = [
        "X-Forwarded-Port",
        "X-Forwarded-Prefix",
        "X-Forwarded-Ssl",
        "X-Forwarded-Server",
        "X-Forwarded-Scheme",
        "X-Forwarded-Client-Cert",
        "X-Forwarded-By",
        "X_Forwarded_Prefix",
        "X.Forwarded.For",
        "X-Real-IP",
        "X_Real_IP",
        "True-Client-IP",
        "X-Client-IP",
        "Client-IP",
        "X-Original-URL",
        "X-Rewrite-URL",
        "X-Original-Host",
        "Proxy",
        "CF-Connecting-IP",
        "Fastly-Client-IP",
        "X-Cluster-Client-IP",
        "X-Envoy-External-Address",
        "X-SSL-Client-Cert",
        "SSL-Client-Verify",
        "X-Client-Cert",
        "Remote-User",
        "WL-Proxy-Client-IP",
        "Proxy-Client-IP",
        "Fly-Client-IP",
        "X-Auth-Request-User",
        "X-Auth-Request-Access-Token",
        "X-Originating-IP",
        "X-Remote-Addr",
        "Akamai-Client-IP",
        "X-Coming-From",
        "X-ARR-ClientCert",
        "X-Amzn-Mtls-Clientcert-Subject",
        "X-Goog-Authenticated-User-Email",
        "X-MS-Client-Principal-Name",
        "Tailscale-User-Login",
        "X-authentik-username",
        "Cf-Access-Authenticated-User-Email",
        "X-Token-Subject",
        "HTTP_X_FORWARDED_FOR",
        "$WSRU",
        "X-Waypost-Trace",
        "x_waypost_explain",
        "proxy_authorization",
        "Proxy_Connection",
        "proxy.authorization",
    ];
    let fields: Vec<(&str, &str)> = names.iter().map(|name| (*name, "6.6.6.6")).collect();
    let request = forwarded(&TestProxy::in_front_of(&upstream), &upstream, &fields);
    let raw = String::from_utf8_lossy(&request.head.raw).into_owned();
    assert!(!raw.contains("6.6.6.6"), "{raw}");

    let allowed = with(&upstream, "allow = [\"X-Real-IP\", \"x-forwarded-prefix\"]");
    let request = forwarded(&allowed, &upstream, &fields);
    assert_eq!(request.head.values("x-real-ip"), ["6.6.6.6"]);
    assert_eq!(request.head.values("x-forwarded-prefix"), ["6.6.6.6"]);
    assert_eq!(
        String::from_utf8_lossy(&request.head.raw)
            .matches("6.6.6.6")
            .count(),
        2
    );

    let trusting = with(&upstream, "trusted = [\"127.0.0.1\"]");
    let request = forwarded(&trusting, &upstream, &fields);
    for name in [
        "x-forwarded-prefix",
        "x-ssl-client-cert",
        "x-auth-request-user",
    ] {
        assert_eq!(
            request.head.values(name),
            ["6.6.6.6"],
            "a trusted proxy may say {name}"
        );
    }
    for name in [
        "x_real_ip",
        "x_forwarded_prefix",
        "x.forwarded.for",
        "proxy_authorization",
        "x_waypost_explain",
    ] {
        assert!(
            !request.head.has(name),
            "{name} can't be told from another field by anyone"
        );
    }
}

#[test]
fn a_trusted_proxy_does_not_contradict_what_was_decided_of_its_words() {
    let upstream = TestUpstream::named("a");
    let fields = [
        ("X-Forwarded-For", "192.0.2.7"),
        ("X-Real-IP", "6.6.6.6"),
        ("True-Client-IP", "6.6.6.6"),
        ("Fly-Client-IP", "6.6.6.6"),
        ("X-Forwarded-Ssl", "on"),
        ("Front-End-Https", "on"),
        ("X-Original-Host", "else.test"),
    ];
    let request = forwarded(
        &with(&upstream, "trusted = [\"127.0.0.1\"]"),
        &upstream,
        &fields,
    );
    for name in ["x-real-ip", "true-client-ip", "fly-client-ip"] {
        assert_eq!(request.head.values(name), ["192.0.2.7"], "{name}");
    }
    for name in [
        "x-forwarded-ssl",
        "front-end-https",
        "x-original-host",
        "x-client-ip",
    ] {
        assert!(!request.head.has(name), "{name}");
    }
    let allowing = with(
        &upstream,
        "trusted = [\"127.0.0.1\"]\nallow = [\"true-client-ip\", \"x-forwarded-ssl\"]",
    );
    let request = forwarded(&allowing, &upstream, &fields);
    assert_eq!(request.head.values("true-client-ip"), ["6.6.6.6"]);
    assert_eq!(request.head.values("x-forwarded-ssl"), ["on"]);
    assert_eq!(request.head.values("x-real-ip"), ["192.0.2.7"]);
}

#[test]
fn the_hops_are_believed_up_to_a_member_that_is_not_an_address() {
    let upstream = TestUpstream::named("a");
    let proxy = with(&upstream, "trusted = [\"127.0.0.0/8\", \"10.0.0.0/8\"]");
    for (fields, list) in [
        (
            vec![("X-Forwarded-For", "6.6.6.6, 192.0.2.7:5432")],
            "192.0.2.7, 127.0.0.1",
        ),
        (
            vec![("X-Forwarded-For", "6.6.6.6, [2001:db8::7]:80, 10.0.0.9")],
            "2001:db8::7, 10.0.0.9, 127.0.0.1",
        ),
        (vec![("X-Forwarded-For", "6.6.6.6, garbage")], "127.0.0.1"),
        (
            vec![
                ("X-Forwarded-For", "6.6.6.6"),
                ("X-Forwarded-For", "unknown, 10.0.0.9"),
            ],
            "10.0.0.9, 127.0.0.1",
        ),
        (
            vec![("Forwarded", "for=6.6.6.6, for=\"[2001:db8::7]:80\"")],
            "2001:db8::7, 127.0.0.1",
        ),
        (
            vec![("Forwarded", "for=6.6.6.6;x=\", for=192.0.2.7")],
            "127.0.0.1",
        ),
    ] {
        let request = forwarded(&proxy, &upstream, &fields);
        assert_eq!(
            request.value("x-forwarded-for").as_deref(),
            Some(list),
            "{fields:?}"
        );
        let client = format!("\"client\":\"{}\"", list.split(", ").next().unwrap());
        proxy.logged(&[&client]);
    }
}

#[test]
fn what_a_trusted_proxy_contradicts_itself_in_is_refused_and_says_how_to_settle_it() {
    let upstream = TestUpstream::named("a");
    let proxy = with(&upstream, "trusted = [\"127.0.0.0/8\"]");
    for fields in [
        [
            ("X-Forwarded-For", "192.0.2.7"),
            ("Forwarded", "for=6.6.6.6;proto=http;host=evil.example"),
        ],
        [
            ("X-Forwarded-For", "192.0.2.7"),
            ("Forwarded", "host=evil.example"),
        ],
        [
            ("X-Forwarded-Proto", "https"),
            ("Forwarded", "for=192.0.2.7;proto=http"),
        ],
    ] {
        let request = fields.iter().fold(
            Request::new("GET", "/").host("a.test"),
            |r, (name, value)| r.field(name, value),
        );
        proxy.ask(request.bytes()).assert_refusal(400);
        proxy.logged(&["contradict each other", "\"client\":\"127.0.0.1\""]);
    }
    assert!(upstream.received().is_empty());
    let proxy = with(
        &upstream,
        "trusted = [\"127.0.0.0/8\"]\nsource = \"x-forwarded-for\"",
    );
    let request = forwarded(
        &proxy,
        &upstream,
        &[
            ("X-Forwarded-For", "192.0.2.7"),
            ("Forwarded", "for=6.6.6.6"),
        ],
    );
    assert_eq!(
        request.value("x-forwarded-for").as_deref(),
        Some("192.0.2.7, 127.0.0.1")
    );
}

#[test]
fn one_fact_reaches_the_backend_in_one_way() {
    let upstream = TestUpstream::named("a");
    let proxy = with(&upstream, "trusted = [\"127.0.0.1\"]");
    for (fields, scheme, host) in [
        (vec![("X-Forwarded-Proto", "https")], "https", "a.test"),
        (
            vec![("Forwarded", "for=192.0.2.7;proto=https;host=front.test")],
            "https",
            "front.test",
        ),
        (
            vec![
                ("X-Forwarded-For", "192.0.2.7"),
                ("X-Forwarded-Host", "front.test"),
            ],
            "http",
            "front.test",
        ),
    ] {
        let request = forwarded(&proxy, &upstream, &fields);
        assert_eq!(
            request.value("x-forwarded-proto").as_deref(),
            Some(scheme),
            "{fields:?}"
        );
        assert_eq!(
            request.value("x-forwarded-host").as_deref(),
            Some(host),
            "{fields:?}"
        );
        let forwarded = request.value("forwarded").unwrap();
        assert!(
            forwarded.contains(&format!(";proto={scheme};host={host}")),
            "{forwarded}"
        );
        assert_eq!(forwarded.matches("proto=").count(), 1, "{forwarded}");
    }
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
