//! Requests with an expectation that are sent a second time, and backends that don't agree.

use std::time::Duration;

use super::{CONTINUE, EXPECTS, expecting};
use crate::fixtures::{Gate, TestProxy, TestUpstream, get, response};

/// A backend of two connections: the first one ends without an answer, and the request is sent
/// again.
fn second_time(first: fn(&mut crate::fixtures::Connection)) -> TestUpstream {
    TestUpstream::start(move |connection| {
        if connection.index == 0 {
            return first(connection);
        }
        if connection.head().is_some() {
            connection.send(CONTINUE);
            if let Some(request) = connection.body() {
                connection.send(response("200 OK", &[], &request.body));
            }
        }
    })
}

#[test]
fn a_client_is_asked_for_its_body_once_however_often_the_request_is_sent() {
    let put = |head: &str| head.replacen("POST", "PUT", 1);
    // Before any of the body was read: the second attempt expects as well.
    for (head, body) in expecting() {
        let upstream = second_time(|connection| {
            connection.head();
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(put(head));
        assert_eq!(client.head().0, 100);
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
        assert!(
            upstream
                .received()
                .iter()
                .all(|r| r.head.lists("expect", "100-continue"))
        );
        assert_eq!(upstream.received().len(), 2);
    }
    // After it was: the body is in hand, and nobody waits any more.
    for (head, body) in expecting() {
        let upstream = second_time(|connection| {
            connection.request();
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(put(head));
        assert_eq!(client.head().0, 100, "after a while");
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
        let expects: Vec<bool> = upstream
            .received()
            .iter()
            .map(|r| r.head.has("expect"))
            .collect();
        assert_eq!(expects, [true, false]);
    }
}

/// A backend that refuses an expectation may take a body that comes all the same for a request.
#[test]
fn the_connection_of_a_backend_that_did_not_agree_to_the_body_is_not_used_again() {
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send(response("403 Forbidden", &[], "no"));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let smuggled = get("a.test", "/smuggled");
    let head = format!(
        "POST /first HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        smuggled.len()
    );
    let mut client = proxy.client();
    client.send([head.as_bytes(), &smuggled].concat());
    assert_eq!(client.response().status, 403);
    let others = upstream.received().len();
    assert_eq!(proxy.get("b.test", "/other").text(), "no");
    let received = upstream.received();
    let other = received[others..]
        .iter()
        .find(|r| r.target() == "/other")
        .unwrap();
    assert_ne!(other.connection, received[0].connection);
}

/// After the answer the client has all the time to read it, and what it sends is for nobody.
#[test]
fn a_refusal_that_takes_long_is_not_cut_by_the_time_for_the_body() {
    let (answering, go) = (Gate::new(), Gate::new());
    let (begun, wait) = (answering.clone(), go.clone());
    let upstream = TestUpstream::start(move |connection| {
        if connection.head().is_some() {
            connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno");
            begun.open();
            wait.wait();
            connection.send(b"no");
            assert!(connection.body().is_none(), "nobody asked for it");
        }
    });
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nbody-read = \"300ms\"")
        .start();
    let mut client = proxy.client();
    client.send(EXPECTS);
    let (status, head) = client.head();
    assert_eq!(status, 403);
    answering.wait();
    // Longer than the body may take; and then it comes after all.
    std::thread::sleep(Duration::from_millis(1_000));
    client.send("hello");
    go.open();
    client.wire.buffer.splice(0..0, head.raw);
    assert_eq!(client.response().text(), "nono");
}
