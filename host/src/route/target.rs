//! The pools of a route, and where copies of its requests go.

use crate::config::{Mirror, RetryPolicy, RouteTarget};
use crate::upstream::PoolId;

/// A pool that takes requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleTarget {
    /// The pool.
    pub pool: PoolId,
    /// Its part of the requests; 0 = none.
    pub weight: u32,
    /// When a request is sent again.
    pub retry: RetryPolicy,
}

/// Where copies of a route's requests go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RuleMirror {
    /// The pool.
    pub pool: PoolId,
    /// Which requests are copied, and how many at a time.
    pub bounds: Mirror,
}

impl RuleTarget {
    /// `None` if the pool is not there.
    pub(super) fn new(target: &RouteTarget, pools: &[PoolId]) -> Option<Self> {
        Some(Self {
            pool: *pools.get(target.pool)?,
            weight: target.weight,
            retry: target.retry.clone(),
        })
    }
}

impl RuleMirror {
    /// `None` if the pool is not there.
    pub(super) fn new(mirror: &Mirror, pools: &[PoolId]) -> Option<Self> {
        Some(Self {
            pool: *pools.get(mirror.pool)?,
            bounds: mirror.clone(),
        })
    }
}
