//! How long the responses of a pool took of late, for those that don't want to wait longer than
//! most.

use std::cell::{Cell, RefCell};
use std::time::Duration;

use crate::stats::{Histogram, HistogramSnapshot};

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

impl Recent {
    /// The time within which this percentage of the responses began of late; `None` if there were
    /// too few.
    pub(super) fn quantile(&self, percentile: u8) -> Option<Duration> {
        self.asked.set(true);
        let times = self.times.borrow();
        (times.count >= LEAST)
            .then(|| Duration::from_micros(times.quantile(f64::from(percentile) / 100.0)))
    }

    /// Looks at what these have counted up to now, in milliseconds of the worker's clock.
    pub(super) fn refresh<'h>(&self, now: u64, counted: impl Iterator<Item = &'h Histogram>) {
        if !self.asked.get() {
            return;
        }
        let all = HistogramSnapshot::of(counted);
        let new = all.since(&self.base.borrow());
        let enough = new.count >= ENOUGH || now.saturating_sub(self.since.get()) >= WINDOW;
        if new.count >= LEAST {
            **self.times.borrow_mut() = new;
        }
        if enough {
            **self.base.borrow_mut() = all;
            self.since.set(now);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_percentile_follows_what_was_counted_of_late() {
        let (recent, histogram) = (Recent::default(), Histogram::default());
        let look = |now| {
            recent.refresh(now, [&histogram].into_iter());
            recent.quantile(95).map(|time| time.as_micros())
        };
        let count = |n: u64, value| (0..n).for_each(|_| histogram.record(value));
        count(100, 1_000);
        assert_eq!(look(0), None, "it was not asked for before");
        let small = look(1_000).unwrap();
        assert!((1_000..1_250).contains(&small), "{small}");
        assert_eq!(look(1_000 + WINDOW), Some(small));
        count(LEAST - 1, 1_000_000);
        assert_eq!(look(20_000), Some(small), "too few to say something else");
        count(LEAST, 1_000_000);
        let large = look(20_001).unwrap();
        assert!(large >= 1_000_000, "{large}");
        count(ENOUGH * 30, 10);
        let tiny = look(20_002).unwrap();
        assert!(tiny < 1_000, "{tiny}");
    }
}
