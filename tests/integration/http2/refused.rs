//! Requests that are no requests: no backend sees them, and the connection goes on where it can.

use crate::fixtures::http2::{
    DATA, END_STREAM, Frame, Frames, GOAWAY, HEADERS, PLAIN, RST_STREAM, connected, frame, get,
};
use crate::fixtures::{TestProxy, TestUpstream};

const PROTOCOL: u32 = 1;

const METHOD: (&str, &str) = PLAIN[0];
const SCHEME: (&str, &str) = PLAIN[1];
const PATH: (&str, &str) = PLAIN[2];
const AUTHORITY: (&str, &str) = PLAIN[3];

/// A plain request with these fields behind it.
fn with<'a>(fields: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    [&PLAIN[..], fields].concat()
}

/// Whether a stream was refused, and no backend could have seen it.
fn is_refusal(end: &Frame) -> bool {
    match end.kind {
        HEADERS | DATA => true,
        RST_STREAM | GOAWAY => end.error() != 0,
        _ => false,
    }
}

#[test]
fn heads_that_are_malformed_are_refused_and_never_forwarded() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let long = "x".repeat(300);
    let cases: Vec<Vec<(&str, &str)>> = vec![
        // Fields about the connection.
        with(&[("connection", "close")]),
        with(&[("connection", "x-a")]),
        with(&[("keep-alive", "1")]),
        with(&[("proxy-connection", "keep-alive")]),
        with(&[("transfer-encoding", "chunked")]),
        with(&[("upgrade", "h2c")]),
        with(&[("te", "gzip")]),
        with(&[("te", "trailers, gzip")]),
        // Names and values.
        with(&[("X-Upper", "1")]),
        with(&[("x y", "1")]),
        with(&[("x:y", "1")]),
        with(&[("", "1")]),
        with(&[(&long, "1")]),
        with(&[("x-a", "a\r\nb: c")]),
        with(&[("x-a", "a\nb")]),
        with(&[("x-a", "a\0b")]),
        with(&[("x-a", " a")]),
        with(&[("x-a", "a\t")]),
        // Pseudo-fields.
        vec![SCHEME, PATH, AUTHORITY],
        vec![METHOD, PATH, AUTHORITY],
        vec![METHOD, SCHEME, AUTHORITY],
        vec![METHOD, SCHEME, PATH],
        vec![METHOD, METHOD, SCHEME, PATH, AUTHORITY],
        vec![METHOD, SCHEME, PATH, PATH, AUTHORITY],
        vec![METHOD, SCHEME, PATH, AUTHORITY, AUTHORITY],
        vec![METHOD, SCHEME, PATH, ("x-a", "1"), AUTHORITY],
        with(&[(":status", "200")]),
        with(&[(":unknown", "1")]),
        with(&[(":protocol", "websocket")]),
        // Methods, paths, schemes, authorities.
        vec![(":method", "G ET"), SCHEME, PATH, AUTHORITY],
        vec![(":method", ""), SCHEME, PATH, AUTHORITY],
        vec![METHOD, SCHEME, (":path", ""), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "a"), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "*"), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "http://b.test/"), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "/a b"), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "/\u{e4}"), AUTHORITY],
        vec![METHOD, SCHEME, (":path", "/a\r\nx: y"), AUTHORITY],
        vec![METHOD, (":scheme", "https"), PATH, AUTHORITY],
        vec![METHOD, (":scheme", "ftp"), PATH, AUTHORITY],
        vec![METHOD, (":scheme", ""), PATH, AUTHORITY],
        vec![METHOD, SCHEME, PATH, (":authority", "")],
        vec![METHOD, SCHEME, PATH, (":authority", "me@a.test")],
        vec![METHOD, SCHEME, PATH, (":authority", "a.test/x")],
        vec![METHOD, SCHEME, PATH, (":authority", "a.test:99999")],
        vec![METHOD, SCHEME, PATH, (":authority", "a.test,b.test")],
        // Two hosts.
        with(&[("host", "b.test")]),
        with(&[("host", "a.test:80")]),
        with(&[("host", "a.test"), ("host", "a.test")]),
        with(&[("host", "")]),
        // Lengths.
        with(&[("content-length", "-1")]),
        with(&[("content-length", "+1")]),
        with(&[("content-length", "0, 0")]),
        with(&[("content-length", "0"), ("content-length", "0")]),
        with(&[("content-length", "5")]),
        with(&[("expect", "something")]),
        // CONNECT is for forward proxies.
        vec![(":method", "CONNECT"), AUTHORITY],
        vec![(":method", "CONNECT"), SCHEME, PATH, AUTHORITY],
        vec![(":method", "CONNECT")],
    ];
    for fields in cases {
        let mut frames = Frames::connect(proxy.address());
        frames.head(1, &fields, END_STREAM);
        let end = frames.end_of(1);
        assert!(is_refusal(&end), "{fields:?}: {end:?}");
    }
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn white_space_around_a_value_is_called_that() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &with(&[("x-a", " a")]), END_STREAM);
    assert_eq!(frames.find(HEADERS).status(), 400);
    proxy.logged(&["400", "begins or ends with white space"]);
}

