//! How often a policy selected each backend.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::Counter;

/// Selections by the pool's name and the backend's address.
pub type DecisionSums = BTreeMap<String, BTreeMap<String, u64>>;

/// What stands for names that were forgotten.
pub const FORGOTTEN: &str = "(forgotten)";

/// A pool that a policy selects from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DecidedPool {
    /// Its id.
    pub id: u32,
    /// The operator's name for it.
    pub name: String,
    /// The backends' addresses, by the positions that the policy uses.
    pub backends: Vec<String>,
}

/// The selections that one shard has counted. Policies select by position, so a list of backends
/// that changes gets counters of its own, and what the former ones counted stays with its
/// addresses.
#[derive(Default)]
pub struct Decisions {
    // Locked when a handle gets other lists and when statistics are read.
    counted: Mutex<Counted>,
}

#[derive(Default)]
struct Counted {
    /// Of the lists that handles have now.
    current: Vec<Arc<Selections>>,
    /// Of the lists that they had.
    past: DecisionSums,
}

/// The counters of the lists that a handle has.
#[derive(Debug)]
pub struct Selections {
    pools: Arc<[DecidedPool]>,
    /// By pool id, then by position; empty for pools that the policy does not serve.
    counters: Box<[Box<[Counter]>]>,
}

impl Decisions {
    /// Counters for these lists.
    pub fn follow(&self, pools: &Arc<[DecidedPool]>) -> Arc<Selections> {
        let mut counted = self.counted();
        let Counted { current, past } = &mut *counted;
        current.retain_mut(|selections| {
            // No handle has it any more, so it gets no more counts.
            let is_over = Arc::get_mut(selections).is_some();
            if is_over {
                selections.each(|pool, address, n| {
                    if n > 0 {
                        add(past, pool, address, n);
                    }
                });
            }
            !is_over
        });
        let selections = Arc::new(Selections::new(pools));
        current.push(Arc::clone(&selections));
        selections
    }

    /// Adds its counts to these.
    pub fn add_to(&self, sums: &mut DecisionSums) {
        let counted = self.counted();
        for (pool, backends) in &counted.past {
            backends
                .iter()
                .for_each(|(address, n)| add(sums, pool, address, *n));
        }
        for selections in &counted.current {
            for pool in &*selections.pools {
                sums.entry(pool.name.clone()).or_default();
            }
            selections.each(|pool, address, n| add(sums, pool, address, n));
        }
    }

    /// Adds up what former lists counted of pools and addresses that are not known any more.
    pub(super) fn forget(&self, is_known: &dyn Fn(&str, &str) -> bool) {
        let mut counted = self.counted();
        let is_left = |(pool, backends): (&String, &BTreeMap<String, u64>)| {
            let mut addresses = backends.keys();
            addresses.all(|address| pool == FORGOTTEN || is_known(pool, address))
        };
        if counted.past.iter().all(is_left) {
            return;
        }
        let mut left = DecisionSums::new();
        for (pool, backends) in std::mem::take(&mut counted.past) {
            for (address, n) in backends {
                match is_known(&pool, &address) {
                    true => add(&mut left, &pool, &address, n),
                    false => add(&mut left, FORGOTTEN, FORGOTTEN, n),
                }
            }
        }
        counted.past = left;
    }

    /// Adds the counts of others that are no longer written.
    pub(super) fn fold(&self, other: &Self) {
        other.add_to(&mut self.counted().past);
    }

    fn counted(&self) -> MutexGuard<'_, Counted> {
        self.counted.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Decisions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sums = DecisionSums::new();
        self.add_to(&mut sums);
        sums.fmt(f)
    }
}

impl Selections {
    fn new(pools: &Arc<[DecidedPool]>) -> Self {
        let mut counters: Vec<Box<[Counter]>> = Vec::new();
        for pool in &**pools {
            let id = pool.id as usize;
            counters.resize_with(counters.len().max(id + 1), Box::default);
            counters[id] = pool.backends.iter().map(|_| Counter::default()).collect();
        }
        Self {
            pools: Arc::clone(pools),
            counters: counters.into(),
        }
    }

    /// Counts a selection of the backend at this position.
    #[inline]
    pub fn count(&self, pool: u32, position: u32) {
        let counters = self.counters.get(pool as usize);
        if let Some(counter) = counters.and_then(|c| c.get(position as usize)) {
            counter.increment();
        }
    }

    fn each(&self, mut visit: impl FnMut(&str, &str, u64)) {
        for pool in &*self.pools {
            let counters = self.counters.get(pool.id as usize).into_iter().flatten();
            for (address, counter) in pool.backends.iter().zip(counters) {
                visit(&pool.name, address, counter.value());
            }
        }
    }
}

fn add(sums: &mut DecisionSums, pool: &str, address: &str, n: u64) {
    let of_pool = sums.entry(pool.to_owned()).or_default();
    match of_pool.get_mut(address) {
        Some(sum) => *sum += n,
        None => _ = of_pool.insert(address.to_owned(), n),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn list(backends: &[&str]) -> Arc<[DecidedPool]> {
        let pool = DecidedPool {
            id: 1,
            name: "web".to_owned(),
            backends: backends.iter().map(|b| (*b).to_owned()).collect(),
        };
        [pool].into()
    }

    fn sums(decisions: &Decisions) -> String {
        format!("{decisions:?}")
    }

    #[test]
    fn counts_stay_with_their_addresses_when_the_list_changes() {
        let decisions = Decisions::default();
        let first = decisions.follow(&list(&["a", "b", "never"]));
        first.count(1, 0);
        first.count(1, 1);
        first.count(0, 0);
        first.count(1, 3);
        let second = decisions.follow(&list(&["b", "c"]));
        second.count(1, 0);
        second.count(1, 1);
        // A request that began with the first list.
        first.count(1, 1);
        let counted = r#"{"web": {"a": 1, "b": 3, "c": 1, "never": 0}}"#;
        assert_eq!(sums(&decisions), counted);
        drop(first);
        let third = decisions.follow(&list(&["b"]));
        let counted = r#"{"web": {"a": 1, "b": 3, "c": 1}}"#;
        assert_eq!(sums(&decisions), counted);
        drop((second, third));
        decisions.follow(&list(&[]));
        assert_eq!(sums(&decisions), counted);
        assert_eq!(decisions.counted().current.len(), 1);
        for _again in 0..2 {
            decisions.forget(&|pool, address| pool == "web" && address != "b");
            let counted = r#"{"(forgotten)": {"(forgotten)": 3}, "web": {"a": 1, "c": 1}}"#;
            assert_eq!(sums(&decisions), counted);
        }
    }
}
