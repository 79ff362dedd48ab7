//! Connections, places and health of backends, over real sockets and without a proxy around them.

use std::future::poll_fn;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use rand::SeedableRng;
use rand::rngs::SmallRng;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;

use super::*;
use crate::config::Pool;
use crate::net::Stream;
use crate::policy::{BackendFacts, FailedAttempt, Failure};
use crate::stats::{BackendShard, Stats};

const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const OTHER_CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 2));

async fn listener() -> (TcpListener, SocketAddr) {
    crate::ground::limit_this_test();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn backend(address: SocketAddr, places: Option<&Arc<Places>>) -> Rc<Backend> {
    Rc::new(Backend::new(
        address,
        Arc::new(BackendShard::default()),
        places.cloned(),
    ))
}

fn places(count: usize) -> Arc<Places> {
    Arc::new(Places::new(count, &Arc::new(Notify::new())))
}

/// A connection and the backend's end of it.
async fn connected(backend: &Rc<Backend>, listener: &TcpListener) -> (Lease, TcpStream) {
    let lease = backend.connect(backend.place()).await.unwrap();
    (lease, listener.accept().await.unwrap().0)
}

/// What a future is after one poll.
async fn polled<T>(future: &mut (impl Future<Output = T> + Unpin)) -> Option<T> {
    poll_fn(|cx| {
        Poll::Ready(match pin!(&mut *future).poll(cx) {
            Poll::Ready(output) => Some(output),
            Poll::Pending => None,
        })
    })
    .await
}

fn tcp(lease: &Lease) -> &TcpStream {
    match &lease.stream {
        Stream::Tcp(stream) => stream,
        other => panic!("{other:?}"),
    }
}

fn local(lease: &Lease) -> SocketAddr {
    tcp(lease).local_addr().unwrap()
}

#[tokio::test]
async fn the_connection_that_was_used_last_is_leased_first_and_the_longest_idle_goes() {
    let (listener, address) = listener().await;
    let backend = backend(address, None);
    let mut ends = Vec::new();
    let mut leases = Vec::new();
    for _ in 0..3 {
        let (lease, end) = connected(&backend, &listener).await;
        assert!(!lease.reused);
        leases.push(lease);
        ends.push(end);
    }
    assert_eq!(backend.shard.connections.value(), 3);
    let names: Vec<_> = leases.iter().map(local).collect();
    for (lease, now) in leases.into_iter().zip(1..) {
        lease.keep(now, 2);
    }
    assert_eq!(backend.shard.connections.value(), 2, "the first was closed");
    let last = backend.lease_idle(true).unwrap();
    assert_eq!((local(&last), last.reused), (names[2], true));
    assert_eq!(local(&backend.lease_idle(false).unwrap()), names[1]);
    assert!(backend.lease_idle(false).is_none());
    drop(last);
    assert_eq!(backend.shard.connections.value(), 0);
    let (lease, _end) = connected(&backend, &listener).await;
    lease.keep(1, 0);
    assert!(backend.lease_idle(false).is_none(), "none is kept");
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
    assert!(backend.lease_idle(true).is_none());
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
    assert_eq!(local(&backend.lease_idle(false).unwrap()), name);
    let (lease, _end) = connected(&backend, &listener).await;
    lease.keep(20, 9);
    backend.sweep(21);
    assert!(backend.lease_idle(false).is_none());
    assert_eq!(backend.shard.connections.value(), 0);
}

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
        assert!(backend.connect(backend.place()).await.is_err());
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
    let Some(Some(Turn::Lease(lease))) = polled(&mut first).await else {
        panic!("the first has no connection")
    };
    assert_eq!((local(&lease), lease.reused), (name, true));
    assert_eq!(here.shard.connections.value(), 1);
    // Another worker's request has a right to the place as well, and can't use this connection.
    let mut elsewhere = Box::pin(there.wait(9, CLIENT));
    assert!(polled(&mut elsewhere).await.is_none());
    lease.keep(2, 9);
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
    assert_eq!(local(&here.lease_idle(false).unwrap()), name);
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
    // Who leaves again and again leaves nothing behind.
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
fn failures_in_a_row_eject_and_a_response_head_ends_that() {
    let backend = backend(([127, 0, 0, 1], 1).into(), None);
    let shard = &backend.shard;
    let fail = || {
        backend.failed();
        backend.judged(Verdict::Failed, 2, || 77);
    };
    fail();
    assert_eq!(
        (
            shard.failures.value(),
            shard.consecutive_failures.value(),
            shard.ejected_until.value()
        ),
        (1, 1, 0)
    );
    backend.judged(Verdict::Unknown, 2, || 77);
    assert_eq!(shard.consecutive_failures.value(), 1, "that says nothing");
    backend.judged(Verdict::Well, 2, || 77);
    assert_eq!(shard.consecutive_failures.value(), 0);
    fail();
    fail();
    assert_eq!(
        (shard.failures.value(), shard.ejected_until.value()),
        (3, 77)
    );
    backend.answered(Duration::from_millis(1));
    assert_eq!(shard.ejected_until.value(), 0, "a success ends an ejection");
    // A head is no more than a head: who cuts one body after another is ejected again.
    fail();
    assert_eq!(shard.ejected_until.value(), 77);
    backend.answered(Duration::from_millis(1));
    backend.judged(Verdict::Well, 2, || 77);
    fail();
    assert_eq!(
        (
            shard.consecutive_failures.value(),
            shard.ejected_until.value()
        ),
        (1, 0)
    );
    for _ in 0..9 {
        backend.judged(Verdict::Failed, 0, || 77);
    }
    assert_eq!(shard.ejected_until.value(), 0, "0 means never");
}

#[test]
fn one_client_ejects_nothing_by_what_may_be_its_own_doing() {
    let stats = Stats::new(1);
    let mut patient = (*topology(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])).clone();
    patient.max_failures = 3;
    let pools = WorkerPools::new(&[Arc::new(patient)], &stats, 0);
    let pool = pools.pool(0);
    let request = |client: IpAddr, attempts: &[(u32, Outcome)]| {
        let mut doubt = Doubt::default();
        for (backend, outcome) in attempts {
            pool.ended(*backend, *outcome, &mut doubt, client, stats.started());
        }
    };
    let failures = || {
        let of = |b: u32| pool.backends[b as usize].shard.consecutive_failures.value();
        [of(0), of(1), of(2)]
    };
    let everywhere = [
        (0, Outcome::Closed),
        (1, Outcome::Closed),
        (2, Outcome::NoResponse),
    ];
    for _ in 0..9 {
        request(CLIENT, &everywhere);
    }
    assert_eq!(failures(), [1, 1, 1]);
    assert_eq!(
        pool.backends[0].shard.failures.value(),
        9,
        "they are counted all the same"
    );
    request(OTHER_CLIENT, &everywhere);
    request(OTHER_CLIENT, &[(1, Outcome::Malformed)]);
    assert_eq!(failures(), [2, 2, 1]);
    // One that answers forgets it, and whose it was.
    request(OTHER_CLIENT, &[(1, Outcome::Answered)]);
    request(OTHER_CLIENT, &[(1, Outcome::Closed)]);
    assert_eq!(failures(), [2, 1, 1]);
    // Where another backend answers the same, the first is to blame; failed connects always are.
    request(
        OTHER_CLIENT,
        &[(0, Outcome::Closed), (2, Outcome::Answered)],
    );
    assert_eq!(failures(), [3, 1, 0]);
    assert!(!pools.facts.healthy(0, 0) && pools.facts.healthy(0, 1));
    request(
        OTHER_CLIENT,
        &[(1, Outcome::ConnectFailed), (1, Outcome::ConnectTimedOut)],
    );
    assert!(!pools.facts.healthy(0, 1));
}

