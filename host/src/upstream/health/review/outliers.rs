//! Endpoints that fail more often, or take longer, than the others of their pool.

use std::collections::{HashMap, HashSet};

use super::super::marks::Marks;
use super::super::shared::milliseconds;
use super::Review;
use super::ages::median;
use super::seen::Totals;
use crate::upstream::{Endpoint, EndpointId, PoolTopology, Topology};

/// How many times the share of failures of the others one must have that is to blame.
const TIMES: f64 = 2.0;
/// A mean latency that is not above the median by as many microseconds is no outlier, whatever the
/// factor.
const LEAST: u64 = 10_000;
/// A response counts as this many times the usual, or ten times what is too slow, or as so many
/// microseconds at most: one that hung for seconds among hundreds must not cost a backend its
/// share.
const MOST: f64 = 100.0;
const MOST_ANYHOW: f64 = 20.0 * LEAST as f64;

/// The interval that is under way.
#[derive(Debug, Default)]
pub(super) struct Interval {
    /// In milliseconds; 0 before the first.
    ends_at: u64,
    /// What had been counted when it began.
    began: HashMap<EndpointId, Totals>,
    /// Those that took too long in the one before it.
    slow: HashSet<EndpointId>,
}

/// An endpoint in an interval.
type Of<'a> = (&'a Endpoint, Totals);

impl Review {
    /// Compares the endpoints of each pool whose interval is over.
    pub(super) fn compare(&mut self, topology: &Topology, now: u64) {
        for pool in &topology.pools {
            let interval = milliseconds(pool.health.ejection.interval);
            let Some(seen) = self.pools.get_mut(&pool.id) else {
                continue;
            };
            if now < seen.interval.ends_at {
                continue;
            }
            let is_first = seen.interval.ends_at == 0;
            seen.interval.ends_at = now + interval;
            let totals = pool
                .taking()
                .filter_map(|e| Some((e, self.endpoints.get(&e.id)?)));
            let totals: Vec<Of<'_>> = totals.map(|(e, seen)| (e, seen.totals())).collect();
            let counted = seen.interval.next(totals);
            if !is_first {
                compare(pool, &counted);
                seen.interval.slow = too_slow(pool, &counted);
                self.forgive_slowness(&counted);
            }
            for (endpoint, _) in &counted {
                if let Some(seen) = self.endpoints.get_mut(&endpoint.id)
                    && now >= seen.forgives_at
                {
                    seen.forgives_at = now + interval;
                    seen.health.shared.was_well();
                }
            }
        }
    }
}

impl Review {
    /// Those of an interval's endpoints that no pool has found too slow any more. Several pools may
    /// have one, and those that send it nothing don't know.
    fn forgive_slowness(&self, counted: &[Of<'_>]) {
        for (endpoint, _) in counted {
            let shared = &endpoint.health.shared;
            let mut pools = self.pools.values();
            if shared.marks().has(Marks::SLOW)
                && !pools.any(|seen| seen.interval.slow.contains(&endpoint.id))
            {
                shared.change(Marks::NONE, Marks::SLOW, String::new);
            }
        }
    }
}

impl Interval {
    /// What was counted in the interval that ends, by these totals.
    fn next<'a>(&mut self, totals: Vec<Of<'a>>) -> Vec<Of<'a>> {
        let began = std::mem::take(&mut self.began);
        let of = |(e, now): &Of<'a>| (*e, now.since(began.get(&e.id).unwrap_or(now)));
        let counted = totals.iter().map(of).collect();
        self.began = totals.into_iter().map(|(e, now)| (e.id, now)).collect();
        counted
    }
}

fn compare(pool: &PoolTopology, counted: &[Of<'_>]) {
    let rules = &pool.health.ejection;
    if rules.failure_share > 0.0 && pool.has_choice() {
        let requests: u64 = counted.iter().map(|(_, of)| of.requests).sum();
        let failures: u64 = counted.iter().map(|(_, of)| of.failures).sum();
        for (endpoint, own) in counted {
            let others = failure_share(requests - own.requests, failures - own.failures);
            let share = failure_share(own.requests, own.failures);
            let is_plenty = own.requests.max(own.failures) >= rules.min_requests;
            if is_plenty && share >= rules.failure_share && share >= others * TIMES {
                let percent = share * 100.0;
                pool.eject(endpoint, Marks::NONE, || {
                    format!(
                        "{percent:.0} % of its requests have failed in {:?}",
                        rules.interval
                    )
                });
            }
        }
    }
}

/// Degrades or ejects those that take too long, and returns those that are degraded.
fn too_slow(pool: &PoolTopology, counted: &[Of<'_>]) -> HashSet<EndpointId> {
    let rules = &pool.health.ejection;
    let mut found = HashSet::new();
    if rules.latency_factor <= 0.0 {
        return found;
    }
    let is_measured = |of: &Totals| of.latency.count >= rules.min_requests;
    let usual = |mean: &dyn Fn(&Totals) -> u64| {
        let measured = counted.iter().filter(|(_, of)| is_measured(of));
        median(measured.map(|(_, of)| mean(of)).collect()).unwrap_or(0)
    };
    let most = usual(&|of| of.latency.quantile(0.5)) as f64 * MOST.max(10.0 * rules.latency_factor);
    let mean = |of: &Totals| of.latency.mean_up_to(most.max(MOST_ANYHOW) as u64);
    let usual = usual(&mean);
    for (endpoint, of) in counted {
        let shared = &endpoint.health.shared;
        let mean = mean(of);
        if !is_measured(of)
            || mean < usual + LEAST
            || (mean as f64) < usual as f64 * rules.latency_factor
        {
            continue;
        }
        let reason = || {
            let [mean, usual] = [of.latency.mean(), usual].map(|us| us.div_ceil(1_000));
            format!("it takes {mean} ms on average, others {usual} ms")
        };
        if rules.latency_ejects {
            pool.eject(endpoint, Marks::NONE, reason);
        } else {
            found.insert(endpoint.id);
            shared.set_share(super::SLOW_SHARE);
            shared.change(Marks::SLOW, Marks::NONE, reason);
        }
    }
    found
}

/// The share of failures among requests; those that were never sent failed as well.
fn failure_share(requests: u64, failures: u64) -> f64 {
    match requests.max(failures) {
        0 => 0.0,
        all => failures as f64 / all as f64,
    }
}
