//! Byte ranges (RFC 9110 section 14), by header and by the `range` query parameter, with backends
//! that can and can't.

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

/// The parts of a `multipart/byteranges` answer: content type, content range, content.
fn parts(answer: &Response) -> Vec<(String, String, Vec<u8>)> {
    assert_eq!(answer.status, 206, "{}", answer.text());
    assert_eq!(answer.value("content-range"), None, "each part has its own");
    assert_eq!(
        answer.value("content-length"),
        Some(answer.body.len().to_string())
    );
    let kind = answer.value("content-type").unwrap();
    let boundary = kind
        .strip_prefix("multipart/byteranges; boundary=")
        .unwrap_or_else(|| panic!("{kind}"));
    assert!(
        boundary.len() >= 24 && boundary.bytes().all(|b| b.is_ascii_alphanumeric()),
        "{boundary}"
    );
    let text = String::from_utf8(answer.body.clone()).unwrap();
    let inner = text
        .strip_prefix(&format!("--{boundary}\r\n"))
        .unwrap_or_else(|| panic!("{text}"));
    let inner = inner
        .strip_suffix(&format!("\r\n--{boundary}--\r\n"))
        .unwrap_or_else(|| panic!("{text}"));
    let part = |part: &str| {
        let (head, content) = part.split_once("\r\n\r\n").unwrap();
        let value = |name: &str| {
            let named = head
                .lines()
                .filter_map(|l| l.split_once(": "))
                .filter(|(n, _)| n.eq_ignore_ascii_case(name));
            named
                .map(|(_, value)| value.to_owned())
                .collect::<Vec<_>>()
                .join("|")
        };
        (
            value("content-type"),
            value("content-range"),
            content.as_bytes().to_vec(),
        )
    };
    inner
        .split(&format!("\r\n--{boundary}\r\n"))
        .map(part)
        .collect()
}

#[track_caller]
fn assert_parts(answer: &Response, slices: &[(usize, usize)]) {
    let expected = |(first, last): &(usize, usize)| {
        let range = format!("bytes {first}-{last}/{}", CONTENT.len());
        (
            "text/plain".to_owned(),
            range,
            CONTENT[*first..=*last].to_vec(),
        )
    };
    assert_eq!(
        parts(answer),
        slices.iter().map(expected).collect::<Vec<_>>()
    );
}

#[test]
fn several_ranges_are_several_parts_of_one_answer() {
    let (upstream, proxy) = proxy();
    let mut client = proxy.client();
    for (range, slices) in [
        ("bytes=0-1,5-6", &[(0, 1), (5, 6)][..]),
        ("bytes=0-1, 30-", &[(0, 1), (30, 35)]),
        ("bytes=-3,0-0", &[(0, 0), (33, 35)]),
        ("bytes=20-24,0-4,10-14", &[(0, 4), (10, 14), (20, 24)]),
        (
            "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14",
            &[
                (0, 0),
                (2, 2),
                (4, 4),
                (6, 6),
                (8, 8),
                (10, 10),
                (12, 12),
                (14, 14),
            ],
        ),
        ("bytes=0-9,5-14,20-29", &[(0, 14), (20, 29)]),
        ("bytes=0-1,100-200,5-6", &[(0, 1), (5, 6)]),
    ] {
        let answer = client.ask(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", range)
                .bytes(),
        );
        assert_parts(&answer, slices);
    }
    assert_parts(&ask(&proxy, "/?range=0-1,5-6", &[]), &[(0, 1), (5, 6)]);
    assert_eq!(
        upstream.received()[0].value("range").as_deref(),
        Some("bytes=0-1, 5-6"),
        "the backend might be able to"
    );
    // No two answers have the same boundary.
    let kind = || ask(&proxy, "/", &[("Range", "bytes=0-1,5-6")]).value("content-type");
    assert_ne!(kind(), kind());
}

#[test]
fn ranges_that_join_are_one_part_and_too_many_are_the_whole() {
    let (_upstream, proxy) = proxy();
    for (range, first, last) in [
        ("bytes=0-4,5-9", 0, 9),
        ("bytes=5-9,0-6", 0, 9),
        ("bytes=0-9,3-4", 0, 9),
        ("bytes=3-9,100-,50-60", 3, 9),
        ("bytes=-5,31-", 31, 35),
    ] {
        assert_slice(&ask(&proxy, "/", &[("Range", range)]), first, last);
    }
    let nine: Vec<_> = (0..9).map(|n| format!("{0}-{0}", n * 2)).collect();
    assert_whole(&ask(
        &proxy,
        "/",
        &[("Range", &format!("bytes={}", nine.join(",")))],
    ));
    assert_whole(&ask(&proxy, "/", &[("Range", "bytes=0-,0-,0-,0-")]));
    assert_unsatisfiable(&ask(&proxy, "/", &[("Range", "bytes=36-40,50-,-0")]));
}