#[test]
fn latency_is_smoothed() {
    let backend = backend(([127, 0, 0, 1], 1).into(), None);
    backend.answered(Duration::from_micros(800));
    assert_eq!(
        backend.shard.latency_ewma_microseconds.value(),
        800,
        "the first counts in full"
    );
    backend.answered(Duration::from_micros(1_600));
    assert_eq!(backend.shard.latency_ewma_microseconds.value(), 900);
    backend.answered(Duration::ZERO);
    assert!(
        backend.shard.latency_ewma_microseconds.value() > 0,
        "0 stands for none so far"
    );
}

fn topology(addresses: &[&str]) -> Arc<PoolTopology> {
    let backends = addresses
        .iter()
        .map(|a| ResolvedBackend {
            address: a.parse().unwrap(),
            weight: 1,
            labels: Vec::new(),
            places: None,
        })
        .collect();
    Arc::new(PoolTopology {
        name: "a".to_owned(),
        backends,
        attempts: 5,
        max_idle: 64,
        queue: 9,
        queue_timeout: Duration::from_secs(1),
        body_wait: Duration::ZERO,
        slow_client: Duration::from_secs(2),
        slow_client_rate: 16 * 1024,
        max_failures: 1,
        fail_timeout: Duration::from_secs(3_600),
    })
}

