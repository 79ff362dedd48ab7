//! The lists of backends that a policy receives, and how a changed list reaches a running instance.

use std::sync::Arc;

use wasmtime::Store;

use super::contract::{Exports, WitBackend, WitPool};
use super::spec::PoolSpec;
use super::state::State;
use crate::stats::DecidedPool;

/// The lists of a policy's pools at one moment.
#[derive(Debug)]
pub struct Lists {
    /// Of the topology.
    generation: u64,
    all: Vec<List>,
    /// The same as statistics name them.
    decided: Arc<[DecidedPool]>,
}

/// The list of one pool.
#[derive(Debug, Clone)]
struct List {
    pool: Arc<WitPool>,
    /// Of the topology that brought it.
    generation: u64,
    backends: Arc<[WitBackend]>,
}

impl Lists {
    /// The lists of these pools, in the topology of this number.
    pub fn new(pools: &[PoolSpec], generation: u64) -> Self {
        let lists = pools.iter().map(|pool| List::new(pool, generation));
        Self::of(lists.collect(), generation)
    }

    /// The lists of these pools in a later topology. A list that did not change keeps its
    /// generation.
    pub fn next(&self, pools: &[PoolSpec], generation: u64) -> Self {
        let next = |pool| {
            let list = List::new(pool, generation);
            self.same(&list).cloned().unwrap_or(list)
        };
        Self::of(pools.iter().map(next).collect(), generation)
    }

    fn of(all: Vec<List>, generation: u64) -> Self {
        let pool = |list: &List| DecidedPool {
            id: list.pool.id,
            name: list.pool.name.clone(),
            backends: list.backends.iter().map(|b| b.address.clone()).collect(),
        };
        Self {
            generation,
            decided: all.iter().map(pool).collect(),
            all,
        }
    }

    /// Whether they are of a later topology.
    pub(super) fn is_after(&self, other: &Self) -> bool {
        self.generation > other.generation
    }

    /// Whether an instance that knows these lists has nothing to learn from those.
    pub fn covers(&self, other: &Self) -> bool {
        other.all.iter().all(|list| self.same(list).is_some())
    }

    /// Passes to an instance all lists that it does not know.
    pub(super) fn tell(
        &self,
        known: Option<&Self>,
        exports: &Exports,
        store: &mut Store<State>,
    ) -> wasmtime::Result<()> {
        let Some(backends_changed) = &exports.backends_changed else {
            return Ok(());
        };
        for list in &self.all {
            if known.is_some_and(|known| known.same(list).is_some()) {
                continue;
            }
            let change = (
                Arc::clone(&list.pool),
                list.generation,
                Arc::clone(&list.backends),
            );
            backends_changed.call(&mut *store, change)?;
        }
        Ok(())
    }

    /// The pools as statistics name them.
    pub(super) fn decided(&self) -> &Arc<[DecidedPool]> {
        &self.decided
    }

    /// The list of the same pool, if it is the same.
    fn same(&self, list: &List) -> Option<&List> {
        let same = |known: &&List| known.pool == list.pool && known.backends == list.backends;
        self.all.iter().find(same)
    }
}

impl List {
    fn new(pool: &PoolSpec, generation: u64) -> Self {
        let backends = pool.backends.iter().map(|b| WitBackend {
            address: b.address.clone(),
            weight: b.weight,
            labels: b.labels.clone(),
        });
        Self {
            pool: Arc::new(WitPool {
                id: pool.id,
                name: pool.name.clone(),
            }),
            generation,
            backends: backends.collect(),
        }
    }
}
