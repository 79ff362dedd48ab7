//! From the configured pools and what is known of their names to the topology.

use std::collections::HashMap;
use std::sync::Arc;

use thiserror::Error;

use super::discovery::{Located, Wanted};
use super::ids::Limited;
use super::requests::RequestRule;
use super::topology::KEPT;
use super::{
    AdminState, Discovery, Endpoint, EndpointId, Origin, Places, PoolId, PoolTopology, Protocol,
    Registry, RequestLimit, StreamRules, Topology,
};
use crate::config::{Backend, Pool, PoolProtocol};
use crate::net::tls::{Alpn, Connector, ConnectorError, ConnectorId};

/// Weights beyond this would be more than a policy can add up.
const MAX_WEIGHT: u32 = 65_535;

/// Why a pool can't be used.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// A backend address that leads nowhere.
    #[error(
        "pool {pool:?}: backend {address:?}{from} can't be resolved: {reason}; write an IP \
         address, or a name that this machine's resolver knows", from = from(*origin)
    )]
    Address {
        /// The pool's name.
        pool: String,
        /// Where it is written.
        origin: Origin,
        /// The address as it was written.
        address: String,
        /// What the resolver said.
        reason: String,
    },
    /// Its `tls` can't be set up.
    #[error("pool {pool:?}: `tls`: {error}")]
    Tls {
        /// The pool's name.
        pool: String,
        /// What is wrong with it.
        error: ConnectorError,
    },
}

fn from(origin: Origin) -> &'static str {
    match origin {
        Origin::Configuration => "",
        Origin::File => " of its file",
        Origin::Api => " of the admin API",
    }
}

impl ResolveError {
    /// Whether an operator has written the backend down, who can correct it before a start.
    pub fn is_written(&self) -> bool {
        !matches!(
            self,
            Self::Address {
                origin: Origin::Api,
                ..
            }
        )
    }
}

/// Where the files of `tls` come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFiles {
    /// They are read.
    Read,
    /// What was read of them before stays in use.
    Keep,
}

/// The topology of these pools as far as names are known. A name may yield several addresses; each
/// is an endpoint with the same weight and labels. A pool of which nothing is known is empty.
///
/// # Errors
///
/// Files of a pool's `tls` can't be used.
pub fn topology(
    pools: &[Pool],
    registry: &Registry,
    discovery: &Discovery,
    files: TlsFiles,
) -> Result<Topology, ResolveError> {
    let ids = registry.pools(pools.iter().map(|pool| pool.name.as_str()));
    let mut resolved = Vec::with_capacity(pools.len());
    for (pool, id) in pools.iter().zip(ids) {
        resolved.push(pool_topology(pool, id, registry, (discovery, files))?);
    }
    let limits = limit(pools, &mut resolved, registry);
    let request_limits = limit_requests(pools, &mut resolved, registry);
    Ok(Topology {
        generation: registry.next_generation(),
        pools: resolved.into_iter().map(Arc::new).collect(),
        limits,
        request_limits,
    })
}

/// The topology of one pool. What limits its connections is only known together with the other
/// pools.
pub fn pool_topology(
    pool: &Pool,
    id: PoolId,
    registry: &Registry,
    (discovery, files): (&Discovery, TlsFiles),
) -> Result<PoolTopology, ResolveError> {
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(pool.backends.len());
    for (wanted, located) in discovery.backends(pool) {
        let made = Made::new(pool, &wanted, registry, files)?;
        for at in located {
            let endpoint = made.endpoint(at, discovery, registry);
            // A name may lead to the address of another one.
            let is_known = |e: &Endpoint| {
                e.id == endpoint.id && e.weight == endpoint.weight && e.labels == endpoint.labels
            };
            if !endpoints.iter().any(is_known) {
                endpoints.push(endpoint);
            }
        }
    }
    Ok(PoolTopology {
        id,
        name: pool.name.clone(),
        endpoints,
        max_idle: pool.max_idle.unwrap_or(usize::MAX),
        queue: pool.queue,
        queue_timeout: pool.queue_timeout,
        body_wait: pool.body_wait,
        slow_client: pool.slow_client,
        slow_client_rate: pool.slow_client_rate,
        is_mirror: pool.is_mirror,
        requests: None,
        health: pool.health.clone(),
        _presence: registry.presence(id),
    })
}

/// Every backend of these pools that has no address, wherever it is written.
pub fn unresolved(pools: &[Pool], discovery: &Discovery) -> Vec<ResolveError> {
    let of_pool = |pool: &Pool| {
        let missing = discovery.missing(pool).into_iter();
        let errors = missing.map(|missing| ResolveError::Address {
            pool: pool.name.clone(),
            origin: missing.origin,
            address: missing.address,
            reason: missing.reason,
        });
        errors.collect::<Vec<_>>()
    };
    pools.iter().flat_map(of_pool).collect()
}

/// What the endpoints of one backend have in common.
struct Made<'p> {
    pool: &'p Pool,
    wanted: &'p Wanted<'p>,
    server_name: Arc<str>,
    protocol: Protocol,
    tls: Option<Arc<Connector>>,
}

impl<'p> Made<'p> {
    fn new(
        pool: &'p Pool,
        wanted: &'p Wanted<'p>,
        registry: &Registry,
        files: TlsFiles,
    ) -> Result<Self, ResolveError> {
        let backend = &*wanted.backend;
        let server_name: Arc<str> = backend.host().into();
        let (protocol, tls) = manner(pool, backend, registry, files)?;
        Ok(Self {
            pool,
            wanted,
            server_name,
            protocol,
            tls,
        })
    }

