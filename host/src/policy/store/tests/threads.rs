//! Many threads at once.

use std::thread;

use super::super::*;
use crate::stats::{Stats, StoreShard};

#[test]
fn of_many_threads_that_expect_the_same_one_sets_it() {
    let store = Store::with_clock(
        StoreLimits::default(),
        None,
        Clock::Monotonic(Instant::now()),
    );
    const THREADS: u64 = 4;
    const ROUNDS: u64 = 2_000;
    thread::scope(|scope| {
        for _ in 0..THREADS {
            scope.spawn(|| {
                for _ in 0..ROUNDS {
                    loop {
                        let old = store.get("n");
                        let n = old.as_ref().map_or(0, |old| {
                            u64::from_le_bytes(old.as_slice().try_into().unwrap())
                        });
                        let new = (n + 1).to_le_bytes().to_vec();
                        if store
                            .compare_and_set("n".to_owned(), old.as_deref(), new, 0)
                            .unwrap()
                        {
                            break;
                        }
                    }
                    store.increment("n".to_owned(), 1, 0).unwrap();
                }
            });
        }
    });
    assert_eq!(
        store.get("n"),
        Some((THREADS * ROUNDS).to_le_bytes().to_vec())
    );
    assert_eq!(store.counter("n"), Some((THREADS * ROUNDS) as i64));
}

#[test]
fn threads_that_flood_stay_within_the_bounds() {
    let stats = Stats::new(1).policy("p");
    let limits = StoreLimits {
        entries: 2_000,
        bytes: 256 << 10,
    };
    let store = Store::new(limits, &stats, None);
    let sum = |counter: fn(&StoreShard) -> u64| {
        stats
            .store
            .get()
            .unwrap()
            .iter()
            .map(|s| counter(s))
            .sum::<u64>()
    };
    thread::scope(|scope| {
        for thread in 0..4 {
            let store = &store;
            scope.spawn(move || {
                for n in 0..20_000_u64 {
                    store
                        .set(format!("{thread} {n}"), vec![0; (n % 300) as usize], n % 3)
                        .unwrap();
                    store.increment(format!("{n}"), 1, 1).unwrap();
                    // Each part is within its share at any moment, so the sum is, whenever the
                    // parts are read.
                    assert!(sum(|s| s.entries.value()) <= limits.entries as u64);
                    assert!(sum(|s| s.bytes.value()) <= limits.bytes);
                }
            });
        }
    });
    assert!(
        sum(|s| s.evictions.value()) > 0 && sum(|s| s.bytes.value()) > limits.bytes / 2,
        "there was no flood"
    );
    assert_eq!(sum(|s| s.operations.value()), 160_000);
}
