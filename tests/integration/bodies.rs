//! Bodies: framed anew on each side, streamed, complete or visibly not.

use std::sync::Arc;

use crate::fixtures::{
    Framing, Gate, ReadError, Request, TestProxy, TestUpstream, chunked, eventually, get, response,
};

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
fn a_client_that_expects_100_gets_it_before_it_sends_its_body() {
    let upstream = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            if head.head.lists("expect", "100-continue") {
                connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let Some(request) = connection.body() else {
                return;
            };
            connection.send(response("200 OK", &[], &request.body));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        assert_eq!(client.head().0, 100);
        client.send("hello");
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(answer.interim.is_empty(), "one 100 is enough");
    }
}

#[test]
fn a_client_that_expects_100_may_get_a_final_answer_in_its_place() {
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection
            .send("HTTP/1.1 401 Who Are You\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let mut answer = client.response();
    answer.interim.retain(|head| !head.start.contains(" 100 "));
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    assert!(answer.interim.is_empty());
}

#[test]
fn a_client_that_expects_100_is_refused_before_it_sends() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: b.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!(answer.status, 404);
    assert!(answer.interim.is_empty());
    assert!(
        answer.closes(),
        "else the body could be taken for a request"
    );
}

#[test]
fn early_hints_are_forwarded_to_clients_of_http_1_1() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Private\r\nX-Private: 1\r\n\r\n";
    let upstream =
        TestUpstream::answering([hints.as_bytes(), &response("200 OK", &[], "done")].concat());
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.get("a.test", "/");
    assert_eq!(answer.text(), "done");
    assert_eq!(answer.interim.len(), 1);
    assert!(answer.interim[0].start.contains(" 103"));
    assert_eq!(
        answer.interim[0].value("link").as_deref(),
        Some("</a.css>; rel=preload")
    );
    assert!(!answer.interim[0].has("x-private"));
    let old = proxy.ask(Request::new("GET", "/").old().host("a.test").bytes());
    assert_eq!(old.text(), "done");
    assert!(old.interim.is_empty(), "HTTP/1.0 knows no 1xx");
}

#[test]
fn an_http_1_0_client_gets_no_chunks_and_the_connection_ends() {
    let upstream = TestUpstream::answering(
        [
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".as_slice(),
            &chunked([b"hello".as_slice(), b" world"]),
        ]
        .concat(),
    );
    let proxy = TestProxy::in_front_of(&upstream);
    for keep in ["close", "keep-alive"] {
        let mut client = proxy.client();
        let answer = client.ask(
            Request::new("GET", "/")
                .old()
                .host("a.test")
                .field("Connection", keep)
                .bytes(),
        );
        assert_eq!(
            (answer.framing, answer.text().as_str()),
            (Framing::UntilClose, "hello world")
        );
    }
}

#[test]
fn an_http_1_0_client_may_keep_its_connection() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(
            Request::new("GET", "/")
                .old()
                .field("Connection", "keep-alive")
                .bytes(),
        );
        assert_eq!(answer.text(), "a");
        assert!(
            answer.head.lists("connection", "keep-alive"),
            "it has to be told"
        );
    }
    let last = client.ask(Request::new("GET", "/").old().bytes());
    assert_eq!(last.text(), "a");
    client.assert_closed();
}

#[test]
fn a_client_that_says_close_gets_it() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let answer = client.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("Connection", "Close")
            .bytes(),
    );
    assert!(answer.closes());
    client.assert_closed();
}

#[test]
fn pipelined_requests_are_answered_in_order() {
    let upstream = TestUpstream::replying(|r| {
        response(
            "200 OK",
            &[],
            [r.target().as_bytes(), b" ", &r.body].concat(),
        )
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let post =
        |path: &str, body: &str| Request::new("POST", path).host("a.test").body(body).bytes();
    let chunks = Request::new("PUT", "/3")
        .host("a.test")
        .chunks([b"th".as_slice(), b"ree"])
        .bytes();
    client.send(
        [
            get("a.test", "/1"),
            post("/2", "two"),
            chunks,
            get("a.test", "/4"),
            post("/5", "five"),
        ]
        .concat(),
    );
    for expected in ["/1 ", "/2 two", "/3 three", "/4 ", "/5 five"] {
        assert_eq!(client.response().text(), expected);
    }
}

#[test]
fn a_bad_request_behind_good_ones_ends_the_connection_after_their_answers() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(
        [
            get("a.test", "/1"),
            get("a.test", "/2"),
            b"GET /3\r\n\r\n".to_vec(),
            get("a.test", "/4"),
        ]
        .concat(),
    );
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 200);
    assert_eq!(client.response().status, 400);
    client.assert_closed();
    assert_eq!(upstream.received().len(), 2);
}

#[test]
fn a_client_that_half_closes_after_its_request_still_gets_its_answer() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            opened.wait();
            connection.send(response("200 OK", &[], &request.body));
        }
    });
    let tables = "[limits]\nhalf-close = \"allow\"";
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(tables)
        .start();
    let mut client = proxy.client();
    client.send(
        Request::new("POST", "/")
            .host("a.test")
            .body("hello")
            .bytes(),
    );
    client.half_close();
    upstream.wait_for_heads(1);
    gate.open();
    assert_eq!(client.response().text(), "hello");
    client.assert_closed();
}

