//! Endpoints that fail more often, or take longer, than the others of their pool.

use std::collections::HashMap;

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
/// A response counts as this many times the usual at most: one that hung for seconds among hundreds
/// must not cost a backend its share.
const MOST: u64 = 100;

/// The interval that is under way.
#[derive(Debug, Default)]
pub(super) struct Interval {
    /// In milliseconds; 0 before the first.
    ends_at: u64,
    /// What had been counted when it began.
    began: HashMap<EndpointId, Totals>,
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
    compare_latencies(pool, counted);
}

fn compare_latencies(pool: &PoolTopology, counted: &[Of<'_>]) {
    let rules = &pool.health.ejection;
    if rules.latency_factor <= 0.0 && counted.iter().all(|(e, _)| !is_slow_already(e)) {
        return;
    }
    let is_measured = |of: &Totals| of.latency.count >= rules.min_requests;
    let usual = |mean: &dyn Fn(&Totals) -> u64| {
        let measured = counted.iter().filter(|(_, of)| is_measured(of));
        median(measured.map(|(_, of)| mean(of)).collect()).unwrap_or(0)
    };
    let most = usual(&|of| of.latency.quantile(0.5)).max(1) * MOST;
    let mean = |of: &Totals| of.latency.mean_up_to(most);
    let usual = usual(&mean);
    for (endpoint, of) in counted {
        let shared = &endpoint.health.shared;
        let mean = mean(of);
        let is_slow = rules.latency_factor > 0.0
            && is_measured(of)
            && mean >= usual + LEAST
            && mean as f64 >= usual as f64 * rules.latency_factor;
        let reason = || {
            let [mean, usual] = [mean, usual].map(|us| us.div_ceil(1_000));
            format!("it takes {mean} ms on average, others {usual} ms")
        };
        match is_slow {
            true if rules.latency_ejects => pool.eject(endpoint, Marks::NONE, reason),
            true => {
                shared.set_share(super::SLOW_SHARE);
                shared.change(Marks::SLOW, Marks::NONE, reason);
            }
            false if is_slow_already(endpoint) => {
                shared.change(Marks::NONE, Marks::SLOW, String::new);
            }
            false => {}
        }
    }
}

/// The share of failures among requests; those that were never sent failed as well.
fn failure_share(requests: u64, failures: u64) -> f64 {
    match requests.max(failures) {
        0 => 0.0,
        all => failures as f64 / all as f64,
    }
}

fn is_slow_already(endpoint: &Endpoint) -> bool {
    endpoint.health.shared.marks().has(Marks::SLOW)
}
