use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::thread;

use proptest::prelude::*;

use super::*;
use crate::stats::{Stats, StoreShard};

const MILLISECOND: u64 = 1_000_000;

/// A store with a given time, and its counters.
struct Told {
    store: Store,
    now: Arc<AtomicU64>,
    stats: Arc<PolicyStats>,
}

fn told(entries: usize, bytes: u64) -> Told {
    let now = Arc::new(AtomicU64::new(5));
    let stats = Stats::new(1).policy("p");
    let clock = Clock::Told(Arc::clone(&now));
    Told {
        store: Store::with_clock(
            StoreLimits { entries, bytes },
            Some(Arc::clone(&stats)),
            clock,
        ),
        now,
        stats,
    }
}

impl Told {
    fn pass(&self, milliseconds: u64) {
        self.now.fetch_add(milliseconds * MILLISECOND, Relaxed);
    }

    fn set(&self, key: &str, value: &str, ttl: u64) {
        self.store
            .set(key.to_owned(), value.as_bytes().to_vec(), ttl)
            .unwrap();
    }

    fn get(&self, key: &str) -> Option<String> {
        self.store
            .get(key)
            .map(|value| String::from_utf8(value).unwrap())
    }

    fn sum(&self, counter: fn(&StoreShard) -> u64) -> u64 {
        self.stats
            .store
            .get()
            .unwrap()
            .iter()
            .map(|shard| counter(shard))
            .sum()
    }

    fn entries(&self) -> u64 {
        self.sum(|s| s.entries.value())
    }

    fn bytes(&self) -> u64 {
        self.sum(|s| s.bytes.value())
    }
}

#[test]
fn values_are_set_read_replaced_and_removed() {
    let t = told(100, 1 << 20);
    assert_eq!(t.get("a"), None);
    t.set("a", "one", 0);
    t.set("b", "", 0);
    assert_eq!(
        (t.get("a").as_deref(), t.get("b").as_deref()),
        (Some("one"), Some(""))
    );
    t.set("a", "another", 0);
    assert_eq!(t.get("a").as_deref(), Some("another"));
    assert_eq!((t.entries(), t.bytes()), (2, 2 * ENTRY_BYTES + 1 + 7 + 1));
    assert!(t.store.remove("a"));
    assert!(!t.store.remove("a"));
    assert_eq!(t.get("a"), None);
    assert_eq!((t.entries(), t.bytes()), (1, ENTRY_BYTES + 1));
}

#[test]
fn counters_and_values_of_one_name_are_two_entries() {
    let t = told(100, 1 << 20);
    t.set("x", "value", 0);
    assert_eq!(t.store.increment("x".to_owned(), 3, 0), Ok(3));
    assert_eq!(t.store.increment("x".to_owned(), -5, 0), Ok(-2));
    assert_eq!(
        (t.store.counter("x"), t.get("x").as_deref()),
        (Some(-2), Some("value"))
    );
    assert!(t.store.remove("x"));
    assert_eq!((t.store.counter("x"), t.get("x")), (Some(-2), None));
    assert_eq!(t.store.counter("nobody"), None);
}

#[test]
fn counters_stay_at_the_ends_of_their_range() {
    let t = told(100, 1 << 20);
    assert_eq!(
        t.store.increment("x".to_owned(), i64::MAX - 1, 0),
        Ok(i64::MAX - 1)
    );
    assert_eq!(t.store.increment("x".to_owned(), 5, 0), Ok(i64::MAX));
    assert_eq!(t.store.increment("y".to_owned(), i64::MIN, 0), Ok(i64::MIN));
    assert_eq!(t.store.increment("y".to_owned(), -1, 0), Ok(i64::MIN));
    assert_eq!(
        t.store.decrement("x".to_owned(), u64::MAX, 0),
        Ok(i64::MIN),
        "from one end to the other"
    );
    assert_eq!(t.store.decrement("x".to_owned(), 1, 0), Ok(i64::MIN));
    assert_eq!(
        t.store.decrement("z".to_owned(), 1 << 63, 0),
        Ok(i64::MIN),
        "from 0"
    );
    assert_eq!(t.store.decrement("w".to_owned(), 0, 0), Ok(0));
}