#[test]
fn several_ranges_need_a_length_a_get_and_a_condition_that_holds() {
    let (_upstream, proxy) = proxy();
    let range = ("Range", "bytes=0-1,5-6");
    let answer = ask(&proxy, "/unknown-length", &[range]);
    assert_eq!((answer.status, answer.body.as_slice()), (200, CONTENT));
    assert_eq!(ask(&proxy, "/missing", &[range]).status, 404);
    assert_unsatisfiable_empty(&ask(&proxy, "/empty", &[range]));
    let head = proxy.ask(
        Request::new("HEAD", "/")
            .host("a.test")
            .field(range.0, range.1)
            .bytes(),
    );
    assert_eq!(
        (head.status, head.value("content-length")),
        (200, Some(CONTENT.len().to_string()))
    );
    assert_whole(&ask(&proxy, "/", &[range, ("If-Range", "\"v2\"")]));
    assert_parts(
        &ask(&proxy, "/", &[range, ("If-Range", "\"v1\"")]),
        &[(0, 1), (5, 6)],
    );
    // A client would decode what stands between the parts as well.
    let upstream =
        TestUpstream::answering(response("200 OK", &[("Content-Encoding", "gzip")], CONTENT));
    let encoded = TestProxy::in_front_of(&upstream);
    assert_eq!(ask(&encoded, "/", &[range]).status, 200);
    assert_eq!(ask(&encoded, "/", &[("Range", "bytes=0-1")]).status, 206);
}

#[track_caller]
fn assert_unsatisfiable_empty(answer: &Response) {
    assert_eq!(
        (answer.status, answer.value("content-range").as_deref()),
        (416, Some("bytes */0"))
    );
}

