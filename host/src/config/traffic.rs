//! Where the requests of a route go, and how they are sent there: `pool` or `pools`, `mirror`,
//! `timeouts` and `body-bytes`.

mod entry;

use std::time::Duration;

pub(super) use self::entry::TrafficEntry;
use super::{Mirror, RetryPolicy, Timeouts};

/// Where the requests of a route go, and how they are sent there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Traffic {
    /// `pool`, or `pools` in the order written; none if the route answers itself.
    pub targets: Vec<RouteTarget>,
    /// `mirror`: the pool that gets a copy of its requests.
    pub mirror: Option<Mirror>,
    /// `timeouts` over those of `[timeouts]`; `None` if the route has none of its own.
    pub timeouts: Option<Box<Timeouts>>,
    /// `body-bytes`, in the place of that of `[limits]`; 0 = no limit.
    pub body_bytes: Option<u64>,
}

/// A pool that takes requests of a route.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteTarget {
    /// Index into [`super::Config::pools`].
    pub pool: usize,
    /// Its part of the requests; 0 = none.
    pub weight: u32,
    /// When a request is sent again; as the pool says where the route says nothing.
    pub retry: RetryPolicy,
}

impl Traffic {
    /// All of it to one pool.
    pub fn to(pool: usize, retry: RetryPolicy) -> Self {
        Self {
            targets: vec![RouteTarget {
                pool,
                weight: 1,
                retry,
            }],
            ..Self::default()
        }
    }

    /// The same for pools at other positions.
    pub fn without_positions(&self) -> Self {
        let mut traffic = self.clone();
        traffic.targets.iter_mut().for_each(|to| to.pool = 0);
        traffic.mirror.iter_mut().for_each(|to| to.pool = 0);
        traffic
    }

    /// The pools that take the requests themselves.
    pub fn pools(&self) -> impl Iterator<Item = usize> {
        self.targets.iter().map(|target| target.pool)
    }

    /// The retries of what goes to this pool, and how long an answer may take.
    pub(super) fn retries(
        &self,
        pool: usize,
        response: Duration,
    ) -> impl Iterator<Item = (&RetryPolicy, Duration)> {
        let response = self.timeouts.as_ref().map_or(response, |own| own.response);
        let of_pool = self.targets.iter().filter(move |to| to.pool == pool);
        of_pool.map(move |to| (&to.retry, response))
    }

    /// Whether copies of the requests go to this pool.
    pub(super) fn is_mirrored_to(&self, pool: usize) -> bool {
        self.mirror.as_ref().is_some_and(|to| to.pool == pool)
    }
}
