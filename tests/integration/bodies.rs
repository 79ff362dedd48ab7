//! Bodies: framed anew on each side, streamed, complete or visibly not.

mod broken_off;
mod connections;
mod waiting_clients;

use std::sync::Arc;

use crate::fixtures::{Framing, Gate, Request, TestProxy, TestUpstream, get, response};

/// Bytes that no mistake in framing or order leaves as they were.
fn pattern(len: usize) -> Vec<u8> {
    (0..len)
        .map(|i| (i.wrapping_mul(2_654_435_761) >> 13) as u8)
        .collect()
}

#[test]
fn bodies_of_all_sizes_cross_both_ways() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for size in [0, 1, 2, 1_023, 16_384, 16_385, 65_536, 1_000_003] {
        let body = pattern(size);
        let answer = client.ask(Request::new("POST", "/").host("a.test").body(&body).bytes());
        assert!(
            answer.body == body,
            "{size} bytes came back as {}",
            answer.body.len()
        );
        assert_eq!(answer.framing, Framing::Length);
    }
    assert_eq!(
        upstream.connections(),
        1,
        "all on one kept-alive connection"
    );
}

#[test]
fn chunked_uploads_cross_in_any_cut() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let body = pattern(100_000);
    for cut in [1_000, 7, 4_096, 65_537, 100_000] {
        let answer = client.ask(
            Request::new("POST", "/")
                .host("a.test")
                .chunks(body.chunks(cut))
                .bytes(),
        );
        assert!(answer.body == body, "in chunks of {cut}");
    }
    assert!(upstream.received().iter().all(|r| r.chunked));
}

#[test]
fn a_request_may_arrive_byte_by_byte() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let request = Request::new("POST", "/slow")
        .host("a.test")
        .chunks([b"hel".as_slice(), b"lo"])
        .bytes();
    for byte in request {
        client.send([byte]);
    }
    assert_eq!(client.response().text(), "hello");
    assert_eq!(upstream.only_request().target(), "/slow");
}

#[test]
fn chunked_responses_stay_chunked_and_lose_their_extensions() {
    let upstream = TestUpstream::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5;secret=1\r\nhello\r\n006\r\n world\r\n0;x\r\n\r\n",
    );
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(get("a.test", "/"));
        assert_eq!(
            (answer.framing, answer.text().as_str()),
            (Framing::Chunked, "hello world")
        );
    }
    assert_eq!(
        upstream.connections(),
        1,
        "the connection is reused after a chunked response"
    );
}

#[test]
fn a_response_that_ends_with_its_connection_gets_another_framing() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\n\r\nuntil the end");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(get("a.test", "/"));
        assert_eq!(
            (answer.framing, answer.text().as_str()),
            (Framing::Chunked, "until the end")
        );
    }
}

#[test]
fn an_http_1_0_backend_is_served_with_1_1() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nhi");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "hi");
    }
    assert_eq!(upstream.connections(), 2, "HTTP/1.0 closes by default");
}

#[test]
fn trailers_cross_both_ways_but_for_those_that_would_change_the_message() {
    let upstream = TestUpstream::answering(
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 42\r\nContent-Length: 9\r\nSet-Cookie: a=b\r\n\r\n",
    );
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(
        b"POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: TE\r\nTransfer-Encoding: chunked\r\nTrailer: X-Check\r\n\r\n2\r\nhi\r\n0\r\nX-Check: 7\r\nTransfer-Encoding: x\r\nHost: evil.test\r\n\r\n",
    );
    let named = |trailers: &[(String, Vec<u8>)]| -> Vec<String> {
        trailers
            .iter()
            .map(|(n, v)| format!("{}={}", n.to_ascii_lowercase(), String::from_utf8_lossy(v)))
            .collect()
    };
    let request = upstream.only_request();
    assert_eq!(named(&request.trailers), ["x-check=7"]);
    assert!(
        request.head.lists("te", "trailers"),
        "the backend may send some"
    );
    assert!(
        request.head.lists("connection", "te"),
        "a TE field is of this hop (RFC 9110 section 10.1.4)"
    );
    assert_eq!(answer.text(), "hello");
    assert_eq!(named(&answer.trailers), ["x-sum=42"]);
}

#[test]
fn a_head_response_keeps_its_length_and_has_no_body() {
    let upstream = TestUpstream::replying(|request| match request.method() {
        "HEAD" => b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n".to_vec(),
        _ => response("200 OK", &[], "after"),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let head = client.ask(Request::new("HEAD", "/").host("a.test").bytes());
    assert_eq!(
        (head.status, head.value("content-length").as_deref()),
        (200, Some("1000"))
    );
    assert_eq!(
        client.ask(get("a.test", "/")).text(),
        "after",
        "both connections go on"
    );
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_head_response_without_a_length_has_no_body_either() {
    let upstream = TestUpstream::replying(|request| match request.method() {
        "HEAD" => b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
        _ => response("200 OK", &[], "after"),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    assert_eq!(
        client
            .ask(Request::new("HEAD", "/").host("a.test").bytes())
            .status,
        200
    );
    assert_eq!(client.ask(get("a.test", "/")).text(), "after");
}

#[test]
fn no_content_and_not_modified_have_no_body() {
    let upstream = TestUpstream::replying(|request| match request.target() {
        "/204" => b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
        "/304" => {
            b"HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\nContent-Length: 1000\r\n\r\n".to_vec()
        }
        _ => response("200 OK", &[], "after"),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/204")).status, 204);
    let unchanged = client.ask(get("a.test", "/304"));
    assert_eq!(
        (unchanged.status, unchanged.value("etag").as_deref()),
        (304, Some("\"a\""))
    );
    assert_eq!(client.ask(get("a.test", "/")).text(), "after");
}

#[test]
fn an_answer_before_the_end_of_the_upload_reaches_the_client() {
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection
            .send("HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nno!");
        connection.wire.half_close();
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10000000\r\n\r\nhello");
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_str()), (413, "no!"));
}

/// A backend that begins its answer before it reads the body, and ends it with the body.
pub fn answering_early() -> TestUpstream {
    TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
            let Some(request) = connection.body() else {
                return;
            };
            let rest = format!("{:x}\r\n", request.body.len());
            connection.send([rest.as_bytes(), &request.body, b"\r\n0\r\n\r\n"].concat());
        }
    })
}

/// A client that sends the second half of its body once it has the head of the answer.
pub fn assert_answered_early(proxy: &TestProxy) {
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    let (status, head) = client.head();
    assert_eq!(status, 200);
    client.send("world");
    client.wire.buffer.splice(0..0, head.raw);
    assert_eq!(client.response().text(), "earlyhelloworld");
}

#[test]
fn an_upload_goes_on_after_an_early_answer_when_both_sides_do() {
    let upstream = answering_early();
    let proxy = TestProxy::in_front_of(&upstream);
    assert_answered_early(&proxy);
}

#[test]
fn a_backend_that_streams_is_heard_piece_by_piece() {
    let gates: Arc<Vec<Gate>> = Arc::new((0..3).map(|_| Gate::new()).collect());
    let scripted = Arc::clone(&gates);
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n");
        for (gate, byte) in scripted.iter().zip(["a", "b", "c"]) {
            gate.wait();
            connection.send(byte);
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    assert_eq!(client.head().0, 200, "the head does not wait for the body");
    for (gate, byte) in gates.iter().zip([b"a", b"b", b"c"]) {
        gate.open();
        assert_eq!(client.wire.length(1).unwrap(), byte);
    }
}
