//! Compares the endpoints of a pool, beside the traffic: which one does not answer any more, which
//! fails more often or takes longer than the others, whose share grows, and whose latency is old.

mod ages;
mod outliers;
mod seen;
mod stalls;

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

use super::marks::Marks;
use super::shared::{FULL, Shared, milliseconds};
use crate::stats::Stats;
use crate::upstream::{Endpoint, EndpointId, PoolId, PoolTopology, Topology};
use outliers::Interval;
use seen::Seen;

/// How often it looks.
const TICK: Duration = Duration::from_millis(20);
/// The same where no pool has a choice, and no limit is adapted.
const SELDOM: Duration = Duration::from_millis(200);
/// What looking at an endpoint costs for each worker, several times over: a review takes no more
/// than a small part of the time.
const COST: Duration = Duration::from_micros(2);
/// How often it looks while policies ask for sums over all workers.
const QUICK: Duration = Duration::from_millis(4);
/// For how long after they asked, in milliseconds.
const QUICK_FOR: u64 = 1_000;
/// The share of one that is slow.
const SLOW_SHARE: u32 = FULL / 4;

/// Whether a policy has asked for a sum over all workers since the last look.
static ASKED: AtomicBool = AtomicBool::new(false);

/// The sums over all workers are to be new from now on.
#[inline]
pub(in crate::upstream) fn sums_are_asked_for() {
    if !ASKED.load(Relaxed) {
        ASKED.store(true, Relaxed);
    }
}

/// The review of all pools. It is to look again after [`Review::pause`].
#[derive(Debug, Default)]
pub struct Review {
    generation: u64,
    endpoints: HashMap<EndpointId, Seen>,
    pools: HashMap<PoolId, PoolSeen>,
    /// When latencies age next, in milliseconds.
    ages_at: u64,
    /// Until when it looks often.
    quick_until: u64,
    is_quick: bool,
    /// A limit of requests is adapted.
    adapts: bool,
}

/// A pool as it was reviewed last.
#[derive(Debug, Default)]
struct PoolSeen {
    members: HashSet<EndpointId>,
    interval: Interval,
}

/// What the pools of an endpoint say of it.
#[derive(Debug, Default)]
struct Wanted {
    slow_start: Duration,
    /// It takes requests in one of them.
    takes: bool,
    /// One of them was there before, without it.
    is_new: bool,
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
        if ASKED.swap(false, Relaxed) {
            self.quick_until = now + QUICK_FOR;
        }
        self.is_quick = now < self.quick_until;
        self.endpoints.values_mut().for_each(|seen| seen.look(now));
        self.endpoints.values().for_each(Seen::sum);
        self.note_stalls(topology, now);
        self.share(topology);
        if now >= self.ages_at {
            self.ages_at = now + ages::TICK;
            self.age(topology, now);
        }
        self.compare(topology, now);
        self.adapt(topology, now);
        self.endpoints.values_mut().for_each(|seen| seen.say(now));
    }

    /// When it is worth looking again.
    pub fn pause(&self) -> Duration {
        let has_choice = self.pools.values().any(|pool| pool.members.len() > 1);
        let tick = match (self.is_quick, has_choice || self.adapts) {
            (true, _) => QUICK,
            (false, true) => TICK,
            (false, false) => SELDOM,
        };
        let conditions = self.endpoints.values().map(|seen| seen.workers.len());
        let conditions = u32::try_from(conditions.sum::<usize>()).unwrap_or(u32::MAX);
        tick.max(COST.saturating_mul(conditions))
    }

    /// Another topology: endpoints that are new in a pool that there was before begin slowly.
    fn follow(&mut self, topology: &Topology, stats: &Stats) {
        self.generation = topology.generation;
        let former = std::mem::take(&mut self.endpoints);
        let mut former_pools = std::mem::take(&mut self.pools);
        let mut wanted: HashMap<EndpointId, Wanted> = HashMap::new();
        for pool in &topology.pools {
            let members = former_pools.get(&pool.id).map(|seen| &seen.members);
            for endpoint in &pool.endpoints {
                let wanted = wanted.entry(endpoint.id).or_default();
                wanted.slow_start = wanted.slow_start.max(pool.health.slow_start);
                wanted.takes |= endpoint.weight > 0;
                wanted.is_new |= members.is_some_and(|members| !members.contains(&endpoint.id));
            }
        }
        for endpoint in all(topology) {
            // Once for each, whatever the number of its pools.
            let Some(wanted) = wanted.remove(&endpoint.id) else {
                continue;
            };
            let shared = &endpoint.health.shared;
            shared.set_slow_start(milliseconds(wanted.slow_start));
            shared.drain(!wanted.takes);
            if wanted.is_new {
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

    /// Adapts the limits of requests that are not fixed.
    fn adapt(&mut self, topology: &Topology, now: u64) {
        self.adapts = false;
        for endpoint in all(topology) {
            if let (Some(limit), Some(seen)) =
                (&endpoint.requests, self.endpoints.get(&endpoint.id))
            {
                self.adapts |= limit.review(now, || seen.counted());
            }
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
