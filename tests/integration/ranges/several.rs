//! Several ranges of one request.

use super::{
    CONTENT, ask, assert_slice, assert_unsatisfiable, assert_unsatisfiable_empty, assert_whole,
    proxy,
};
use crate::fixtures::{Request, Response, TestProxy, TestUpstream, response};

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
