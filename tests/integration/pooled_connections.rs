//! Connections to backends that are kept: how many, for how long, and what happens when one has
//! ended.

use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually, get, response};
use crate::retries::post;

/// What could not be sent again is sent on a pooled connection only after a look at whether that
/// has ended.
#[test]
fn a_request_that_can_not_be_repeated_takes_no_pooled_connection_that_has_ended() {
    let upstream = TestUpstream::start(|connection| {
        if connection.request().is_some() {
            connection.send(response("200 OK", &[], "once"));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for n in 1..=6 {
        match n % 2 {
            0 => client.send(post("hello")),
            _ => {
                client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhel");
                upstream.wait_for_heads(n);
                client.send("lo");
            }
        }
        assert_eq!(client.response_to("POST").text(), "once", "{n}");
        upstream.wait_until_unused_after(n);
    }
    assert_eq!(proxy.stat("/connections/upstream_reused"), 0);
}

/// A backend that ends each connection after so many responses without having said so.
fn closing_after(requests: usize) -> TestUpstream {
    TestUpstream::start(move |connection| {
        for _ in 0..requests {
            let Some(request) = connection.request() else {
                return;
            };
            connection.send(response("200 OK", &[], &request.body));
        }
        // A process that another test is starting may have a copy of the descriptor for a moment,
        // and a close says nothing then.
        connection.wire.half_close();
    })
}

#[test]
fn a_stale_pooled_connection_never_costs_a_request() {
    for requests in [1, 2, 3] {
        let upstream = closing_after(requests);
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        for n in 0..20 {
            // The close is in place before the next request goes out: POST can not be repeated once
            // it was sent.
            eventually("the backend has closed", || {
                (upstream.open_connections() == usize::from(n % requests != 0)).then_some(())
            });
            let body = format!("{n}");
            assert_eq!(
                client.ask(post(&body)).text(),
                body,
                "POST {n}, {requests} on each connection"
            );
        }
        assert_eq!(upstream.complete().len(), 20, "and none was sent twice");
    }
}

#[test]
fn a_pooled_connection_that_ends_under_a_request_is_tried_anew_if_that_is_safe() {
    let upstream = TestUpstream::start(|connection| {
        let Some(_) = connection.request() else {
            return;
        };
        connection.send(response("200 OK", &[], "first"));
        // The second request on a connection is read and left without an answer.
        connection.request();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for method in ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"] {
        for _ in 0..2 {
            let answer = client.ask(Request::new(method, "/").host("a.test").body("").bytes());
            assert_eq!(answer.status, 200, "{method}");
        }
    }
    // POST is sent once at most: the first meets the connection that the last request has left, the
    // second a new one.
    let before = upstream.received().len();
    let statuses: Vec<u16> = (0..2).map(|_| client.ask(post("once")).status).collect();
    assert_eq!(statuses, [502, 200]);
    assert_eq!(upstream.received().len(), before + 2, "none was sent twice");
}

#[test]
fn a_backend_that_says_close_is_taken_at_its_word() {
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            connection.send(response("200 OK", &[("Connection", "foo, CLOSE")], "ok"));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "ok");
    }
    assert_eq!(upstream.connections(), 3);
}

#[test]
fn an_idle_connection_to_a_backend_is_closed_after_its_time() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nupstream-idle = \"200ms\"")
        .start();
    assert_eq!(proxy.get("a.test", "/").text(), "a");
    upstream.wait_until_unused();
    assert_eq!(proxy.get("a.test", "/").text(), "a");
}

#[test]
fn idle_connections_to_a_backend_are_limited_in_number() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-idle = 2\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start();
    let mut clients: Vec<_> = (0..5).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|c| c.send(get("a.test", "/")));
    upstream.wait_for_heads(5);
    gate.open();
    clients
        .iter_mut()
        .for_each(|c| assert_eq!(c.response().text(), "ok"));
    eventually("two of five are kept", || {
        (upstream.open_connections() == 2).then_some(())
    });
}
