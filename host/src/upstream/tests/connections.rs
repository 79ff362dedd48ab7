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

#[tokio::test]
async fn what_is_kept_beyond_the_usual_number_is_closed_once_it_is_not_needed_any_more() {
    let (listener, address) = listener().await;
    let backend = backend(address, None);
    let mut ends = Vec::new();
    let mut connections = Vec::new();
    for _ in 0..80 {
        let (connection, end) = connected(&backend, &listener).await;
        connections.push(connection);
        ends.push(end);
    }
    let keep = |connections: Vec<Connection>, now| {
        for connection in connections {
            connection.keep(now, usize::MAX);
        }
    };
    keep(connections, 1_000);
    let open = |now| {
        backend.look_after(now, 0);
        backend.shard.connections.value()
    };
    assert_eq!((open(2_000), open(6_000)), (80, 80));
    // 70 of them are needed again.
    let again: Vec<_> = (0..70)
        .map(|_| plain(backend.pooled(false).unwrap()))
        .collect();
    keep(again, 6_000);
    assert_eq!((open(6_001), open(11_000), open(11_001)), (70, 70, 64));
    assert_eq!(open(1_000_000), 64, "as long as they may be idle");
}

#[tokio::test]
async fn where_the_process_may_have_no_more_connections_one_that_is_idle_makes_room() {
    let (listener, address) = listener().await;
    let (elsewhere, other_address) = self::listener().await;
    let registry = Registry::new(1).with(Budget::new(2));
    let [first, second] = [address, other_address].map(|a| {
        Rc::new(WorkerEndpoint::new(
            &endpoint(&registry, a),
            &Stats::new(1),
            0,
        ))
    });
    let (kept, _end) = connected(&first, &listener).await;
    let (used, _other_end) = connected(&first, &listener).await;
    let budget = Arc::clone(registry.budget());
    assert!(budget.is_used_up());
    kept.keep(1, usize::MAX);
    assert!(budget.is_used_up(), "an idle one counts");
    // Another worker's sweep would see that one waits.
    let mut waiting = Box::pin(second.connect((None, None), PATIENCE));
    assert!(polled(&mut waiting).await.is_none());
    assert_eq!(budget.waiting(), 1);
    assert!(first.close_oldest() && !first.close_oldest());
    let connection = plain(waiting.await.unwrap());
    let _accepted = elsewhere.accept().await.unwrap();
    assert!(budget.is_used_up());
    drop(connection);
    assert!(!budget.is_used_up());
    used.keep(1, 0);
    // All came back, and no more than that.
    let all: Vec<_> = (0..2).map(|_| budget.take()).collect();
    for taken in all {
        assert!(taken.await.is_some_and(|room| {
            room.pass_on();
            true
        }));
    }
    assert!(budget.is_used_up());
}

#[tokio::test]
async fn a_connection_for_which_there_is_no_room_is_no_failure_of_its_endpoint() {
    let (_listener, address) = listener().await;
    let registry = Registry::new(1).with(Budget::new(0));
    let endpoint = endpoint(&registry, address);
    let endpoint = Rc::new(WorkerEndpoint::new(&endpoint, &Stats::new(1), 0));
    let refused = endpoint.connect((None, None), PATIENCE).await.unwrap_err();
    assert_eq!(refused, AttemptOutcome::OutOfResources);
    assert_eq!(refused.verdict(), Verdict::Unknown);
}
