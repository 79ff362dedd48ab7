//! How many requests may be under way at one endpoint, or in one pool, of all workers together.
//!
//! Only where `max-requests`, `max-pool-requests` or `adaptive-requests` is set there is any of
//! this. The queue is first come, first served over all workers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::adaptive::{Counted, Gradient, Use};
use super::rights::{Held, Rights};
use crate::config::AdaptiveRequests;

/// How many requests may be under way.
#[derive(Debug)]
pub struct RequestLimit {
    rights: Rights,
    count: AtomicUsize,
    queued: AtomicUsize,
    /// A request has found no place since the last review.
    is_short: AtomicBool,
    /// What adapts it; `None` if it is fixed. Only the control side locks it.
    gradient: Mutex<Option<Gradient>>,
}

/// What says how many there may be.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum RequestRule {
    Fixed(usize),
    Adaptive(AdaptiveRequests),
}

/// The right to have one request under way. Dropped, it passes to the one that has waited longest.
#[derive(Debug)]
pub struct RequestPlace {
    _held: Held,
}

/// Counts a request for as long as it is in the queue.
struct Queued<'a>(&'a AtomicUsize);

impl RequestLimit {
    pub(super) fn new(rule: RequestRule) -> Self {
        let (count, gradient) = match rule {
            RequestRule::Fixed(count) => (count, None),
            RequestRule::Adaptive(rule) => (rule.least, Some(Gradient::new(rule))),
        };
        Self {
            rights: Rights::new(count),
            count: AtomicUsize::new(count),
            queued: AtomicUsize::default(),
            is_short: AtomicBool::default(),
            gradient: Mutex::new(gradient),
        }
    }

    /// From now on this says how many there may be; those beyond that end in their time. What was
    /// learnt of an endpoint stays.
    pub(super) fn follow(&self, rule: RequestRule) {
        let mut gradient = self.gradient();
        match (rule, &mut *gradient) {
            (RequestRule::Fixed(count), gradient) => {
                *gradient = None;
                self.resize(count);
            }
            (RequestRule::Adaptive(rule), Some(gradient)) => {
                gradient.follow(rule);
                self.resize(gradient.limit());
            }
            (RequestRule::Adaptive(rule), none) => {
                let gradient = none.insert(Gradient::new(rule));
                self.resize(gradient.limit());
            }
        }
    }

    /// Adapts it to what was counted of the endpoint, if it is not fixed. Whether it is not.
    pub(super) fn review(&self, now: u64, counted: impl FnOnce() -> Counted) -> bool {
        let mut gradient = self.gradient();
        let Some(gradient) = &mut *gradient else {
            return false;
        };
        let of = Use {
            held: self.rights.held(self.count.load(Relaxed)),
            is_short: self.is_short.swap(false, Relaxed),
        };
        gradient.look(now, of, counted);
        self.resize(gradient.limit());
        true
    }

    /// How many there may be now.
    pub fn count(&self) -> usize {
        self.count.load(Relaxed)
    }

    /// The caller has the gradient: one at a time.
    fn resize(&self, count: usize) {
        let former = self.count.swap(count, Relaxed);
        if former != count {
            self.rights.resize(former, count);
        }
    }

    fn gradient(&self) -> MutexGuard<'_, Option<Gradient>> {
        self.gradient.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place, if one is free.
    pub fn take(&self) -> Option<RequestPlace> {
        let Some(held) = self.rights.take() else {
            if !self.is_short.load(Relaxed) {
                self.is_short.store(true, Relaxed);
            }
            return None;
        };
        Some(RequestPlace { _held: held })
    }

    /// Waits for a place; `None` if `most` requests wait already. The caller limits the time.
    pub async fn wait(&self, most: usize) -> Option<RequestPlace> {
        let before = self.queued.fetch_add(1, Relaxed);
        let _queued = Queued(&self.queued);
        if before >= most {
            return None;
        }
        let held = self.rights.wait().await?;
        Some(RequestPlace { _held: held })
    }

    /// How many wait.
    pub(super) fn queued(&self) -> usize {
        self.queued.load(Relaxed)
    }

    pub(super) fn is_full(&self) -> bool {
        !self.rights.has_free()
    }
}

impl RequestRule {
    /// What holds where two pools name an endpoint: the lowest limit, and one that adapts below
    /// one that is fixed.
    pub(super) fn stricter(self, other: Self) -> Self {
        match (self, other) {
            (Self::Fixed(one), Self::Fixed(other)) => Self::Fixed(one.min(other)),
            (Self::Adaptive(rule), Self::Fixed(count))
            | (Self::Fixed(count), Self::Adaptive(rule)) => Self::Adaptive(AdaptiveRequests {
                least: rule.least.min(count),
                most: rule.most.min(count),
                ..rule
            }),
            (Self::Adaptive(one), Self::Adaptive(other)) => match other.most < one.most {
                true => Self::Adaptive(other),
                false => Self::Adaptive(one),
            },
        }
    }
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_adaptive_limit_holds_below_the_fixed_one_of_another_pool() {
        let rule = AdaptiveRequests::default();
        let (adaptive, narrow) = (
            RequestRule::Adaptive(rule),
            RequestRule::Adaptive(AdaptiveRequests { most: 50, ..rule }),
        );
        let lowest = RequestRule::Adaptive(AdaptiveRequests {
            least: 2,
            most: 2,
            ..rule
        });
        for (one, other, both) in [
            (adaptive, RequestRule::Fixed(50), narrow),
            (adaptive, RequestRule::Fixed(5_000), adaptive),
            (narrow, RequestRule::Fixed(2), lowest),
            (narrow, adaptive, narrow),
            (
                RequestRule::Fixed(3),
                RequestRule::Fixed(2),
                RequestRule::Fixed(2),
            ),
        ] {
            assert_eq!(one.stricter(other), both);
            assert_eq!(other.stricter(one), both);
        }
    }
}
