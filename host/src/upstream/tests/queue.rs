//! Limited connections, and the requests that wait for one.

use super::*;
use crate::config::{Pool, PoolProtocol};

#[tokio::test]
async fn a_place_is_counted_before_a_connection_is_made_and_comes_back_with_it() {
    let (listener, address) = listener().await;
    let places = places(2);
    let backend = backend(address, Some(&places));
    assert!(!backend.is_unlimited() && !backend.is_full());
    let first = backend.place().unwrap();
    let (second, _end) = connected(&backend, &listener).await;
    assert!(backend.place().is_none() && backend.is_full());
    drop(first);
    assert!(!backend.is_full());
    let place = second.into_place().unwrap();
    assert_eq!(
        backend.shard.connections.value(),
        0,
        "closed, and its place is left"
    );
    let other = backend.place().unwrap();
    assert!(backend.is_full());
    drop((place, other));
    // A connect that fails gives its place back.
    drop(listener);
    for _ in 0..3 {
        assert!(
            backend
                .connect((backend.place(), None), PATIENCE)
                .await
                .is_err()
        );
    }
    assert!(backend.place().is_some());
}

#[tokio::test]
async fn no_more_requests_are_broken_off_than_wait_and_their_clients_give_way() {
    let (listener, address) = listener().await;
    let places = places(2);
    let backend = backend(address, Some(&places));
    let (_held, _end) = connected(&backend, &listener).await;
    let (_other, _other_end) = connected(&backend, &listener).await;
    assert!(!places.is_wanted(false) && !places.is_wanted(true));
    assert!(!places.break_off(CLIENT), "nobody waits");
    let mut suspect = Box::pin(backend.wait(9, CLIENT));
    assert!(polled(&mut suspect).await.is_none());
    assert!(places.is_wanted(false));
    assert!(
        places.break_off(CLIENT) && !places.break_off(OTHER_CLIENT),
        "one waits"
    );
    assert!(places.is_suspect(CLIENT) && !places.is_suspect(OTHER_CLIENT));
    // What began to wait before it was one is not counted with the others any more, once it has its
    // turn.
    assert!(places.gives_way(CLIENT) && !places.gives_way(OTHER_CLIENT));
    drop(suspect);
    assert!(!places.gives_way(CLIENT), "nobody waits");
    let mut suspect = Box::pin(backend.wait(9, CLIENT));
    assert!(polled(&mut suspect).await.is_none());
    assert!(!places.gives_way(CLIENT), "only suspects wait");
    let mut clean = Box::pin(backend.wait(9, OTHER_CLIENT));
    assert!(polled(&mut clean).await.is_none());
    assert!(places.gives_way(CLIENT));
    assert_eq!(places.pressure(), 1);
    assert!(
        places.break_off(OTHER_CLIENT) && !places.break_off(OTHER_CLIENT),
        "two wait"
    );
    places.broken_off();
    assert!(places.break_off(OTHER_CLIENT), "one of them has ended");
}

#[test]
fn with_ipv6_a_client_is_its_network() {
    let places = places(1);
    let of = |text: &str| text.parse::<IpAddr>().unwrap();
    let queue = backend(SocketAddr::from(([127, 0, 0, 1], 1)), Some(&places));
    let mut waiting = Box::pin(queue.wait(9, CLIENT));
    let place = queue.place();
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(waiting.as_mut().poll(&mut cx).is_pending());
    assert!(places.break_off(of("2001:db8:0:1::1")));
    assert!(
        places.is_suspect(of("2001:db8:0:1:ffff::2")) && !places.is_suspect(of("2001:db8:0:2::1"))
    );
    places.broken_off();
    assert!(places.break_off(of("::ffff:192.0.2.9")));
    assert!(places.is_suspect(of("192.0.2.9")) && !places.is_suspect(of("192.0.2.10")));
    drop((waiting, place));
}

#[tokio::test]
async fn a_place_passes_to_the_request_that_has_waited_longest() {
    let (listener, address) = listener().await;
    let places = places(1);
    // Two workers.
    let (here, there) = (
        backend(address, Some(&places)),
        backend(address, Some(&places)),
    );
    let (held, _end) = connected(&here, &listener).await;
    let mut first = Box::pin(there.wait(9, CLIENT));
    let mut second = Box::pin(here.wait(9, CLIENT));
    assert!(polled(&mut first).await.is_none() && polled(&mut second).await.is_none());
    drop(held);
    let Some(Some(Turn::Place(place))) = polled(&mut first).await else {
        panic!("the first has no place")
    };
    assert!(polled(&mut second).await.is_none());
    assert!(
        here.place().is_none(),
        "and none is free for who comes later"
    );
    drop(place);
    assert!(matches!(
        polled(&mut second).await,
        Some(Some(Turn::Place(_)))
    ));
}

