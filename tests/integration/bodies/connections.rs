//! What comes after a body on the client's connection.

use crate::fixtures::{Framing, Request, TestProxy, TestUpstream, chunked, get, response};

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
