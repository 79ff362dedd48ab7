//! How long the responses of a pool took of late, for those that don't want to wait longer than
//! most.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use super::WorkerPool;
use crate::stats::HistogramSnapshot;

/// From so many responses on a percentile says something.
const LEAST: u64 = 20;
/// After so many, or so long in milliseconds, older ones don't count.
const ENOUGH: u64 = 1_000;
const WINDOW: u64 = 10_000;

/// The times to the response head of late, as the last sweep has found them.
#[derive(Debug, Default)]
pub(super) struct Recent {
    /// Someone wants to know.
    asked: Cell<bool>,
    /// What was counted when the window began.
    base: RefCell<Box<HistogramSnapshot>>,
    since: Cell<u64>,
    /// What was counted since then.
    times: RefCell<Box<HistogramSnapshot>>,
}

impl WorkerPool {
    /// The time within which this percentage of the responses began of late, as this worker has
    /// seen it; `None` if there were too few.
    pub fn recent(&self, percentile: u8) -> Option<Duration> {
        self.recent.asked.set(true);
        let times = self.recent.times.borrow();
        (times.count >= LEAST)
            .then(|| Duration::from_micros(times.quantile(f64::from(percentile) / 100.0)))
    }

    /// Looks at what was counted up to now, in milliseconds of the worker's clock.
    pub(super) fn refresh(&self, now: u64) {
        let recent = &self.recent;
        if !recent.asked.get() {
            return;
        }
        let endpoints = self.endpoints.iter();
        let all = HistogramSnapshot::of(endpoints.map(|e| &e.shard.latency_microseconds));
        let new = all.since(&recent.base.borrow());
        let enough = new.count >= ENOUGH || now.saturating_sub(recent.since.get()) >= WINDOW;
        if new.count >= LEAST {
            **recent.times.borrow_mut() = new;
        }
        if enough {
            **recent.base.borrow_mut() = all;
            recent.since.set(now);
        }
    }
}
