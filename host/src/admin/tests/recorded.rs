//! Traffic that was counted.

use std::sync::Arc;

use crate::policy::Hook;
use crate::stats::{HealthReading, HealthReadings, HealthState, Stats};

/// A backend's health, by worker.
#[derive(Debug)]
struct TestHealth(Vec<HealthReading>, HealthState);

impl HealthReadings for TestHealth {
    fn by_worker(&self) -> Vec<HealthReading> {
        self.0.clone()
    }

    fn state(&self) -> HealthState {
        self.1.clone()
    }
}

/// Two workers' traffic, so that sums, maxima and averages differ.
pub(super) fn record(stats: &Stats) {
    for (i, worker) in stats.workers().iter().enumerate() {
        let n = i as u64 + 1;
        worker.bytes_from_clients.add(100 * n);
        worker.bytes_to_clients.add(2_000 * n);
        worker.bytes_from_backends.add(30 * n);
        worker.bytes_to_backends.add(4 * n);
        (0..n).for_each(|_| worker.requests.increment());
        worker.requests_active.set(n);
        worker.by_status[100].add(n);
        worker.by_status[404].add(1);
        worker.connections.add(n);
        worker.retries.add(n);
        worker.request_microseconds.record(1_000 * n);
    }
    let health = (1..=stats.workers().len() as u64).map(|n| HealthReading {
        in_flight: n,
        latency_microseconds: 100 * n,
    });
    let state = HealthState {
        state: "healthy",
        healthy: true,
        consecutive_failures: 2,
        share_percent: 100,
        ..HealthState::default()
    };
    let health = TestHealth(health.collect(), state.clone());
    let one = stats.backend("127.0.0.1:81", Arc::new(health));
    for (i, backend) in one.shards.iter().enumerate() {
        backend.requests.add(i as u64 + 1);
        backend.latency_microseconds.record(100);
    }
    let well = HealthReading::default();
    let ejected = HealthState {
        state: "ejected",
        reason: "3 failures <in> a row".to_owned(),
        milliseconds: 5_000,
        healthy: false,
        ..state
    };
    stats.backend(
        "127.0.0.1:82",
        Arc::new(TestHealth(vec![well, well], ejected)),
    );
    let spread = stats.policy("spread");
    *spread.counter_names.lock().unwrap() = vec!["hits".to_owned(), "<b>".to_owned()];
    for (i, shard) in spread.shards.iter().enumerate() {
        let n = i as u64 + 1;
        shard.hook_nanoseconds[Hook::Selection.index()].record(300 * n);
        shard.traps.add(n);
        shard.memory.set(1_000 * n);
        shard.memory_peak.set(5_000 * n);
        shard.counters.0[0].add(n);
    }
    stats.policy("<i>gone").shards[0].deadlines.increment();
}
