//! `max-connections` and uploads whose bodies come slowly: they never hold all connections.

use std::time::Duration;

use crate::bodies::{answering_early, assert_answered_early};
use crate::fixtures::{Client, Gate, Request, TestProxy, TestUpstream, guest};
use crate::queueing::{held_by, pool_of, wait_for_active};

/// Clients that have begun an upload of ten bytes and go no further.
fn slow_uploads(proxy: &TestProxy, count: u64) -> Vec<Client> {
    let begin = |_| {
        let mut client = proxy.client();
        client.send("POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
        client
    };
    let clients = (0..count).map(begin).collect();
    wait_for_active(proxy, count);
    clients
}

#[test]
fn slow_uploads_take_no_connection_before_their_bodies_are_there() {
    let upstream = TestUpstream::echo();
    let proxy = pool_of(
        &upstream,
        1,
        "max-connections = 2\nbody-wait = \"1h\"\n[timeouts]\nbody-read = \"1h\"",
    );
    let mut slow = slow_uploads(&proxy, 20);
    // In chunks as well.
    let mut chunked = proxy.client();
    chunked.send(
        "PUT /slow HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    );
    wait_for_active(&proxy, 21);
    for _ in 0..3 {
        assert_eq!(proxy.get("a.test", "/quick").status, 200);
    }
    assert!(
        upstream.received().iter().all(|r| r.target() == "/quick"),
        "no upload has come so far"
    );
    slow[7].send("world");
    assert_eq!(slow[7].response().text(), "helloworld");
    chunked.send("5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(chunked.response().text(), "helloworld");
    // A large body is under way as soon as a buffer is full.
    let large = vec![b'x'; 100_000];
    assert_eq!(
        proxy
            .ask(
                Request::new("POST", "/")
                    .host("a.test")
                    .body(&large)
                    .bytes()
            )
            .body,
        large
    );
}

#[test]
fn slow_uploads_never_hold_all_connections() {
    let upstream = TestUpstream::echo();
    let keys = "max-connections = 2\nbody-wait = \"50ms\"\nqueue-timeout = \"1h\"\n[timeouts]\nbody-read = \"1h\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut slow = slow_uploads(&proxy, 10);
    upstream.wait_for_heads(1);
    let uploads = || {
        upstream
            .received()
            .iter()
            .filter(|r| r.target() == "/slow")
            .count()
    };
    for _ in 0..5 {
        assert_eq!(proxy.get("a.test", "/quick").status, 200);
        assert_eq!(uploads(), 1, "one of two places");
    }
    for client in &mut slow {
        client.send("world");
    }
    slow.iter_mut()
        .for_each(|client| assert_eq!(client.response().text(), "helloworld"));
}

#[test]
fn a_client_that_waits_for_the_response_within_its_upload_is_not_waited_for_in_turn() {
    let upstream = answering_early();
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nbody-wait = \"50ms\"");
    assert_answered_early(&proxy);
}

#[test]
fn a_client_that_expects_100_is_not_waited_for() {
    let upstream = TestUpstream::agreeing();
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nbody-wait = \"1h\"");
    let mut client = proxy.client();
    client
        .wire
        .stream
        .set_read_timeout(Some(Duration::from_secs(20)))
        .unwrap();
    client.send(
        "PUT / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    assert_eq!(client.head().0, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
}

/// Neither is slow for having sent nothing with its head, nor for expecting 100 and not waiting for
/// it.
#[test]
fn an_upload_whose_body_comes_a_little_later_is_waited_for_and_takes_no_place_of_slow_ones() {
    let upstream = TestUpstream::echo();
    let keys = "max-connections = 2\nbody-wait = \"1h\"\nqueue-timeout = \"1h\"\n[timeouts]\nbody-read = \"1h\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut slow = proxy.client();
    slow.send(
        "PUT /slow HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    upstream.wait_for_heads(1);
    for (fields, first, rest) in [("", "", "hello"), ("Expect: 100-continue\r\n", "hel", "lo")] {
        let mut late = proxy.client();
        late.send(format!(
            "PUT /late HTTP/1.1\r\nHost: a.test\r\n{fields}Content-Length: 5\r\n\r\n{first}"
        ));
        wait_for_active(&proxy, 2);
        late.send(rest);
        assert_eq!(
            late.response_to("PUT").text(),
            "hello",
            "{fields:?}: there is a place"
        );
        wait_for_active(&proxy, 1);
    }
    slow.send("hello");
    assert_eq!(slow.response_to("PUT").text(), "hello");
}

/// Of uploads that have only begun: the place elsewhere does not spare them the wait, nor others
/// their places.
#[test]
fn slow_uploads_in_their_last_attempt_never_hold_all_connections_either() {
    let gate = Gate::new();
    let upstreams = [held_by(&gate), held_by(&gate)];
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\", \"{}\"]\nattempts = 1\nmax-connections = 2\nqueue-timeout = \"1h\"\n\
             body-wait = \"0s\"\nslow-client = \"0s\"\n[timeouts]\nbody-read = \"1h\"\n\
             [[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"",
            upstreams[0].address(),
            upstreams[1].address()
        ))
        .start();
    let mut active = 0;
    let mut begin = |start: &str| {
        let mut client = proxy.client();
        client.send(format!("{start}Host: a.test\r\nX-Probe-Select: pick=0\r\n"));
        client.send(if start.starts_with("POST") {
            "Content-Length: 10\r\n\r\nhello"
        } else {
            "\r\n"
        });
        active += 1;
        wait_for_active(&proxy, active);
        client
    };
    let mut held = [(); 2].map(|()| begin("GET /held HTTP/1.1\r\n"));
    upstreams[0].wait_for_heads(2);
    let mut slow = [(); 2].map(|()| begin("POST /slow HTTP/1.1\r\n"));
    let mut whole = begin("GET /whole HTTP/1.1\r\n");
    gate.open();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.response().text(), "/held"));
    assert_eq!(whole.response().text(), "/whole");
    slow.iter_mut().for_each(|client| client.send("world"));
    slow.iter_mut()
        .for_each(|client| assert_eq!(client.response_to("POST").text(), "/slow"));
    assert!(upstreams[1].received().is_empty());
}