#[test]
fn a_client_that_vanishes_during_its_upload_leaves_an_incomplete_request_and_nothing_else() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n5\r\nhello\r\n"
        ));
        upstream.wait_for_heads(1);
        client.reset();
        upstream.wait_until_unused();
    }
    assert!(upstream.complete().is_empty());
    assert_eq!(
        proxy
            .ask(
                Request::new("POST", "/")
                    .host("a.test")
                    .body("still")
                    .bytes()
            )
            .text(),
        "still"
    );
    eventually("the requests are over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
}

#[test]
fn a_client_that_ends_its_upload_early_in_good_order_leaves_it_incomplete_too() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    for framing in ["Content-Length: 100000", "Transfer-Encoding: chunked"] {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n5\r\nhello\r\n"
        ));
        client.half_close();
        if let Ok(answer) = client.try_response_to("POST") {
            assert_eq!(answer.status, 400);
        }
        upstream.wait_until_unused();
    }
    assert!(upstream.complete().is_empty());
}

#[test]
fn a_client_that_vanishes_while_it_waits_frees_the_backend() {
    let closed = Gate::new();
    let seen = closed.clone();
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        // Not the end of its patience.
        if !matches!(connection.wire.until_close(), Err(ReadError::TimedOut)) {
            seen.open();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    upstream.wait_for_heads(1);
    client.reset();
    closed.wait();
    eventually("the request is over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
}

/// What a client gets when the backend ends like this in the middle of its response.
fn cut_short(
    start: &'static str,
    reset: bool,
    old_client: bool,
) -> Result<crate::fixtures::Response, ReadError> {
    let arrived = Gate::new();
    let seen = arrived.clone();
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        connection.send(start);
        seen.wait();
        if reset {
            connection.reset();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let request = Request::new("GET", "/").host("a.test");
    client.send(if old_client {
        request.old().bytes()
    } else {
        request.bytes()
    });
    // The head is through before the backend vanishes; else a 502 would be the right answer.
    let head = client.wire.head().unwrap();
    arrived.open();
    client.wire.buffer.splice(0..0, head.raw);
    client.try_response_to("GET")
}

#[test]
fn a_backend_that_vanishes_during_its_response_leaves_it_visibly_incomplete() {
    for start in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n64\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n",
    ] {
        for reset in [false, true] {
            let result = cut_short(start, reset, false);
            assert!(
                matches!(&result, Err(ReadError::Incomplete(_))),
                "{start:?}: {result:?}"
            );
        }
    }
}

#[test]
fn a_response_until_close_that_is_reset_is_not_passed_on_as_complete() {
    let result = cut_short("HTTP/1.1 200 OK\r\n\r\nhello", true, false);
    assert!(
        matches!(&result, Err(ReadError::Incomplete(_))),
        "{result:?}"
    );
}

/// HTTP/1.0 has no other sign of incompleteness than a reset where the length is not known.
#[test]
fn an_http_1_0_client_learns_as_well_that_a_chunked_response_was_cut_short() {
    let result = cut_short(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
        false,
        true,
    );
    assert!(
        matches!(&result, Err(ReadError::Incomplete(_))),
        "{result:?}"
    );
}

#[test]
fn garbage_in_a_chunked_response_ends_it_as_incomplete() {
    for body in [
        "5\r\nhello\r\nzz\r\n",
        "5\r\nhelloX",
        "-1\r\n",
        "5\nhello\n0\n\n",
        "5\r\nhello\r\n0\r\nno colon\r\n\r\n",
    ] {
        let start = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        // Known before the client has been sent anything: it can be told.
        let upstream = TestUpstream::answering(format!("{start}{body}"));
        TestProxy::in_front_of(&upstream)
            .get("a.test", "/")
            .assert_refusal(502);
        upstream.wait_until_unused();
        // Known too late for that.
        let begun = Gate::new();
        let opened = begun.clone();
        let upstream = TestUpstream::start(move |connection| {
            connection.request();
            connection.send(format!("{start}5\r\nfirst\r\n"));
            opened.wait();
            connection.send(body);
            connection.wait_for_close();
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        let (status, head) = client.head();
        assert_eq!(status, 200);
        client.wire.buffer.splice(0..0, head.raw);
        begun.open();
        let ended = client.try_response_to("GET");
        assert!(
            matches!(ended, Err(ReadError::Incomplete(_) | ReadError::Reset)),
            "{body:?}: {ended:?}"
        );
        upstream.wait_until_unused();
    }
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

#[test]
fn an_upload_goes_on_after_an_early_answer_when_both_sides_do() {
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
            let Some(request) = connection.body() else {
                return;
            };
            let rest = format!("{:x}\r\n", request.body.len());
            connection.send([rest.as_bytes(), &request.body, b"\r\n0\r\n\r\n"].concat());
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    let (status, head) = client.head();
    assert_eq!(status, 200);
    client.send("world");
    client.wire.buffer.splice(0..0, head.raw);
    assert_eq!(client.response().text(), "earlyhelloworld");
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
