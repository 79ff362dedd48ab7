//! The end of a connection whose client may be sending still: its answer arrives, and the
//! connection does not last.

use std::time::Duration;

use crate::early_answers::{BOTH, Framed, body, head};
use crate::fixtures::{Client, Gate, Request, TestProxy, TestUpstream, eventually, get, response};

#[test]
fn a_client_that_is_turned_away_reads_why() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nconnections-per-client = 1")
        .start();
    let mut held = proxy.client();
    assert_eq!(held.ask(get("a.test", "/")).status, 200);
    for framed in BOTH {
        let mut client = proxy.client();
        client.send(head("/", "a.test", "", framed, 1 << 20));
        client.send(body(framed, 1 << 20));
        client.response_to("POST").assert_refusal(429);
        client.assert_closed();
    }
}

/// A client that goes on sending has its connection for so long and no longer, however often it
/// sends.
#[test]
fn lingering_has_a_limit_in_time() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[timeouts]\nlinger = \"300ms\"")
        .start();
    let mut client = proxy.client();
    client.send(head("/", "b.test", "", Framed::Length, 1 << 40));
    assert_eq!(client.response_to("POST").status, 404);
    let closed = Gate::new();
    let seen = closed.clone();
    // Ends with the first byte that is refused; a proxy that reads for ever keeps the gate shut.
    std::thread::spawn(move || {
        while client.wire.send(b"more").is_ok() {
            std::thread::sleep(Duration::from_millis(5));
        }
        seen.open();
    });
    closed.wait();
    eventually("its place is free", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn without_lingering_a_connection_is_closed_at_once() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[timeouts]\nlinger = \"0s\"\ndrain = \"10m\"")
        .start();
    let mut client = proxy.client();
    client.send(head("/", "b.test", "", Framed::Length, 1 << 40));
    eventually("its place is free", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn lingering_connections_count_and_a_stop_does_not_wait_for_them() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[limits]\nconnections = 3\n[timeouts]\nlinger = \"10m\"\ndrain = \"10m\"")
        .start();
    let mut clients: Vec<Client> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(head("/", "b.test", "", Framed::Length, 1 << 40));
        assert_eq!(client.response_to("POST").status, 404);
    }
    let mut fourth = proxy.client();
    fourth.send_what_is_taken(get("a.test", "/"));
    assert_eq!(fourth.response().status, 503);
    let stop = Gate::new();
    let stopped = stop.clone();
    // One of them sends on and on.
    let mut busy = clients.pop().unwrap();
    let sender = std::thread::spawn(move || {
        while busy.wire.send(&[b'x'; 1_000]).is_ok() {
            std::thread::sleep(Duration::from_millis(2));
        }
        stopped.open();
    });
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    stop.wait();
    sender.join().unwrap();
}

/// The client has asked for the last answer of its connection and sends on: what it sends must not
/// reset the answer.
#[test]
fn an_answer_that_ends_its_connection_survives_what_comes_after_its_request() {
    let upstream = TestUpstream::answering(response("200 OK", &[], vec![b'a'; 300_000]));
    let proxy = TestProxy::in_front_of(&upstream);
    for _ in 0..5 {
        let mut client = proxy.client();
        let last = Request::new("GET", "/")
            .host("a.test")
            .field("Connection", "close")
            .bytes();
        client.send([last, get("a.test", "/beyond").repeat(1_000)].concat());
        assert_eq!(client.response().body.len(), 300_000);
    }
    assert!(upstream.received().iter().all(|r| r.target() == "/"));
}
