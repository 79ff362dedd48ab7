//! What is known at one moment, apart from rates.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::sampler::Sampler;
use super::series::Series;
use crate::admin::backends::{EndpointStatus, FileStatus, PoolStatus};
use crate::admin::control::{Control, PolicyDetails, Readiness};
use crate::admin::reload::ReloadStatus;
use crate::admin::report::{
    CountedRoute, HEALTHY, ShownEndpoint, ShownPool, backends, is_usable, routes,
};
use crate::admin::routes::RouteStatus;
use crate::observe::sample::Sample;
use crate::stats::{Stats, WorkerShard};

/// Everything that the page shows.
#[derive(Debug)]
pub(in crate::admin) struct Picture {
    pub taken: SystemTime,
    pub up: Duration,
    pub readiness: Readiness,
    pub notes: Vec<String>,
    pub reload: ReloadStatus,
    pub totals: Totals,
    pub routes: Vec<RouteStatus>,
    /// By name.
    pub counted_routes: BTreeMap<String, CountedRoute>,
    pub pools: Vec<PoolPicture>,
    pub policies: Vec<PolicyPicture>,
}

/// Of the whole process.
#[derive(Debug, Default)]
pub(in crate::admin) struct Totals {
    pub requests: u64,
    pub active: u64,
    pub connections: u64,
    pub retries: u64,
}

/// One pool.
#[derive(Debug)]
pub(in crate::admin) struct PoolPicture {
    pub name: String,
    pub file: Option<FileStatus>,
    pub endpoints: Vec<EndpointPicture>,
}

/// One endpoint of a pool.
#[derive(Debug)]
pub(in crate::admin) struct EndpointPicture {
    pub said: EndpointStatus,
    pub state: &'static str,
    pub reason: Option<String>,
    pub in_flight: u64,
}

/// One policy.
#[derive(Debug)]
pub(in crate::admin) struct PolicyPicture {
    pub details: PolicyDetails,
    pub faults: u64,
}

impl Picture {
    pub(super) fn new(control: &dyn Control, series: &Sampler) -> Self {
        let stats = control.stats();
        let counted = backends(stats);
        let pool = |status: PoolStatus| {
            let shown = ShownPool::new(&status, &counted);
            let endpoint = |e: ShownEndpoint| EndpointPicture {
                said: e.said,
                state: e.state,
                reason: e.reason,
                in_flight: e.in_flight,
            };
            PoolPicture {
                name: status.name,
                file: shown.file,
                endpoints: shown.endpoints.into_iter().map(endpoint).collect(),
            }
        };
        let mut names: Vec<String> = control.policies().into_iter().map(|p| p.name).collect();
        names.sort_unstable();
        let policies = names.iter().filter_map(|name| control.policy(name));
        Self {
            taken: SystemTime::now(),
            up: stats.started().elapsed(),
            readiness: control.readiness(),
            notes: control.notes(),
            reload: control.reload_status(),
            totals: Totals::new(stats),
            routes: control.routes(),
            counted_routes: routes(stats),
            pools: control.pools().into_iter().map(pool).collect(),
            policies: policies
                .map(|details| {
                    let calls = series.policies.get(&details.status.name);
                    PolicyPicture {
                        details,
                        faults: calls.map_or(0, |calls| calls.faults),
                    }
                })
                .collect(),
        }
    }
}

impl Totals {
    fn new(stats: &Stats) -> Self {
        let sum = |value: fn(&WorkerShard) -> u64| stats.workers().iter().map(|w| value(w)).sum();
        Self {
            requests: sum(|w| w.requests.value()),
            active: sum(|w| w.requests_active.value()),
            connections: sum(|w| w.connections_active.value()),
            retries: sum(|w| w.retries.value()),
        }
    }
}

impl PoolPicture {
    /// How many of its endpoints are known to work.
    pub(in crate::admin) fn healthy(&self) -> usize {
        self.endpoints.iter().filter(|e| e.state == HEALTHY).count()
    }

    /// How many get requests and are not known to fail.
    pub(in crate::admin) fn usable(&self) -> usize {
        self.endpoints.iter().filter(|e| is_usable(e.state)).count()
    }
}

/// The rates of a thing, if it has a history.
pub(in crate::admin) type Rates<'a> = Option<&'a Series>;

/// A picture with its rates.
#[derive(Debug, Clone, Copy)]
pub(in crate::admin) struct Moment<'a> {
    pub picture: &'a Picture,
    pub(super) series: &'a Sampler,
    /// Whether requests are sampled now, and the last ones with their numbers, newest first.
    pub samples: (bool, &'a VecDeque<(u64, Arc<Sample>)>),
}

impl<'a> Moment<'a> {
    pub(in crate::admin) fn requests(&self) -> &'a Series {
        &self.series.requests
    }

    pub(in crate::admin) fn pool(&self, name: &str) -> Rates<'a> {
        self.series.pools.get(name)
    }

    pub(in crate::admin) fn endpoint(&self, label: &str) -> Rates<'a> {
        self.series.endpoints.get(label)
    }

    pub(in crate::admin) fn route(&self, name: &str) -> Rates<'a> {
        self.series.routes.get(name)
    }

    pub(in crate::admin) fn policy(&self, name: &str) -> Rates<'a> {
        self.series.policies.get(name).map(|calls| &calls.series)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_degraded_endpoint_is_none_that_works() {
        let endpoint = |state| EndpointPicture {
            said: EndpointStatus {
                address: "127.0.0.1:1".to_owned(),
                label: "127.0.0.1:1".to_owned(),
                source: "api",
                weight: 1,
                admin: "up",
                request_limit: None,
                labels: Default::default(),
            },
            state,
            reason: None,
            in_flight: 0,
        };
        for (states, usable) in [
            (&["degraded"][..], 0),
            (&["degraded", "unproven"], 1),
            (&["healthy", "failing", "ejected", "down", "draining"], 1),
        ] {
            let pool = PoolPicture {
                name: "a".to_owned(),
                file: None,
                endpoints: states.iter().copied().map(endpoint).collect(),
            };
            assert_eq!(pool.usable(), usable, "{states:?}");
        }
    }
}
