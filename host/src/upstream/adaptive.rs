//! A limit of requests that follows how long responses take: it grows while they take no longer
//! than usual, and shrinks when they do, because what a backend can't work on waits there.
//!
//! What is usual is learnt where nothing can wait: while the limit is not used up, and while it is
//! as low as it gets. Else a backend that has been overloaded for an hour would be as it always
//! was. So no phase is needed that holds requests back to measure.

use super::health::milliseconds;
use crate::config::AdaptiveRequests;

/// Responses that are a measurement; fewer where the limit lets fewer pass.
const ENOUGH: f64 = 10.0;
/// What one interval takes away at most.
const STEEPEST: f64 = 0.5;
/// The part of a new value that a shrinking limit takes.
const SMOOTHING: f64 = 0.2;
/// How a limit grows until the first sign of a queue.
const FIRST_GROWTH: f64 = 1.5;
/// About as low as a limit gets: at 4, half of it and its square root are as much as it is.
const LOWEST: f64 = 6.0;
/// After so many intervals there, in a row, times are what is usual.
const CONVINCED: u32 = 10;
/// The part of a shorter time that the usual one takes at once.
const FALLS: f64 = 0.2;
/// The same of a longer one, where the limit is not used up.
const RISES: f64 = 0.01;
/// A share of failures from which times say nothing: refusals are quick.
const FAILING: f64 = 0.1;

/// What has been counted of a backend up to a moment.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Counted {
    pub responses: u64,
    pub microseconds: u64,
    pub failures: u64,
}

/// How a limit is doing at a moment.
#[derive(Debug, Clone, Copy)]
pub(super) struct Use {
    /// Requests under way.
    pub held: usize,
    /// A request has found no place since the last look.
    pub is_short: bool,
}

/// The limit, and what it follows from.
#[derive(Debug)]
pub(super) struct Gradient {
    rule: AdaptiveRequests,
    limit: f64,
    /// The response time without a queue, in microseconds; 0 = not known.
    usual: f64,
    /// For how many intervals the limit has been as low as it gets.
    low_for: u32,
    /// There was a sign of a queue.
    has_shrunk: bool,
    /// What had been counted when the interval began; `None` before the first.
    began: Option<Counted>,
    /// When it ends at the earliest, in milliseconds.
    ends_at: u64,
    /// The most requests under way in it, as far as was seen.
    peak: usize,
    was_short: bool,
}

impl Gradient {
    pub(super) fn new(rule: AdaptiveRequests) -> Self {
        Self {
            rule,
            limit: rule.least as f64,
            usual: 0.0,
            low_for: 0,
            has_shrunk: false,
            began: None,
            ends_at: 0,
            peak: 0,
            was_short: false,
        }
    }

    /// It goes on by another rule.
    pub(super) fn follow(&mut self, rule: AdaptiveRequests) {
        self.rule = rule;
        self.limit = self.within(self.limit);
    }

    /// Requests that may be under way.
    pub(super) fn limit(&self) -> usize {
        self.limit as usize
    }

    /// Looks at this moment, in milliseconds; `counted` is asked for if an interval may be over.
    pub(super) fn look(&mut self, now: u64, of: Use, counted: impl FnOnce() -> Counted) {
        self.peak = self.peak.max(of.held);
        self.was_short |= of.is_short;
        if now < self.ends_at {
            return;
        }
        let counted = counted();
        let Some(began) = self.began else {
            self.begin(now, counted, of);
            return;
        };
        let responses = counted.responses.saturating_sub(began.responses) as f64;
        let failures = counted.failures.saturating_sub(began.failures) as f64;
        if responses + failures < ENOUGH.min(self.limit) {
            return;
        }
        let microseconds = counted.microseconds.saturating_sub(began.microseconds) as f64;
        let mean = microseconds / responses.max(1.0);
        self.adapt(mean, failures / responses.max(failures));
        self.begin(now, counted, of);
    }

    /// An interval begins. It is long enough for the limit of the last one to show.
    fn begin(&mut self, now: u64, counted: Counted, of: Use) {
        let took = (self.usual / 1_000.0) as u64;
        self.ends_at = now + milliseconds(self.rule.interval).max(took);
        self.began = Some(counted);
        (self.peak, self.was_short) = (of.held, false);
    }

    /// The next limit, after an interval with this mean response time, in microseconds, and this
    /// share of failures.
    fn adapt(&mut self, mean: f64, failing: f64) {
        if failing < FAILING && mean > 0.0 {
            self.learn(mean);
        }
        let by_time = match mean > 0.0 {
            true => self.rule.tolerance * self.usual / mean,
            false => 1.0,
        };
        let gradient = by_time.min(1.0) * (1.0 - failing);
        let gradient = gradient.max(STEEPEST);
        // With fewer requests it would be the same.
        let is_used = self.was_short || self.peak as f64 * 2.0 >= self.limit;
        let next = if !is_used {
            self.limit
        } else if gradient < 1.0 {
            self.has_shrunk = true;
            self.shrunk(gradient)
        } else if !self.was_short {
            self.limit
        } else if self.has_shrunk {
            self.limit + self.limit.sqrt()
        } else {
            self.limit * FIRST_GROWTH
        };
        self.limit = self.within(next);
    }

