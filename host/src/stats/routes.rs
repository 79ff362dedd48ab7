//! The counters of routes: each worker has some for a bounded number of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counter::{Counter, Gauge};

/// Routes of a configuration with counters of their own; those beyond share one entry.
pub const COUNTED_ROUTES: usize = 1_000;
/// A route that a reload has removed keeps its place while requests of it are under way.
const PLACES: usize = 2 * COUNTED_ROUTES;
/// What all other routes are called. No route is, since no host has parentheses.
pub const OTHER_ROUTES: &str = "(other)";

/// Where a route is counted. The default is where those beyond the bound are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct RouteSlot(u16);

/// One worker's counters of routes, by their places.
#[derive(Debug)]
pub struct RouteShards(Box<[RouteShard]>);

/// One worker's counters of one route.
#[derive(Debug, Default)]
struct RouteShard {
    requests: Counter,
    errors: Counter,
    /// When the last request came, in seconds since 1970.
    last: Gauge,
}

/// What was counted of a route.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RouteSums {
    /// Requests that took it, or connections that are passed on.
    pub requests: u64,
    /// Those of them whose client got a status from 500 on or only a part of the answer, or that
    /// were not passed on.
    pub errors: u64,
    /// When the last one came, in seconds since 1970; `None` if none has.
    pub last: Option<u64>,
}

/// A route that is counted; while this is there, its place is its own.
#[derive(Debug)]
pub struct CountedRoute {
    slot: RouteSlot,
    /// What was counted at the place before.
    before: RouteSums,
    places: Arc<Places>,
}

/// Which route is counted where.
#[derive(Debug, Default)]
pub(super) struct Routes {
    by_name: Mutex<HashMap<String, Weak<CountedRoute>>>,
    places: Arc<Places>,
}

#[derive(Debug)]
struct Places(Mutex<Vec<u16>>);

impl Default for Places {
    fn default() -> Self {
        // Place 0 is that of all others.
        Self(Mutex::new((1..=PLACES as u16).rev().collect()))
    }
}

impl Places {
    fn free(&self) -> MutexGuard<'_, Vec<u16>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for RouteShards {
    fn default() -> Self {
        Self((0..=PLACES).map(|_| RouteShard::default()).collect())
    }
}

impl RouteShards {
    /// A request has come, at this second.
    #[inline]
    pub fn hit(&self, slot: RouteSlot, second: u64) {
        if let Some(shard) = self.0.get(usize::from(slot.0)) {
            shard.requests.increment();
            shard.last.set(second);
        }
    }

    /// One that had come has failed.
    #[cold]
    pub fn failed(&self, slot: RouteSlot) {
        if let Some(shard) = self.0.get(usize::from(slot.0)) {
            shard.errors.increment();
        }
    }
}

impl Drop for CountedRoute {
    fn drop(&mut self) {
        // Behind those that were free before: what is counted late is rarely counted for another.
        self.places.free().insert(0, self.slot.0);
    }
}

impl CountedRoute {
    /// Where it is counted.
    pub fn slot(&self) -> RouteSlot {
        self.slot
    }
}

impl Routes {
    /// The places of the routes with these names; `None` for one without counters of its own. One
    /// that has a place keeps it.
    pub(super) fn claim<'n>(
        &self,
        names: impl Iterator<Item = &'n str>,
        workers: &[&RouteShards],
    ) -> Vec<Option<Arc<CountedRoute>>> {
        let mut by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
        by_name.retain(|_, route| route.strong_count() > 0);
        let mut own = 0;
        let claim = |name: &str| {
            if own == COUNTED_ROUTES {
                return None;
            }
            let route = match by_name.get(name).and_then(Weak::upgrade) {
                Some(known) => known,
                None => {
                    let slot = RouteSlot(self.places.free().pop()?);
                    let route = Arc::new(CountedRoute {
                        slot,
                        before: sums(slot, workers),
                        places: Arc::clone(&self.places),
                    });
                    by_name.insert(name.to_owned(), Arc::downgrade(&route));
                    route
                }
            };
            own += 1;
            Some(route)
        };
        names.map(claim).collect()
    }

    /// What was counted, by name, with what all others have together.
    pub(super) fn read(&self, workers: &[&RouteShards]) -> Vec<(String, RouteSums)> {
        let known: Vec<(String, Arc<CountedRoute>)> = {
            let by_name = self.by_name.lock().unwrap_or_else(PoisonError::into_inner);
            let held = by_name
                .iter()
                .filter_map(|(name, route)| Some((name.clone(), route.upgrade()?)));
            held.collect()
        };
        let own = known
            .into_iter()
            .map(|(name, route)| (name, sums(route.slot, workers).since(&route.before)));
        let mut all: Vec<_> = own.collect();
        let others = sums(RouteSlot::default(), workers);
        if others.requests > 0 {
            all.push((OTHER_ROUTES.to_owned(), others));
        }
        all
    }
}

