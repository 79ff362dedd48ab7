//! Connections that are pooled.

use tokio::io::AsyncWriteExt;

use super::*;

#[tokio::test]
async fn the_connection_that_was_used_last_is_leased_first_and_the_longest_idle_goes() {
    let (listener, address) = listener().await;
    let backend = backend(address, None);
    let mut ends = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..3 {
        let (connection, end) = connected(&backend, &listener).await;
        assert!(!connection.is_reused());
        connections.push(connection);
        ends.push(end);
    }
    assert_eq!(backend.shard.connections.value(), 3);
    let names: Vec<_> = connections.iter().map(local).collect();
    for (connection, now) in connections.into_iter().zip(1..) {
        connection.keep(now, 2);
    }
    assert_eq!(backend.shard.connections.value(), 2, "the first was closed");
    let last = plain(backend.pooled(true).unwrap());
    assert_eq!((local(&last), last.is_reused()), (names[2], true));
    assert_eq!(local(&plain(backend.pooled(false).unwrap())), names[1]);
    assert!(backend.pooled(false).is_none());
    drop(last);
    assert_eq!(backend.shard.connections.value(), 0);
    let (connection, _end) = connected(&backend, &listener).await;
    connection.keep(1, 0);
    assert!(backend.pooled(false).is_none(), "none is kept");
}

#[tokio::test]
async fn a_connection_that_ended_or_spoke_out_of_turn_is_passed_over() {
    let (listener, address) = listener().await;
    let backend = backend(address, None);
    let (ended, end) = connected(&backend, &listener).await;
    ended.keep(1, 9);
    drop(end);
    let (spoke, mut end) = connected(&backend, &listener).await;
    end.write_all(b"HTTP/1.1 408 Late\r\n\r\n").await.unwrap();
    tcp(&spoke).readable().await.unwrap();
    assert!(!spoke.is_quiet(true));
    spoke.keep(2, 9);
    assert_eq!(backend.shard.connections.value(), 2);
    assert!(backend.pooled(true).is_none());
    assert_eq!(backend.shard.connections.value(), 0);
}

#[tokio::test]
async fn a_sweep_closes_what_has_been_idle_for_long() {
    let (listener, address) = listener().await;
    let backend = backend(address, Some(&places(2)));
    let (old, _end) = connected(&backend, &listener).await;
    let (new, _other) = connected(&backend, &listener).await;
    let name = local(&new);
    old.keep(10, 9);
    new.keep(20, 9);
    assert!(
        backend
            .place()
            .is_some_and(|_| backend.shard.connections.value() == 1),
        "pooled ones make room"
    );
    backend.sweep(20);
    assert_eq!(local(&plain(backend.pooled(false).unwrap())), name);
    let (connection, _end) = connected(&backend, &listener).await;
    connection.keep(20, 9);
    backend.sweep(21);
    assert!(backend.pooled(false).is_none());
    assert_eq!(backend.shard.connections.value(), 0);
}

#[tokio::test]
async fn a_sweep_removes_connections_that_the_backend_has_closed() {
    let (listener, address) = listener().await;
    let backend = backend(address, None);
    let (open, _end) = connected(&backend, &listener).await;
    let (closed, end) = connected(&backend, &listener).await;
    let name = local(&open);
    drop(end);
    tcp(&closed).readable().await.unwrap();
    open.keep(10, 9);
    closed.keep(10, 9);
    assert_eq!(backend.shard.connections.value(), 2);
    backend.sweep(0);
    assert_eq!(
        backend.shard.connections.value(),
        1,
        "neither of them has been idle for long"
    );
    assert_eq!(local(&plain(backend.pooled(true).unwrap())), name);
}
