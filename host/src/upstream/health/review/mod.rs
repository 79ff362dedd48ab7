//! Compares the endpoints of a pool, beside the traffic: which one does not answer any more, which
//! fails more often or takes longer than the others, whose share grows, and whose latency is old.

mod ages;
mod outliers;
mod seen;
mod stalls;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use super::marks::Marks;
use super::shared::{FULL, Shared, milliseconds};
use crate::stats::Stats;
use crate::upstream::{Endpoint, EndpointId, PoolId, PoolTopology, Topology};
use outliers::Interval;
use seen::Seen;

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// The same where no pool has a choice.
const SELDOM: Duration = Duration::from_secs(1);
/// What looking at an endpoint costs for each worker, several times over: a review takes no more
/// than a small part of the time.
const COST: Duration = Duration::from_micros(2);
/// The share of one that is slow.
const SLOW_SHARE: u32 = FULL / 4;

/// The review of all pools. It is to look again after [`Review::pause`].
#[derive(Debug, Default)]
pub struct Review {
    generation: u64,
    endpoints: HashMap<EndpointId, Seen>,
    pools: HashMap<PoolId, PoolSeen>,
    /// When latencies age next, in milliseconds.
    ages_at: u64,
}

/// A pool as it was reviewed last.
#[derive(Debug, Default)]
struct PoolSeen {
    members: HashSet<EndpointId>,
    interval: Interval,
}

impl Review {
    /// Looks at all endpoints.
    pub fn look(&mut self, topology: &Topology, stats: &Stats) {
        if topology.generation != self.generation {
            self.follow(topology, stats);
        }
        let Some(now) = self.endpoints.values().next().map(Seen::now) else {
            return;
        };
        self.endpoints.values_mut().for_each(|seen| seen.look(now));
        self.note_stalls(topology, now);
        self.share(topology);
        if now >= self.ages_at {
            self.ages_at = now + ages::TICK;
            self.age(topology, now);
        }
        self.compare(topology, now);
        self.endpoints.values_mut().for_each(|seen| seen.say(now));
    }

    /// When it is worth looking again.
    pub fn pause(&self) -> Duration {
        match self.pools.values().any(|pool| pool.members.len() > 1) {
            true => {
                let conditions = self.endpoints.values().map(|seen| seen.workers.len());
                let conditions = u32::try_from(conditions.sum::<usize>()).unwrap_or(u32::MAX);
                TICK.max(COST.saturating_mul(conditions))
            }
            false => SELDOM,
        }
    }

    /// Another topology: endpoints that are new in a pool that there was before begin slowly.
    fn follow(&mut self, topology: &Topology, stats: &Stats) {
        let is_first = self.generation == 0;
        self.generation = topology.generation;
        let former = std::mem::take(&mut self.endpoints);
        let mut former_pools = std::mem::take(&mut self.pools);
        for endpoint in all(topology) {
            let (id, shared) = (endpoint.id, &endpoint.health.shared);
            let own = || topology.pools.iter().filter(move |pool| pool.has(id));
            let slow = own().map(|pool| milliseconds(pool.health.slow_start));
            shared.set_slow_start(slow.max().unwrap_or(0));
            shared.drain(own().all(|pool| pool.drains(id)));
            let is_new = |pool: &Arc<PoolTopology>| {
                let former = former_pools.get(&pool.id);
                former.is_some_and(|former| !former.members.contains(&id))
            };
            if !is_first && own().any(is_new) {
                shared.begin_slow_start(Marks::NONE);
            }
        }
        for endpoint in all(topology) {
            let known = former.get(&endpoint.id).cloned();
            let seen = known.unwrap_or_else(|| Seen::new(endpoint, stats));
            self.endpoints.entry(endpoint.id).or_insert(seen);
        }
        for pool in &topology.pools {
            let mut seen = former_pools.remove(&pool.id).unwrap_or_default();
            seen.members = pool.endpoints.iter().map(|e| e.id).collect();
            self.pools.insert(pool.id, seen);
        }
    }

    /// Gives each endpoint its share: that of one whose slow start goes on is measured by the one
    /// of its pool that has come furthest, so that all begin together after an outage of all.
    fn share(&self, topology: &Topology) {
        let thinned = Marks::RAMPS.and(Marks::SLOW);
        for pool in &topology.pools {
            let shared = || pool.taking().map(|e| &*e.health.shared);
            if !shared().any(|s| s.marks().has(thinned)) {
                continue;
            }
            let avoided = Marks::EJECTED.and(Marks::DOWN);
            let usable = shared().filter(|s| !s.marks().has(avoided));
            let best = usable.map(Shared::ramp).max().unwrap_or(FULL).max(1);
            for shared in shared().filter(|s| s.marks().has(thinned)) {
                let ramp = shared.ramp();
                if ramp == FULL {
                    shared.change(Marks::NONE, Marks::RAMPS, String::new);
                }
                let share = (u64::from(ramp) * u64::from(FULL) / u64::from(best)).min(FULL.into());
                let share = u32::try_from(share).unwrap_or(FULL);
                shared.set_share(match shared.marks().has(Marks::SLOW) {
                    true => share.min(SLOW_SHARE),
                    false => share,
                });
            }
        }
    }
}

/// The endpoints of all pools; one that is in several comes several times.
fn all(topology: &Topology) -> impl Iterator<Item = &Endpoint> {
    topology.pools.iter().flat_map(|pool| &pool.endpoints)
}

impl PoolTopology {
    fn has(&self, id: EndpointId) -> bool {
        self.endpoints.iter().any(|e| e.id == id)
    }

    /// Whether it takes no requests here.
    fn drains(&self, id: EndpointId) -> bool {
        let mut own = self.endpoints.iter().filter(|e| e.id == id);
        own.all(|e| e.weight == 0)
    }

    /// The endpoints that take requests.
    fn taking(&self) -> impl Iterator<Item = &Endpoint> {
        self.endpoints.iter().filter(|e| e.weight > 0)
    }
}

impl Shared {
    fn drain(&self, drains: bool) {
        if drains != self.marks().has(Marks::DRAINING) {
            match drains {
                true => self.change(Marks::DRAINING, Marks::NONE, || {
                    "its weight is 0".to_owned()
                }),
                false => self.change(Marks::NONE, Marks::DRAINING, String::new),
            }
        }
    }
}
