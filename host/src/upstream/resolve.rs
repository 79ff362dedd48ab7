//! From names to addresses, once, when the configuration is read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;

use super::{Endpoint, PoolId, PoolTopology, Registry, Topology};
use crate::config::{self, Pool};

/// A backend address that leads nowhere.
#[derive(Debug, Error)]
#[error(
    "pool {pool:?}: backend {address:?} can't be resolved: {reason}; write an IP address, or a \
     name that this machine's resolver knows"
)]
pub struct ResolveError {
    pool: String,
    address: String,
    reason: String,
}

/// Resolves every backend of every pool. Names may yield several addresses; each is an endpoint
/// with the same weight and labels.
pub async fn resolve(pools: &[Pool], registry: &Registry) -> Result<Topology, ResolveError> {
    let ids = registry.pools(pools.iter().map(|pool| pool.name.as_str()));
    let mut resolved = Vec::with_capacity(pools.len());
    for (pool, id) in pools.iter().zip(ids) {
        resolved.push(resolve_pool(pool, id, registry).await?);
    }
    limit(pools, &mut resolved, registry);
    Ok(Topology {
        generation: registry.next_generation(),
        pools: resolved.into_iter().map(Arc::new).collect(),
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
        for address in addresses(pool, backend).await? {
            // A resolver may list one address for each socket type.
            let is_known =
                |e: &Endpoint| e.address == address && e.weight == weight && e.labels == *labels;
            if endpoints.iter().any(is_known) {
                continue;
            }
            endpoints.push(Endpoint {
                weight,
                labels: labels.clone(),
                ..Endpoint::new(address, &server_name, registry)
            });
        }
    }
    Ok(PoolTopology {
        id,
        name: pool.name.clone(),
        endpoints,
        attempts: pool.attempts,
        max_idle: pool.max_idle,
        queue: pool.queue,
        queue_timeout: pool.queue_timeout,
        body_wait: pool.body_wait,
        slow_client: pool.slow_client,
        slow_client_rate: pool.slow_client_rate,
        max_failures: pool.max_failures,
        fail_timeout: pool.fail_timeout,
    })
}

/// Gives the addresses whose connections are limited their places.
fn limit(pools: &[Pool], resolved: &mut [PoolTopology], registry: &Registry) {
    let mut limits: HashMap<SocketAddr, usize> = HashMap::new();
    for (pool, topology) in pools
        .iter()
        .zip(&*resolved)
        .filter(|(pool, _)| pool.max_connections > 0)
    {
        for endpoint in &topology.endpoints {
            let limit = limits
                .entry(endpoint.address)
                .or_insert(pool.max_connections);
            *limit = pool.max_connections.min(*limit);
        }
    }
    for endpoint in resolved
        .iter_mut()
        .flat_map(|topology| &mut topology.endpoints)
    {
        let limit = limits.get(&endpoint.address);
        endpoint.places = limit.map(|limit| registry.places(endpoint.address, *limit));
    }
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
    let failed = |reason: String| ResolveError {
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
