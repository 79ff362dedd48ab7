//! What is never compressed.

use super::{accepting, compressing, of_any_length, page, text};
use crate::fixtures::http2::{self, connected};
use crate::fixtures::{Framing, Request, TestUpstream};

const HTML: (&str, &str) = ("Content-Type", "text/html");

#[test]
fn a_response_that_is_not_to_be_changed_stays_as_it_is() {
    // Whether another client could get it compressed.
    for (status, fields, varies) in [
        (
            "200 OK",
            vec![HTML, ("Cache-Control", "public, no-transform")],
            false,
        ),
        ("200 OK", vec![HTML, ("Content-Encoding", "gzip")], false),
        (
            "200 OK",
            vec![HTML, ("Content-Encoding", "identity")],
            false,
        ),
        (
            "206 Partial Content",
            vec![HTML, ("Content-Range", "bytes 0-4999/9999")],
            true,
        ),
        (
            "200 OK",
            vec![HTML, ("Content-Range", "bytes 0-4999/9999")],
            true,
        ),
        ("200 OK", vec![("Content-Type", "image/png")], false),
        ("200 OK", vec![("Content-Type", "font/woff2")], false),
        (
            "200 OK",
            vec![("Content-Type", "application/grpc+proto")],
            false,
        ),
        ("200 OK", vec![("Content-Type", "textual/x")], false),
        ("200 OK", vec![HTML, HTML], false),
        ("200 OK", vec![], false),
    ] {
        let head = fields.clone();
        let upstream = TestUpstream::replying(move |request| page(request, status, &head));
        let proxy = compressing(&[upstream.address()], "true");
        let answer = proxy.ask(accepting("/", "gzip, br, zstd").bytes());
        assert!(answer.body == text(5_000), "{status} {fields:?}");
        assert_eq!(answer.framing, Framing::Length, "{status} {fields:?}");
        assert_eq!(answer.head.has("vary"), varies, "{status} {fields:?}");
        for (name, value) in fields {
            assert_eq!(answer.head.values(name)[0], value);
        }
    }
}

#[test]
fn nor_is_an_answer_to_a_request_that_wants_it_as_it_is() {
    let upstream = of_any_length();
    let proxy = compressing(&[upstream.address()], "true");
    let path = "/length/5000";
    let whole = |request: Request| {
        let answer = proxy.ask(request.bytes());
        assert!(answer.body == text(5_000));
        assert!(!answer.head.has("content-encoding"));
        assert_eq!(answer.value("vary").as_deref(), Some("accept-encoding"));
    };
    whole(accepting(path, "gzip").field("Cache-Control", "no-transform"));
    whole(accepting(path, "gzip").old());
    whole(
        accepting(path, "gzip")
            .field("Range", "bytes=0-9")
            .field("If-Range", "\"no\""),
    );
    let grpc = accepting(path, "gzip").field("Content-Type", "application/grpc");
    assert!(!proxy.ask(grpc.bytes()).head.has("content-encoding"));
}

/// A range is one of the form that is not encoded.
#[test]
fn a_range_is_cut_from_what_is_not_compressed() {
    let fields = [HTML, ("ETag", "\"abc\"")];
    let upstream = TestUpstream::replying(move |request| page(request, "200 OK", &fields));
    let proxy = compressing(&[upstream.address()], "true");
    let ranged = accepting("/", "gzip").field("Range", "bytes=10-19");
    let answer = proxy.ask(ranged.bytes());
    assert_eq!(answer.status, 206);
    assert_eq!(answer.body, &text(5_000)[10..20]);
    assert_eq!(
        answer.value("content-range").as_deref(),
        Some("bytes 10-19/5000")
    );
    assert_eq!(answer.value("etag").as_deref(), Some("\"abc\""));
    assert_eq!(answer.value("vary").as_deref(), Some("accept-encoding"));
    assert!(!answer.head.has("content-encoding"));
}

#[test]
fn answers_without_a_body_have_none() {
    for (head, method) in [
        (
            "HTTP/1.1 204 No Content\r\nContent-Type: text/html\r\n\r\n",
            "GET",
        ),
        (
            "HTTP/1.1 304 Not Modified\r\nContent-Type: text/html\r\n\r\n",
            "GET",
        ),
        ("HTTP/1.1 200 OK\r\nContent-Type: text/html\r\n\r\n", "HEAD"),
    ] {
        let upstream = TestUpstream::answering(head);
        let proxy = compressing(&[upstream.address()], "true");
        let request = Request::new(method, "/").host("a.test");
        let mut client = proxy.client();
        let bytes = request.field("Accept-Encoding", "gzip").bytes();
        for _ in 0..2 {
            let answer = client.ask(&bytes);
            assert!(
                answer.framing == Framing::None && answer.body.is_empty(),
                "{head}"
            );
            assert_eq!(
                answer.head.has("content-encoding"),
                method == "HEAD",
                "{head}"
            );
        }
        connected(&proxy, async |client| {
            let mut request = http2::request(method, "a.test", "/");
            let value = "gzip".parse().unwrap();
            request.headers_mut().insert("accept-encoding", value);
            assert!(client.ask(request, b"").await.unwrap().body.is_empty());
        });
    }
}

#[test]
fn a_connection_that_changes_its_protocol_is_left_alone() {
    let upstream = TestUpstream::start(|connection| {
        if connection.head().is_some() {
            connection.send(
                "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
                 Content-Type: text/html\r\n\r\nhello",
            );
            connection.wait_for_close();
        }
    });
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    let request = accepting("/", "gzip").field("Connection", "upgrade");
    client.send(request.field("Upgrade", "websocket").bytes());
    let (status, head) = client.head();
    assert_eq!(
        (status, head.has("content-encoding"), head.has("vary")),
        (101, false, false)
    );
    assert_eq!(client.wire.length(5).unwrap(), b"hello");
}
