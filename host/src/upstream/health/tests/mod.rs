//! The state of an endpoint, without sockets.

mod review;

use std::iter::repeat_with;

use super::super::{Endpoint, PoolId, PoolTopology, Registry, Topology};
use super::*;
use crate::config::PoolHealth;
use crate::stats::Stats;
use crate::upstream::Failure;

const LONG: Duration = Duration::from_secs(3_600);

fn health() -> Health {
    Health::new(2, Instant::now())
}

fn eject(health: &Health) {
    health
        .shared
        .eject((LONG, LONG), Marks::NONE, || "it is bad".to_owned());
}

/// Waits until the clock of health shows another millisecond.
fn next_millisecond(health: &Health) {
    let now = health.shared.now();
    let _later = repeat_with(|| health.shared.now()).find(|later| *later > now);
}

/// A pool of this many endpoints, and its topology.
fn pool(endpoints: u16, rules: PoolHealth) -> (Topology, Arc<PoolTopology>) {
    let registry = Registry::new(1);
    let id = registry.pools(["a"]).remove(0);
    let pool = Arc::new(pool_of(&registry, id, 1..=endpoints, rules));
    (topology(1, &pool), pool)
}

fn pool_of(
    registry: &Registry,
    id: PoolId,
    ports: impl Iterator<Item = u16>,
    health: PoolHealth,
) -> PoolTopology {
    let endpoint = |port| Endpoint::new(([127, 0, 0, 1], port).into(), &"a.test".into(), registry);
    PoolTopology {
        id,
        name: "a".to_owned(),
        endpoints: ports.map(endpoint).collect(),
        requests: None,
        max_idle: 1,
        queue: 1,
        queue_timeout: LONG,
        body_wait: LONG,
        slow_client: LONG,
        slow_client_rate: 1,
        is_mirror: false,
        health,
        _presence: registry.presence(id),
    }
}

fn topology(generation: u64, pool: &Arc<PoolTopology>) -> Topology {
    Topology {
        generation,
        pools: vec![Arc::clone(pool)],
        limits: Vec::new(),
        request_limits: Vec::new(),
    }
}

fn rules() -> PoolHealth {
    PoolHealth {
        max_failures: 2,
        fail_timeout: LONG,
        ..PoolHealth::default()
    }
}

fn states(pool: &PoolTopology) -> Vec<&'static str> {
    let all = pool.endpoints.iter();
    all.map(|e| e.health.state().state).collect()
}

#[test]
fn failures_of_all_workers_in_a_row_eject() {
    let (_, pool) = pool(3, rules());
    let health = &pool.endpoints[0].health;
    let (one, two) = (health.of_worker(0), health.of_worker(0));
    pool.failed(0, Failure::Other);
    one.succeeded();
    pool.failed(0, Failure::Other);
    assert_eq!(states(&pool), ["healthy", "healthy", "healthy"]);
    pool.failed(0, Failure::Other);
    assert_eq!(states(&pool), ["ejected", "healthy", "healthy"]);
    assert_eq!(health.state().reason, "2 failures in a row");
    assert!(!one.known().1.is_well() && !two.known().1.is_well());
    let never = PoolHealth {
        max_failures: 0,
        ..rules()
    };
    let (_, pool) = self::pool(2, never);
    for _ in 0..9 {
        pool.failed(0, Failure::Other);
    }
    assert_eq!(states(&pool), ["healthy", "healthy"], "0 means never");
}

#[test]
fn no_more_than_half_of_a_pool_is_ejected_and_none_if_all_fail() {
    let (_, pool) = pool(4, rules());
    let fail = |endpoint| (0..2).for_each(|_| pool.failed(endpoint, Failure::Other));
    fail(0);
    fail(1);
    assert_eq!(states(&pool), ["ejected", "ejected", "healthy", "healthy"]);
    fail(2);
    assert_eq!(states(&pool), ["ejected", "ejected", "degraded", "healthy"]);
    let reason = pool.endpoints[2].health.state().reason;
    assert!(reason.contains("no more of its pool"), "{reason}");
    fail(3);
    assert_eq!(states(&pool), ["degraded"; 4], "none is better");
    // The first that answers is used at once, and the others are ejected again as they fail.
    pool.endpoints[1].health.of_worker(0).succeeded();
    fail(0);
    fail(2);
    fail(3);
    assert_eq!(states(&pool), ["ejected", "healthy", "ejected", "degraded"]);
}

#[test]
fn one_that_is_alone_is_never_ejected_and_says_so() {
    let (_, pool) = pool(1, rules());
    (0..2).for_each(|_| pool.failed(0, Failure::Other));
    let health = &pool.endpoints[0].health;
    let state = health.state();
    assert_eq!((state.state, state.healthy), ("degraded", false));
    assert!(health.of_worker(0).known().1.is_well());
    health.of_worker(0).succeeded();
    assert!(health.state().healthy);
}

#[test]
fn one_request_of_all_workers_tries_an_ejected_endpoint() {
    let health = health();
    let (one, two) = (health.of_worker(0), health.of_worker(1));
    let is_well = || health.shared.is_well();
    assert!(!one.begins(), "one that is well needs no trial");
    eject(&health);
    assert!(!is_well() && !one.begins());
    // Its time is over.
    let none = Duration::ZERO;
    let health = self::health();
    let (one, two) = (health.of_worker(0), (two, health.of_worker(1)).1);
    health.shared.eject((none, none), Marks::NONE, String::new);
    assert!(health.shared.is_well());
    assert!(one.begins());
    assert!(!health.shared.is_well() && !two.begins(), "one tries it");
    one.tried();
    assert!(
        health.shared.is_well(),
        "that said nothing, so the next may try"
    );
    assert!(two.begins());
    two.answered(Some(Duration::ZERO));
    assert_eq!(health.state().state, "healthy");
    assert!(!one.begins());
}

