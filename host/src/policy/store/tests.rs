mod compared;
mod model;
mod room;
mod threads;

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

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
fn entries_go_over_to_another_store_with_what_is_left_of_their_time() {
    let (one, other) = (told(1_000, 1 << 20), told(1_000, 1 << 20));
    let bytes = b"\0bytes\xff".to_vec();
    one.store.set("value".into(), bytes.clone(), 50).unwrap();
    one.set("stays", "", 0);
    one.set("over", "", 10);
    one.store.increment("count".into(), -7, 0).unwrap();
    one.pass(20);
    let text = serde_json::to_string(&one.store.entries()).unwrap();
    other.store.restore(serde_json::from_str(&text).unwrap());
    assert_eq!(other.store.get("value"), Some(bytes));
    assert_eq!(
        (other.get("stays"), other.get("over")),
        (Some(String::new()), None)
    );
    assert_eq!(other.store.counter("count"), Some(-7));
    other.pass(31);
    assert_eq!(
        (other.get("value"), other.get("stays")),
        (None, Some(String::new()))
    );
}
