//! The configured pools, with every name resolved.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::ids::KnownEndpoint;
use super::requests::RequestRule;
use super::{
    AdminState, Budget, EndpointId, Health, Origin, Places, PoolId, Presence, Protocol, Registry,
    RequestLimit, StreamRules,
};
use crate::config::PoolHealth;
use crate::net::tls::Connector;

/// What [`Endpoint::kept`] is where the operator says nothing.
pub(super) const KEPT: usize = 64;

/// All pools of one moment.
#[derive(Debug, Clone)]
pub struct Topology {
    /// Grows with each topology of the process, from 1.
    pub generation: u64,
    /// In the order of the configuration.
    pub pools: Vec<Arc<PoolTopology>>,
    /// How many connections there may be, where they are limited.
    pub(super) limits: Vec<(Arc<Places>, usize)>,
    /// How many requests there may be, where they are limited.
    pub(super) request_limits: Vec<(Arc<RequestLimit>, RequestRule)>,
}

impl Topology {
    /// Limits connections as it says, from its publication on. Those that there are count still.
    /// One caller at a time.
    pub fn apply_limits(&self) {
        for (places, limit) in &self.limits {
            places.resize(*limit);
        }
        for (requests, rule) in &self.request_limits {
            requests.follow(*rule);
        }
    }
}

impl Topology {
    /// Whether it has the same endpoints as another one of the same configuration.
    pub fn is_like(&self, other: &Self) -> bool {
        let pools = self.pools.iter().zip(&other.pools);
        self.pools.len() == other.pools.len()
            && pools.into_iter().all(|(a, b)| a.id == b.id && a.is_like(b))
    }

    /// What has come and gone since another one, a line for each pool.
    pub fn differences(&self, since: &Self) -> Vec<String> {
        let former = |pool: &PoolTopology| since.pools.iter().find(|p| p.id == pool.id);
        let pools = self.pools.iter();
        let line = |pool: &Arc<PoolTopology>| pool.difference(former(pool)?);
        pools.filter_map(line).collect()
    }
}

/// Endpoints that a line of the log names.
const NAMED: usize = 16;

impl PoolTopology {
    fn is_like(&self, other: &Self) -> bool {
        let both = self.endpoints.iter().zip(&other.endpoints);
        self.endpoints.len() == other.endpoints.len() && both.into_iter().all(|(a, b)| a.is_like(b))
    }

    /// `None` if nothing differs.
    fn difference(&self, since: &Self) -> Option<String> {
        let find = |all: &[Endpoint], id| all.iter().position(|e| e.id == id);
        let mut words = Vec::new();
        for endpoint in &self.endpoints {
            match find(&since.endpoints, endpoint.id) {
                None => words.push(format!("+{}", endpoint.label)),
                Some(at) => words.extend(endpoint.edited(&since.endpoints[at])),
            }
        }
        let gone = since.endpoints.iter();
        let gone = gone.filter(|e| find(&self.endpoints, e.id).is_none());
        words.extend(gone.map(|e| format!("-{}", e.label)));
        let more = words.len().saturating_sub(NAMED);
        words.truncate(NAMED);
        if more > 0 {
            words.push(format!("and {more} more"));
        }
        let count = self.endpoints.len();
        (!words.is_empty()).then(|| {
            format!(
                "backends of pool {:?}: {} ({count} in all)",
                self.name,
                words.join(" ")
            )
        })
    }
}

impl Endpoint {
    fn is_like(&self, other: &Self) -> bool {
        let said = |e: &Self| (e.id, e.weight, e.full_weight, e.state, e.origin);
        said(self) == said(other)
            && self.labels == other.labels
            && self.server_name == other.server_name
    }

    /// How the same endpoint differs from what it was.
    fn edited(&self, since: &Self) -> Option<String> {
        let (label, state) = (&self.label, self.state.as_str());
        if self.state != since.state {
            return Some(format!("{label} {state}"));
        }
        let differs = self.full_weight != since.full_weight;
        differs.then(|| format!("{label} weight {}", self.full_weight))
    }
}

