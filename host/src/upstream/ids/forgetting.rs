//! What nothing uses any more is forgotten after a while, so that a process whose backends come and
//! go does not grow.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use super::{EndpointId, Known, Limited, PoolId, PoolName, Presence, Reached, Registry};
use crate::stats::{Departed, Stats};

/// How many endpoints, and how many pools, are remembered after they have gone. One of them takes
/// some kilobytes for each worker.
const REMEMBERED: usize = 1_024;

/// What has gone.
#[derive(Debug)]
pub(super) struct Gone {
    endpoints: Departed<EndpointId>,
    pools: Departed<PoolId>,
}

impl Default for Gone {
    fn default() -> Self {
        Self {
            endpoints: Departed::new(REMEMBERED),
            pools: Departed::new(REMEMBERED),
        }
    }
}

impl Registry {
    /// Forgets pools and endpoints that nothing has used for ten minutes, and the longest gone of
    /// more than 1,024; `stats` keeps the sums of what they counted. Not while a topology is being
    /// made.
    pub fn forget(&self, stats: &Stats, now: Instant) {
        let mut known = self.known();
        let endpoints = known.forget_endpoints(stats, now);
        let pools = known.forget_pools(stats, now);
        if !endpoints && !pools {
            return;
        }
        known.forget_connectors();
        let addresses = known.endpoints.keys();
        let addresses: HashSet<String> = addresses.map(|r| r.address.to_string()).collect();
        let pools: HashSet<&str> = known.pools.keys().map(|(name, _)| name.as_str()).collect();
        stats.forget_selections(&|pool, address| {
            pools.contains(pool) && addresses.contains(address)
        });
    }

    /// How many pools and endpoints are known.
    #[cfg(test)]
    pub(in crate::upstream) fn size(&self) -> (usize, usize) {
        let known = self.known();
        (known.pools.len(), known.endpoints.len())
    }
}

impl Known {
    /// Whether any was forgotten.
    fn forget_endpoints(&mut self, stats: &Stats, now: Instant) -> bool {
        let gone = self.endpoints.values().filter(|e| e.presence.is_alone());
        let over = self.gone.endpoints.look(gone.map(|e| e.id), now);
        let over: HashSet<EndpointId> = over.into_iter().collect();
        if over.is_empty() {
            return false;
        }
        let all = self.endpoints.iter().filter(|(_, e)| over.contains(&e.id));
        let (all, labels): (Vec<Reached>, Vec<Arc<str>>) = all
            .map(|(reached, e)| (reached.clone(), Arc::clone(&e.label)))
            .unzip();
        let labels: Vec<&str> = labels.iter().map(|label| &**label).collect();
        let forgotten = stats.forget_backends(&labels);
        for (reached, _) in all.iter().zip(&forgotten).filter(|(_, gone)| **gone) {
            if let Some(endpoint) = self.endpoints.remove(reached) {
                self.labels.remove(&endpoint.label);
                self.places.remove(&endpoint.id);
                self.requests.remove(&Limited::Endpoint(endpoint.id));
            }
        }
        forgotten.contains(&true)
    }

    /// The same for pools. Those of one name share their statistics.
    fn forget_pools(&mut self, stats: &Stats, now: Instant) -> bool {
        let presences = self.presences.iter();
        let gone = presences.filter(|(_, presence)| presence.is_alone());
        let over = self.gone.pools.look(gone.map(|(id, _)| *id), now);
        let over: HashSet<PoolId> = over.into_iter().collect();
        if over.is_empty() {
            return false;
        }
        let (all, stay): (Vec<_>, Vec<_>) =
            self.pools.iter().partition(|(_, id)| over.contains(id));
        let stay: HashSet<&str> = stay.iter().map(|((name, _), _)| name.as_str()).collect();
        let names = all.iter().map(|((name, _), _)| name.as_str());
        let names: Vec<&str> = names.filter(|name| !stay.contains(name)).collect();
        let forgotten = stats.forget_pools(&names);
        let counts = names.into_iter().zip(forgotten);
        let counts: HashSet<&str> = counts
            .filter_map(|(n, gone)| (!gone).then_some(n))
            .collect();
        let all = all.into_iter();
        let all = all.filter(|((name, _), _)| !counts.contains(name.as_str()));
        let all: Vec<(PoolName, PoolId)> = all.map(|(name, id)| (name.clone(), *id)).collect();
        for (name, id) in &all {
            self.pools.remove(name);
            self.presences.remove(id);
            self.requests.remove(&Limited::Pool(*id));
            self.free.insert(id.0);
        }
        !all.is_empty()
    }

    /// What secured the connections of endpoints that are not known any more.
    fn forget_connectors(&mut self) {
        let used = self.endpoints.keys().filter_map(|r| r.tls.as_ref());
        let used: HashSet<_> = used.collect();
        let connectors = &mut self.connectors;
        connectors.retain(|id, kept| used.contains(id) || Arc::strong_count(kept) > 1);
    }
}

impl Presence {
    /// Whether nothing else has it.
    fn is_alone(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }
}
