//! Byte ranges (RFC 9110 section 14), by header and by the `range` query parameter, with backends
//! that can and can't.

mod backends;
mod several;

use crate::fixtures::{Received, Request, Response, TestProxy, TestUpstream, response};

const CONTENT: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// A backend that knows nothing of ranges.
fn plain(request: &Received) -> Vec<u8> {
    let fields = [
        ("ETag", "\"v1\""),
        ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
        ("Content-Type", "text/plain"),
    ];
    match (
        request.method(),
        request.target().split('?').next().unwrap(),
    ) {
        ("HEAD", _) => format!(
            "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
            CONTENT.len()
        )
        .into_bytes(),
        (_, "/missing") => response("404 Not Found", &fields, CONTENT),
        (_, "/created") => response("201 Created", &fields, CONTENT),
        (_, "/empty") => response("200 OK", &fields, ""),
        (_, "/weak") => response("200 OK", &[("ETag", "W/\"v1\"")], CONTENT),
        (_, "/unknown-length") => [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n24\r\n",
            CONTENT,
            b"\r\n0\r\n\r\n",
        ]
        .concat(),
        _ => response("200 OK", &fields, CONTENT),
    }
}

fn proxy() -> (TestUpstream, TestProxy) {
    let upstream = TestUpstream::replying(plain);
    let proxy = TestProxy::in_front_of(&upstream);
    (upstream, proxy)
}

fn ask(proxy: &TestProxy, target: &str, fields: &[(&str, &str)]) -> Response {
    let request = Request::new("GET", target).host("a.test");
    proxy.ask(
        fields
            .iter()
            .fold(request, |r, (name, value)| r.field(name, value))
            .bytes(),
    )
}

#[track_caller]
fn assert_slice(answer: &Response, first: usize, last: usize) {
    let length = CONTENT.len();
    assert_eq!(answer.status, 206, "{}", answer.text());
    assert_eq!(
        answer.value("content-range"),
        Some(format!("bytes {first}-{last}/{length}"))
    );
    assert_eq!(
        answer.value("content-length"),
        Some((last - first + 1).to_string())
    );
    assert_eq!(answer.body, &CONTENT[first..=last]);
    assert_eq!(
        answer.value("content-type").as_deref(),
        Some("text/plain"),
        "the rest of the head is the backend's"
    );
}

#[track_caller]
fn assert_whole(answer: &Response) {
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.body, CONTENT);
    assert_eq!(answer.value("content-range"), None);
}

#[track_caller]
fn assert_unsatisfiable(answer: &Response) {
    assert_eq!(answer.status, 416, "{}", answer.text());
    assert_eq!(
        answer.value("content-range"),
        Some(format!("bytes */{}", CONTENT.len()))
    );
}

#[test]
fn the_proxy_cuts_a_range_that_the_backend_does_not() {
    let (_upstream, proxy) = proxy();
    for (range, first, last) in [
        ("bytes=0-0", 0, 0),
        ("bytes=0-9", 0, 9),
        ("bytes=10-19", 10, 19),
        ("bytes=35-35", 35, 35),
        ("bytes=30-", 30, 35),
        ("bytes=0-", 0, 35),
        ("bytes=-5", 31, 35),
        ("bytes=-36", 0, 35),
        ("bytes=-1000", 0, 35),
        ("bytes=0-1000", 0, 35),
        ("bytes=5-18446744073709551615", 5, 35),
        ("bytes=0000-0009", 0, 9),
        ("Bytes=0-9", 0, 9),
    ] {
        let answer = ask(&proxy, "/", &[("Range", range)]);
        assert_eq!(answer.status, 206, "{range}: {}", answer.text());
        assert_slice(&answer, first, last);
    }
}

#[test]
fn the_query_parameter_means_the_same_as_the_field() {
    let (_upstream, proxy) = proxy();
    for (target, first, last) in [
        ("/?range=bytes=0-9", 0, 9),
        ("/?range=0-9", 0, 9),
        ("/?a=b&range=30-&c=d", 30, 35),
        ("/?range=-5", 31, 35),
        ("/?range=bytes%3D0-9", 0, 9),
    ] {
        let answer = ask(&proxy, target, &[]);
        assert_eq!(answer.status, 206, "{target}: {}", answer.text());
        assert_slice(&answer, first, last);
    }
    assert_slice(&ask(&proxy, "/?range=0-9", &[("Range", "bytes=0-9")]), 0, 9);
    assert_slice(
        &ask(&proxy, "/?range=bytes=00-9", &[("Range", "bytes=0-009")]),
        0,
        9,
    );
}