#[tokio::test]
async fn a_connection_passes_to_the_request_of_its_worker_that_has_waited_longest() {
    let (listener, address) = listener().await;
    let places = places(1);
    let (here, there) = (
        backend(address, Some(&places)),
        backend(address, Some(&places)),
    );
    let (held, _end) = connected(&here, &listener).await;
    let name = local(&held);
    let mut left = Box::pin(here.wait(9, CLIENT));
    let mut first = Box::pin(here.wait(9, CLIENT));
    let mut second = Box::pin(here.wait(9, CLIENT));
    for waiting in [&mut left, &mut first, &mut second] {
        assert!(polled(waiting).await.is_none());
    }
    drop(left);
    held.keep(1, 9);
    assert!(polled(&mut second).await.is_none());
    let Some(Some(Turn::Connection(connection))) = polled(&mut first).await else {
        panic!("the first has no connection")
    };
    assert_eq!((local(&connection), connection.is_reused()), (name, true));
    assert_eq!(here.shard.connections.value(), 1);
    // Another worker's request has a right to the place as well, and can't use this connection.
    let mut elsewhere = Box::pin(there.wait(9, CLIENT));
    assert!(polled(&mut elsewhere).await.is_none());
    connection.keep(2, 9);
    assert_eq!(here.shard.connections.value(), 0, "closed");
    assert!(
        matches!(polled(&mut second).await, Some(Some(Turn::Place(_)))),
        "it waited longer"
    );
    assert!(matches!(
        polled(&mut elsewhere).await,
        Some(Some(Turn::Place(_)))
    ));
}

#[tokio::test]
async fn pooled_connections_make_room_for_requests_of_other_workers() {
    let (listener, address) = listener().await;
    let places = places(2);
    let (here, there) = (
        backend(address, Some(&places)),
        backend(address, Some(&places)),
    );
    let (old, _end) = connected(&here, &listener).await;
    let (new, _other) = connected(&here, &listener).await;
    let name = local(&new);
    old.keep(1, 9);
    new.keep(2, 9);
    here.make_room();
    assert_eq!(here.shard.connections.value(), 2, "nobody waits");
    let mut waiting = Box::pin(there.wait(9, CLIENT));
    let mut woken = Box::pin(places.wanted().notified());
    assert!(polled(&mut woken).await.is_none() && polled(&mut waiting).await.is_none());
    assert!(polled(&mut woken).await.is_some(), "the workers are woken");
    here.make_room();
    assert!(matches!(
        polled(&mut waiting).await,
        Some(Some(Turn::Place(_)))
    ));
    assert_eq!(here.shard.connections.value(), 1, "one request, one place");
    assert_eq!(local(&plain(here.pooled(false).unwrap())), name);
}

#[tokio::test]
async fn the_queue_is_bounded_over_all_workers_and_leaving_makes_room_in_it() {
    let (_listener, address) = listener().await;
    let places = places(1);
    let (here, there) = (
        backend(address, Some(&places)),
        backend(address, Some(&places)),
    );
    let _held = here.place().unwrap();
    assert!(
        matches!(
            polled(&mut Box::pin(here.wait(0, CLIENT))).await,
            Some(None)
        ),
        "no queue"
    );
    let mut first = Box::pin(here.wait(2, CLIENT));
    let mut second = Box::pin(there.wait(2, CLIENT));
    assert!(polled(&mut first).await.is_none() && polled(&mut second).await.is_none());
    assert!(
        matches!(
            polled(&mut Box::pin(here.wait(2, CLIENT))).await,
            Some(None)
        ),
        "full"
    );
    drop(first);
    let mut third = Box::pin(here.wait(2, CLIENT));
    assert!(polled(&mut third).await.is_none());
    // A client that leaves again and again leaves nothing behind.
    drop(second);
    for _ in 0..1_000 {
        assert!(polled(&mut Box::pin(here.wait(2, CLIENT))).await.is_none());
    }
}

#[tokio::test]
async fn slow_uploads_are_kept_to_a_half_and_one_at_least() {
    for (count, slow) in [(1, 1), (2, 1), (5, 2)] {
        let (_listener, address) = listener().await;
        let backend = backend(address, Some(&places(count)));
        let mut held = Vec::new();
        for _ in 0..slow {
            held.push(backend.wait_slowly(0).await.unwrap());
        }
        assert!(backend.wait_slowly(0).await.is_none(), "{count} places");
        let mut waiting = Box::pin(backend.wait_slowly(1));
        assert!(polled(&mut waiting).await.is_none());
        held.pop();
        assert!(matches!(polled(&mut waiting).await, Some(Some(_))));
    }
}

