//! What the review of a pool finds.

use super::*;
use crate::config::Ejection;

#[test]
fn a_share_grows_from_the_return_on_but_not_where_all_return() {
    let slow = PoolHealth {
        slow_start: LONG,
        ..rules()
    };
    let (topology, pool) = pool(2, slow);
    let stats = Stats::new(1);
    let mut review = Review::default();
    review.look(&topology, &stats);
    let share = |at: usize| pool.endpoints[at].health.state().share_percent;
    assert_eq!(
        [share(0), share(1)],
        [100, 100],
        "at the start all are alike"
    );
    let returns = |at: usize| {
        pool.endpoints[at].health.goes_down("no");
        pool.endpoints[at].health.comes_up();
    };
    returns(0);
    review.look(&topology, &stats);
    assert!(share(0) < 10 && share(1) == 100);
    let mut turns = 0;
    for _ in 0..40 {
        next_millisecond(&pool.endpoints[0].health);
        turns += u32::from(pool.endpoints[0].health.shared.has_turn(0));
    }
    assert!(turns < 20, "{turns} of 40");
    returns(1);
    review.look(&topology, &stats);
    assert_eq!([share(0), share(1)], [100, 100], "none is ahead");
}

#[test]
fn one_that_is_new_in_a_pool_begins_slowly() {
    let slow = PoolHealth {
        slow_start: LONG,
        ..rules()
    };
    let registry = Registry::new(1);
    let id = registry.pools(["a"]).remove(0);
    let stats = Stats::new(1);
    let mut review = Review::default();
    let first = Arc::new(pool_of(&registry, id, 1..=2, slow.clone()));
    review.look(&topology(1, &first), &stats);
    let next = Arc::new(pool_of(&registry, id, 1..=3, slow));
    review.look(&topology(2, &next), &stats);
    let shares = next
        .endpoints
        .iter()
        .map(|e| e.health.state().share_percent);
    let shares: Vec<u64> = shares.collect();
    assert_eq!(shares[..2], [100, 100]);
    assert!(shares[2] < 10);
}

/// Looks when an interval of a millisecond is certainly over.
fn look_later(review: &mut Review, topology: &Topology, stats: &Stats) {
    let health = &topology.pools[0].endpoints[0].health;
    next_millisecond(health);
    next_millisecond(health);
    review.look(topology, stats);
}

/// Looks until a condition holds.
fn look_until(
    review: &mut Review,
    topology: &Topology,
    stats: &Stats,
    what: &str,
    holds: impl Fn() -> bool,
) {
    let began = Instant::now();
    while !holds() {
        assert!(began.elapsed() < Duration::from_secs(20), "{what}");
        review.look(topology, stats);
        std::thread::yield_now();
    }
}

#[test]
fn one_that_answers_nothing_is_avoided_until_it_answers() {
    let (topology, pool) = pool(3, rules());
    let (stats, mut review) = (Stats::new(1), Review::default());
    review.look(&topology, &stats);
    let worker = pool.endpoints[0].health.of_worker(0);
    worker.begins();
    worker.begins();
    let state = || states(&pool)[0];
    look_until(&mut review, &topology, &stats, "it is stalled", || {
        state() == "degraded"
    });
    assert!(!worker.known().1.is_well());
    worker.answered(Some(Duration::from_millis(1)));
    look_until(&mut review, &topology, &stats, "it answers", || {
        state() == "healthy"
    });
    (0..2).for_each(|_| worker.ends(false));
    // Uploads wait for their clients.
    for _ in 0..2 {
        worker.begins();
        worker.is_paced();
    }
    let since = Instant::now();
    look_until(&mut review, &topology, &stats, "some time passes", || {
        assert_eq!(state(), "healthy", "uploads wait for their clients");
        since.elapsed() > Duration::from_millis(120)
    });
}

#[test]
fn none_is_stalled_where_most_are() {
    let (topology, pool) = pool(3, rules());
    let (stats, mut review) = (Stats::new(1), Review::default());
    review.look(&topology, &stats);
    let workers: Vec<_> = pool
        .endpoints
        .iter()
        .map(|e| e.health.of_worker(0))
        .collect();
    let wait = |at: usize| (0..2).for_each(|_| _ = workers[at].begins());
    wait(0);
    look_until(&mut review, &topology, &stats, "one is", || {
        states(&pool) == ["degraded", "healthy", "healthy"]
    });
    wait(1);
    look_until(&mut review, &topology, &stats, "two of three", || {
        states(&pool) == ["healthy"; 3]
    });
}

#[test]
fn one_that_fails_or_takes_longer_than_others_is_found_in_an_interval() {
    let mut often = rules();
    often.max_failures = 0;
    often.ejection.interval = Duration::from_millis(1);
    often.ejection.min_requests = 10;
    let (topology, pool) = pool(4, often);
    let (stats, mut review) = (Stats::new(1), Review::default());
    let look = |review: &mut Review| look_later(review, &topology, &stats);
    look(&mut review);
    let shard = |at: usize| {
        let health = Arc::clone(&pool.endpoints[at].health) as Arc<dyn HealthReadings>;
        Arc::clone(&stats.backend(&pool.endpoints[at].label, health).shards[0])
    };
    for at in 0..4 {
        shard(at).requests.add(20);
        for _ in 0..20 {
            let took = if at == 3 { 90_000 } else { 2_000 };
            shard(at).latency_microseconds.record(took);
        }
    }
    // One that hung, among others.
    shard(2).latency_microseconds.record(3_000_000);
    (0..12).for_each(|_| pool.failed(0, Failure::Other));
    (0..9).for_each(|_| pool.failed(1, Failure::Other));
    look(&mut review);
    assert_eq!(states(&pool), ["ejected", "healthy", "healthy", "degraded"]);
    let share = pool.endpoints[3].health.state().share_percent;
    assert_eq!(share, 25);
    look(&mut review);
    assert_eq!(states(&pool)[3], "healthy", "an interval without requests");
}