fn sums(slot: RouteSlot, workers: &[&RouteShards]) -> RouteSums {
    let shards = || workers.iter().filter_map(|w| w.0.get(usize::from(slot.0)));
    RouteSums {
        requests: shards().map(|s| s.requests.value()).sum(),
        errors: shards().map(|s| s.errors.value()).sum(),
        last: shards().map(|s| s.last.value()).max().filter(|at| *at > 0),
    }
}

impl RouteSums {
    /// Without what was counted for another one.
    fn since(self, before: &Self) -> Self {
        let requests = self.requests.saturating_sub(before.requests);
        Self {
            requests,
            errors: self.errors.saturating_sub(before.errors),
            last: self.last.filter(|_| requests > 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Stats;
    use super::*;

    fn of(stats: &Stats, name: &str) -> Option<RouteSums> {
        let all = stats.read_routes();
        all.into_iter()
            .find(|(n, _)| n == name)
            .map(|(_, sums)| sums)
    }

    #[test]
    fn a_route_that_stays_keeps_its_counts_and_another_in_its_place_begins_at_nothing() {
        let stats = Stats::new(2);
        let first = stats.claim_routes(["a", "b"].into_iter());
        let slot = first[0].as_ref().unwrap().slot();
        stats.workers()[0].routes.hit(slot, 7);
        stats.workers()[1].routes.hit(slot, 9);
        stats.workers()[1].routes.failed(slot);
        let counted = RouteSums {
            requests: 2,
            errors: 1,
            last: Some(9),
        };
        assert_eq!(of(&stats, "a"), Some(counted));
        assert_eq!(of(&stats, "b"), Some(RouteSums::default()));
        let second = stats.claim_routes(["c", "a"].into_iter());
        drop(first);
        assert_eq!(second[1].as_ref().unwrap().slot(), slot);
        assert_eq!((of(&stats, "a"), of(&stats, "b")), (Some(counted), None));
        drop(second);
        assert_eq!(of(&stats, "a"), None);
        // All places once, so that one is that of `a`.
        for _ in 0..PLACES {
            let next = stats.claim_routes(["d"].into_iter());
            assert_eq!(of(&stats, "d"), Some(RouteSums::default()));
            drop(next);
        }
    }

    #[test]
    fn routes_beyond_the_bound_share_one_entry_and_do_not_take_the_places_of_those_to_come() {
        let stats = Stats::new(1);
        let names = |first: usize| (first..).map(|n| n.to_string()).take(COUNTED_ROUTES + 1);
        let claim = |first| {
            let names: Vec<String> = names(first).collect();
            stats.claim_routes(names.iter().map(String::as_str))
        };
        let held = claim(0);
        assert!(held[..COUNTED_ROUTES].iter().all(Option::is_some));
        assert!(held[COUNTED_ROUTES].is_none());
        // Requests of the former configuration are under way still.
        let next = claim(COUNTED_ROUTES);
        assert_eq!(next.iter().flatten().count(), COUNTED_ROUTES);
        assert_eq!(claim(2 * COUNTED_ROUTES).iter().flatten().count(), 0);
        assert_eq!(of(&stats, OTHER_ROUTES), None);
        stats.workers()[0].routes.hit(RouteSlot::default(), 3);
        assert_eq!(of(&stats, OTHER_ROUTES).unwrap().last, Some(3));
    }
}