#[test]
fn an_ejected_backend_is_well_again_for_one_request_at_a_time() {
    let stats = Stats::new(1);
    let pools = WorkerPools::new(&[topology(&["127.0.0.1:1", "127.0.0.1:2"])], &stats, 0);
    let (pool, facts) = (pools.pool(0), &pools.facts);
    assert!(
        pool.backends[0].probe().is_none(),
        "one that is well needs no probe"
    );
    pool.ended(
        0,
        Outcome::ConnectFailed,
        &mut Doubt::default(),
        CLIENT,
        stats.started(),
    );
    assert_eq!(
        (
            facts.healthy(0, 0),
            facts.healthy(0, 1),
            facts.healthy(0, 2)
        ),
        (false, true, false)
    );
    let until = pool.backends[0].shard.ejected_until.value();
    assert!(until >= 3_600_000, "{until} ms");
    // Its time is over: the first moment is always past.
    pool.backends[0].shard.ejected_until.set(1);
    let _past = std::iter::repeat_with(Instant::now)
        .find(|now| now.duration_since(stats.started()).as_millis() > 1);
    assert!(facts.healthy(0, 0));
    let probe = pool.backends[0].probe().unwrap();
    assert!(!facts.healthy(0, 0), "one tries it");
    let another = pool.backends[0].probe().unwrap();
    drop(probe);
    assert!(!facts.healthy(0, 0), "another does still");
    drop(another);
    assert!(
        facts.healthy(0, 0),
        "that said nothing, so the next may try"
    );
    let probe = pool.backends[0].probe();
    pool.backends[0].answered(Duration::from_millis(1));
    assert!(facts.healthy(0, 0), "it has answered");
    drop(probe);
    assert!(facts.healthy(0, 0));
}

