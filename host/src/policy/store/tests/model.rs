//! The store does what a simple model does.

use std::collections::HashMap;

use proptest::prelude::*;

use super::{Told, told};

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
