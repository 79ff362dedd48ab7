//! Rates, and five minutes of them.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::stats::HistogramSnapshot;

/// How long a point of the history lasts.
pub(in crate::admin) const WINDOW: Duration = Duration::from_secs(5);
/// A reading that comes a little early ends a window too: the next would make it twice as long.
const EARLY: Duration = Duration::from_millis(250);
/// The points that are kept: five minutes.
pub(in crate::admin) const POINTS: usize = 60;

/// Counters that only grow, at one moment.
#[derive(Debug, Clone, Default)]
pub(super) struct Reading {
    pub errors: u64,
    pub count: u64,
    /// In the unit of the counters: microseconds of backends, nanoseconds of policies.
    pub times: HistogramSnapshot,
}

/// What was counted within some seconds.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(in crate::admin) struct Point {
    pub per_second: f32,
    pub errors_per_second: f32,
    /// The median, in the unit of the counters; 0 if there was nothing.
    pub p50: u32,
    pub p99: u32,
    /// The sum of the times in a second, in the same unit.
    pub busy: f32,
}

/// One thing that is counted: its rates now and before. At most 4 KiB.
#[derive(Debug, Default)]
pub(in crate::admin) struct Series {
    /// At the beginning of the window that is open.
    base: Option<Reading>,
    /// At the beginning of the window before, so that what is shown is never of a moment only.
    former: Option<Reading>,
    pub now: Point,
    pub points: VecDeque<Point>,
    /// Of which reading of all it is the last.
    pub(super) round: u64,
}

/// The windows that all series share.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    base: Instant,
    former: Instant,
    now: Instant,
}

/// What one reading adds: since the former window's begin, and, if a window is over, within it.
#[derive(Debug, Default)]
pub(super) struct Added {
    pub lately: Reading,
    pub window: Option<Reading>,
}

impl Clock {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            base: now,
            former: now,
            now,
        }
    }

    /// The time of the next reading.
    pub(super) fn at(self, now: Instant) -> Self {
        Self { now, ..self }
    }

    pub(super) fn turns(&self) -> bool {
        self.now.duration_since(self.base) + EARLY >= WINDOW
    }

    /// The windows after the reading.
    pub(super) fn turned(self) -> Self {
        match self.turns() {
            true => Self {
                former: self.base,
                base: self.now,
                now: self.now,
            },
            false => self,
        }
    }

    fn lately(&self) -> Duration {
        self.now.duration_since(self.former)
    }

    fn window(&self) -> Duration {
        self.now.duration_since(self.base)
    }
}

impl Reading {
    fn since(&self, earlier: &Self) -> Self {
        Self {
            errors: self.errors.saturating_sub(earlier.errors),
            count: self.count.saturating_sub(earlier.count),
            times: self.times.since(&earlier.times),
        }
    }

    /// Adds what another was counted.
    pub(super) fn plus(&mut self, other: &Self) {
        self.errors += other.errors;
        self.count += other.count;
        self.times.plus(&other.times);
    }
}

impl Point {
    fn of(counted: &Reading, within: Duration) -> Self {
        let seconds = within.as_secs_f32().max(0.001);
        let time = |share| u32::try_from(counted.times.quantile(share)).unwrap_or(u32::MAX);
        Self {
            per_second: counted.count as f32 / seconds,
            errors_per_second: counted.errors as f32 / seconds,
            p50: time(0.5),
            p99: time(0.99),
            busy: counted.times.sum as f32 / seconds,
        }
    }
}

impl Series {
    /// Takes a reading.
    pub(super) fn read(&mut self, reading: Reading, clock: &Clock, round: u64) -> Added {
        self.round = round;
        // What is seen for the first time was counted at times that nobody knows.
        let Some(base) = &self.base else {
            self.base = Some(reading);
            return Added::default();
        };
        let added = Added {
            lately: reading.since(self.former.as_ref().unwrap_or(base)),
            window: clock.turns().then(|| reading.since(base)),
        };
        if clock.turns() {
            self.former = self.base.replace(reading);
        }
        self.add(&added, clock);
        added
    }

    /// Takes what others have added together.
    pub(super) fn add(&mut self, added: &Added, clock: &Clock) {
        self.now = Point::of(&added.lately, clock.lately());
        if let Some(window) = &added.window {
            if self.points.len() == POINTS {
                self.points.pop_front();
            }
            self.points.push_back(Point::of(window, clock.window()));
        }
    }
}

impl Added {
    pub(super) fn plus(&mut self, other: &Self) {
        self.lately.plus(&other.lately);
        if let Some(window) = &other.window {
            self.window.get_or_insert_default().plus(window);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Histogram;

    fn reading(counted: &Histogram, errors: u64) -> Reading {
        let times = HistogramSnapshot::of([counted].into_iter());
        Reading {
            errors,
            count: times.count,
            times,
        }
    }

    #[test]
    fn rates_are_of_the_last_windows_and_history_is_five_minutes() {
        let (counted, began) = (Histogram::default(), Instant::now());
        let mut series = Series::default();
        let mut clock = Clock::new(began);
        (0..1_000).for_each(|_| counted.record(100));
        for second in 0..400_u64 {
            clock = clock.at(began + Duration::from_secs(second));
            series.read(reading(&counted, second), &clock, second);
            if second == 0 {
                assert_eq!(series.now, Point::default(), "what was before is no rate");
            }
            clock = clock.turned();
            (0..10).for_each(|_| counted.record(1_000));
        }
        assert_eq!(series.points.len(), POINTS);
        for point in series.points.iter().chain([&series.now]) {
            assert!((point.per_second - 10.0).abs() < 0.01, "{point:?}");
            assert!((point.errors_per_second - 1.0).abs() < 0.01, "{point:?}");
            assert!((1_000..1_250).contains(&point.p50), "{point:?}");
        }
        let quiet = clock.at(began + Duration::from_secs(405));
        series.read(reading(&counted, 399), &quiet, 400);
        let quieter = quiet.turned().at(began + Duration::from_secs(410));
        series.read(reading(&counted, 399), &quieter, 401);
        let last = series.points.back().unwrap();
        assert_eq!((last.per_second, last.p99), (0.0, 0), "nothing came");
    }
}
