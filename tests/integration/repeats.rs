//! How often a request is sent: again where a connection had ended under it, and never more often
//! than it may be.

use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, get, response};

/// A pool of one backend with this many attempts that is never ejected.
fn pool_of(upstream: &TestUpstream, attempts: u32) -> TestProxy {
    TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nattempts = {attempts}\nmax-failures = 0\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start()
}

/// A backend that holds `/held` until the gate opens, and closes the connection on `/kill`.
fn killable(gate: &Gate) -> TestUpstream {
    let opened = gate.clone();
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            match request.target() {
                "/kill" => return,
                "/held" => opened.wait(),
                _ => {}
            }
            connection.send(response("200 OK", &[], "ok"));
        }
    })
}

#[test]
fn a_request_that_ends_its_backends_connections_is_sent_as_often_as_it_has_attempts() {
    for attempts in [1, 3] {
        let gate = Gate::new();
        let upstream = killable(&gate);
        let proxy = pool_of(&upstream, attempts);
        let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
        clients
            .iter_mut()
            .for_each(|client| client.send(get("a.test", "/held")));
        upstream.wait_for_heads(10);
        gate.open();
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.response().status, 200));

        let kills = || {
            upstream
                .received()
                .iter()
                .filter(|r| r.target() == "/kill")
                .count()
        };
        proxy.get("a.test", "/kill").assert_refusal(502);
        assert_eq!(
            kills(),
            (attempts as usize).max(2),
            "one pooled connection, then new ones, one in any case; {attempts} attempts"
        );
        assert_eq!(
            proxy.get("a.test", "/").status,
            200,
            "the other pooled connections are there still"
        );
        // What is not idempotent is sent once, be it over a pooled connection or a new one.
        let before = kills();
        proxy
            .ask(
                Request::new("POST", "/kill")
                    .host("a.test")
                    .body("x")
                    .bytes(),
            )
            .assert_refusal(502);
        assert_eq!(kills(), before + 1, "POST");
    }
}

/// A backend that takes `taken` bytes of the body of the second request on its first connection,
/// and then closes that.
fn closing_within_the_second_body(taken: u64) -> TestUpstream {
    TestUpstream::start(move |connection| {
        if connection.index == 0 {
            connection.request();
            connection.send(response("200 OK", &[], "first"));
            connection.head();
            let _ = connection.wire.length(taken);
            return;
        }
        while let Some(request) = connection.request() {
            connection.send(response("200 OK", &[], &request.body));
        }
    })
}

/// The answer to a request whose body comes in two segments, between which the backend closes the
/// pooled connection that carries it. The second segment is sent once the backend has been asked
/// again, if `again`.
fn interrupted(
    method: &str,
    framing: &str,
    first: &[u8],
    second: &[u8],
    again: bool,
) -> (u16, Vec<u8>) {
    let upstream = closing_within_the_second_body(first.len() as u64);
    let proxy = pool_of(&upstream, 2);
    assert_eq!(proxy.get("a.test", "/").text(), "first");
    let mut client = proxy.client();
    client.send(format!(
        "{method} / HTTP/1.1\r\nHost: a.test\r\n{framing}\r\n\r\n"
    ));
    client.send(first);
    upstream.wait_for_heads(if again { 3 } else { 2 });
    client.send_what_is_taken(second);
    let answer = client.response_to(method);
    assert_eq!(
        upstream.received().len(),
        if again { 3 } else { 2 },
        "{method} {framing}"
    );
    (answer.status, answer.body)
}

#[test]
fn a_body_in_two_segments_is_sent_again_like_one_in_one() {
    for method in ["PUT", "DELETE"] {
        let (status, body) = interrupted(method, "Content-Length: 10", b"hello", b"world", true);
        assert_eq!(
            (status, body.as_slice()),
            (200, b"helloworld".as_slice()),
            "{method}"
        );
    }
    let chunked = "Transfer-Encoding: chunked";
    let (status, body) = interrupted(
        "PUT",
        chunked,
        b"5\r\nhello\r\n",
        b"5\r\nworld\r\n0\r\n\r\n",
        true,
    );
    assert_eq!(
        (status, body.as_slice()),
        (200, b"helloworld".as_slice()),
        "chunked"
    );
}

#[test]
fn a_body_is_sent_again_as_long_as_all_that_was_sent_is_in_hand() {
    let piece = |n: usize| vec![b'x'; n];
    let (most, more) = (64 * 1024, 64 * 1024 + 1);
    let (status, body) = interrupted(
        "PUT",
        &format!("Content-Length: {}", most + 1),
        &piece(most),
        b"y",
        true,
    );
    assert_eq!((status, body.len()), (200, most + 1));
    let (status, _) = interrupted(
        "PUT",
        &format!("Content-Length: {}", more + 1),
        &piece(more),
        b"y",
        false,
    );
    assert_eq!(status, 502, "a byte more than is kept");
}

#[test]
fn a_request_that_is_not_idempotent_is_not_sent_again_in_two_segments_either() {
    for method in ["POST", "PATCH"] {
        let (status, _) = interrupted(method, "Content-Length: 10", b"hello", b"world", false);
        assert_eq!(status, 502, "{method}");
    }
}

#[test]
fn trailers_are_sent_again_as_well() {
    let upstream = TestUpstream::start(|connection| {
        if connection.index == 0 {
            connection.request();
            connection.send(response("200 OK", &[], "first"));
            connection.request();
            return;
        }
        while let Some(request) = connection.request() {
            connection.send(response("200 OK", &[], &request.body));
        }
    });
    let proxy = pool_of(&upstream, 1);
    assert_eq!(proxy.get("a.test", "/").text(), "first");
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n");
    assert_eq!(client.response().text(), "hi");
    let received = upstream.complete();
    assert_eq!(received.len(), 3);
    for request in &received[1..] {
        assert_eq!(
            (request.body.as_slice(), request.trailers.len()),
            (b"hi".as_slice(), 1)
        );
    }
    assert_eq!(
        client.ask(get("a.test", "/")).status,
        200,
        "the connection goes on"
    );
}
