//! What the head of a compressed response says.

use super::{accepting, compressing, content, page, text};
use crate::fixtures::{Request, TestUpstream};

const FIELDS: [(&str, &str); 8] = [
    ("Content-Type", "application/json; charset=utf-8"),
    ("ETag", "\"abc\""),
    ("Accept-Ranges", "bytes"),
    ("Content-MD5", "Q2hlY2sgSW50ZWdyaXR5IQ=="),
    ("Content-Digest", "sha-256=:YQ==:"),
    ("Repr-Digest", "sha-256=:YQ==:"),
    ("Vary", "Origin"),
    ("Last-Modified", "Sun, 06 Nov 1994 08:49:37 GMT"),
];

#[test]
fn the_head_is_that_of_another_form_of_the_same() {
    let upstream = TestUpstream::replying(|request| page(request, "200 OK", &FIELDS));
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    for method in ["GET", "HEAD"] {
        let request = Request::new(method, "/").host("a.test");
        let answer = client.ask(request.field("Accept-Encoding", "gzip").bytes());
        let value = |name: &str| answer.head.values(name).join(" | ");
        assert_eq!(value("content-encoding"), "gzip", "{method}");
        assert_eq!(value("etag"), "W/\"abc\"", "{method}");
        assert_eq!(value("vary"), "Origin | accept-encoding", "{method}");
        assert_eq!(value("last-modified"), FIELDS[7].1, "{method}");
        let gone = ["content-length", "accept-ranges", "content-md5"];
        for name in gone.iter().chain(&["content-digest", "repr-digest"]) {
            assert!(!answer.head.has(name), "{method} {name}");
        }
    }
    for method in ["GET", "HEAD"] {
        let request = Request::new(method, "/").host("a.test");
        let answer = client.ask(request.field("Accept-Encoding", "gzip;q=0").bytes());
        for (name, value) in FIELDS.into_iter().filter(|(name, _)| *name != "Vary") {
            assert_eq!(
                answer.value(name).as_deref(),
                Some(value),
                "{method} {name}"
            );
        }
        assert_eq!(
            answer.value("content-length").as_deref(),
            Some("5000"),
            "{method}"
        );
        assert_eq!(
            answer.head.values("vary"),
            ["Origin", "accept-encoding"],
            "{method}"
        );
    }
}

#[test]
fn a_weak_tag_stays_and_what_varies_already_is_not_said_twice() {
    let fields = [
        ("Content-Type", "Text/HTML"),
        ("ETag", "W/\"abc\""),
        ("Vary", "Origin, Accept-Encoding"),
    ];
    let upstream = TestUpstream::replying(move |request| page(request, "404 Not Found", &fields));
    let proxy = compressing(&[upstream.address()], "true");
    let answer = proxy.ask(accepting("/", "br").bytes());
    assert_eq!(answer.status, 404);
    assert_eq!(answer.value("etag").as_deref(), Some("W/\"abc\""));
    assert_eq!(
        answer.value("vary").as_deref(),
        Some("Origin, Accept-Encoding")
    );
    assert!(content(&answer) == text(5_000));
}

/// A cache that holds the compressed form asks by its weak tag.
#[test]
fn a_304_names_the_tag_that_was_asked_for() {
    let upstream = TestUpstream::answering("HTTP/1.1 304 Not Modified\r\nETag: \"abc\"\r\n\r\n");
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    for (asked, named) in [("W/\"abc\"", "W/\"abc\""), ("\"abc\"", "\"abc\"")] {
        let request = accepting("/", "gzip").field("If-None-Match", asked);
        let answer = client.ask(request.bytes());
        assert_eq!(
            (answer.status, answer.value("etag").as_deref()),
            (304, Some(named))
        );
        assert_eq!(answer.value("vary").as_deref(), Some("accept-encoding"));
    }
}
