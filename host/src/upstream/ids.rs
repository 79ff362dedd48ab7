//! Names for pools and endpoints that stay the same for the life of the process.

use std::collections::HashMap;
use std::fmt;
use std::hash::Hash;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::{Budget, Health, Places, Protocol, RequestLimit};
use crate::net::tls::{Connector, ConnectorId};

/// A pool, by the operator's name for it.
///
/// It is also the contract's `pool` id: what policies, recordings and traces call a pool is
/// [`PoolId::number`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PoolId(u32);

/// An endpoint, by its address, its protocol and its TLS settings. Pools that reach the same
/// address in the same way share it.
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
    budget: Arc<Budget>,
}

#[derive(Debug, Default)]
struct Known {
    /// Names need not be unique: the pool of a host may be named as another pool is.
    pools: HashMap<(String, usize), PoolId>,
    endpoints: HashMap<Reached, KnownEndpoint>,
    /// Of the endpoints whose connections are limited.
    places: HashMap<EndpointId, Arc<Places>>,
    /// Of the endpoints and pools whose requests are limited.
    requests: HashMap<Limited, Arc<RequestLimit>>,
    /// What secured each endpoint's connections last, with its sessions.
    connectors: HashMap<ConnectorId, Arc<Connector>>,
    /// Wakes the workers when pooled connections are in the way of waiting requests.
    wanted: Arc<Notify>,
    /// Of the last topology.
    generation: u64,
}

/// Where requests are limited.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Limited {
    Endpoint(EndpointId),
    Pool(PoolId),
}

/// Where and how an endpoint is reached.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Reached {
    address: SocketAddr,
    protocol: Protocol,
    tls: Option<ConnectorId>,
}

/// What stays of an endpoint for the life of the process.
#[derive(Debug, Clone)]
pub(super) struct KnownEndpoint {
    pub id: EndpointId,
    pub health: Arc<Health>,
    /// Its name in statistics.
    pub label: Arc<str>,
}

impl Registry {
    /// A registry without entries, for a process with this many workers and any number of
    /// connections.
    pub fn new(workers: usize) -> Self {
        Self {
            known: Arc::default(),
            workers,
            budget: Arc::default(),
        }
    }

    /// The same, with this budget of connections.
    pub fn with(self, budget: Budget) -> Self {
        let budget = Arc::new(budget);
        Self { budget, ..self }
    }

    /// The connections to all endpoints that the process may have.
    pub(super) fn budget(&self) -> &Arc<Budget> {
        &self.budget
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

    /// The endpoint that is reached in this way.
    pub(super) fn endpoint(
        &self,
        address: SocketAddr,
        protocol: Protocol,
        tls: Option<&Connector>,
    ) -> KnownEndpoint {
        let mut known = self.known();
        let reached = Reached {
            address,
            protocol,
            tls: tls.map(|connector| connector.id().clone()),
        };
        if let Some(endpoint) = known.endpoints.get(&reached) {
            return endpoint.clone();
        }
        let endpoint = KnownEndpoint {
            id: EndpointId(next(&known.endpoints)),
            health: Arc::new(Health::new(self.workers)),
            label: known.label(&reached).into(),
        };
        known.endpoints.insert(reached, endpoint.clone());
        endpoint
    }

    /// The places of this endpoint: this many, if there were none before. Else their number is
    /// another one when a topology with it is published ([`super::Topology::apply_limits`]).
    pub(super) fn places(&self, endpoint: EndpointId, count: usize) -> Arc<Places> {
        let Known { places, wanted, .. } = &mut *self.known();
        let new = || Arc::new(Places::new(count, wanted));
        Arc::clone(places.entry(endpoint).or_insert_with(new))
    }

    /// The same of the requests under way.
    pub(super) fn requests(&self, of: Limited, count: usize) -> Arc<RequestLimit> {
        let new = || Arc::new(RequestLimit::new(count));
        Arc::clone(self.known().requests.entry(of).or_insert_with(new))
    }

    /// This connector, or the one before it if that does the same: that one has sessions to resume,
    /// and its connections may stay.
    pub(super) fn connector(&self, connector: Connector) -> Arc<Connector> {
        let mut known = self.known();
        let kept = known.connectors.get(connector.id());
        if let Some(kept) = kept.filter(|kept| kept.does_as(&connector)) {
            return Arc::clone(kept);
        }
        let connector = Arc::new(connector);
        let id = connector.id().clone();
        known.connectors.insert(id, Arc::clone(&connector));
        connector
    }

    /// How many workers there are.
    pub(super) fn workers(&self) -> usize {
        self.workers
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

impl Known {
    /// The address; and for one that is reached in several ways, what distinguishes this one.
    fn label(&self, reached: &Reached) -> String {
        let address = reached.address;
        let others = self.endpoints.keys().filter(|k| k.address == address);
        let nth = others.count();
        if nth == 0 {
            return address.to_string();
        }
        let protocol = match (reached.protocol, &reached.tls) {
            (Protocol::Http11, None) => "http",
            (Protocol::Http11, Some(_)) => "https",
            (Protocol::H2, None) => "h2c",
            (Protocol::H2, Some(_)) => "h2",
            (Protocol::Auto, _) => "auto",
        };
        match &reached.tls {
            None => format!("{address} ({protocol})"),
            Some(id) => format!("{address} ({protocol}, {}, {})", id.name(), nth + 1),
        }
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
        let plain = |port| {
            registry
                .clone()
                .endpoint(address(port), Protocol::Http11, None)
        };
        let (one, two, again) = (plain(1), plain(2), plain(1));
        assert!(one.id != two.id && one.id == again.id);
        assert!(Arc::ptr_eq(&one.health, &again.health));
        let other = registry.endpoint(address(1), Protocol::H2, None);
        assert!(other.id != one.id && !Arc::ptr_eq(&other.health, &one.health));
        assert_eq!(
            [one.label, other.label].map(|label| label.to_string()),
            ["127.0.0.1:1", "127.0.0.1:1 (h2c)"]
        );
    }
}