#[test]
fn an_answer_from_before_an_ejection_does_not_end_it() {
    let health = health();
    let worker = health.of_worker(0);
    next_millisecond(&health);
    next_millisecond(&health);
    eject(&health);
    worker.answered(Some(Duration::from_millis(1) + Duration::from_secs(1)));
    worker.answered(None);
    assert_eq!(health.state().state, "ejected");
    worker.answered(Some(Duration::ZERO));
    assert_eq!(health.state().state, "healthy");
}

#[test]
fn ejections_grow_and_shrink_again() {
    let health = health();
    let left = || health.state().ejected_milliseconds;
    let eject = || {
        let (base, most) = (Duration::from_secs(100), Duration::from_secs(250));
        health.shared.eject((base, most), Marks::NONE, String::new);
        let left = left().div_ceil(1_000);
        health.of_worker(0).answered(Some(Duration::ZERO));
        left
    };
    assert_eq!([eject(), eject(), eject()], [100, 200, 250]);
    health.shared.was_well();
    health.shared.was_well();
    assert_eq!(eject(), 200);
}

#[test]
fn probes_decide_before_requests_do() {
    let health = health();
    health.goes_down("no connection");
    let state = health.state();
    assert_eq!((state.state, state.healthy), ("down", false));
    assert_eq!(state.reason, "no connection");
    health.of_worker(0).answered(Some(Duration::ZERO));
    assert_eq!(health.state().state, "down", "a request does not end that");
    eject(&health);
    health.comes_up();
    assert_eq!(health.state().state, "healthy");
    health.goes_down("no connection");
    health.is_not_probed();
    assert!(health.state().healthy);
}

#[test]
fn latency_is_smoothed_and_ages() {
    let health = health();
    let worker = health.of_worker(0);
    let average = || worker.condition.latency_microseconds();
    worker.answered(Some(Duration::from_micros(800)));
    assert_eq!(average(), 800, "the first counts in full");
    worker.answered(Some(Duration::from_micros(1_600)));
    assert_eq!(average(), 900);
    worker.condition.age(100);
    assert_eq!(average(), 100);
    worker.answered(Some(Duration::from_micros(180)));
    assert_eq!(average(), 110, "from there on");
    worker.answered(Some(Duration::ZERO));
    assert!(average() > 0, "0 stands for none so far");
}

#[test]
fn statistics_read_what_each_worker_counts() {
    let health = health();
    let two = health.of_worker(1);
    two.begins();
    two.answered(Some(Duration::from_micros(5)));
    let read = |r: HealthReading| (r.in_flight, r.latency_microseconds);
    let all: Vec<_> = health.by_worker().into_iter().map(read).collect();
    assert_eq!(all, [(0, 0), (1, 5)]);
}

#[test]
fn one_that_is_away_waits_for_a_connection_and_one_that_is_cut_off_for_its_time() {
    let (_, pool) = pool(3, rules());
    let eject = |at: usize, failure| (0..2).for_each(|_| pool.failed(at, failure));
    let health = |at: usize| &pool.endpoints[at].health;
    let is_well = |at: usize| health(at).shared.is_well();
    eject(0, Failure::ConnectTimeout);
    assert!(health(0).is_sought() && !is_well(0));
    health(0).is_not_reached(LONG);
    assert!(health(0).is_sought() && !is_well(0));
    health(0).is_reached();
    assert!(!health(0).is_sought() && is_well(0), "one may try it");
    assert!(health(0).of_worker(0).begins());
    health(0).of_worker(0).answered(Some(Duration::ZERO));
    assert_eq!(states(&pool), ["healthy"; 3]);

    eject(1, Failure::Closed);
    assert!(health(1).is_sought());
    health(1).is_reached();
    assert!(
        !health(1).is_sought() && !is_well(1),
        "it listens all the time"
    );
    health(1).comes_up();
    eject(1, Failure::Closed);
    health(1).is_not_reached(LONG);
    health(1).is_reached();
    assert!(is_well(1), "it has begun anew");
    health(1).comes_up();
    eject(2, Failure::Other);
    assert!(!health(2).is_sought());
}

#[test]
fn where_nobody_looks_for_it_its_time_decides() {
    let short = PoolHealth {
        fail_timeout: Duration::ZERO,
        ..rules()
    };
    let (_, pool) = pool(2, short);
    let health = &pool.endpoints[0].health;
    (0..2).for_each(|_| pool.failed(0, Failure::Connect));
    health.is_not_reached(Duration::ZERO);
    assert!(health.is_sought() && health.shared.is_well());
    health.is_not_sought();
    assert!(!health.is_sought() && health.shared.is_well());
    let mut probed = rules();
    probed.ejection.reconnect = Duration::ZERO;
    let (_, pool) = self::pool(2, probed);
    (0..2).for_each(|_| pool.failed(0, Failure::Connect));
    assert!(!pool.endpoints[0].health.is_sought());
}
