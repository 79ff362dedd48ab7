//! The one place where a snapshot is made, from the one before.

use std::sync::Arc;

use super::changes::route_name;
use super::{ControlPlane, policies};
use crate::config::Config;
use crate::decision::PolicyEntry;
use crate::policy::{Lists, PolicyId};
use crate::proxy::{Equipment, Settings, Snapshot};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::upstream::{PoolId, Topology};

impl Snapshot {
    /// The snapshot that follows `previous`. What did not change is the same as there. The policies
    /// are those of the configuration, in its order. `stats` count its routes.
    pub fn next(
        previous: Option<&Self>,
        config: &Arc<Config>,
        topology: &Arc<Topology>,
        mut policies: Vec<PolicyEntry>,
        (equipment, stats): (&Arc<Equipment>, &Stats),
    ) -> Self {
        let same = previous.filter(|p| Arc::ptr_eq(&p.config, config));
        let same_lists = same.filter(|p| p.topology.generation == topology.generation);
        if same_lists.is_none() {
            for (index, entry) in policies.iter_mut().enumerate() {
                entry.lists = lists(&entry.lists, config, topology, index);
            }
        }
        let ids = || -> Vec<PolicyId> { policies.iter().map(|entry| entry.id).collect() };
        let pools = || -> Vec<PoolId> { topology.pools.iter().map(|pool| pool.id).collect() };
        let settings = match same {
            Some(previous) => Arc::clone(&previous.settings),
            None => {
                let former = previous.map(|p| &*p.settings);
                Arc::new(Settings::next(former, config, &ids(), &pools()))
            }
        };
        let routes = match same_lists {
            Some(previous) => Arc::clone(&previous.routes),
            None => {
                let names: Vec<String> = config.routes.iter().map(route_name).collect();
                let counted = stats.claim_routes(names.iter().map(String::as_str));
                Arc::new(RouteTable::new(&config.routes, &pools(), &ids(), counted))
            }
        };
        if same.is_none() {
            for (entry, policy) in policies.iter_mut().zip(&config.policies) {
                entry.on_failure = policy.on_failure;
                entry.while_absent = policy.while_absent;
            }
        }
        Self {
            version: previous.map_or(0, |p| p.version) + 1,
            config: Arc::clone(config),
            settings,
            routes,
            topology: Arc::clone(topology),
            policies,
            equipment: Arc::clone(equipment),
        }
    }
}

/// The lists of a policy in this topology; those that were, if they did not change.
pub(super) fn lists(
    former: &Arc<Lists>,
    config: &Config,
    topology: &Topology,
    policy: usize,
) -> Arc<Lists> {
    let pools = policies::pools(config, &topology.pools, policy);
    let next = former.next(&pools, topology.generation);
    if former.covers(&next) && next.covers(former) {
        Arc::clone(former)
    } else {
        Arc::new(next)
    }
}

impl ControlPlane {
    /// Makes the snapshot that follows the current one, publishes it, and returns its version.
    pub(super) fn publish_next(&self, next: impl FnOnce(&Snapshot) -> Snapshot) -> u64 {
        let mut version = 0;
        self.snapshots.send_modify(|current| {
            let snapshot = next(current);
            version = snapshot.version;
            *current = Arc::new(snapshot);
        });
        version
    }
}
