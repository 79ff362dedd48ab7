//! The policies' store by itself. What a call takes is made ahead of the clock, and what it gives
//! is freed behind it.

use std::mem::take;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use criterion::measurement::WallTime;
use criterion::{BenchmarkGroup, Criterion};
use waypost::config::StoreLimits;
use waypost::policy::Store;
use waypost::stats::Stats;

use crate::BATCH;

/// Near to what a store holds by default.
const KEYS: usize = 8_000;
/// Longer than the benchmark takes, in milliseconds.
const TTL: u64 = 3_600_000;
const VALUE: [u8; 8] = [1; 8];

/// What a call takes.
struct Input {
    key: String,
    value: Vec<u8>,
}

/// `store/...`
pub fn measure(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("store");
    case(
        &mut group,
        "get",
        || with_values(KEYS),
        key,
        |store, input| store.get(&input.key).unwrap(),
    );
    case(
        &mut group,
        "set",
        || with_values(KEYS),
        key,
        |store, input| {
            store
                .set(take(&mut input.key), take(&mut input.value), TTL)
                .unwrap();
        },
    );
    case(
        &mut group,
        "compare-and-set",
        || with_values(KEYS),
        key,
        |store, input| {
            let stored = store.compare_and_set(
                take(&mut input.key),
                Some(&VALUE),
                take(&mut input.value),
                TTL,
            );
            assert!(stored.unwrap(), "another value was there");
        },
    );
    case(
        &mut group,
        "increment",
        with_counters,
        key,
        |store, input| {
            assert!(
                store.increment(take(&mut input.key), 1, TTL).unwrap() > 1,
                "no counter was there"
            );
        },
    );
    let new = |turn| format!("flood {turn}");
    let full = || with_values(2 * StoreLimits::default().entries);
    case(
        &mut group,
        "set (a new key, when it is full)",
        full,
        new,
        |store, input| {
            store
                .set(take(&mut input.key), take(&mut input.value), TTL)
                .unwrap();
        },
    );
    let hot = || {
        let store = empty();
        store.increment(key(0), 1, 0).unwrap();
        store
    };
    case(
        &mut group,
        "increment (always one key)",
        hot,
        |_| key(0),
        |store, input| {
            assert!(
                store.increment(take(&mut input.key), 1, 0).unwrap() > 1,
                "no counter was there"
            );
        },
    );
    contended(&mut group);
    group.finish();
}

fn case<A>(
    group: &mut BenchmarkGroup<'_, WallTime>,
    name: &str,
    make: impl Fn() -> Store,
    key: impl Fn(usize) -> String,
    call: impl Fn(&Store, &mut Input) -> A,
) {
    let (mut store, mut turn) = (None, 0);
    group.bench_function(name, |b| {
        let store = store.get_or_insert_with(&make);
        let input = || {
            turn += 1;
            Input {
                key: key(turn),
                value: VALUE.to_vec(),
            }
        };
        b.iter_batched_ref(input, |input| call(store, input), BATCH);
    });
}

/// Two threads at one key.
fn contended(group: &mut BenchmarkGroup<'_, WallTime>) {
    let (store, done) = (empty(), AtomicBool::new(false));
    thread::scope(|scope| {
        // Also when the measurement panics: the scope waits for the thread.
        let _stop = Stop(&done);
        let mut other = None;
        group.bench_function(
            "increment (always one key, and so does another thread)",
            |b| {
                other.get_or_insert_with(|| {
                    scope.spawn(|| {
                        while !done.load(Ordering::Relaxed) {
                            store.increment(key(0), 1, 0).unwrap();
                        }
                    })
                });
                b.iter_batched_ref(
                    || key(0),
                    |key| store.increment(take(key), 1, 0).unwrap(),
                    BATCH,
                );
            },
        );
    });
}

/// Tells a thread to end.
struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn empty() -> Store {
    let store = Store::new(StoreLimits::default(), &Stats::new(1).policy("store"), None);
    store.reserve();
    store
}

fn with_values(count: usize) -> Store {
    let store = empty();
    (0..count).for_each(|n| store.set(distinct(n), VALUE.to_vec(), TTL).unwrap());
    store
}

fn with_counters() -> Store {
    let store = empty();
    for n in 0..KEYS {
        store.increment(distinct(n), 1, TTL).unwrap();
    }
    store
}

/// One of the keys that are there.
fn key(turn: usize) -> String {
    distinct(turn % KEYS)
}

fn distinct(n: usize) -> String {
    format!("c 10.0.{}.{}", n / 256, n % 256)
}