#[test]
fn the_choice_avoids_what_failed_and_what_is_ejected_as_long_as_there_is_another() {
    let stats = Stats::new(1);
    let topologies = [
        topology(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"]),
        topology(&[]),
    ];
    let pools = WorkerPools::new(&topologies, &stats, 0);
    let failed = |backends: &[u32]| -> Vec<FailedAttempt> {
        backends
            .iter()
            .map(|backend| FailedAttempt {
                backend: *backend,
                failure: Failure::Connect,
            })
            .collect()
    };
    let mut rng = SmallRng::seed_from_u64(1);
    let mut chosen = |failed: &[FailedAttempt]| -> Vec<u32> {
        let mut seen: Vec<u32> = (0..300)
            .filter_map(|_| pools.choose(0, failed, &mut rng))
            .collect();
        assert_eq!(seen.len(), 300);
        seen.sort_unstable();
        seen.dedup();
        seen
    };
    assert_eq!(chosen(&[]), [0, 1, 2]);
    assert_eq!(
        chosen(&failed(&[1])),
        [0, 2],
        "never the one that just failed"
    );
    assert_eq!(chosen(&failed(&[1, 2])), [0]);
    pools.pool(0).ended(
        0,
        Outcome::ConnectFailed,
        &mut Doubt::default(),
        CLIENT,
        stats.started(),
    );
    assert_eq!(chosen(&[]), [1, 2], "an ejected one is avoided");
    assert_eq!(chosen(&failed(&[1])), [2]);
    assert_eq!(
        chosen(&failed(&[1, 2])),
        [0],
        "one that is ejected rather than one that failed this request"
    );
    assert_eq!(chosen(&failed(&[0, 1, 2])), [0, 1, 2]);
    assert_eq!(pools.choose(1, &[], &mut SmallRng::seed_from_u64(1)), None);
}

#[test]
fn a_full_backend_is_waited_for_if_there_is_no_other() {
    let (one, two) = (places(1), places(1));
    let mut limited = (*topology(&["127.0.0.1:1", "127.0.0.1:2"])).clone();
    limited.backends[0].places = Some(one);
    limited.backends[1].places = Some(two);
    let pools = WorkerPools::new(&[Arc::new(limited)], &Stats::new(1), 0);
    let pool = pools.pool(0);
    assert!(pool.is_limited());
    let _held = pool.backends[0].place().unwrap();
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
    let _other = pool.backends[1].place().unwrap();
    assert!(
        pool.should_wait(0, &[]) && pool.should_wait(1, &[]),
        "none has a place"
    );

    let mut three = (*topology(&["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"])).clone();
    three
        .backends
        .iter_mut()
        .for_each(|backend| backend.places = Some(places(1)));
    let pools = WorkerPools::new(&[Arc::new(three)], &Stats::new(1), 0);
    let pool = pools.pool(0);
    let _held = pool.backends[0].place().unwrap();
    assert!(
        !pool.should_wait(0, &[busy(1)]),
        "the third has a place and has not failed"
    );
    assert!(
        pool.should_wait(0, &[busy(1), busy(2)]),
        "both others have failed"
    );
}

#[tokio::test]
async fn an_address_has_the_least_places_that_a_pool_gives_it() {
    let pool = |name: &str, backends: &[&str], max_connections| {
        let backends = backends
            .iter()
            .map(|a| crate::config::Backend {
                address: (*a).to_owned(),
                weight: 1,
                labels: Vec::new(),
            })
            .collect();
        Pool {
            name: name.to_owned(),
            backends,
            attempts: 1,
            max_idle: 1,
            max_connections,
            queue: 1,
            queue_timeout: Duration::from_secs(1),
            body_wait: Duration::ZERO,
            slow_client: Duration::from_secs(2),
            slow_client_rate: 16 * 1024,
            max_failures: 1,
            fail_timeout: Duration::from_secs(1),
        }
    };
    let (shared, own) = ("127.0.0.1:1", "127.0.0.1:2");
    let resolved = resolve(&[
        pool("a", &[shared], 3),
        pool("b", &[shared, own], 0),
        pool("c", &[shared], 2),
    ])
    .await;
    let resolved = resolved.unwrap();
    let shared = resolved[0].backends[0].places.clone().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| shared.take()).collect();
    assert_eq!(held.len(), 2);
    for other in [&resolved[1].backends[0], &resolved[2].backends[0]] {
        assert!(
            other
                .places
                .as_ref()
                .is_some_and(|places| Arc::ptr_eq(places, &shared))
        );
    }
    assert!(resolved[1].backends[1].places.is_none(), "no limit");
    // Whichever pool comes first.
    let resolved = resolve(&[pool("c", &[own], 2), pool("a", &[own], 3)])
        .await
        .unwrap();
    let own = resolved[1].backends[0].places.clone().unwrap();
    let held: Vec<_> = std::iter::from_fn(|| own.take()).collect();
    assert_eq!(held.len(), 2);
}

#[tokio::test]
async fn a_sweep_takes_out_what_the_backend_has_closed() {
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
    assert_eq!(local(&backend.lease_idle(true).unwrap()), name);
}

#[tokio::test]
async fn who_waits_no_more_keeps_no_other_worker_from_pooling() {
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
    assert!(
        here.lease_idle(true).is_some(),
        "nobody waits elsewhere any more"
    );
}
