//! A limit of requests that follows how long responses take: it grows while they take no longer
//! than usual, and shrinks when they do, because what a backend can't work on waits there.
//!
//! What is usual is learnt where nothing can wait: while the limit is not used up, and while it is
//! as low as it gets. Else a backend that has been overloaded for an hour would be as it always
//! was. A limit that has been used up for long is tested (see [`Descent`]), because the usual time
//! may be from when the backend was cold.

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
/// Below this part of the usual time, that is learnt before the limit grows: it would grow until
/// responses wait for as long as they took once.
const QUICKER: f64 = 0.9;
/// After so many intervals in which it was used up a limit is tested.
const UNTESTED: u32 = 200;
/// What a step of the test leaves of the limit.
const STEP: f64 = 0.75;
/// A mean below this part of the one before the step has become shorter by the step.
const FELL: f64 = 0.9;
/// A queue of which this part is ours is one.
const SHARE: f64 = 0.2;
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

/// A test of the limit, step by step: fewer requests are answered sooner only if some waited. As
/// long as they are, a step takes nothing away, and the usual time is learnt on the way. Where they
/// are not, the last step is taken back.
#[derive(Debug, Clone, Copy)]
struct Descent {
    /// The limit before the last step.
    from: f64,
    /// The mean response time there, once it is known.
    mean: Option<f64>,
    /// The limit before the first step, and the mean.
    first: Option<(f64, f64)>,
    /// How long an interval has to be, in microseconds: requests of before the step end in one.
    took: f64,
    /// Such an interval comes first.
    is_settling: bool,
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
    /// In how many intervals it was used up since the last test.
    untested: u32,
    descent: Option<Descent>,
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
            untested: 0,
            descent: None,
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
        let took = self.descent.map_or(0.0, |descent| descent.took);
        let took = (self.usual.max(took) / 1_000.0) as u64;
        self.ends_at = now + milliseconds(self.rule.interval).max(took);
        self.began = Some(counted);
        (self.peak, self.was_short) = (of.held, false);
    }

    /// The next limit, after an interval with this mean response time, in microseconds, and this
    /// share of failures.
    fn adapt(&mut self, mean: f64, failing: f64) {
        let is_telling = failing < FAILING && mean > 0.0;
        if is_telling {
            self.learn(mean);
        }
        let tested = match is_telling && self.was_short {
            true => self.descend(mean),
            false => None,
        };
        let next = match tested {
            Some(next) => next,
            None => self.follow_times(mean, failing),
        };
        self.limit = self.within(next);
    }

    /// The next limit while it is tested.
    fn descend(&mut self, mean: f64) -> Option<f64> {
        let Some(descent) = &mut self.descent else {
            self.untested += u32::from(!self.is_low());
            if self.untested < UNTESTED {
                return None;
            }
            // The first round is without a step.
            self.descent = Some(Descent {
                from: self.limit,
                mean: None,
                first: None,
                took: mean,
                is_settling: true,
            });
            return Some(self.limit);
        };
        if descent.is_settling {
            descent.is_settling = false;
            return Some(self.limit);
        }
        let from = descent.from;
        let (top, first) = *descent.first.get_or_insert((from, mean));
        let has_fallen = descent.mean.is_none_or(|before| mean < before * FELL);
        // Slower than usual, and fewer requests change nothing: what is usual has changed. That is
        // learnt where the limit is lowest. If they do, what waits may be other proxies' as well.
        let without_queue = first * (1.0 - SHARE * (1.0 - self.limit / top));
        let is_other = mean > self.rule.tolerance * self.usual && mean >= without_queue;
        if !has_fallen && !is_other {
            (self.descent, self.untested) = (None, 0);
            return Some(from);
        }
        (descent.from, descent.mean) = (self.limit, Some(mean));
        (descent.took, descent.is_settling) = (mean, true);
        Some(match self.is_low() {
            true => self.limit,
            false => self.limit * STEP,
        })
    }

    /// The next limit while it is not tested.
    fn follow_times(&mut self, mean: f64, failing: f64) -> f64 {
        if let Some(descent) = self.descent.take() {
            // It ends without a result: the limit is not used up any more, or requests fail.
            self.limit = self.limit.max(descent.from);
            self.untested = 0;
        }
        let by_time = match mean > 0.0 {
            true => self.rule.tolerance * self.usual / mean,
            false => 1.0,
        };
        let gradient = by_time.min(1.0) * (1.0 - failing);
        let gradient = gradient.max(STEEPEST);
        // With fewer requests it would be the same.
        let is_used = self.was_short || self.peak as f64 * 2.0 >= self.limit;
        if !is_used {
            self.limit
        } else if gradient < 1.0 {
            self.has_shrunk = true;
            self.shrunk(gradient)
        } else if !self.was_short || mean < self.usual * QUICKER {
            self.limit
        } else if self.has_shrunk {
            self.limit + self.limit.sqrt()
        } else {
            self.limit * FIRST_GROWTH
        }
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
        self.low_for = if self.is_low() { self.low_for + 1 } else { 0 };
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

    fn is_low(&self) -> bool {
        self.limit <= LOWEST.max(self.rule.least as f64)
    }

    fn within(&self, limit: f64) -> f64 {
        let (least, most) = (self.rule.least as f64, self.rule.most as f64);
        // Two pools may have rules that exclude each other.
        limit.max(least).min(most.max(least))
    }
}

#[cfg(test)]
mod tests;
