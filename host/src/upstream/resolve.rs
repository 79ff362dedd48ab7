//! From names to addresses, once, when the configuration is read.

use std::net::SocketAddr;
use std::time::Duration;

use thiserror::Error;

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
    /// Connections per worker and backend in all; 0 = no limit.
    pub max_connections: usize,
    /// Failures in a row after which a backend is set aside; 0 = never.
    pub max_failures: u32,
    /// For how long it is set aside.
    pub fail_timeout: Duration,
}

/// One backend of a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolvedBackend {
    /// Where it is.
    pub address: SocketAddr,
    /// The operator's weight.
    pub weight: u32,
    /// The operator's labels.
    pub labels: Vec<(String, String)>,
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

/// Resolves every backend of every pool. Names may yield several addresses; each is a backend with the same weight and labels.
pub async fn resolve(pools: &[Pool]) -> Result<Vec<PoolTopology>, ResolveError> {
    let mut resolved = Vec::with_capacity(pools.len());
    for pool in pools {
        let mut backends: Vec<ResolvedBackend> = Vec::with_capacity(pool.backends.len());
        for backend in &pool.backends {
            for address in addresses(pool, backend).await? {
                // A resolver may list one address for each socket type.
                let new = ResolvedBackend { address, weight: backend.weight, labels: backend.labels.clone() };
                if !backends.contains(&new) {
                    backends.push(new);
                }
            }
        }
        resolved.push(PoolTopology {
            name: pool.name.clone(),
            backends,
            attempts: pool.attempts,
            max_idle: pool.max_idle,
            max_connections: pool.max_connections,
            max_failures: pool.max_failures,
            fail_timeout: pool.fail_timeout,
        });
    }
    Ok(resolved)
}

async fn addresses(pool: &Pool, backend: &config::Backend) -> Result<Vec<SocketAddr>, ResolveError> {
    if let Ok(address) = backend.address.parse() {
        return Ok(vec![address]);
    }
    let failed = |reason: String| ResolveError { pool: pool.name.clone(), address: backend.address.clone(), reason };
    // A resolver that does not answer must not keep the proxy from saying so.
    const PATIENCE: Duration = Duration::from_secs(10);
    let found = tokio::time::timeout(PATIENCE, tokio::net::lookup_host(&backend.address))
        .await
        .map_err(|_| failed(format!("no answer within {} s", PATIENCE.as_secs())))?
        .map_err(|e| failed(e.to_string()))?;
    let found: Vec<SocketAddr> = found.collect();
    if found.is_empty() { Err(failed("the name has no address".to_owned())) } else { Ok(found) }
}
