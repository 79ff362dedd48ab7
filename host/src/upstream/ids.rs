//! Names for pools and endpoints that stay the same for the life of the process.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Health, Places};

/// A pool, by the operator's name for it.
///
/// It is also the contract's `pool` id: what policies, recordings and traces call a pool is
/// [`PoolId::number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(u32);

/// An endpoint, by its address. Pools that name the same address share it.
///
/// The contract knows endpoints as *backends*, by their position in the list of one pool that the
/// policy was given; [`super::WorkerPool::lease`] translates.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EndpointId(u32);

impl PoolId {
    /// The number by which policies know the pool: small, since numbers are given in order.
    #[inline]
    pub fn number(self) -> u32 {
        self.0
    }

    /// For tables by pool.
    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for PoolId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Gives pools and endpoints their ids, and endpoints their health. An id is never given twice: a
/// pool or an address that leaves the configuration and comes back is the same one again.
#[derive(Debug, Clone)]
pub struct Registry {
    known: Arc<Mutex<Known>>,
    workers: usize,
}

#[derive(Debug, Default)]
struct Known {
    /// Names need not be unique: the pool of a host may be named as another pool is.
    pools: HashMap<(String, usize), PoolId>,
    endpoints: HashMap<SocketAddr, (EndpointId, Arc<Health>)>,
    /// Of the addresses whose connections are limited.
    places: HashMap<SocketAddr, Arc<Places>>,
    /// Wakes the workers when pooled connections are in the way of waiting requests.
    wanted: Arc<Notify>,
    /// Of the last topology.
    generation: u64,
}

impl Registry {
    /// A registry without entries, for a process with this many workers.
    pub fn new(workers: usize) -> Self {
        Self {
            known: Arc::default(),
            workers,
        }
    }

    /// The ids of all pools of one configuration, by their names. The n-th of a name has the id of
    /// the n-th of that name before.
    pub fn pools<'n>(&self, names: impl IntoIterator<Item = &'n str>) -> Vec<PoolId> {
        let mut known = self.known();
        let mut seen: HashMap<&str, usize> = HashMap::new();
        let id = |name: &'n str| {
            let nth = seen.entry(name).or_default();
            let next = PoolId(next(&known.pools));
            let id = *known.pools.entry((name.to_owned(), *nth)).or_insert(next);
            *nth += 1;
            id
        };
        names.into_iter().map(id).collect()
    }

    /// The id and the health of the endpoint at this address.
    pub(super) fn endpoint(&self, address: SocketAddr) -> (EndpointId, Arc<Health>) {
        let mut known = self.known();
        let next = EndpointId(next(&known.endpoints));
        let new = || (next, Arc::new(Health::new(self.workers)));
        known.endpoints.entry(address).or_insert_with(new).clone()
    }

    /// The places at this address. While their number stays the same, so do they, with the requests
    /// that wait for one.
    pub(super) fn places(&self, address: SocketAddr, count: usize) -> Arc<Places> {
        let mut known = self.known();
        let kept = known.places.get(&address).cloned();
        if let Some(places) = kept.filter(|places| places.count() == count) {
            return places;
        }
        let places = Arc::new(Places::new(count, &known.wanted));
        known.places.insert(address, Arc::clone(&places));
        places
    }

    /// The number of the next topology.
    pub(super) fn next_generation(&self) -> u64 {
        let mut known = self.known();
        known.generation += 1;
        known.generation
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The number that was not given yet. More than four billion names don't fit into memory.
fn next<K: Hash + Eq, V>(known: &HashMap<K, V>) -> u32 {
    u32::try_from(known.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_given_in_order_and_never_change() {
        let registry = Registry::new(1);
        let pools = |names: &[&str]| -> Vec<u32> {
            let ids = registry.pools(names.iter().copied());
            ids.into_iter().map(PoolId::number).collect()
        };
        assert_eq!(pools(&["a", "b", "a"]), [0, 1, 2]);
        assert_eq!(pools(&["b", "c", "a"]), [1, 3, 0]);
        assert_eq!(pools(&["a", "a", "b"]), [0, 2, 1]);
        let address = |port| SocketAddr::from(([127, 0, 0, 1], port));
        let (one, health) = registry.endpoint(address(1));
        let (two, _) = registry.endpoint(address(2));
        let (again, same) = registry.clone().endpoint(address(1));
        assert!(one != two && one == again && Arc::ptr_eq(&health, &same));
    }
}