    fn endpoint(&self, at: Located, discovery: &Discovery, registry: &Registry) -> Endpoint {
        let (backend, pool) = (&*self.wanted.backend, self.pool);
        let address = at.address.to_string();
        let edit = discovery.edit(&pool.name, &backend.address, &address);
        let weight = edit.weight.unwrap_or(backend.weight);
        let full_weight = weight.saturating_mul(at.share).min(MAX_WEIGHT);
        let state = edit.state.unwrap_or_default();
        Endpoint {
            weight: match state {
                AdminState::Up => full_weight,
                AdminState::Draining | AdminState::Down => 0,
            },
            full_weight,
            state,
            origin: self.wanted.origin,
            labels: backend.labels.clone(),
            streams: stream_rules(pool, registry),
            kept: pool.max_idle.unwrap_or(KEPT),
            ..Endpoint::with(
                at.address,
                &self.server_name,
                self.protocol,
                self.tls.clone(),
                registry,
            )
        }
    }
}

/// The protocol of a backend, and what secures its connections.
fn manner(
    pool: &Pool,
    backend: &Backend,
    registry: &Registry,
    files: TlsFiles,
) -> Result<(Protocol, Option<Arc<Connector>>), ResolveError> {
    let (protocol, alpn) = match backend.protocol.unwrap_or(pool.protocol) {
        PoolProtocol::Http11 => (Protocol::Http11, Alpn::Http11),
        PoolProtocol::H2 | PoolProtocol::H2c => (Protocol::H2, Alpn::H2),
        PoolProtocol::Auto => (Protocol::Auto, Alpn::Either),
    };
    let Some(tls) = &backend.tls else {
        return Ok((protocol, None));
    };
    if files == TlsFiles::Keep {
        let kept = registry.kept_connector(&ConnectorId::new(tls, backend.host(), alpn));
        if let Some(kept) = kept {
            return Ok((protocol, Some(kept)));
        }
    }
    let connector = Connector::new(tls, backend.host(), alpn);
    let connector = connector.map_err(|error| ResolveError::Tls {
        pool: pool.name.clone(),
        error,
    })?;
    Ok((protocol, Some(registry.connector(connector))))
}

/// Each worker has its share of the connections of HTTP/2, at least one: none could take another's
/// place while that has streams.
fn stream_rules(pool: &Pool, registry: &Registry) -> StreamRules {
    let connections = pool.max_connections.div_ceil(registry.workers().max(1));
    let ping_interval = pool.ping_interval;
    StreamRules {
        connections,
        ping_interval,
    }
}

/// Gives the endpoints whose connections are limited their places, and says how many of each.
fn limit(
    pools: &[Pool],
    resolved: &mut [PoolTopology],
    registry: &Registry,
) -> Vec<(Arc<Places>, usize)> {
    let mut limits: HashMap<EndpointId, usize> = HashMap::new();
    for (pool, topology) in pools
        .iter()
        .zip(&*resolved)
        .filter(|(pool, _)| pool.max_connections > 0)
    {
        let endpoints = topology.endpoints.iter();
        for endpoint in endpoints.filter(|e| e.protocol == Protocol::Http11) {
            let limit = limits.entry(endpoint.id).or_insert(pool.max_connections);
            *limit = pool.max_connections.min(*limit);
        }
    }
    let places = limits.into_iter().map(|(endpoint, limit)| {
        let places = registry.places(endpoint, limit);
        (endpoint, (places, limit))
    });
    let places: HashMap<_, _> = places.collect();
    for endpoint in resolved
        .iter_mut()
        .flat_map(|topology| &mut topology.endpoints)
    {
        let own = places.get(&endpoint.id);
        endpoint.places = own.map(|(places, _)| Arc::clone(places));
    }
    places.into_values().collect()
}

/// Gives pools and endpoints whose requests are limited what counts them, and says how many each
/// may have.
fn limit_requests(
    pools: &[Pool],
    resolved: &mut [PoolTopology],
    registry: &Registry,
) -> Vec<(Arc<RequestLimit>, RequestRule)> {
    let (mut limits, mut rules) = (Vec::new(), HashMap::<EndpointId, RequestRule>::new());
    for (pool, topology) in pools.iter().zip(&mut *resolved) {
        if pool.max_pool_requests > 0 {
            let rule = RequestRule::Fixed(pool.max_pool_requests);
            let limit = registry.requests(Limited::Pool(topology.id), rule);
            topology.requests = Some(Arc::clone(&limit));
            limits.push((limit, rule));
        }
        let Some(rule) = request_rule(pool) else {
            continue;
        };
        for endpoint in &topology.endpoints {
            let known = rules.entry(endpoint.id).or_insert(rule);
            *known = known.stricter(rule);
        }
    }
    for endpoint in resolved.iter_mut().flat_map(|pool| &mut pool.endpoints) {
        let rule = rules.get(&endpoint.id);
        endpoint.requests =
            rule.map(|rule| registry.requests(Limited::Endpoint(endpoint.id), *rule));
    }
    limits.extend(rules.into_iter().map(|(endpoint, rule)| {
        let requests = registry.requests(Limited::Endpoint(endpoint), rule);
        (requests, rule)
    }));
    limits
}

/// What limits the requests of each backend of this pool; `max-requests` holds in any case.
fn request_rule(pool: &Pool) -> Option<RequestRule> {
    match (pool.adaptive, pool.max_requests) {
        (None, 0) => None,
        (None, count) => Some(RequestRule::Fixed(count)),
        (Some(rule), 0) => Some(RequestRule::Adaptive(rule)),
        (Some(rule), count) => {
            Some(RequestRule::Adaptive(rule).stricter(RequestRule::Fixed(count)))
        }
    }
}