#[test]
fn counting_down_is_recorded_and_replayed() {
    let text = r#"[{"call":{"decrement":["n",3,0]},"told":{"count":-1}},{"call":{"counter":"n"},"told":{"count":-1}},{"call":{"counter":"m"},"told":{"count":null}}]"#;
    let recorded: Vec<super::Told> = serde_json::from_str(text).unwrap();
    assert_eq!(serde_json::to_string(&recorded).unwrap(), text);
    let t = told(100, 1 << 20);
    let mut calls = Calls::recorded(recorded);
    let mut ask = |call: Call| calls.rehearse(call, &t.store);
    let (n, m) = (|| "n".to_owned(), || "m".to_owned());
    assert_eq!(
        ask(Call::Decrement(n(), 5, 0)),
        Answer::Count(Some(-3)),
        "from 2, where it stood"
    );
    assert_eq!(t.store.counter("n"), Some(-3));
    assert_eq!(ask(Call::Counter(n())), Answer::Count(Some(-1)));
    assert_eq!(ask(Call::Counter(m())), Answer::Count(None));
    // Not recorded any more: the separate store answers.
    assert_eq!(
        ask(Call::Decrement(n(), u64::MAX, 0)),
        Answer::Count(Some(i64::MIN))
    );
    assert_eq!(ask(Call::Counter(m())), Answer::Count(None));
}

#[test]
fn long_keys_and_large_values_are_refused_and_counted() {
    let t = told(100, 2048);
    let set = |key: usize, value: usize| t.store.set("k".repeat(key), vec![0; value], 0);
    assert_eq!(set(256, 0), Ok(()));
    assert_eq!(set(257, 0), Err(StoreError::KeyTooLong));
    assert_eq!(set(1, 4097), Err(StoreError::ValueTooLong));
    assert_eq!(set(1, 4096), Err(StoreError::NoRoom));
    let largest = 2048 - ENTRY_BYTES as usize - 1;
    assert_eq!(set(1, largest + 1), Err(StoreError::NoRoom));
    assert_eq!(set(1, largest), Ok(()));
    assert_eq!(t.bytes(), 2048);
    assert_eq!(
        t.store.increment("k".repeat(257), 1, 0),
        Err(StoreError::KeyTooLong)
    );
    assert_eq!(
        t.store.decrement("k".repeat(257), 1, 0),
        Err(StoreError::KeyTooLong)
    );
    assert_eq!(
        t.store.compare_and_set("k".repeat(257), None, vec![], 0),
        Err(StoreError::KeyTooLong)
    );
    assert_eq!(t.sum(|s| s.refused.value()), 7);
    let unknown = "k".repeat(100_000);
    assert_eq!(
        (
            t.store.get(&unknown),
            t.store.remove(&unknown),
            t.store.counter(&unknown)
        ),
        (None, false, None)
    );
    assert_eq!(t.sum(|s| s.operations.value()), 12);
}

#[test]
fn values_go_when_their_time_is_up() {
    let t = told(100, 1 << 20);
    t.set("a", "1", 10);
    t.pass(9);
    assert_eq!(t.get("a").as_deref(), Some("1"));
    t.pass(1);
    assert_eq!(t.get("a"), None);
    assert_eq!((t.entries(), t.sum(|s| s.expirations.value())), (0, 1));
    t.set("a", "1", 10);
    t.pass(9);
    t.set("a", "2", 10);
    t.pass(9);
    assert_eq!(t.get("a").as_deref(), Some("2"), "a set renews");
    t.set("a", "3", 1);
    t.pass(1);
    assert_eq!(t.get("a"), None, "or shortens");
    t.set("a", "4", 1);
    t.set("a", "5", 0);
    t.pass(1_000_000);
    assert_eq!(t.get("a").as_deref(), Some("5"), "or takes the time away");
    t.set("a", "6", u64::MAX);
    t.pass(1_000_000);
    assert_eq!(
        t.get("a").as_deref(),
        Some("6"),
        "and the longest time is long"
    );
}

