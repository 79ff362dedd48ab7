//! From names to addresses, once, when the configuration is read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::ids::Limited;
use super::topology::KEPT;
use super::{
    Endpoint, EndpointId, Places, PoolId, PoolTopology, Protocol, Registry, RequestLimit,
    StreamRules, Topology,
};
use crate::config::{self, Pool, PoolProtocol, PoolTls};
use crate::net::tls::{Alpn, Connector, ConnectorError};

/// Why a pool can't be used.
#[derive(Debug, Error)]
pub enum ResolveError {
    /// A backend address that leads nowhere.
    #[error(
        "pool {pool:?}: backend {address:?} can't be resolved: {reason}; write an IP address, or \
         a name that this machine's resolver knows"
    )]
    Address {
        /// The pool's name.
        pool: String,
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

/// Resolves every backend of every pool. Names may yield several addresses; each is an endpoint
/// with the same weight and labels.
pub async fn resolve(pools: &[Pool], registry: &Registry) -> Result<Topology, ResolveError> {
    let ids = registry.pools(pools.iter().map(|pool| pool.name.as_str()));
    let mut resolved = Vec::with_capacity(pools.len());
    for (pool, id) in pools.iter().zip(ids) {
        resolved.push(resolve_pool(pool, id, registry).await?);
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

/// Resolves one pool. What limits its connections is only known together with the other pools.
pub async fn resolve_pool(
    pool: &Pool,
    id: PoolId,
    registry: &Registry,
) -> Result<PoolTopology, ResolveError> {
    let mut endpoints: Vec<Endpoint> = Vec::with_capacity(pool.backends.len());
    for backend in &pool.backends {
        let (weight, labels) = (backend.weight, &backend.labels);
        let server_name: Arc<str> = host(&backend.address).into();
        let (protocol, tls) = manner(pool, backend.tls.as_ref(), &server_name, registry)?;
        for address in addresses(pool, backend).await? {
            let endpoint = Endpoint {
                weight,
                labels: labels.clone(),
                streams: stream_rules(pool, registry),
                kept: pool.max_idle.unwrap_or(KEPT),
                ..Endpoint::with(address, &server_name, protocol, tls.clone(), registry)
            };
            // A resolver may list one address for each socket type.
            let is_known =
                |e: &Endpoint| e.id == endpoint.id && e.weight == weight && e.labels == *labels;
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
        requests: None,
        max_failures: pool.max_failures,
        fail_timeout: pool.fail_timeout,
    })
}

/// The protocol of a backend, and what secures its connections.
fn manner(
    pool: &Pool,
    tls: Option<&PoolTls>,
    server_name: &str,
    registry: &Registry,
) -> Result<(Protocol, Option<Arc<Connector>>), ResolveError> {
    let (protocol, alpn) = match pool.protocol {
        PoolProtocol::Http11 => (Protocol::Http11, Alpn::Http11),
        PoolProtocol::H2 | PoolProtocol::H2c => (Protocol::H2, Alpn::H2),
        PoolProtocol::Auto => (Protocol::Auto, Alpn::Either),
    };
    let Some(tls) = tls else {
        return Ok((protocol, None));
    };
    let connector = Connector::new(tls, server_name, alpn);
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
) -> Vec<(Arc<RequestLimit>, usize)> {
    let (mut limits, mut least) = (Vec::new(), HashMap::<EndpointId, usize>::new());
    for (pool, topology) in pools.iter().zip(&mut *resolved) {
        if pool.max_pool_requests > 0 {
            let limit = registry.requests(Limited::Pool(topology.id), pool.max_pool_requests);
            topology.requests = Some(Arc::clone(&limit));
            limits.push((limit, pool.max_pool_requests));
        }
        for endpoint in topology.endpoints.iter().filter(|_| pool.max_requests > 0) {
            let limit = least.entry(endpoint.id).or_insert(pool.max_requests);
            *limit = pool.max_requests.min(*limit);
        }
    }
    for endpoint in resolved.iter_mut().flat_map(|pool| &mut pool.endpoints) {
        let limit = least.get(&endpoint.id);
        endpoint.requests =
            limit.map(|limit| registry.requests(Limited::Endpoint(endpoint.id), *limit));
    }
    limits.extend(least.into_iter().map(|(endpoint, limit)| {
        let requests = registry.requests(Limited::Endpoint(endpoint), limit);
        (requests, limit)
    }));
    limits
}

/// The host of `host:port`.
fn host(address: &str) -> &str {
    let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
    let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    inner.unwrap_or(host)
}

async fn addresses(
    pool: &Pool,
    backend: &config::Backend,
) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(address) = backend.address.parse() {
        return Ok(vec![address]);
    }
    let failed = |reason: String| ResolveError::Address {
        pool: pool.name.clone(),
        address: backend.address.clone(),
        reason,
    };
    // A resolver that does not answer must not keep the proxy from saying so.
    const PATIENCE: Duration = Duration::from_secs(10);
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&backend.address))
        .await
        .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|e| failed(e.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() {
        Err(failed("the name has no address".to_owned()))
    } else {
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_name_is_the_host_that_was_written() {
        for (address, name) in [
            ("api.example:443", "api.example"),
            ("192.0.2.1:80", "192.0.2.1"),
            ("[2001:db8::1]:80", "2001:db8::1"),
        ] {
            assert_eq!(host(address), name);
        }
    }
}