/// What looks odd and is right.
#[test]
fn heads_that_are_unusual_and_well_formed_pass() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    for fields in [
        with(&[("host", "A.TEST")]),
        with(&[("te", "trailers")]),
        with(&[("content-length", "0")]),
        with(&[("x-a", "")]),
        with(&[("x-a", "\u{e4}")]),
        vec![METHOD, SCHEME, PATH, ("host", "a.test")],
        vec![PATH, AUTHORITY, METHOD, SCHEME],
        vec![(":method", "OPTIONS"), SCHEME, (":path", "*"), AUTHORITY],
        vec![(":method", "X-ANY"), SCHEME, PATH, AUTHORITY],
        vec![METHOD, SCHEME, (":path", "/?"), AUTHORITY],
    ] {
        let mut frames = Frames::connect(proxy.address());
        frames.head(1, &fields, END_STREAM);
        assert_eq!(frames.find(HEADERS).status(), 200, "{fields:?}");
    }
}

#[test]
fn what_a_trusted_proxy_says_of_its_client_may_differ_from_the_connection() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[forwarded]\ntrusted = [\"127.0.0.0/8\"]")
        .start();
    let mut frames = Frames::connect(proxy.address());
    let fields = [METHOD, (":scheme", "https"), PATH, AUTHORITY];
    frames.head(1, &fields, END_STREAM);
    assert_eq!(frames.find(HEADERS).status(), 200);
}

#[test]
fn bodies_of_another_length_than_their_head_says_break_off() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    for (length, pieces) in [
        ("5", &["hell"][..]),
        ("5", &["hello!"]),
        ("5", &["hel", "lo!"]),
    ] {
        let mut frames = Frames::connect(proxy.address());
        let fields = [
            (":method", "POST"),
            SCHEME,
            PATH,
            AUTHORITY,
            ("content-length", length),
        ];
        frames.head(1, &fields, 0);
        for (at, piece) in pieces.iter().enumerate() {
            let flags = if at + 1 == pieces.len() {
                END_STREAM
            } else {
                0
            };
            frames.send(frame(DATA, flags, 1, piece.as_bytes()));
        }
        let end = frames.end_of(1);
        assert_eq!(
            (end.kind, end.error()),
            (RST_STREAM, PROTOCOL),
            "{length} {pieces:?}"
        );
    }
    assert!(upstream.received().iter().all(|request| !request.complete));
}

#[test]
fn heads_beyond_the_limits_are_answered_and_logged() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let many = |count: usize, length: usize| {
            let mut request = get("a.test", "/");
            for number in 0..count {
                let name = http::HeaderName::try_from(format!("x-{number}")).unwrap();
                let value = "x".repeat(length).parse().unwrap();
                request.headers_mut().insert(name, value);
            }
            request
        };
        for (request, status) in [
            (many(100, 10), 200),
            (many(101, 10), 431),
            (many(20, 1_500), 200),
            (many(20, 1_700), 431),
            (get("a.test", &format!("/{}", "x".repeat(8_200))), 414),
        ] {
            let answer = client.ask(request, b"").await.unwrap();
            assert_eq!(answer.status, status);
        }
        // Beyond what the engine takes.
        let answer = client.ask(many(60, 1_000), b"").await;
        assert_eq!(answer.unwrap().status, 431);
        assert_eq!(client.get("a.test", "/").await.unwrap().status, 200);
    });
    proxy.logged(&["431", "there are too many header fields"]);
    proxy.logged(&["431", "the header fields are too large"]);
    proxy.logged(&["\"status\":414"]);
}

#[test]
fn cookies_of_any_number_count_as_one_field() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut request = get("a.test", "/");
        for number in 0..200 {
            let cookie = format!("c{number}={number}").parse().unwrap();
            request.headers_mut().append("cookie", cookie);
        }
        assert_eq!(client.ask(request, b"").await.unwrap().status, 200);
    });
    let cookie = upstream.received()[0].head.value("cookie").unwrap();
    assert_eq!(cookie.split("; ").count(), 200);
}

#[test]
fn a_call_whose_head_is_refused_learns_it_as_a_call() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let post = |kind, field| {
        [
            (":method", "POST"),
            SCHEME,
            PATH,
            AUTHORITY,
            field,
            ("content-type", kind),
        ]
    };
    let wrong = ("x-a", " a");
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &post("application/grpc+proto", wrong), END_STREAM);
    let end = frames.find(HEADERS);
    assert_eq!((end.status(), end.ends()), (200, true), "the head is all");
    frames.head(3, &post("application/grpc-web", wrong), END_STREAM);
    assert_eq!(frames.find(HEADERS).status(), 400);
    // No call, because a call is a POST.
    frames.head(
        5,
        &with(&[wrong, ("content-type", "application/grpc")]),
        END_STREAM,
    );
    assert_eq!(frames.find(HEADERS).status(), 400);
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_refused_head_request_has_no_body() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    let fields = [(":method", "HEAD"), SCHEME, PATH, AUTHORITY, ("x-a", " a")];
    frames.head(1, &fields, END_STREAM);
    let end = frames.find(HEADERS);
    assert_eq!((end.status(), end.ends()), (400, true));
}
