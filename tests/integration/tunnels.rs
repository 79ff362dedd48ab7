//! What is behind a 101: bytes both ways, how they end, and what they cost.

use std::io::Write;
use std::time::{Duration, Instant};

use crate::fixtures::{Gate, ReadError, TestProxy, TestUpstream, eventually, get, guest};
use crate::queueing::pool_of;
use crate::upgrades::{asking, echo, switched, taking};

/// A proxy with these time-outs.
pub fn patient(upstream: &TestUpstream, timeouts: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(&format!("[timeouts]\n{timeouts}"))
        .start()
}

#[test]
fn each_side_may_end_its_direction_and_still_hear_the_other() {
    let upstream = taking(|connection| {
        assert_eq!(connection.wire.until_close().unwrap(), b"all that there is");
        connection.send("an answer to all of it");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = switched(&proxy);
    client.send("all that there is");
    client.half_close();
    assert_eq!(
        client.wire.until_close().unwrap(),
        b"an answer to all of it"
    );

    let upstream = taking(|connection| {
        connection.send("the whole story");
        connection.wire.half_close();
        assert_eq!(connection.wire.until_close().unwrap(), b"thanks");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = switched(&proxy);
    assert_eq!(client.wire.until_close().unwrap(), b"the whole story");
    client.send("thanks");
    client.half_close();
    upstream.wait_until_unused();
}

#[test]
fn a_reset_of_one_side_resets_the_other_and_is_not_held_against_the_backend() {
    let upstream = taking(|connection| connection.reset());
    let proxy = TestProxy::in_front_of(&upstream);
    for _ in 0..5 {
        let mut client = switched(&proxy);
        assert!(
            matches!(client.wire.length(1), Err(ReadError::Incomplete(_))),
            "nothing comes"
        );
    }
    proxy.logged(&["\"status\":101", "the backend broke the tunnel off"]);
    let failures = format!("/backends/{}/failures", upstream.address());
    assert_eq!(proxy.stat(&failures), 0);

    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = taking(move |connection| {
        connection.send("hello");
        // The end of a reset connection is no end in good order.
        if matches!(connection.wire.until_close(), Err(ReadError::Incomplete(_))) {
            opened.open();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = switched(&proxy);
    assert_eq!(client.wire.length(5).unwrap(), b"hello");
    client.reset();
    ended.wait();
    proxy.logged(&["\"status\":101", "the client broke the tunnel off"]);
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends_after_its_own_time_out() {
    let upstream = taking(echo);
    // Neither of the time-outs of requests is its own.
    let proxy = patient(
        &upstream,
        "tunnel-idle = \"1s\"\nidle = \"50ms\"\nresponse = \"50ms\"\nbody-read = \"50ms\"",
    );
    let mut client = switched(&proxy);
    // Bytes give it the time again, for longer than it is.
    let (began, mut sent) = (Instant::now(), 0);
    while began.elapsed() < Duration::from_millis(1_200) {
        client.send("x");
        assert_eq!(client.wire.length(1).unwrap(), b"x");
        sent += 1;
    }
    assert_eq!(client.wire.until_close().unwrap(), b"");
    upstream.wait_until_unused();
    let line = proxy.logged(&["\"status\":101", "the tunnel was idle for too long"]);
    let bytes = format!("\"bytes_from_client\":{sent},\"bytes_to_client\":{sent}");
    assert!(line.contains(&bytes), "{line}");
}

#[test]
fn a_side_that_has_ended_does_not_keep_the_other_for_longer_than_it_may_linger() {
    let kept = Gate::new();
    let opened = kept.clone();
    let upstream = taking(move |_| opened.wait());
    let proxy = patient(&upstream, "linger = \"100ms\"");
    let mut client = switched(&proxy);
    client.half_close();
    assert_eq!(client.wire.until_close().unwrap(), b"");
    eventually("the tunnel is over", || {
        (proxy.stat("/tunnels/active") == 0).then_some(())
    });
    proxy.logged(&["one side of the tunnel ended, and the other did not follow"]);
    kept.open();
}

#[test]
fn a_client_that_reads_nothing_holds_its_backend_up_and_no_memory_of_the_proxy() {
    // More than the kernel takes for both connections.
    const LOT: usize = 64 << 20;
    let (stuck, sent) = (Gate::new(), std::sync::Arc::new(std::sync::Mutex::new(0)));
    let (opened, counted) = (stuck.clone(), std::sync::Arc::clone(&sent));
    let upstream = taking(move |connection| {
        let stream = &mut connection.wire.stream;
        // As soon as the kernel has taken nothing for so long, nobody reads.
        stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        let (mut taken, piece) = (0, vec![b'x'; 1 << 20]);
        while taken < LOT {
            match stream.write(&piece) {
                Ok(n) => taken += n,
                Err(_) => break,
            }
        }
        *counted.lock().unwrap() = taken;
        opened.open();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = switched(&proxy);
    let before = proxy.resident_kib();
    stuck.wait();
    let taken = *sent.lock().unwrap();
    assert!(taken < LOT, "all of it was taken");
    let grown = proxy.resident_kib().saturating_sub(before);
    assert!(grown < 4 * 1024, "{grown} KiB for {taken} bytes that wait");
    let read = client.wire.until_close().unwrap();
    assert_eq!(read.len(), taken);
    assert!(read.iter().all(|b| *b == b'x'));
}

#[test]
fn a_side_that_takes_nothing_is_given_as_long_as_an_idle_tunnel() {
    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = taking(move |connection| {
        while connection.send(vec![b'x'; 1 << 20]) {}
        opened.open();
    });
    let proxy = patient(&upstream, "tunnel-idle = \"300ms\"");
    let client = switched(&proxy);
    ended.wait();
    drop(client);
    // Its kernel may have made room in the meantime, so that it was idle in the end.
    proxy.logged(&["\"status\":101", "for too long"]);
}

#[test]
fn tunnels_are_counted_while_they_are_open_and_logged_when_they_end() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut clients = [switched(&proxy), switched(&proxy)];
    let in_flight = format!("/backends/{}/in_flight", upstream.address());
    let count = |active: u64| {
        eventually("the tunnels are counted", || {
            let stats = proxy.stats();
            let number = |pointer: &str| stats.pointer(pointer).unwrap().as_u64().unwrap();
            let counts = [
                number("/tunnels/opened"),
                number("/tunnels/active"),
                number("/requests/by_status/101"),
                number("/requests/active"),
                number(&in_flight),
            ];
            (counts == [2, active, 2, 0, active]).then_some(())
        });
    };
    count(2);
    for (client, message) in clients.iter_mut().zip(["hello", "hello again"]) {
        client.send(message);
        let n = message.len() as u64;
        assert_eq!(client.wire.length(n).unwrap(), message.as_bytes());
    }
    assert!(!proxy.stdout.text().contains("101"), "they are not over");
    let [first, second] = clients;
    drop(first);
    let line = proxy.logged(&[
        "\"status\":101",
        "\"bytes_from_client\":5,\"bytes_to_client\":5",
    ]);
    let backend = format!("\"backend\":\"{}\"", upstream.address());
    for part in [
        "\"method\":\"GET\"",
        "\"host\":\"a.test\"",
        "\"target\":\"/chat\"",
        &backend,
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("reason"), "{line}");
    count(1);
    drop(second);
    proxy.logged(&["\"bytes_from_client\":11,\"bytes_to_client\":11"]);
    count(0);
    let metrics = proxy
        .admin(crate::fixtures::Request::new("GET", "/metrics"))
        .text();
    for line in ["waypost_tunnels_opened_total 2", "waypost_tunnels_active 0"] {
        assert!(metrics.contains(line), "{line} in {metrics}");
    }
}

#[test]
fn a_tunnel_holds_a_place_among_limited_connections_and_no_waiting_request_ends_it() {
    let upstream = taking(echo);
    let keys = "max-connections = 1\nqueue-timeout = \"400ms\"\nslow-client = \"50ms\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut client = switched(&proxy);
    proxy.get("a.test", "/").assert_refusal(503);
    client.send("still here");
    assert_eq!(client.wire.length(10).unwrap(), b"still here");
    let mut waiting = proxy.client();
    waiting.send(get("a.test", "/"));
    drop(client);
    assert_eq!(waiting.response().text(), "plain", "its place is free");
}

#[test]
fn tunnels_are_given_the_time_of_a_drain_and_are_ended_then() {
    let upstream = taking(echo);
    let mut proxy = patient(&upstream, "drain = \"500ms\"");
    let (mut idle, mut busy) = (switched(&proxy), switched(&proxy));
    proxy.signal("TERM");
    eventually("new connections are refused", || {
        std::net::TcpStream::connect(proxy.address())
            .is_err()
            .then_some(())
    });
    busy.send("last words");
    assert_eq!(busy.wire.length(10).unwrap(), b"last words");
    assert_eq!(idle.wire.until_close().unwrap(), b"");
    assert_eq!(busy.wire.until_close().unwrap(), b"");
    assert_eq!(proxy.exit_code(), 0);
    let line = "the tunnel was open when the time to drain was over";
    assert_eq!(proxy.stdout.whole().matches(line).count(), 2);
}

#[test]
fn a_tunnel_that_ends_by_itself_does_not_keep_a_drain() {
    let upstream = taking(echo);
    let mut proxy = patient(&upstream, "drain = \"10m\"");
    let client = switched(&proxy);
    proxy.signal("TERM");
    drop(client);
    assert_eq!(proxy.exit_code(), 0);
}

/// Each generation has an instance on the one worker, for as long as a request may need it.
#[test]
fn an_open_tunnel_keeps_no_policy_that_was_replaced() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .file("mine.wasm", guest("pick-first"))
        .pool_for_all(&[upstream.address()], &["mine"])
        .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"2s\"")
        .start();
    let mut client = switched(&proxy);
    let replaced = proxy.put_policy("mine", &guest("pick-last"));
    assert!(matches!(replaced.status, 200..=204), "{}", replaced.text());
    eventually("the new generation alone has an instance", || {
        (proxy.stat("/policies/mine/instances") == 1).then_some(())
    });
    client.send("still here");
    assert_eq!(client.wire.length(10).unwrap(), b"still here");
}

#[test]
fn a_connection_that_waited_in_the_pool_may_become_a_tunnel_and_never_comes_back() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).text(), "plain");
    let mut tunnel = proxy.client();
    assert_eq!(tunnel.ask(asking().bytes()).status, 101);
    assert_eq!(upstream.connections(), 1);
    assert_eq!(client.ask(get("a.test", "/")).text(), "plain");
    assert_eq!(upstream.connections(), 2);
    drop(tunnel);
    eventually("the tunnel's connection is closed", || {
        (upstream.open_connections() == 1).then_some(())
    });
}
