//! When a policy that keeps failing is left alone, and for how long.
//!
//! Each fault costs a worker something: a new instance, or the whole deadline. A leaky bucket tells a hook that keeps
//! failing from one that fails at times; it is then not asked for a while, tried with one call, and left alone for twice
//! as long if that fails as well. One worker does not know of the others'.

use std::time::{Duration, Instant};

use super::answer::FaultKind;

/// The bucket's size: twelve traps in a row, or three missed deadlines.
const FULL: u32 = 12;
/// A missed deadline held the worker up for all of it.
const DEADLINE: u32 = 4;
/// How long the first suspension is ...
const FIRST: Duration = Duration::from_millis(100);
/// ... and how often it doubles at most: 25.6 s.
const DOUBLINGS: u32 = 8;

/// One worker's patience with one hook of a policy.
#[derive(Debug, Default)]
pub(super) struct Suspension {
    strain: u32,
    /// How many suspensions have followed each other.
    repeated: u32,
    until: Option<Instant>,
    /// The call under way decides whether the suspension ends.
    probing: bool,
}

impl Suspension {
    /// Whether the hook is suspended, or was and has not answered since.
    pub fn is_on(&self) -> bool {
        self.until.is_some() || self.probing
    }

    /// How long the policy is still not to be asked; `None` if it may be.
    #[inline]
    pub fn remaining(&mut self) -> Option<Duration> {
        let until = self.until?;
        let remaining = until.saturating_duration_since(Instant::now());
        if remaining.is_zero() {
            self.until = None;
            self.probing = true;
            return None;
        }
        Some(remaining)
    }

    /// A call went well. Whether that ended a suspension.
    #[inline]
    pub fn succeeded(&mut self) -> bool {
        if self.strain == 0 {
            return false;
        }
        self.relieve()
    }

    #[cold]
    fn relieve(&mut self) -> bool {
        self.strain -= 1;
        if self.strain == 0 {
            self.repeated = 0;
        }
        // Half full, so that a policy that goes on failing is suspended sooner than one that never did.
        if self.probing {
            self.strain = FULL / 2;
        }
        std::mem::take(&mut self.probing)
    }

    /// A call failed. For how long the policy is suspended, if it is.
    #[cold]
    pub fn failed(&mut self, kind: FaultKind) -> Option<Duration> {
        self.strain += if kind == FaultKind::Deadline { DEADLINE } else { 1 };
        if self.strain < FULL && !self.probing {
            return None;
        }
        let pause = FIRST * (1 << self.repeated.min(DOUBLINGS));
        self.repeated += 1;
        self.strain = FULL;
        self.probing = false;
        self.until = Some(Instant::now() + pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pause_over(suspension: &mut Suspension) {
        suspension.until = Some(Instant::now());
        assert_eq!(suspension.remaining(), None);
    }

    #[test]
    fn a_policy_that_fails_now_and_then_is_never_suspended() {
        let mut suspension = Suspension::default();
        for n in 0..10_000 {
            if n % 3 == 0 {
                assert_eq!(suspension.failed(FaultKind::Trap), None);
            } else {
                suspension.succeeded();
            }
        }
    }

    #[test]
    fn one_that_keeps_failing_is_suspended_for_longer_each_time() {
        let mut suspension = Suspension::default();
        let faults = (0..).take_while(|_| suspension.failed(FaultKind::Trap).is_none()).count();
        assert_eq!(faults, 11);
        assert!(suspension.until.is_some());
        for doubled in 1..12 {
            pause_over(&mut suspension);
            let pause = suspension.failed(FaultKind::Trap).expect("a failed probe suspends at once");
            assert_eq!(pause, FIRST * (1 << doubled.min(8)));
        }
        pause_over(&mut suspension);
        assert!(suspension.succeeded(), "a good probe ends it");
        (0..12).for_each(|_| assert!(!suspension.succeeded()));
        let pause = (0..).find_map(|_| suspension.failed(FaultKind::Trap));
        assert_eq!(pause, Some(FIRST), "after a good while it begins anew");
    }

    #[test]
    fn missed_deadlines_weigh_more() {
        let mut suspension = Suspension::default();
        assert_eq!(suspension.failed(FaultKind::Deadline), None);
        assert_eq!(suspension.failed(FaultKind::Deadline), None);
        assert_eq!(suspension.failed(FaultKind::Deadline), Some(FIRST));
    }
}
