//! Names for pools and endpoints that stay the same for as long as anything uses them.

mod forgetting;

use std::collections::{BTreeSet, HashMap, HashSet};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::Notify;

use self::forgetting::Gone;
use super::requests::RequestRule;
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
pub struct EndpointId(u64);

impl EndpointId {
    /// That of all endpoints that no registry knows.
    pub(super) const APART: Self = Self(u64::MAX);
}

impl PoolId {
    /// No pool has it.
    pub const NOWHERE: Self = Self(u32::MAX);

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

/// Gives pools and endpoints their ids, and endpoints their health. A pool or an address that
/// leaves the configuration and comes back is the same one again, unless it was forgotten meanwhile
/// ([`Registry::forget`]): only what nothing uses any more is. The number of a pool that was
/// forgotten is given again, so that tables by pool stay small; the id of an endpoint is not.
#[derive(Debug, Clone)]
pub struct Registry {
    known: Arc<Mutex<Known>>,
    workers: usize,
    budget: Arc<Budget>,
    /// When the times of health begin.
    clock: Instant,
}

#[derive(Debug)]
struct Known {
    /// Names need not be unique: the pool of a host may be named as another pool is.
    pools: HashMap<PoolName, PoolId>,
    presences: HashMap<PoolId, Presence>,
    /// Numbers of pools that were forgotten.
    free: BTreeSet<u32>,
    endpoints: HashMap<Reached, KnownEndpoint>,
    /// How many endpoints there have been.
    endpoints_so_far: u64,
    /// Of the endpoints.
    labels: HashSet<Arc<str>>,
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
    gone: Gone,
}

/// The name of a pool, and how many others of that name stand before it.
type PoolName = (String, usize);

/// What is held by all that uses a pool or an endpoint. While nothing but the registry has it, the
/// pool or the endpoint is gone.
#[derive(Debug, Clone, Default)]
pub struct Presence(Arc<()>);
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

/// What stays of an endpoint until it is forgotten.
#[derive(Debug, Clone)]
pub(super) struct KnownEndpoint {
    pub id: EndpointId,
    pub health: Arc<Health>,
    /// Its name in statistics.
    pub label: Arc<str>,
    pub presence: Presence,
}

impl Registry {
    /// A registry without entries, for a process with this many workers and any number of
    /// connections.
    pub fn new(workers: usize) -> Self {
        Self {
            known: Arc::new(Mutex::new(Known::new())),
            workers,
            budget: Arc::default(),
            clock: Instant::now(),
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
            let id = known.pool((name.to_owned(), *nth));
            *nth += 1;
            id
        };
        names.into_iter().map(id).collect()
    }

    /// To be held by what uses the pool with this id.
    pub(super) fn presence(&self, pool: PoolId) -> Presence {
        let known = self.known();
        known.presences.get(&pool).cloned().unwrap_or_default()
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
            id: EndpointId(known.endpoints_so_far),
            health: Arc::new(Health::new(self.workers, self.clock)),
            label: known.label(&reached),
            presence: Presence::default(),
        };
        known.endpoints_so_far += 1;
        known.labels.insert(Arc::clone(&endpoint.label));
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
    pub(super) fn requests(&self, of: Limited, rule: RequestRule) -> Arc<RequestLimit> {
        let new = || Arc::new(RequestLimit::new(rule));
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

    /// What secured the connections of such endpoints last.
    pub(super) fn kept_connector(&self, id: &ConnectorId) -> Option<Arc<Connector>> {
        self.known().connectors.get(id).cloned()
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
    fn new() -> Self {
        Self {
            pools: HashMap::new(),
            presences: HashMap::new(),
            free: BTreeSet::new(),
            endpoints: HashMap::new(),
            endpoints_so_far: 0,
            labels: HashSet::new(),
            places: HashMap::new(),
            requests: HashMap::new(),
            connectors: HashMap::new(),
            wanted: Arc::default(),
            generation: 0,
            gone: Gone::default(),
        }
    }

    /// The pool of this name, known from now on.
    fn pool(&mut self, name: PoolName) -> PoolId {
        // More than four billion names don't fit into memory.
        let unused = u32::try_from(self.pools.len()).unwrap_or(u32::MAX);
        let free = &mut self.free;
        let new = || PoolId(free.pop_first().unwrap_or(unused));
        let id = *self.pools.entry(name).or_insert_with(new);
        self.presences.entry(id).or_default();
        id
    }

    /// The address; and where another endpoint there has that name, what distinguishes this one.
    fn label(&self, reached: &Reached) -> Arc<str> {
        let address = reached.address;
        let protocol = match (reached.protocol, &reached.tls) {
            (Protocol::Http11, None) => "http",
            (Protocol::Http11, Some(_)) => "https",
            (Protocol::H2, None) => "h2c",
            (Protocol::H2, Some(_)) => "h2",
            (Protocol::Auto, _) => "auto",
        };
        let nth = |nth: usize| match (nth, &reached.tls) {
            (1, _) => address.to_string(),
            (2, None) => format!("{address} ({protocol})"),
            (_, None) => format!("{address} ({protocol}, {nth})"),
            (_, Some(id)) => format!("{address} ({protocol}, {}, {nth})", id.name()),
        };
        let mut labels = (1..).map(nth);
        let free = labels.find(|label| !self.labels.contains(label.as_str()));
        free.unwrap_or_default().into()
    }
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
