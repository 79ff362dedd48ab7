//! How the tunnels of streams end.

use std::time::Duration;

use h2::Reason;

use super::{asking, open, taking};
use crate::fixtures::http2::{Frames, Http2, block_on, connected};
use crate::fixtures::{Gate, ReadError, TestProxy};
use crate::tunnels::patient;
use crate::upgrades::echo;

#[test]
fn the_ends_of_streams_and_connections_are_each_others() {
    let upstream = taking(|connection| {
        assert_eq!(connection.wire.until_close().unwrap(), b"all that there is");
        connection.send("an answer to all of it");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = open(&Http2::connect(proxy.address()).await).await;
        tunnel.send(b"all that there is").await;
        tunnel.end();
        assert_eq!(tunnel.rest().await, b"an answer to all of it");
    });
    let upstream = taking(|connection| {
        connection.send("the whole story");
        connection.wire.half_close();
        assert_eq!(connection.wire.until_close().unwrap(), b"thanks");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = open(&Http2::connect(proxy.address()).await).await;
        assert_eq!(tunnel.rest().await, b"the whole story");
        tunnel.send(b"thanks").await;
        tunnel.end();
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    upstream.wait_until_unused();
}

#[test]
fn a_reset_stream_resets_the_backend_and_a_reset_backend_the_stream() {
    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = taking(move |connection| {
        connection.send("hello");
        if matches!(connection.wire.until_close(), Err(ReadError::Incomplete(_))) {
            opened.open();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut tunnel = open(&client).await;
        assert_eq!(tunnel.read(5).await, b"hello");
        tunnel.up.send_reset(Reason::CANCEL);
        ended.wait();
        client.assert_goes_on().await;
    });
    proxy.logged(&["\"status\":101", "the client broke the tunnel off"]);

    let upstream = taking(|connection| {
        // A reset overtakes a head that has not gone out yet.
        let _ = connection.wire.length(1);
        connection.reset();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut tunnel = open(&client).await;
        tunnel.send(b"x").await;
        assert_eq!(tunnel.reset().await, Some(Reason::CANCEL));
    });
    proxy.logged(&["\"status\":101", "the backend broke the tunnel off"]);
    let failures = format!("/backends/{}/failures", upstream.address());
    assert_eq!(proxy.stat(&failures), 0);
}

#[test]
fn a_connection_that_ends_ends_the_tunnels_of_its_streams() {
    let upstream = taking(|connection| {
        assert!(matches!(
            connection.wire.until_close(),
            Err(ReadError::Incomplete(_))
        ));
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    for stream in [1, 3] {
        frames.head(stream, &asking("websocket"), 0);
    }
    proxy.wait_for_stat("/tunnels/active", 2);
    drop(frames);
    proxy.wait_for_stat("/tunnels/active", 0);
    upstream.wait_until_unused();
    proxy.wait_for_stat("/http2/streams_active", 0);
}

/// A stream that is reset while its backend takes nothing must not keep the backend's connection:
/// the client could open the next one at once.
#[test]
fn a_reset_is_seen_while_the_backend_takes_nothing() {
    let kept = Gate::new();
    let held = kept.clone();
    let upstream = taking(move |_| held.wait());
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = open(&Http2::connect(proxy.address()).await).await;
        let mut sent = 0;
        loop {
            tunnel.up.reserve_capacity(1 << 16);
            let room = std::future::poll_fn(|cx| tunnel.up.poll_capacity(cx));
            let Ok(room) = tokio::time::timeout(Duration::from_millis(500), room).await else {
                break;
            };
            let piece = vec![b'x'; room.unwrap().unwrap()];
            sent += piece.len();
            tunnel.up.send_data(piece.into(), false).unwrap();
        }
        assert!(sent < 24 << 20, "{sent} bytes that nobody reads");
        assert_eq!(proxy.stat("/tunnels/active"), 1);
        tunnel.up.send_reset(Reason::CANCEL);
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    kept.open();
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends_its_stream_and_not_the_connection() {
    let upstream = taking(echo);
    let proxy = patient(
        &upstream,
        "tunnel-idle = \"300ms\"\nidle = \"50ms\"\nbody-read = \"50ms\"",
    );
    connected(&proxy, async |client| {
        let mut idle = open(&client).await;
        idle.send(b"x").await;
        assert_eq!(idle.rest().await, b"x");
        upstream.wait_until_unused();
    });
    proxy.logged(&["\"status\":101", "the tunnel was idle for too long"]);

    let kept = Gate::new();
    let held = kept.clone();
    let upstream = taking(move |_| held.wait());
    let proxy = patient(&upstream, "linger = \"100ms\"");
    block_on(async {
        let mut half = open(&Http2::connect(proxy.address()).await).await;
        half.end();
        assert_eq!(half.rest().await, b"");
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    proxy.logged(&["one side of the tunnel ended, and the other did not follow"]);
    kept.open();
}

#[test]
fn a_drain_gives_tunnels_of_streams_its_time_and_ends_them_then() {
    let upstream = taking(echo);
    let mut proxy = patient(&upstream, "drain = \"500ms\"");
    connected(&proxy, async |client| {
        let mut tunnel = open(&client).await;
        proxy.signal("TERM");
        tunnel.send(b"last words").await;
        assert_eq!(tunnel.read(10).await, b"last words");
        assert!(tunnel.piece().await.is_none_or(|piece| piece.is_err()));
    });
    assert_eq!(proxy.exit_code(), 0);
    let line = "the tunnel was open when the time to drain was over";
    assert_eq!(proxy.stdout.whole().matches(line).count(), 1);
}
