//! Which entries go where there is no room.

use super::told;

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
