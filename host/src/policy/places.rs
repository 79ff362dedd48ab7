//! Places in the pool of instances, reserved for each policy.
//!
//! A generation reserves what all its instances can take when it is loaded, so that an instance of
//! a loaded policy always finds a place. Each policy has places for three generations (the one that
//! decides, one on trial, and one that requests still use); another policy's canaries can't take
//! them. What no policy has reserved is there for all.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Generations of a policy that there is always room for, if the pool is large enough.
pub(super) const GENERATIONS: u32 = 3;
/// Places that are never reserved: for instances that are on their way out.
pub(super) const LEAVING: u32 = 16;

/// Places that one generation takes for each of its instances and worker: the instance and one that
/// follows it, and one while it is set up.
pub(super) fn of_generation(workers: usize, each: u32) -> u32 {
    u32::try_from(workers)
        .unwrap_or(u32::MAX)
        .saturating_mul(2)
        .saturating_add(1)
        .saturating_mul(each)
}

/// The places of each generation.
#[derive(Debug)]
pub(super) struct Places {
    total: u32,
    /// The address space was too small for all wanted places.
    scarce: bool,
    policies: Mutex<HashMap<Arc<str>, Share>>,
}

#[derive(Debug, Default, Clone, Copy)]
struct Share {
    /// Places that no other policy gets.
    reserved: u32,
    used: u32,
    generations: u32,
}

/// Places of one generation; given back when it is dropped.
#[derive(Debug)]
pub(super) struct Reservation {
    places: Arc<Places>,
    policy: Arc<str>,
    count: u32,
}

impl Places {
    /// A pool with this many places.
    pub(super) fn new(total: u32, scarce: bool) -> Arc<Self> {
        Arc::new(Self {
            total,
            scarce,
            policies: Mutex::default(),
        })
    }

    /// Places that a generation reserves here. In a pool that is small for lack of address space,
    /// all successors but one use unreserved places, so that more policies can be loaded.
    pub(super) fn of_generation(&self, workers: usize, each: u32) -> u32 {
        if self.scarce {
            return u32::try_from(workers)
                .unwrap_or(u32::MAX)
                .saturating_add(1)
                .saturating_mul(each);
        }
        of_generation(workers, each)
    }

    /// Reserves places for a generation of this policy, or says why there are none.
    pub(super) fn reserve(
        self: &Arc<Self>,
        policy: &Arc<str>,
        count: u32,
    ) -> Result<Reservation, String> {
        let mut policies = self.lock();
        let mut share = policies.get(policy).copied().unwrap_or_default();
        let others = policies
            .iter()
            .filter(|(name, _)| *name != policy)
            .map(|(_, share)| share);
        let (used, taken) = others.fold((0, 0), |(used, taken): (u32, u32), share| {
            (used + share.used, taken + share.reserved.max(share.used))
        });
        // In a small pool the first generation of each policy comes before the second of any.
        let unused = self.total.saturating_sub(used);
        let own = if share.reserved == 0 {
            unused
        } else {
            unused.min(share.reserved)
        };
        let free = self.total.saturating_sub(taken).max(own);
        if share.used.saturating_add(count) > free {
            return Err(match share.generations {
                0 => format!(
                    "it needs {count} slots in the pool of instances, but only {free} of {} are \
                     not reserved for other policies; use fewer policies or workers",
                    self.total
                ),
                n => format!(
                    "it needs {count} slots in the pool of instances; its {n} generations that requests \
                     still use have {}, and it may have no more than {free} of {}; try again when \
                     those requests have ended",
                    share.used, self.total
                ),
            });
        }
        share.used += count;
        share.generations += 1;
        share.reserved = share
            .reserved
            .max(count.saturating_mul(GENERATIONS).min(free));
        policies.insert(Arc::clone(policy), share);
        Ok(Reservation {
            places: Arc::clone(self),
            policy: Arc::clone(policy),
            count,
        })
    }

    /// Reserves nothing more for this policy, if it uses nothing.
    pub(super) fn forget(&self, policy: &str) {
        let mut policies = self.lock();
        if policies.get(policy).is_some_and(|share| share.used == 0) {
            policies.remove(policy);
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Arc<str>, Share>> {
        self.policies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Reservation {
    fn drop(&mut self) {
        if let Some(share) = self.places.lock().get_mut(&self.policy) {
            share.used = share.used.saturating_sub(self.count);
            share.generations = share.generations.saturating_sub(1);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_one_policy_uses_is_never_anothers() {
        let places = Places::new(40, false);
        let (greedy, other): (Arc<str>, Arc<str>) = ("greedy".into(), "other".into());
        let first = places.reserve(&other, 5).unwrap();
        let mut taken = Vec::new();
        let reason = loop {
            match places.reserve(&greedy, 5) {
                Ok(reservation) => taken.push(reservation),
                Err(reason) => break reason,
            }
        };
        assert_eq!(taken.len(), 5, "40 without the 15 of the other");
        assert!(reason.contains("its 5 generations"), "{reason}");
        // Its canary and the one that leaves still have their places.
        let more = [
            places.reserve(&other, 5).unwrap(),
            places.reserve(&other, 5).unwrap(),
        ];
        assert!(places.reserve(&other, 5).is_err());
        let reason = places.reserve(&"third".into(), 5).unwrap_err();
        assert!(reason.contains("0 of 40"), "{reason}");
        assert!(reason.contains("fewer policies or workers"), "{reason}");
        // The policy keeps its own while it has nothing loaded.
        drop((first, more));
        assert!(places.reserve(&greedy, 5).is_err());
        // Until it is forgotten, which it is not while it uses any.
        places.forget("greedy");
        assert!(places.reserve(&greedy, 5).is_err());
        places.forget("other");
        let last = places.reserve(&greedy, 5).unwrap();
        drop(last);
        places.reserve(&other, 15).unwrap();
        taken.pop();
        places.reserve(&greedy, 5).unwrap();
        places.reserve(&other, 15).unwrap();
    }

    #[test]
    fn a_small_pool_is_shared_as_far_as_it_goes() {
        let places = Places::new(8, false);
        let _first = places.reserve(&"p".into(), 3).unwrap();
        let _other = places.reserve(&"q".into(), 3).unwrap();
        assert!(places.reserve(&"p".into(), 3).is_err());
        assert!(places.reserve(&"q".into(), 3).is_err());
        places.reserve(&"p".into(), 2).unwrap();
    }
    #[test]
    fn a_pool_that_address_space_made_small_takes_more_policies() {
        let (roomy, scarce) = (Places::new(11, false), Places::new(11, true));
        let fit = |places: &Arc<Places>| {
            let names = ["a", "b", "c", "d", "e", "f"].map(Arc::from);
            let held: Vec<_> = names
                .iter()
                .map_while(|name| places.reserve(name, places.of_generation(1, 1)).ok())
                .collect();
            held.len()
        };
        assert_eq!(fit(&roomy), 3);
        assert_eq!(fit(&scarce), 5);
    }
}
