//! Takes the readings.

use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use super::series::{Added, Clock, Reading, Series};
use crate::admin::backends::PoolStatus;
use crate::admin::control::Control;
use crate::stats::{BackendStats, HistogramSnapshot, PolicyShard, PolicyStats, Stats};

/// Endpoints with a history, of 4 KiB each: 16 MiB in all. Those beyond have no rates.
const ENDPOINTS: usize = 4_096;
/// Policies and pools with a history.
const OTHERS: usize = 1_024;

/// All series.
#[derive(Debug)]
pub(super) struct Sampler {
    clock: Clock,
    round: u64,
    /// Requests of clients; an error is an answer with a status from 500 on.
    pub requests: Series,
    /// By an endpoint's name in the statistics.
    pub endpoints: HashMap<String, Series>,
    pub pools: HashMap<String, Series>,
    /// By name, of those that are counted.
    pub routes: HashMap<String, Series>,
    pub policies: HashMap<String, Calls>,
}

/// The calls of one policy.
#[derive(Debug, Default)]
pub(in crate::admin) struct Calls {
    pub series: Series,
    /// Calls so far that failed.
    pub faults: u64,
}

impl Sampler {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            clock: Clock::new(now),
            round: 0,
            requests: Series::default(),
            endpoints: HashMap::new(),
            pools: HashMap::new(),
            routes: HashMap::new(),
            policies: HashMap::new(),
        }
    }

    /// Reads all counters once.
    pub(super) fn read(&mut self, control: &dyn Control, now: Instant) {
        self.clock = self.clock.at(now);
        self.round += 1;
        let (stats, round) = (control.stats(), self.round);
        self.requests.read(requests(stats), &self.clock, round);
        self.read_endpoints(stats, &control.pools());
        self.read_routes(stats);
        self.read_policies(stats);
        self.endpoints.retain(|_, series| series.round == round);
        self.pools.retain(|_, series| series.round == round);
        self.routes.retain(|_, series| series.round == round);
        self.policies.retain(|_, calls| calls.series.round == round);
        self.clock = self.clock.turned();
    }

    fn read_endpoints(&mut self, stats: &Stats, pools: &[PoolStatus]) {
        let counted = stats.backends().by_name;
        // An endpoint of several pools is read once.
        let mut users: BTreeMap<&str, Vec<usize>> = BTreeMap::new();
        for (at, pool) in pools.iter().enumerate().take(OTHERS) {
            for endpoint in &pool.endpoints {
                users.entry(&endpoint.label).or_default().push(at);
            }
        }
        let mut sums: Vec<Added> = pools
            .iter()
            .map(|_| Added {
                window: self.clock.turns().then(Reading::default),
                ..Added::default()
            })
            .collect();
        for (label, users) in users.iter().take(ENDPOINTS) {
            let Some(counted) = counted.get(*label) else {
                continue;
            };
            let series = entry(&mut self.endpoints, label);
            let added = series.read(backend(counted), &self.clock, self.round);
            users.iter().for_each(|pool| sums[*pool].plus(&added));
        }
        for (pool, sum) in pools.iter().zip(&sums).take(OTHERS) {
            let series = entry(&mut self.pools, &pool.name);
            series.add(sum, &self.clock);
            series.round = self.round;
        }
    }

    /// There is a bounded number of them.
    fn read_routes(&mut self, stats: &Stats) {
        for (name, sums) in stats.read_routes() {
            let reading = Reading {
                errors: sums.errors,
                count: sums.requests,
                ..Reading::default()
            };
            let series = self.routes.entry(name).or_default();
            series.read(reading, &self.clock, self.round);
        }
    }

    fn read_policies(&mut self, stats: &Stats) {
        for (name, counted) in stats.policies().by_name.iter().take(OTHERS) {
            let calls = entry(&mut self.policies, name);
            let reading = policy(counted);
            let faults = reading.errors;
            calls.series.read(reading, &self.clock, self.round);
            calls.faults = faults;
        }
    }
}

fn entry<'m, T: Default>(map: &'m mut HashMap<String, T>, name: &str) -> &'m mut T {
    map.entry(name.to_owned()).or_default()
}

fn requests(stats: &Stats) -> Reading {
    let workers = stats.workers();
    let failed = |worker: &crate::stats::WorkerShard| {
        let by_status = worker.by_status[400..500].iter();
        by_status.map(|counter| counter.value()).sum::<u64>()
    };
    Reading {
        errors: workers.iter().map(|w| failed(w)).sum(),
        count: workers.iter().map(|w| w.requests.value()).sum(),
        times: HistogramSnapshot::of(workers.iter().map(|w| &w.request_microseconds)),
    }
}

fn backend(counted: &BackendStats) -> Reading {
    let shards = &counted.shards;
    Reading {
        errors: shards.iter().map(|s| s.failures.value()).sum(),
        count: shards.iter().map(|s| s.requests.value()).sum(),
        times: HistogramSnapshot::of(shards.iter().map(|s| &s.latency_microseconds)),
    }
}

fn policy(counted: &PolicyStats) -> Reading {
    let shards = counted.all_shards();
    let sum = |counter: fn(&PolicyShard) -> u64| shards.iter().map(|s| counter(s)).sum();
    let faults = [
        sum(|s| s.traps.value()),
        sum(|s| s.deadlines.value()),
        sum(|s| s.invalid.value()),
        sum(|s| s.unbuilt.value()),
    ];
    let times = HistogramSnapshot::of(shards.iter().flat_map(|s| &s.hook_nanoseconds));
    Reading {
        errors: faults.iter().sum(),
        count: times.count,
        times,
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::admin::tests::TestControl;
    use crate::policy::Hook;

    #[test]
    fn a_pool_has_the_rates_of_its_endpoints_and_a_policy_its_faults() {
        let (control, began) = (TestControl::new(), Instant::now());
        let mut sampler = Sampler::new(began);
        sampler.read(&control, began);
        let none = || sampler.pools["web"].now;
        assert_eq!(none().per_second, 0.0, "what was before is no rate");
        let faults = sampler.policies["spread"].faults;

        let backends = control.stats.backends().by_name;
        let count = |address: &str, requests, failures| {
            let shards = &backends[address].shards;
            shards[0].requests.add(requests);
            shards[1].failures.add(failures);
            shards[1].latency_microseconds.record(1_000);
        };
        count("127.0.0.1:81", 10, 0);
        count("127.0.0.1:82", 20, 5);
        let spread = control.stats.policy("spread");
        spread.shards[1].deadlines.increment();
        spread.shards[1].hook_nanoseconds[Hook::Selection.index()].record(5_000_000);
        sampler.read(&control, began + Duration::from_secs(5));
        let of = |address: &str| sampler.endpoints[address].now;
        assert_eq!(of("127.0.0.1:81").per_second, 2.0);
        assert_eq!(of("127.0.0.1:82").errors_per_second, 1.0);
        let web = &sampler.pools["web"];
        assert_eq!((web.now.per_second, web.now.errors_per_second), (6.0, 1.0));
        assert!((1_000..1_250).contains(&web.now.p99), "{:?}", web.now);
        assert_eq!(web.points.len(), 1);
        let calls = &sampler.policies["spread"];
        assert_eq!(calls.faults, faults + 1);
        assert_eq!(
            calls.series.now.busy, 1_000_000.0,
            "a thousandth of the time"
        );

        sampler.read(&control, began + Duration::from_secs(10));
        let web = &sampler.pools["web"];
        assert_eq!(web.now.per_second, 3.0, "of both windows");
        assert_eq!(web.points.back().unwrap().per_second, 0.0);
    }
}