#[test]
fn a_counter_is_a_window_that_begins_with_its_first_use() {
    let t = told(100, 1 << 20);
    assert_eq!(t.store.increment("x".to_owned(), 1, 10), Ok(1));
    t.pass(9);
    assert_eq!(t.store.increment("x".to_owned(), 1, 10), Ok(2));
    assert_eq!(t.store.decrement("x".to_owned(), 4, 10), Ok(-2));
    assert_eq!(t.store.increment("x".to_owned(), 4, 10), Ok(2));
    assert_eq!(t.store.increment("x".to_owned(), 1, 0), Ok(3));
    t.pass(1);
    assert_eq!(t.store.counter("x"), None);
    assert_eq!(t.store.increment("x".to_owned(), 1, 10), Ok(1));
}

#[test]
fn compare_and_set_replaces_only_the_expected_value() {
    let t = told(100, 1 << 20);
    let cas = |expected: Option<&str>, value: &str| {
        t.store
            .compare_and_set(
                "a".to_owned(),
                expected.map(str::as_bytes),
                value.into(),
                10,
            )
            .unwrap()
    };
    assert!(!cas(Some("x"), "1"));
    assert!(cas(None, "1"));
    assert!(!cas(None, "2"));
    assert!(!cas(Some("2"), "2"));
    assert!(cas(Some("1"), "2"));
    assert_eq!(t.get("a").as_deref(), Some("2"));
    t.pass(10);
    assert!(!cas(Some("2"), "3"), "its time is up");
    assert!(cas(None, "3"));
    t.store.increment("b".to_owned(), 1, 0).unwrap();
    assert_eq!(
        t.store.compare_and_set("b".to_owned(), None, vec![1], 0),
        Ok(true),
        "a counter is no value"
    );
}

#[test]
fn entries_whose_time_is_up_go_before_all_others() {
    let t = told(10, 1 << 20);
    for n in 0..5 {
        t.set(&format!("stays {n}"), "", 0);
        t.set(&format!("goes {n}"), "", 10);
    }
    t.pass(10);
    for n in 0..5 {
        t.set(&format!("new {n}"), "", 0);
    }
    assert_eq!(t.sum(|s| s.evictions.value()), 0);
    for n in 0..5 {
        assert!(t.get(&format!("stays {n}")).is_some() && t.get(&format!("new {n}")).is_some());
    }
}

#[test]
fn renewed_entries_are_not_taken_for_those_whose_time_is_up() {
    let t = told(10, 1 << 20);
    for n in 0..10 {
        t.set(&n.to_string(), "", 10);
    }
    t.pass(5);
    for n in 0..9 {
        t.set(&n.to_string(), "", 10);
    }
    t.pass(5);
    t.set("new", "", 0);
    assert_eq!(
        (
            t.sum(|s| s.evictions.value()),
            t.sum(|s| s.expirations.value())
        ),
        (0, 1)
    );
    assert!((0..9).all(|n| t.get(&n.to_string()).is_some()));
}

#[test]
fn used_entries_survive_a_flood_of_keys() {
    let t = told(1000, 1 << 20);
    for n in 0..100 {
        t.set(&format!("kept {n}"), "x", 0);
        t.set(&format!("once {n}"), "x", 0);
    }
    for n in 0..100_000 {
        t.set(&format!("flood {n}"), "x", 0);
        t.get(&format!("kept {}", n % 100));
    }
    let kept = (0..100)
        .filter(|n| t.get(&format!("kept {n}")).is_some())
        .count();
    assert_eq!(kept, 100);
    assert!(t.entries() <= 1000 && t.entries() >= 990, "{}", t.entries());
    assert!(t.sum(|s| s.evictions.value()) >= 99_000);
}

#[test]
fn a_value_that_grows_where_it_is_makes_room_for_itself() {
    let t = told(1_000, 8 * 1024);
    for n in 0..40 {
        t.set(&n.to_string(), "x", 0);
    }
    for size in (0..4096).step_by(100).chain((0..4096).rev().step_by(100)) {
        t.set("grows", &"y".repeat(size), 0);
        assert!(t.bytes() <= 8 * 1024, "{size}: {}", t.bytes());
        assert_eq!(t.get("grows").map(|value| value.len()), Some(size));
        assert!(
            t.store
                .compare_and_set(
                    "cas".to_owned(),
                    t.store.get("cas").as_deref(),
                    vec![0; 4095 - size],
                    0
                )
                .unwrap()
        );
        assert!(t.bytes() <= 8 * 1024, "{size}: {}", t.bytes());
    }
}