/// One pool.
#[derive(Debug, Clone)]
pub struct PoolTopology {
    /// The same for as long as anything uses it.
    pub id: PoolId,
    /// The operator's name, or the host of the short form.
    pub name: String,
    /// Each IP address that a configured address resolved to is one endpoint. Policies know them
    /// by their position here. Those that stay keep their order. May be empty.
    pub endpoints: Vec<Endpoint>,
    /// The most idle connections that are kept per worker and endpoint; `usize::MAX` if the
    /// operator set no limit.
    pub max_idle: usize,
    /// Requests of all workers that may wait for a connection to one endpoint, where connections
    /// are limited.
    pub queue: usize,
    /// For how long one request waits for a connection at most, over all its attempts.
    pub queue_timeout: Duration,
    /// How long the beginning of a request's body is waited for before the request takes a
    /// connection, where connections are limited.
    pub body_wait: Duration,
    /// How long a client may keep its connection waiting for it while requests wait for one; 0 =
    /// for ever.
    pub slow_client: Duration,
    /// Bytes a second that are not slow.
    pub slow_client_rate: u64,
    /// Whether it gets copies of other pools' requests.
    pub is_mirror: bool,
    /// How many requests all workers may have under way in it. `None` = no limit.
    pub requests: Option<Arc<RequestLimit>>,
    /// When its endpoints are healthy.
    pub health: PoolHealth,
    /// Keeps its id.
    pub(super) _presence: Presence,
}

/// One endpoint of a pool.
#[derive(Debug, Clone)]
pub struct Endpoint {
    /// The same for as long as anything uses it, and in all pools that reach this address in the
    /// same way.
    pub id: EndpointId,
    /// Where it is.
    pub address: SocketAddr,
    /// Its name in statistics: the address, and what tells it from others there.
    pub label: Arc<str>,
    /// The host that the operator wrote: a name, or an IP address. Of several that lead to the same
    /// address in one pool, the first.
    pub server_name: Arc<str>,
    /// The protocol that it speaks.
    pub protocol: Protocol,
    /// What secures its connections; `None` if they are in plain text.
    pub tls: Option<Arc<Connector>>,
    /// How its connections of HTTP/2 are kept.
    pub streams: StreamRules,
    /// Its weight in this pool; at 0 it gets no requests. 0 if it is not up.
    pub weight: u32,
    /// Its weight when it is up.
    pub full_weight: u32,
    /// What an operator has said of it.
    pub state: AdminState,
    /// What brought it.
    pub origin: Origin,
    /// The operator's labels.
    pub labels: Vec<(String, String)>,
    /// Whether it is well.
    pub health: Arc<Health>,
    /// How many connections of HTTP/1.1 all workers together may have to it: the least
    /// `max-connections` of the pools that name it. `None` = no limit.
    pub places: Option<Arc<Places>>,
    /// How many requests all workers may have under way there: the least `max-requests` or
    /// `adaptive-requests` of the pools that name it. `None` = no limit.
    pub requests: Option<Arc<RequestLimit>>,
    /// Idle connections that each worker keeps for as long as one may be idle; it has more only
    /// while they are needed.
    pub kept: usize,
    /// Connections to all endpoints that the process may have.
    pub budget: Arc<Budget>,
    /// Keeps its id, its health and its counters.
    pub presence: Presence,
}

impl Endpoint {
    /// One of HTTP/1.1 in plain text, of weight 1, without labels and without a limit.
    pub fn new(address: SocketAddr, server_name: &Arc<str>, registry: &Registry) -> Self {
        Self::with(address, server_name, Protocol::Http11, None, registry)
    }

    /// One of weight 1 without labels and without a limit.
    pub(super) fn with(
        address: SocketAddr,
        server_name: &Arc<str>,
        protocol: Protocol,
        tls: Option<Arc<Connector>>,
        registry: &Registry,
    ) -> Self {
        let known = registry.endpoint(address, protocol, tls.as_deref());
        let budget = Arc::clone(registry.budget());
        Self {
            protocol,
            tls,
            ..Self::of(known, address, server_name, budget)
        }
    }

    /// One of HTTP/1.1 in plain text, of weight 1, without labels and without a limit, of which
    /// this is known.
    pub(super) fn of(
        known: KnownEndpoint,
        address: SocketAddr,
        server_name: &Arc<str>,
        budget: Arc<Budget>,
    ) -> Self {
        Self {
            id: known.id,
            address,
            label: known.label,
            server_name: Arc::clone(server_name),
            protocol: Protocol::Http11,
            tls: None,
            streams: StreamRules::default(),
            weight: 1,
            full_weight: 1,
            state: AdminState::Up,
            origin: Origin::Configuration,
            labels: Vec::new(),
            health: known.health,
            places: None,
            requests: None,
            kept: KEPT,
            budget,
            presence: known.presence,
        }
    }
}

/// What a backend calls itself: the host that the operator wrote, with the port where that is not
/// the usual one.
pub fn authority(server_name: &str, port: u16, is_secure: bool) -> String {
    let usual = match is_secure {
        true => 443,
        false => 80,
    };
    let name = match server_name.contains(':') {
        true => format!("[{server_name}]"),
        false => server_name.to_owned(),
    };
    match port == usual {
        true => name,
        false => format!("{name}:{port}"),
    }
}