#[test]
fn a_full_backend_is_waited_for_if_there_is_no_other() {
    let (one, two) = (places(1), places(1));
    let mut limited = topology(&["127.0.0.1:1", "127.0.0.1:2"]);
    limited.endpoints[0].places = Some(one);
    limited.endpoints[1].places = Some(two);
    let pools = worker_pools([limited]);
    let pool = pools.nth(0);
    assert!(pool.is_limited());
    let _held = pool.endpoints[0].place().unwrap();
    assert!(!pool.should_wait(0, &[]), "the other has a place");
    let busy = |backend| FailedAttempt {
        backend,
        failure: Failure::Other,
    };
    assert!(
        pool.should_wait(0, &[busy(0)]),
        "the choice fell on it again"
    );
    assert!(pool.should_wait(0, &[busy(1)]), "the other has failed");
    let other = pool.endpoints[1].place().unwrap();
    assert!(
        pool.should_wait(0, &[]) && pool.should_wait(1, &[]),
        "none has a place"
    );
    drop(other);
    let mut drained = topology(&["127.0.0.1:1", "127.0.0.1:2"]);
    drained.endpoints[0].places = Some(places(1));
    drained.endpoints[1].weight = 0;
    let pools = worker_pools([drained]);
    let _held = pools.nth(0).endpoints[0].place().unwrap();
    assert!(pools.nth(0).should_wait(0, &[]), "the other is drained");

    let mut three = topology(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]);
    three
        .endpoints
        .iter_mut()
        .for_each(|backend| backend.places = Some(places(1)));
    let pools = worker_pools([three]);
    let pool = pools.nth(0);
    let _held = pool.endpoints[0].place().unwrap();
    assert!(
        !pool.should_wait(0, &[busy(1)]),
        "the third has a place and has not failed"
    );
    assert!(
        pool.should_wait(0, &[busy(1), busy(2)]),
        "both others have failed"
    );
}

#[test]
fn an_address_has_the_least_places_that_a_pool_gives_it() {
    let pool = |name: &str, backends: &[&str], max_connections| {
        let backends = backends
            .iter()
            .map(|a| crate::config::Backend {
                address: (*a).to_owned(),
                kind: Default::default(),
                tls: None,
                protocol: None,
                weight: 1,
                labels: Vec::new(),
            })
            .collect();
        Pool {
            name: name.to_owned(),
            backends,
            file: None,
            tls: None,
            protocol: PoolProtocol::Http11,
            retry: crate::config::RetryPolicy::default(),
            max_idle: Some(1),
            max_connections,
            max_requests: 0,
            max_pool_requests: 0,
            adaptive: None,
            queue: 1,
            queue_timeout: Duration::from_secs(1),
            body_wait: Duration::ZERO,
            slow_client: Duration::from_secs(2),
            slow_client_rate: 16 * 1024,
            health: PoolHealth::default(),
            ping_interval: Duration::ZERO,
            is_mirror: false,
        }
    };
    let (shared, own) = ("127.0.0.1:1", "127.0.0.1:2");
    let registry = Registry::new(1);
    let resolved = |pools: &[Pool]| {
        let known = Discovery::default();
        let made = crate::upstream::topology(pools, &registry, &known, TlsFiles::Read);
        made.unwrap().pools
    };
    let three = [
        pool("a", &[shared], 3),
        pool("b", &[shared, own], 0),
        pool("c", &[shared], 2),
    ];
    let first = resolved(&three);
    let shared = first[0].endpoints[0].places.clone().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| shared.take()).collect();
    assert_eq!(held.len(), 2);
    for other in [&first[1].endpoints[0], &first[2].endpoints[0]] {
        assert!(
            other
                .places
                .as_ref()
                .is_some_and(|places| Arc::ptr_eq(places, &shared))
        );
    }
    assert!(first[1].endpoints[1].places.is_none(), "no limit");
    // Whichever pool comes first.
    let two = [pool("c", &[own], 2), pool("a", &[own], 3)];
    let second = resolved(&two);
    let own = second[1].endpoints[0].places.clone().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| own.take()).collect();
    assert_eq!(held.len(), 2);
}

#[tokio::test]
async fn a_request_that_no_longer_waits_keeps_no_other_worker_from_pooling() {
    let (listener, address) = listener().await;
    let places = places(1);
    let (here, there) = (
        backend(address, Some(&places)),
        backend(address, Some(&places)),
    );
    let (held, _end) = connected(&here, &listener).await;
    let mut gone = Box::pin(there.wait(9, CLIENT));
    assert!(polled(&mut gone).await.is_none());
    drop(gone);
    held.keep(0, 9);
    let pooled = here.pooled(true);
    assert!(pooled.is_some(), "nobody waits elsewhere any more");
}

/// A configuration that goes to and fro must not let connections through in between.
#[test]
fn places_of_another_number_count_those_that_are_held() {
    let places = Registry::new(1).places(topology(&["127.0.0.1:1"]).endpoints[0].id, 2);
    let all = || std::iter::from_fn(|| places.take()).collect::<Vec<_>>();
    let mut held = all();
    assert_eq!(held.len(), 2);
    for (count, in_all) in [(3, 3), (2, 3), (4, 4), (1, 4), (3, 4), (2, 4)] {
        places.resize(count);
        held.extend(all());
        assert_eq!(held.len(), in_all, "{count}");
    }
    held.truncate(2);
    assert!(all().is_empty(), "there are as many as there may be");
    held.truncate(1);
    assert_eq!(all().len(), 1);
    drop(held);
    assert_eq!(all().len(), 2);
}
