//! Bodies that end too early are never passed on as complete.

use crate::fixtures::{
    Gate, ReadError, Request, TestProxy, TestUpstream, eventually, get, response,
};

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