#[test]
fn entries_that_are_only_written_or_counted_survive_a_flood_too() {
    let t = told(1000, 1 << 20);
    let (set, cas) = (|n: u64| format!("set {n}"), |n: u64| format!("cas {n}"));
    for n in 0..50 {
        t.set(&set(n), "0", 0);
        t.set(&cas(n), "0", 0);
        t.store.increment(format!("up {n}"), 1, 0).unwrap();
        t.store.increment(format!("read {n}"), 7, 0).unwrap();
        // Of the entries that an eviction looks at, some are unused.
        (0..4).for_each(|at| t.set(&format!("once {at} {n}"), "x", 0));
    }
    for n in 0..100_000 {
        t.set(&format!("flood {n}"), "x", 0);
        let at = n % 50;
        match n / 50 % 4 {
            0 => t.set(&set(at), "1", 0),
            1 => assert!(
                t.store
                    .compare_and_set(cas(at), Some(b"0"), b"0".to_vec(), 0)
                    .unwrap(),
                "{n}"
            ),
            2 => _ = t.store.increment(format!("up {at}"), 1, 0).unwrap(),
            _ => assert_eq!(t.store.counter(&format!("read {at}")), Some(7), "{n}"),
        }
    }
    assert!(t.sum(|s| s.evictions.value()) >= 99_000);
    for n in 0..50 {
        assert_eq!(
            (t.get(&set(n)).as_deref(), t.get(&cas(n)).as_deref()),
            (Some("1"), Some("0")),
            "{n}"
        );
        assert_eq!(
            t.store.counter(&format!("up {n}")),
            Some(1 + 500),
            "none was lost in between"
        );
    }
}