#[test]
fn field_and_parameter_that_differ_are_a_416() {
    let (upstream, proxy) = proxy();
    let answer = ask(&proxy, "/?range=0-9", &[("Range", "bytes=0-10")]);
    assert_eq!(answer.status, 416, "{}", answer.text());
    assert!(answer.text().len() > 10, "with a reason");
    assert!(
        upstream.received().is_empty(),
        "nobody has to be asked for that"
    );
}

#[test]
fn a_parameter_that_is_not_a_byte_range_belongs_to_the_application() {
    let (upstream, proxy) = proxy();
    for target in [
        "/?range=7d",
        "/?range=",
        "/?range",
        "/?range=a-b",
        "/?ranges=0-9",
        "/?arrange=0-9",
        "/?range=2020-01-01",
    ] {
        assert_whole(&ask(&proxy, target, &[]));
        assert_eq!(
            upstream.received().last().unwrap().target(),
            target,
            "the target goes on as it is"
        );
    }
    assert_slice(&ask(&proxy, "/?range=7d", &[("Range", "bytes=0-9")]), 0, 9);
}

#[test]
fn a_well_formed_range_outside_the_content_is_a_416() {
    let (_upstream, proxy) = proxy();
    for range in [
        "bytes=36-",
        "bytes=36-40",
        "bytes=1000-2000",
        "bytes=18446744073709551615-",
        "bytes=-0",
    ] {
        let answer = ask(&proxy, "/", &[("Range", range)]);
        assert_eq!(answer.status, 416, "{range}");
        assert_unsatisfiable(&answer);
    }
    assert_unsatisfiable(&ask(&proxy, "/?range=100-", &[]));
}

#[test]
fn a_malformed_range_is_ignored() {
    let (_upstream, proxy) = proxy();
    for range in [
        "bytes",
        "bytes=",
        "bytes=-",
        "bytes=9-0",
        "bytes=a-b",
        "bytes=0-9x",
        "bytes=+0-9",
        "bytes=0--9",
        "bytes=0 - 9",
        "bytes=0x0-0x9",
        "bytes 0-9",
        "0-9",
        "items=0-9",
        "bytes=0-9,x",
        "bytes=99999999999999999999999999-1",
        "",
    ] {
        let answer = ask(&proxy, "/", &[("Range", range)]);
        assert_eq!(answer.status, 200, "{range:?}: {}", answer.text());
        assert_whole(&answer);
    }
}

#[track_caller]
fn assert_unsatisfiable_empty(answer: &Response) {
    assert_eq!(
        (answer.status, answer.value("content-range").as_deref()),
        (416, Some("bytes */0"))
    );
}

#[test]
fn a_unit_that_is_not_known_does_not_contradict_the_parameter() {
    let (_upstream, proxy) = proxy();
    for unit in ["items=0-9", "seconds=5-", "none="] {
        assert_slice(&ask(&proxy, "/?range=0-9", &[("Range", unit)]), 0, 9);
        assert_whole(&ask(&proxy, "/", &[("Range", unit)]));
    }
}

#[test]
fn the_parameter_can_be_left_to_the_application() {
    let upstream = TestUpstream::replying(plain);
    let short = TestProxy::builder()
        .hosts_setting("range-parameter = false")
        .host("*", &[upstream.address()]);
    let long = TestProxy::builder()
        .pool_for_all(&[upstream.address()], &["range", "random"])
        .tables("[policies.range]\ndeadline = \"2s\"\nsettings = { parameter = false }");
    for proxy in [short.start(), long.start()] {
        assert_whole(&ask(&proxy, "/?range=0-9", &[]));
        assert_eq!(upstream.received().last().unwrap().target(), "/?range=0-9");
        assert_slice(&ask(&proxy, "/?range=0-9", &[("Range", "bytes=5-6")]), 5, 6);
    }
}

#[test]
fn if_range_decides_whether_a_range_counts() {
    let (_upstream, proxy) = proxy();
    let range = ("Range", "bytes=0-9");
    for same in ["\"v1\"", "Sun, 06 Nov 1994 08:49:37 GMT"] {
        assert_slice(&ask(&proxy, "/", &[range, ("If-Range", same)]), 0, 9);
    }
    for other in [
        "\"v2\"",
        "W/\"v1\"",
        "Sun, 06 Nov 1994 08:49:38 GMT",
        "Sat, 05 Nov 1994 08:49:37 GMT",
        "nonsense",
    ] {
        let answer = ask(&proxy, "/", &[range, ("If-Range", other)]);
        assert_eq!(answer.status, 200, "{other}");
        assert_whole(&answer);
    }
    // Weak validators never match (RFC 9110 section 13.1.5).
    assert_eq!(
        ask(&proxy, "/weak", &[range, ("If-Range", "W/\"v1\"")]).status,
        200
    );
    // A range that does not count can't lie outside either.
    assert_whole(&ask(
        &proxy,
        "/",
        &[("Range", "bytes=100-"), ("If-Range", "\"v2\"")],
    ));
}