#[test]
fn a_part_drops_the_digests_of_the_whole_content_and_keeps_those_of_the_representation() {
    let fields = [
        ("Content-Digest", "sha-256=:AAAA:"),
        ("Content-MD5", "AAAA"),
        ("Repr-Digest", "sha-256=:BBBB:"),
        ("Digest", "sha-256=BBBB"),
        ("ETag", "\"v1\""),
        ("Accept-Ranges", "none"),
        ("Content-Type", "text/plain"),
    ];
    let upstream = TestUpstream::answering(response("200 OK", &fields, CONTENT));
    let proxy = TestProxy::in_front_of(&upstream);
    for range in ["bytes=0-9", "bytes=0-9,20-29"] {
        let answer = ask(&proxy, "/", &[("Range", range)]);
        assert_eq!(answer.status, 206);
        assert_eq!(
            answer.value("accept-ranges").as_deref(),
            Some("bytes"),
            "{range}"
        );
        for (name, value) in &fields[..5] {
            let expected = (!name.starts_with("Content-")).then(|| (*value).to_owned());
            assert_eq!(answer.value(name), expected, "{range}: {name}");
        }
    }
    let whole = ask(&proxy, "/", &[]);
    for (name, value) in &fields {
        assert_eq!(
            whole.value(name).as_deref(),
            Some(*value),
            "the whole is not touched"
        );
    }
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
fn very_many_ranges_are_bounded() {
    let (_upstream, proxy) = proxy();
    let many: Vec<String> = (0..2_000).map(|n| format!("{n}-{n}")).collect();
    let answer = ask(
        &proxy,
        "/",
        &[("Range", &format!("bytes={}", many.join(",")))],
    );
    assert!(matches!(answer.status, 200 | 416), "{}", answer.status);
    assert!(answer.body.len() <= 4_096);
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

#[test]
fn only_a_get_that_is_answered_200_with_a_known_length_is_cut() {
    let (_upstream, proxy) = proxy();
    let range = ("Range", "bytes=0-9");
    for (target, status) in [
        ("/missing", 404),
        ("/created", 201),
        ("/unknown-length", 200),
    ] {
        let answer = ask(&proxy, target, &[range]);
        assert_eq!(
            (answer.status, answer.body.as_slice()),
            (status, CONTENT),
            "{target}"
        );
        assert_eq!(answer.value("content-range"), None);
    }
    let head = proxy.ask(
        Request::new("HEAD", "/")
            .host("a.test")
            .field(range.0, range.1)
            .bytes(),
    );
    assert_eq!(
        (head.status, head.value("content-length")),
        (200, Some(CONTENT.len().to_string()))
    );
    let post = proxy.ask(
        Request::new("POST", "/")
            .host("a.test")
            .field(range.0, range.1)
            .body("x")
            .bytes(),
    );
    assert_whole(&post);
}

#[test]
fn an_empty_representation_has_no_byte_to_give() {
    let (_upstream, proxy) = proxy();
    assert_unsatisfiable_empty(&ask(&proxy, "/empty", &[("Range", "bytes=0-")]));
}

#[test]
fn a_backend_that_supports_ranges_cuts_them_itself() {
    let upstream = TestUpstream::replying(|request| match request.value("range").as_deref() {
        Some("bytes=0-9") => response(
            "206 Partial Content",
            &[("Content-Range", "bytes 0-9/1000")],
            "its own 10",
        ),
        Some("bytes=5000-") => response(
            "416 Range Not Satisfiable",
            &[("Content-Range", "bytes */1000")],
            "its no",
        ),
        other => response("200 OK", &[], format!("{other:?}")),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for (target, fields) in [
        ("/", &[("Range", "bytes=0-9")][..]),
        ("/?range=0-9", &[]),
        ("/?range=bytes=0-9", &[]),
    ] {
        let answer = ask(&proxy, target, fields);
        assert_eq!(
            (answer.status, answer.text().as_str()),
            (206, "its own 10"),
            "{target}"
        );
        assert_eq!(
            answer.value("content-range").as_deref(),
            Some("bytes 0-9/1000")
        );
    }
    let answer = ask(&proxy, "/", &[("Range", "bytes=5000-")]);
    assert_eq!((answer.status, answer.text().as_str()), (416, "its no"));
}

#[test]
fn a_large_body_is_cut_in_a_stream_and_the_connection_goes_on() {
    let large: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    let upstream = TestUpstream::answering(response("200 OK", &[], &large));
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let range = "bytes=100000-1099999,2000000-2999999";
    let answer = client.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("Range", range)
            .bytes(),
    );
    assert_eq!(answer.status, 206);
    assert!(
        (2_000_000..2_000_500).contains(&answer.body.len()),
        "{}",
        answer.body.len()
    );
    for part in [&large[100_000..1_100_000], &large[2_000_000..]] {
        assert!(answer.body.windows(part.len()).any(|window| window == part));
    }
    for (first, last) in [(1_000_000, 1_999_999), (2_999_999, 2_999_999), (0, 0)] {
        let range = format!("bytes={first}-{last}");
        let answer = client.ask(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", &range)
                .bytes(),
        );
        assert_eq!(answer.status, 206);
        assert!(answer.body == large[first..=last], "{range}");
    }
    assert_eq!(
        client.ask(crate::fixtures::get("a.test", "/")).body.len(),
        large.len()
    );
}

/// A call of a policy is the dearest part of most requests.
#[test]
fn only_requests_that_may_mean_a_range_ask_the_policy_for_it() {
    let (_upstream, proxy) = proxy();
    let range = |method: &str, target: &str| {
        Request::new(method, target)
            .host("a.test")
            .field("Range", "bytes=0-1")
    };
    let plain = |method: &str, target: &str| Request::new(method, target).host("a.test");
    for (request, asked) in [
        (plain("GET", "/"), 0),
        (plain("GET", "/?a=b"), 0),
        (plain("POST", "/?range=0-1").body("x"), 0),
        (range("POST", "/").body("x"), 0),
        (range("DELETE", "/"), 0),
        (range("GET", "/"), 1),
        (range("HEAD", "/"), 2),
        (plain("GET", "/?range=0-1"), 3),
        (plain("GET", "/?r%61nge=0-1"), 4),
        (plain("GET", "/"), 4),
    ] {
        proxy.ask(request.bytes());
        assert_eq!(proxy.stat("/policies/range/calls"), asked);
    }
}

#[test]
fn a_route_without_the_range_policy_leaves_ranges_to_the_backend() {
    let upstream = TestUpstream::replying(plain);
    let proxy = TestProxy::builder()
        .pool_for_all(&[upstream.address()], &["random"])
        .start();
    assert_whole(&ask(&proxy, "/", &[("Range", "bytes=0-9")]));
    assert_eq!(
        upstream.received()[0].value("range").as_deref(),
        Some("bytes=0-9")
    );
    assert_whole(&ask(&proxy, "/?range=0-9", &[("Range", "bytes=5-6")]));
}

#[test]
fn a_slice_of_a_response_that_is_cut_short_is_incomplete() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 36\r\n\r\n01234");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for range in ["bytes=0-9", "bytes=20-29", "bytes=0-1,20-29"] {
        let mut client = proxy.client();
        client.send(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", range)
                .bytes(),
        );
        match client.try_response_to("GET") {
            Ok(answer) => assert_eq!(answer.status, 502, "{range}"),
            Err(error) => assert!(
                !matches!(error, crate::fixtures::ReadError::TimedOut),
                "{range}: {error:?}"
            ),
        }
    }
}
