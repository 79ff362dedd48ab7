//! Counters by name, and what is left of names that were forgotten.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Counters by name.
#[derive(Debug)]
pub struct Named<T, S> {
    /// Of what is there, and of what left not long ago.
    pub by_name: BTreeMap<String, T>,
    /// Of what left before that.
    pub forgotten: Forgotten<S>,
}

/// The sum of counters whose names were forgotten, so that no total falls.
#[derive(Debug)]
pub struct Forgotten<S> {
    /// How many names.
    pub names: u64,
    /// Not written any more: a later sum is another one.
    pub sum: Arc<S>,
}

impl<T: Clone, S> Clone for Named<T, S> {
    fn clone(&self) -> Self {
        Self {
            by_name: self.by_name.clone(),
            forgotten: Forgotten {
                names: self.forgotten.names,
                sum: Arc::clone(&self.forgotten.sum),
            },
        }
    }
}

impl<T, S: Default> Default for Named<T, S> {
    fn default() -> Self {
        Self {
            by_name: BTreeMap::new(),
            forgotten: Forgotten {
                names: 0,
                sum: Arc::default(),
            },
        }
    }
}

impl<T, S: Default> Named<T, S> {
    /// Forgets those of these names that nothing writes any more, and returns whether each name is
    /// gone. `fold` adds to the sum what the counters have.
    pub(super) fn forget(
        &mut self,
        names: &[&str],
        is_over: impl Fn(&T) -> bool,
        fold_sum: impl Fn(&S, &S),
        fold: impl Fn(&S, &T),
    ) -> Vec<bool> {
        let sum = S::default();
        fold_sum(&sum, &self.forgotten.sum);
        let mut forgotten = 0;
        let gone = names.iter().map(|name| match self.by_name.get(*name) {
            None => true,
            Some(counted) if !is_over(counted) => false,
            Some(counted) => {
                fold(&sum, counted);
                forgotten += 1;
                self.by_name.remove(*name);
                true
            }
        });
        let gone = gone.collect();
        if forgotten > 0 {
            self.forgotten.names += forgotten;
            self.forgotten.sum = Arc::new(sum);
        }
        gone
    }
}

/// Whether nothing else has any of these counters.
pub(super) fn are_unshared<S>(shards: &[Arc<S>]) -> bool {
    shards.iter().all(|shard| Arc::strong_count(shard) == 1)
}
