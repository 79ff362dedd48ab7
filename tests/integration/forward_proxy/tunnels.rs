//! CONNECT: what goes through, how tunnels end, and how many there are.

use std::net::{IpAddr, Ipv4Addr};

use super::{
    THIS_MACHINE, address, assert_open, client, connect_with, forwarding, refused, tunnel,
};
use crate::fixtures::{Client, Gate, ReadError, TestUpstream, eventually, refusing_address};
use crate::upgrades::echo;

fn echoing() -> TestUpstream {
    TestUpstream::start(echo)
}

#[test]
fn bytes_go_both_ways_and_those_behind_the_head_are_the_tunnels() {
    let upstream = echoing();
    let proxy = forwarding(THIS_MACHINE).start();
    let mut tunnelled = client(&proxy);
    // What looks like a second request is none.
    let smuggled = "GET http://127.0.0.1:1/ HTTP/1.1\r\nHost: x\r\n\r\n";
    let to = upstream.address().to_string();
    tunnelled.send(connect_with(&to, "") + smuggled);
    assert_open(&mut tunnelled);
    let back = tunnelled.wire.length(smuggled.len() as u64).unwrap();
    assert_eq!(back, smuggled.as_bytes());
    tunnelled.send([0, 255, 13, 10]);
    assert_eq!(tunnelled.wire.length(4).unwrap(), [0, 255, 13, 10]);
    assert_eq!(proxy.stat("/forward/tunnels_active"), 1);
    tunnelled.half_close();
    assert_eq!(tunnelled.wire.until_close().unwrap(), b"");
    let line = proxy.logged(&["\"method\":\"CONNECT\"", "\"status\":200"]);
    let port = format!("\"port\":{}", upstream.address().port());
    let target = format!("\"target\":\"{to}\"");
    assert!(line.contains(&port) && line.contains(&target), "{line}");
    let bytes = smuggled.len() as u64 + 4;
    proxy.wait_for_stat("/forward/tunnels_active", 0);
    assert_eq!(proxy.stat("/forward/tunnel_bytes_from_clients"), bytes);
    assert_eq!(proxy.stat("/forward/tunnel_bytes_to_clients"), bytes);
    assert_eq!(proxy.stat("/forward/requests"), 1);
    assert_eq!(proxy.stat("/forward/tunnels"), 1);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn each_side_may_end_its_direction_and_still_hear_the_other() {
    let upstream = TestUpstream::start(|connection| {
        assert_eq!(connection.wire.until_close().unwrap(), b"all that there is");
        connection.send("an answer to all of it");
    });
    let proxy = forwarding(THIS_MACHINE).start();
    let mut tunnelled = tunnel(&proxy, upstream.address());
    tunnelled.send("all that there is");
    tunnelled.half_close();
    let answer = tunnelled.wire.until_close().unwrap();
    assert_eq!(answer, b"an answer to all of it");

    let upstream = TestUpstream::start(|connection| {
        connection.send("the whole story");
        connection.wire.half_close();
        assert_eq!(connection.wire.until_close().unwrap(), b"thanks");
    });
    let mut tunnelled = tunnel(&proxy, upstream.address());
    assert_eq!(tunnelled.wire.until_close().unwrap(), b"the whole story");
    tunnelled.send("thanks");
    tunnelled.half_close();
    upstream.wait_until_unused();
}

#[test]
fn a_reset_goes_through_and_a_side_that_says_nothing_is_left() {
    let proxy = forwarding(&format!(
        "{THIS_MACHINE}\n[timeouts]\ntunnel-idle = \"300ms\"\nlinger = \"200ms\""
    ))
    .start();
    let upstream = TestUpstream::start(|connection| {
        connection.wire.length(1).unwrap();
        connection.reset();
    });
    let mut tunnelled = tunnel(&proxy, upstream.address());
    tunnelled.send("x");
    let end = tunnelled.wire.length(1);
    assert!(matches!(end, Err(ReadError::Incomplete(_))), "{end:?}");

    // Both are silent.
    let upstream = TestUpstream::start(|connection| connection.wait_for_close());
    let mut tunnelled = tunnel(&proxy, upstream.address());
    assert_eq!(tunnelled.wire.until_close().unwrap(), b"");
    proxy.logged(&["the tunnel was idle for too long"]);
    // One has ended, and the other neither sends nor ends.
    let held = Gate::new();
    let until = held.clone();
    let upstream = TestUpstream::start(move |_| until.wait());
    let mut tunnelled = tunnel(&proxy, upstream.address());
    tunnelled.half_close();
    assert_eq!(tunnelled.wire.until_close().unwrap(), b"");
    proxy.logged(&["one side of the tunnel ended, and the other did not follow"]);
    held.open();
}

#[test]
fn a_connect_with_a_body_is_refused_and_its_connection_ends() {
    let upstream = echoing();
    let proxy = forwarding(THIS_MACHINE).start();
    let to = upstream.address().to_string();
    for lines in ["Content-Length: 5\r\n", "Transfer-Encoding: chunked\r\n"] {
        let mut client = client(&proxy);
        client.send(connect_with(&to, lines) + "hello");
        let response = client.response_to("CONNECT");
        assert_eq!(response.status, 400, "{lines}");
        client.assert_closed();
    }
    assert_eq!(upstream.connections(), 0);
    let mut client = client(&proxy);
    client.send(connect_with(&to, "Content-Length: 0\r\n"));
    assert_open(&mut client);
}

#[test]
fn a_destination_that_nobody_serves_is_a_502_and_the_next_address_is_tried() {
    let (_held, nobody) = refusing_address();
    let proxy = forwarding(THIS_MACHINE).start();
    let (status, text) = refused(&proxy, &nobody.to_string());
    assert_eq!(status, 502, "{text}");
    assert_eq!(proxy.stat("/forward/refused/unreachable"), 1);
    assert_eq!(proxy.stat("/forward/tunnels"), 0);
}

#[test]
fn one_client_has_no_more_tunnels_than_it_may() {
    let upstream = echoing();
    let limits = "tunnels = 3\ntunnels-per-client = 2";
    let proxy = forwarding(&format!("{THIS_MACHINE}\n{limits}")).start();
    let to = upstream.address();
    let first = tunnel(&proxy, to);
    let _second = tunnel(&proxy, to);
    let (status, text) = refused(&proxy, &to.to_string());
    assert_eq!(
        (status, text.contains("This client")),
        (429, true),
        "{text}"
    );
    // Another one may have one more, and then nobody.
    let from = |last| {
        let from = IpAddr::from(Ipv4Addr::new(127, 0, 0, last));
        let mut client = Client::connect_from(from, address(&proxy));
        client.send(connect_with(&to.to_string(), ""));
        client
    };
    let mut other = from(2);
    assert_open(&mut other);
    assert_eq!(from(3).response_to("CONNECT").status, 503);
    assert_eq!(proxy.stat("/forward/refused/tunnels"), 2);
    // The kernel takes a connection before the backend does.
    eventually("all have arrived", || {
        (upstream.connections() == 3).then_some(())
    });
    drop(first);
    eventually("a place", || {
        let mut client = client(&proxy);
        client.send(connect_with(&to.to_string(), ""));
        (client.head().0 == 200).then_some(())
    });
}

#[test]
fn tunnels_end_with_the_time_to_drain() {
    let upstream = echoing();
    let mut proxy = forwarding(&format!("{THIS_MACHINE}\n[timeouts]\ndrain = \"300ms\"")).start();
    let _open = tunnel(&proxy, upstream.address());
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    proxy.logged(&["the tunnel was open when the time to drain was over"]);
}
