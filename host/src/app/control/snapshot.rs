//! The one place where a snapshot is made, from the one before; and how another topology gets into
//! it.

use std::sync::Arc;

use tokio::task::spawn_blocking;

use super::{ControlPlane, policies};
use crate::config::Config;
use crate::decision::PolicyEntry;
use crate::policy::{Generation, Lists};
use crate::proxy::Snapshot;
use crate::route::RouteTable;
use crate::upstream::{PoolId, Topology};

impl Snapshot {
    /// The snapshot that follows `previous`. What did not change is the same as there.
    pub fn next(
        previous: Option<&Self>,
        config: &Arc<Config>,
        topology: &Arc<Topology>,
        mut policies: Vec<PolicyEntry>,
    ) -> Self {
        let same = previous.filter(|p| Arc::ptr_eq(&p.config, config));
        let same_lists = same.filter(|p| p.topology.generation == topology.generation);
        let routes = match same_lists {
            Some(previous) => Arc::clone(&previous.routes),
            None => {
                let pools: Vec<PoolId> = topology.pools.iter().map(|pool| pool.id).collect();
                Arc::new(RouteTable::new(&config.routes, &pools))
            }
        };
        if same_lists.is_none() {
            for (index, entry) in policies.iter_mut().enumerate() {
                entry.lists = lists(&entry.lists, config, topology, index);
            }
        }
        Self {
            version: previous.map_or(0, |p| p.version) + 1,
            config: Arc::clone(config),
            routes,
            topology: Arc::clone(topology),
            policies,
        }
    }
}

/// The lists of a policy in this topology; those that were, if they did not change.
fn lists(former: &Arc<Lists>, config: &Config, topology: &Topology, policy: usize) -> Arc<Lists> {
    let pools = policies::pools(config, &topology.pools, policy);
    let next = former.next(&pools, topology.generation);
    if former.covers(&next) && next.covers(former) {
        Arc::clone(former)
    } else {
        Arc::new(next)
    }
}

impl ControlPlane {
    /// Publishes another topology of the same configuration, and returns the version. Endpoints
    /// that stayed keep their connections and their health; instances of policies are told the
    /// lists that changed. Those that can't be told in the time of a call are built first.
    pub async fn publish_topology(self: &Arc<Self>, topology: Arc<Topology>) -> u64 {
        let (this, next) = (Arc::clone(self), Arc::clone(&topology));
        // What panics has logged it, and what is not built now is built when it is missing.
        let _ = spawn_blocking(move || this.warm_for(&next)).await;
        let version = self.publish_next(|current| {
            let policies = current.policies.clone();
            Snapshot::next(Some(current), &self.config, &topology, policies)
        });
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            for generation in self.generations(index) {
                generation.set_lists(&entry.lists);
            }
        }
        version
    }

    fn warm_for(&self, topology: &Topology) {
        for (index, entry) in self.snapshot().policies.iter().enumerate() {
            let lists = lists(&entry.lists, &self.config, topology, index);
            for generation in self.generations(index) {
                if let Err(reason) = generation.warm_for(&lists) {
                    tracing::error!(
                        policy = generation.name(),
                        "no instance can be built for a list of backends that has changed: {reason}"
                    );
                }
            }
        }
    }

    /// The generations of this policy that are asked now, or may be again.
    fn generations(&self, index: usize) -> Vec<Arc<Generation>> {
        let state = self.state(index);
        let history = &state.history;
        let trial = history.trial().map(|trial| &trial.generation);
        let all = [history.active(), history.previous(), trial];
        all.into_iter().flatten().map(Arc::clone).collect()
    }

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