    /// What a sign of a queue makes of the limit. Some requests may always wait at the backend, so
    /// that it has the next one at once.
    fn shrunk(&self, gradient: f64) -> f64 {
        let next = self.limit * gradient + self.limit.sqrt();
        let next = match self.was_short {
            true => next,
            false => next.min(self.limit),
        };
        self.limit + (next - self.limit) * SMOOTHING
    }

    /// What is usual, after an interval with this mean.
    fn learn(&mut self, mean: f64) {
        let is_low = self.limit <= LOWEST.max(self.rule.least as f64);
        self.low_for = if is_low { self.low_for + 1 } else { 0 };
        let part = match mean < self.usual {
            _ if self.usual == 0.0 => 1.0,
            true => FALLS,
            false if self.low_for >= CONVINCED => 1.0,
            false if !self.was_short => RISES,
            false => 0.0,
        };
        if part == 1.0 {
            self.low_for = 0;
        }
        self.usual += (mean - self.usual) * part;
    }

    fn within(&self, limit: f64) -> f64 {
        let (least, most) = (self.rule.least as f64, self.rule.most as f64);
        // Two pools may have rules that exclude each other.
        limit.max(least).min(most.max(least))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A backend that works on so many requests at once, each for 10 ms, and its clients.
    struct Backend {
        slots: f64,
        work: f64,
        demand: usize,
        failing: f64,
        now: u64,
        counted: Counted,
    }

    impl Backend {
        fn new(slots: f64, demand: usize) -> Self {
            Self {
                slots,
                work: 10_000.0,
                demand,
                failing: 0.0,
                now: 0,
                counted: Counted::default(),
            }
        }

        /// So many intervals of 100 ms.
        fn run(&mut self, gradient: &mut Gradient, intervals: usize) -> usize {
            for _ in 0..intervals {
                let held = self.demand.min(gradient.limit());
                let took = self.work * (held as f64 / self.slots).max(1.0);
                let responses = held as f64 * 100_000.0 / took;
                self.counted.responses += responses as u64;
                self.counted.microseconds += (responses * took) as u64;
                self.counted.failures += (responses * self.failing) as u64;
                self.now += 100;
                let of = Use {
                    held,
                    is_short: self.demand > held,
                };
                let counted = self.counted;
                gradient.look(self.now, of, || counted);
            }
            gradient.limit()
        }
    }

    fn gradient() -> Gradient {
        Gradient::new(AdaptiveRequests::default())
    }

    #[test]
    fn a_limit_ends_near_what_a_backend_works_on_at_once_and_stays_there() {
        for slots in [4.0, 8.0, 32.0, 200.0] {
            let (mut gradient, mut backend) = (gradient(), Backend::new(slots, 5_000));
            let soon = backend.run(&mut gradient, 100);
            // Three hours of overload are not the usual.
            for limit in [soon, backend.run(&mut gradient, 100_000)] {
                let near = slots as usize..=(slots * 2.5) as usize;
                assert!(near.contains(&limit), "{slots}: {limit}");
            }
        }
    }

    #[test]
    fn what_is_never_slow_is_not_limited_and_nothing_grows_unused() {
        let (mut gradient, mut backend) = (gradient(), Backend::new(1e6, 300));
        let limit = backend.run(&mut gradient, 50);
        assert!((300..=450).contains(&limit), "{limit}");
        assert_eq!(backend.run(&mut gradient, 1_000), limit);
        backend.demand = 1;
        assert_eq!(backend.run(&mut gradient, 1_000), limit);
        backend.demand = 5_000;
        assert_eq!(backend.run(&mut gradient, 1_000), 1_000, "the most");
    }

    #[test]
    fn a_limit_follows_a_backend_that_is_slow_for_a_while() {
        let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
        assert!(backend.run(&mut gradient, 100) >= 150);
        backend.slots = 8.0;
        let low = backend.run(&mut gradient, 100);
        assert!((8..=20).contains(&low), "{low}");
        backend.slots = 200.0;
        assert!(backend.run(&mut gradient, 100) >= 150);
    }

    #[test]
    fn a_backend_whose_work_takes_longer_from_now_on_is_known_again_soon() {
        let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
        backend.run(&mut gradient, 100);
        backend.work *= 4.0;
        assert!(backend.run(&mut gradient, 400) >= 150);
        // Beside traffic that the limit does not touch as well.
        backend.demand = 1;
        backend.work *= 4.0;
        backend.run(&mut gradient, 600);
        backend.demand = 150;
        assert!(backend.run(&mut gradient, 400) >= 150);
    }

    #[test]
    fn failures_lower_it_however_quick_they_are() {
        let (mut gradient, mut backend) = (gradient(), Backend::new(200.0, 150));
        let before = backend.run(&mut gradient, 100);
        (backend.failing, backend.work) = (0.5, 100.0);
        let low = backend.run(&mut gradient, 100);
        assert!(low < 10, "{before}, {low}");
        (backend.failing, backend.work) = (0.0, 10_000.0);
        assert!(backend.run(&mut gradient, 100) >= 150);
    }

    #[test]
    fn rules_change_and_hold() {
        let mut gradient = gradient();
        let rule = AdaptiveRequests::default();
        gradient.follow(AdaptiveRequests { least: 50, ..rule });
        assert_eq!(gradient.limit(), 50);
        gradient.follow(AdaptiveRequests { most: 20, ..rule });
        assert_eq!(gradient.limit(), 20);
    }
}