#[test]
fn a_shadow_gets_a_compare_and_set_answer_for_its_expected_value() {
    let t = told(100, 1 << 20);
    let cas = |expected: Option<&str>, value: &str| {
        Call::CompareAndSet(
            "a".to_owned(),
            expected.map(|e| e.as_bytes().to_vec()),
            value.into(),
            0,
        )
    };
    t.set("a", "now", 0);
    // The active generation did not make this call: the store answers what would be, and stays as
    // it is.
    let mut calls = Calls::default();
    for (expected, told) in [
        (Some("now"), true),
        (Some("then"), false),
        (None, false),
        (Some("no"), false),
    ] {
        assert_eq!(
            calls.replay(&cas(expected, "new"), &t.store),
            Answer::Flag(told),
            "{expected:?}"
        );
    }
    assert_eq!(t.get("a").as_deref(), Some("now"));
    assert_eq!(
        calls.replay(
            &Call::CompareAndSet("b".to_owned(), None, vec![], 0),
            &t.store
        ),
        Answer::Flag(true)
    );
    assert_eq!(t.get("b"), None);
    // The active generation has made this call: its answer is only for a call that expects the same
    // value.
    assert_eq!(
        calls.run(cas(Some("now"), "new"), &t.store),
        Answer::Flag(true)
    );
    assert_eq!(t.get("a").as_deref(), Some("new"));
    assert_eq!(
        calls.replay(&cas(Some("then"), "new"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(None, "new"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(Some("now"), "abc"), &t.store),
        Answer::Flag(true),
        "it is told what the other was"
    );
    assert_eq!(
        calls.replay(&cas(Some("now"), "abc"), &t.store),
        Answer::Flag(false),
        "once; now it is another value"
    );
    assert_eq!(
        calls.run(cas(Some("now"), "x"), &t.store),
        Answer::Flag(false)
    );
    assert_eq!(
        calls.replay(&cas(Some("new"), "x"), &t.store),
        Answer::Flag(true),
        "another expectation than the kept one"
    );
    assert_eq!(
        t.get("a").as_deref(),
        Some("new"),
        "a shadow has changed nothing"
    );
}

#[test]
fn unused_entries_are_evicted_in_about_the_order_of_insertion() {
    let t = told(100, 1 << 20);
    for n in 0..1_000 {
        t.set(&n.to_string(), "", 0);
    }
    let left = (800..1_000)
        .filter(|n| t.get(&n.to_string()).is_some())
        .count();
    assert_eq!(left, 100, "what is left is of the last 200");
}

#[test]
fn room_for_a_large_value_is_made_of_small_ones() {
    let t = told(1_000, 16 * 1024);
    for n in 0..200 {
        t.set(&n.to_string(), "x", 0);
    }
    assert!(t.bytes() <= 16 * 1024);
    let large = "y".repeat(4096);
    for n in 0..10 {
        t.set(&format!("large {n}"), &large, 0);
        assert!(t.bytes() <= 16 * 1024);
        assert_eq!(t.get(&format!("large {n}")).as_deref(), Some(&*large));
    }
    assert_eq!(t.entries(), 3);
    t.set("large 9", "", 0);
    t.set("large 9", &large, 0);
    assert!(t.bytes() <= 16 * 1024);
}

#[test]
fn an_unused_store_reserves_no_memory() {
    let t = told(1_000, 1 << 20);
    assert!(t.store.shards.get().is_none() && t.stats.store.get().is_none());
    t.store.reserve();
    assert_eq!(t.entries(), 0);
}

#[test]
fn shards_are_fewer_where_there_is_little_to_divide() {
    let count = |entries, bytes| divide(StoreLimits { entries, bytes });
    let check = |entries: usize, bytes: u64, shards: usize| {
        let (n, bounds) = count(entries, bytes);
        assert_eq!(n, shards, "{entries} {bytes}");
        assert!(
            bounds.entries >= 1
                && bounds.entries * n <= entries
                && bounds.bytes * n as u64 <= bytes
        );
    };
    check(10_000, 4 << 20, 16);
    check(10_000_000, 16 << 30, 16);
    check(1, 1024, 1);
    check(10_000, 1024, 1);
    check(1_000, 1 << 30, 2);
    check(10_000, 300 << 10, 4);
}

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

#[derive(Debug, Clone)]
enum Op {
    Set(u8, usize, u64),
    Get(u8),
    Remove(u8),
    Cas(u8, bool, usize, u64),
    Increment(u8, i64, u64),
    Counter(u8),
    Pass(u64),
}

fn op() -> impl Strategy<Value = Op> {
    let (key, size, ttl) = (0..24_u8, 0..400_usize, 0..6_u64);
    prop_oneof![
        (key.clone(), size.clone(), ttl.clone()).prop_map(|(k, n, t)| Op::Set(k, n, t)),
        key.clone().prop_map(Op::Get),
        key.clone().prop_map(Op::Remove),
        (key.clone(), any::<bool>(), size, ttl.clone())
            .prop_map(|(k, b, n, t)| Op::Cas(k, b, n, t)),
        (key.clone(), 1..5_i64, ttl.clone()).prop_map(|(k, n, t)| Op::Increment(k, n, t)),
        (key.clone(), 1..5_i64, ttl).prop_map(|(k, n, t)| Op::Increment(k, -n, t)),
        key.prop_map(Op::Counter),
        (0..4_u64).prop_map(Op::Pass),
    ]
}

/// What a store with endless room would hold: size and end of the values, count and end of the
/// counters.
#[derive(Default)]
struct Model {
    values: HashMap<u8, (usize, u64)>,
    counters: HashMap<u8, (i64, u64)>,
}

proptest! {
    #[test]
    fn it_is_a_map_with_times(ops in prop::collection::vec(op(), 0..300)) {
        let t = told(10_000, 16 << 20);
        check(&t, &ops, None)?;
    }

    #[test]
    fn with_little_room_it_forgets_but_never_lies(ops in prop::collection::vec(op(), 0..300), entries in 1..12_usize) {
        let t = told(entries, 2048);
        check(&t, &ops, Some((entries as u64, 2048)))?;
    }
}

/// Does all this, and compares with the model; with endless room they agree, otherwise entries may
/// be missing, and after each step there are no more entries and bytes than these.
fn check(t: &Told, ops: &[Op], room: Option<(u64, u64)>) -> Result<(), TestCaseError> {
    let endless = room.is_none();
    let mut model = Model::default();
    let mut now = 0;
    let end = |now: u64, ttl: u64| if ttl == 0 { u64::MAX } else { now + ttl };
    for op in ops {
        model.values.retain(|_, (_, end)| *end > now);
        model.counters.retain(|_, (_, end)| *end > now);
        match op.clone() {
            Op::Set(key, size, ttl) => {
                t.store.set(key.to_string(), vec![key; size], ttl).unwrap();
                model.values.insert(key, (size, end(now, ttl)));
            }
            Op::Get(key) => match (t.store.get(&key.to_string()), model.values.get(&key)) {
                (Some(value), Some((size, _))) => prop_assert_eq!(value, vec![key; *size]),
                (None, None) => {}
                (None, Some(_)) => prop_assert!(!endless),
                (Some(_), None) => prop_assert!(false, "{} is there", key),
            },
            Op::Remove(key) => {
                let (removed, known) = (
                    t.store.remove(&key.to_string()),
                    model.values.remove(&key).is_some(),
                );
                prop_assert!(removed == known || (!endless && known));
            }
            Op::Cas(key, right, size, ttl) => {
                let now_there = t.store.get(&key.to_string());
                let expected = if right { now_there } else { Some(vec![255; 3]) };
                let set = t
                    .store
                    .compare_and_set(key.to_string(), expected.as_deref(), vec![key; size], ttl)
                    .unwrap();
                prop_assert_eq!(set, right);
                if set {
                    model.values.insert(key, (size, end(now, ttl)));
                }
            }
            Op::Increment(key, by, ttl) => {
                if t.store.counter(&key.to_string()).is_none() {
                    let known = model.counters.remove(&key).is_some();
                    prop_assert!(!known || !endless, "{} is gone", key);
                }
                let told = match u64::try_from(by) {
                    Ok(_) => t.store.increment(key.to_string(), by, ttl).unwrap(),
                    Err(_) => t
                        .store
                        .decrement(key.to_string(), by.unsigned_abs(), ttl)
                        .unwrap(),
                };
                let (count, _) = model.counters.entry(key).or_insert((0, end(now, ttl)));
                *count += by;
                prop_assert_eq!(told, *count);
            }
            Op::Counter(key) => {
                let told = t.store.counter(&key.to_string());
                let count = model.counters.get(&key).map(|(count, _)| *count);
                prop_assert!(
                    told == count || (!endless && told.is_none()),
                    "{:?} {:?}",
                    told,
                    count
                );
            }
            Op::Pass(milliseconds) => {
                t.pass(milliseconds);
                now += milliseconds;
            }
        }
        if let (Some((entries, bytes)), Some(_)) = (room, t.stats.store.get()) {
            prop_assert!(
                t.entries() <= entries && t.bytes() <= bytes,
                "{:?}: {} {}",
                op,
                t.entries(),
                t.bytes()
            );
        }
    }
    Ok(())
}

#[test]
fn an_entry_that_was_used_once_long_ago_does_not_stay_for_ever() {
    // Ten entries in each of 16 shards; 200 more come to each, give or take 60 in the worst of
    // runs.
    let t = told(160, 1 << 20);
    for n in 0..100 {
        t.set(&format!("old {n}"), "x", 0);
        t.get(&format!("old {n}"));
    }
    for n in 0..3_200 {
        t.set(&format!("new {n}"), "x", 0);
    }
    let left = (0..100)
        .filter(|n| t.get(&format!("old {n}")).is_some())
        .count();
    assert_eq!(left, 0, "its second chance is one chance");
    assert!(t.entries() <= 160);
}

#[test]
fn a_comparison_keeps_values_that_fit_the_store_and_none_larger() {
    let t = told(100, 1 << 20);
    let (key, long) = ("k".repeat(MAX_KEY), "k".repeat(MAX_KEY + 1));
    let (value, large) = (vec![b'v'; MAX_VALUE], vec![b'v'; MAX_VALUE + 1]);
    let fitting = [
        Call::Get(key.clone()),
        Call::Set(key.clone(), value.clone(), 0),
        Call::CompareAndSet(key.clone(), Some(value.clone()), value.clone(), 0),
    ];
    let beyond = [
        Call::Get(long.clone()),
        Call::Set(long, value.clone(), 0),
        Call::Set(key.clone(), large.clone(), 0),
        Call::CompareAndSet(key.clone(), Some(large.clone()), value.clone(), 0),
        Call::CompareAndSet(key, Some(value), large, 0),
    ];
    for (calls, kept) in [(fitting.to_vec(), 1), (beyond.to_vec(), 0)] {
        for call in calls {
            let mut tape = Calls::default();
            tape.run(call, &t.store);
            assert_eq!(tape.kept().len(), kept, "{:?}", tape.kept());
        }
    }
}