/// A pool of endpoints of another one, which sends them nothing, knows nothing of them.
#[test]
fn a_slow_one_stays_slow_whatever_a_pool_without_requests_finds() {
    for (factor, took, usual) in [
        (5.0, 300_000, 2_000),
        (120.0, 500_000, 1_000),
        (5.0, 500_000, 50),
    ] {
        let mut often = rules();
        often.ejection.interval = Duration::from_millis(1);
        often.ejection.min_requests = 10;
        often.ejection.latency_factor = factor;
        let registry = Registry::new(1);
        let ids = registry.pools(["a", "b"]);
        let mut silent = often.clone();
        silent.ejection.latency_factor = 0.0;
        let pool = Arc::new(pool_of(&registry, ids[0], 1..=3, often));
        let other = Arc::new(pool_of(&registry, ids[1], 3..=5, silent));
        let mut topology = topology(1, &pool);
        topology.pools.push(Arc::clone(&other));
        let (stats, mut review) = (Stats::new(1), Review::default());
        let look = |review: &mut Review| look_later(review, &topology, &stats);
        look(&mut review);
        for (at, took) in [(0, usual), (1, usual), (2, took)] {
            let health = Arc::clone(&pool.endpoints[at].health) as Arc<dyn HealthReadings>;
            let shard = Arc::clone(&stats.backend(&pool.endpoints[at].label, health).shards[0]);
            shard.requests.add(20);
            (0..20).for_each(|_| shard.latency_microseconds.record(took));
        }
        look(&mut review);
        assert_eq!(
            states(&pool),
            ["healthy", "healthy", "degraded"],
            "{factor}"
        );
        let reason = pool.endpoints[2].health.state().reason;
        assert!(
            reason.starts_with(&format!("it takes {} ms", took / 1_000)),
            "{reason}"
        );
        look(&mut review);
        assert_eq!(states(&pool), ["healthy"; 3], "{factor}");
    }
}

#[test]
fn a_fault_of_all_is_held_against_none() {
    let mut often = rules();
    often.max_failures = 0;
    often.ejection.interval = Duration::from_millis(1);
    often.ejection.min_requests = 10;
    let (topology, pool) = pool(3, often);
    let (stats, mut review) = (Stats::new(1), Review::default());
    review.look(&topology, &stats);
    for at in 0..3 {
        (0..20).for_each(|_| pool.failed(at, Failure::Other));
    }
    next_millisecond(&pool.endpoints[0].health);
    next_millisecond(&pool.endpoints[0].health);
    review.look(&topology, &stats);
    assert_eq!(states(&pool), ["healthy"; 3]);
}

#[test]
fn an_old_latency_comes_closer_to_what_is_usual() {
    let (topology, pool) = pool(3, rules());
    let (stats, mut review) = (Stats::new(1), Review::default());
    let workers: Vec<_> = pool
        .endpoints
        .iter()
        .map(|e| e.health.of_worker(0))
        .collect();
    for (worker, milliseconds) in workers.iter().zip([8, 1, 2]) {
        worker.begins();
        worker.answered(Some(Duration::from_millis(milliseconds)));
        worker.ends(false);
    }
    let latency = |at: usize| workers[at].condition.latency_microseconds();
    let began = Instant::now();
    while latency(0) > 2_000 {
        assert!(began.elapsed() < Duration::from_secs(20), "{}", latency(0));
        for worker in &workers[1..] {
            worker.begins();
            worker.answered(Some(Duration::from_millis(1)));
            worker.ends(false);
        }
        review.look(&topology, &stats);
        std::thread::sleep(Duration::from_millis(5));
    }
    assert!(latency(0) >= 1_000, "not below what is usual");
}

#[test]
fn attempts_that_were_given_up_wait_until_a_head_comes() {
    let quick = PoolHealth {
        ejection: Ejection {
            stalled_after: Duration::from_millis(1),
            ..Default::default()
        },
        ..rules()
    };
    let (topology, pool) = pool(2, quick);
    let (stats, mut review) = (Stats::new(2), Review::default());
    review.look(&topology, &stats);
    let worker = pool.endpoints[0].health.of_worker(0);
    let given_up = || {
        worker.begins();
        worker.ends(false);
        worker.gives_up();
    };
    let mut look_later = || {
        (0..6).for_each(|_| next_millisecond(&pool.endpoints[0].health));
        review.look(&topology, &stats);
        states(&pool)
    };
    (0..2).for_each(|_| given_up());
    look_later();
    assert_eq!(
        look_later(),
        ["healthy"; 2],
        "it may have been about to answer"
    );
    given_up();
    assert_eq!(look_later(), ["degraded", "healthy"]);
    worker.begins();
    worker.answered(None);
    worker.ends(false);
    assert_eq!(look_later(), ["healthy"; 2]);
}
