//! From names to addresses, once, when the configuration is read.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use thiserror::Error;
use tokio::sync::Notify;

use super::Places;
use crate::config::{self, Pool};

/// A pool with every backend resolved.
#[derive(Debug, Clone)]
pub struct PoolTopology {
    /// The operator's name, or the host of the short form.
    pub name: String,
    /// Each IP address that a configured address resolved to is one backend.
    pub backends: Vec<ResolvedBackend>,
    /// Attempts at one request in all.
    pub attempts: u32,
    /// Idle connections kept per worker and backend.
    pub max_idle: usize,
    /// Requests of all workers that may wait for a connection to one backend, where connections are
    /// limited.
    pub queue: usize,
    /// For how long one request waits for a connection at most, over all its attempts.
    pub queue_timeout: Duration,
    /// How long the beginning of a request's body is waited for before the request takes a
    /// connection, where connections are limited.
    pub body_wait: Duration,
    /// How long a client may keep its connection waiting for it while requests wait for one; 0 =
    /// for ever.
    pub slow_client: Duration,
    /// So many bytes a second are not slow.
    pub slow_client_rate: u64,
    /// Failures in a row after which a backend is ejected; 0 = never.
    pub max_failures: u32,
    /// For how long it is ejected.
    pub fail_timeout: Duration,
}

/// One backend of a pool.
#[derive(Debug, Clone)]
pub struct ResolvedBackend {
    /// Where it is.
    pub address: SocketAddr,
    /// The operator's weight.
    pub weight: u32,
    /// The operator's labels.
    pub labels: Vec<(String, String)>,
    /// How many connections all workers together may have to its address: the least
    /// `max-connections` of the pools that name it. `None` = no limit.
    pub places: Option<Arc<Places>>,
}

/// A backend address that leads nowhere.
#[derive(Debug, Error)]
#[error(
    "pool {pool:?}: backend {address:?} can't be resolved: {reason}; write an IP address, or a name that this machine's resolver knows"
)]
pub struct ResolveError {
    pool: String,
    address: String,
    reason: String,
}

/// Resolves every backend of every pool. Names may yield several addresses; each is a backend with
/// the same weight and labels.
pub async fn resolve(pools: &[Pool]) -> Result<Vec<PoolTopology>, ResolveError> {
    let mut resolved = Vec::with_capacity(pools.len());
    for pool in pools {
        let mut backends: Vec<ResolvedBackend> = Vec::with_capacity(pool.backends.len());
        for backend in &pool.backends {
            for address in addresses(pool, backend).await? {
                // A resolver may list one address for each socket type.
                let (weight, labels) = (backend.weight, &backend.labels);
                if !backends
                    .iter()
                    .any(|b| b.address == address && b.weight == weight && b.labels == *labels)
                {
                    backends.push(ResolvedBackend {
                        address,
                        weight,
                        labels: labels.clone(),
                        places: None,
                    });
                }
            }
        }
        resolved.push(PoolTopology {
            name: pool.name.clone(),
            backends,
            attempts: pool.attempts,
            max_idle: pool.max_idle,
            queue: pool.queue,
            queue_timeout: pool.queue_timeout,
            body_wait: pool.body_wait,
            slow_client: pool.slow_client,
            slow_client_rate: pool.slow_client_rate,
            max_failures: pool.max_failures,
            fail_timeout: pool.fail_timeout,
        });
    }
    limit(pools, &mut resolved);
    Ok(resolved)
}

/// Gives the addresses whose connections are limited their places.
fn limit(pools: &[Pool], resolved: &mut [PoolTopology]) {
    let mut limits: HashMap<SocketAddr, usize> = HashMap::new();
    for (pool, topology) in pools
        .iter()
        .zip(&*resolved)
        .filter(|(pool, _)| pool.max_connections > 0)
    {
        for backend in &topology.backends {
            let limit = limits
                .entry(backend.address)
                .or_insert(pool.max_connections);
            *limit = pool.max_connections.min(*limit);
        }
    }
    let wanted = Arc::new(Notify::new());
    let places: HashMap<_, _> = limits
        .into_iter()
        .map(|(address, limit)| (address, Arc::new(Places::new(limit, &wanted))))
        .collect();
    for backend in resolved
        .iter_mut()
        .flat_map(|topology| &mut topology.backends)
    {
        backend.places = places.get(&backend.address).cloned();
    }
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
