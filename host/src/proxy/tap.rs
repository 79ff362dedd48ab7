//! A worker's side of watchers: which requests they want, and how many of them.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::sync::Arc;

use super::snapshot::WorkerSnapshot;
use crate::observe::tap::{Tap, Watching};
use crate::policy::PolicyId;
use crate::upstream::PoolId;

/// Requests of which notes are taken in a second for a watcher of some status, which is
/// known last.
const NOTED: u32 = 2_000;

/// The watchers, as this worker knows them.
#[derive(Debug, Default)]
pub(super) struct WorkerTap {
    /// Whether there are any: all that a request looks at.
    on: Cell<bool>,
    version: Cell<u64>,
    seats: RefCell<Rc<[Rc<Seat>]>>,
}

/// A watcher.
#[derive(Debug)]
pub(super) struct Seat {
    pub watching: Arc<Watching>,
    /// How many requests are noted for it.
    noted: Allowance,
    /// How many samples it gets.
    sent: Allowance,
    routes: RefCell<KnownRoutes>,
}

/// Which routes of a snapshot it wants, as far as that was asked.
#[derive(Debug, Default)]
struct KnownRoutes {
    version: u64,
    wanted: Vec<Option<bool>>,
}

/// A number in a second, and as many at once at most.
#[derive(Debug)]
struct Allowance {
    /// In microseconds.
    each: u64,
    used_until: Cell<u64>,
}

/// What is asked of a request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Traits<'a> {
    pub view: &'a WorkerSnapshot,
    /// The number of its route.
    pub route: Option<u32>,
    pub policies: &'a [PolicyId],
}

impl Allowance {
    const SECOND: u64 = 1_000_000;

    fn new(per_second: u32) -> Self {
        let each = Self::SECOND / u64::from(per_second.max(1));
        Self {
            each,
            used_until: Cell::new(0),
        }
    }

    /// Takes one, at this time in milliseconds, if there is one.
    fn take(&self, now: u64) -> bool {
        let now = now.saturating_mul(1_000);
        let next = self.used_until.get().max(now) + self.each;
        let may = next <= now + Self::SECOND;
        if may {
            self.used_until.set(next);
        }
        may
    }
}

impl WorkerTap {
    /// Whether there is a watcher.
    #[inline]
    pub(super) fn is_on(&self) -> bool {
        self.on.get()
    }

    /// Learns of watchers, and says that it has. Those that stay keep what they have used.
    pub(super) fn follow(&self, tap: &Tap, worker: usize) {
        let Some((version, all)) = tap.changed_since(self.version.get()) else {
            return;
        };
        let former = self.seats();
        let seat = |watching: Arc<Watching>| {
            let known = former.iter();
            let mut known = known.filter(|seat| Arc::ptr_eq(&seat.watching, &watching));
            let known = known.next().map(Rc::clone);
            known.unwrap_or_else(|| Rc::new(Seat::new(watching)))
        };
        let seats: Rc<[Rc<Seat>]> = all.into_iter().map(seat).collect();
        self.on.set(!seats.is_empty());
        self.seats.replace(seats);
        self.version.set(version);
        tap.follows(worker, version);
    }

    pub(super) fn seats(&self) -> Rc<[Rc<Seat>]> {
        Rc::clone(&self.seats.borrow())
    }

    /// Whether notes are to be taken of a request that may go to one of these pools.
    pub(super) fn wants(
        &self,
        of: Traits<'_>,
        pools: &(impl Iterator<Item = PoolId> + Clone),
        now: u64,
    ) -> bool {
        let seats = self.seats();
        // Each of them uses its own allowance.
        let wanted = seats.iter().filter(|seat| {
            let is_of_pool = pools.clone().any(|pool| seat.wants_pool(of.view, pool));
            let any_pool = seat.watching.wanted.pool.is_none();
            (any_pool || is_of_pool) && seat.wants_route(of) && seat.noted.take(now)
        });
        wanted.count() > 0
    }
}

impl Seat {
    fn new(watching: Arc<Watching>) -> Self {
        let sent = watching.per_second;
        // Both are known last.
        let is_late = watching.wanted.status.is_some() || watching.wanted.pool.is_some();
        let noted = if is_late { NOTED.max(sent) } else { sent };
        Self {
            watching,
            noted: Allowance::new(noted),
            sent: Allowance::new(sent),
            routes: RefCell::default(),
        }
    }

    /// Whether it gets a sample of a request that has ended.
    pub(super) fn takes(
        &self,
        of: Traits<'_>,
        (pool, status): (Option<PoolId>, u16),
        now: u64,
    ) -> bool {
        let wanted = &self.watching.wanted;
        let is_of_pool = || pool.is_some_and(|pool| self.wants_pool(of.view, pool));
        wanted.status.is_none_or(|wanted| wanted.has(status))
            && (wanted.pool.is_none() || is_of_pool())
            && self.wants_route(of)
            && self.sent.take(now)
    }

    fn wants_pool(&self, view: &WorkerSnapshot, pool: PoolId) -> bool {
        let pool = view.pools.pool(pool);
        pool.is_some_and(|pool| Some(&pool.topology.name) == self.watching.wanted.pool.as_ref())
    }

    fn wants_route(&self, of: Traits<'_>) -> bool {
        let wanted = &self.watching.wanted;
        let is_policy = |id: &PolicyId| {
            let mut entries = of.view.snapshot.policies.iter();
            let entry = entries.find(|entry| entry.id == *id);
            entry.is_some_and(|entry| Some(&*entry.name) == wanted.policy.as_deref())
        };
        (wanted.policy.is_none() || of.policies.iter().any(is_policy))
            && (wanted.route.is_none() || of.route.is_some_and(|n| self.is_named(of.view, n)))
    }

    /// Whether the name of this route begins as it wants. Each name is looked at once for each
    /// snapshot.
    fn is_named(&self, view: &WorkerSnapshot, number: u32) -> bool {
        let (snapshot, mut known) = (&view.snapshot, self.routes.borrow_mut());
        let routes = &snapshot.config.routes;
        if known.version != snapshot.version {
            known.version = snapshot.version;
            known.wanted.clear();
            known.wanted.resize(routes.len(), None);
        }
        let index = number as usize;
        let (Some(route), Some(of_route)) = (routes.get(index), known.wanted.get_mut(index)) else {
            return false;
        };
        *of_route.get_or_insert_with(|| {
            let start = self.watching.wanted.route.as_deref().unwrap_or_default();
            route.to_string().starts_with(start)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_allowance_is_a_second_s_worth_at_once_and_comes_back_evenly() {
        let allowance = Allowance::new(50);
        let taken = |now| (0..200).filter(|_| allowance.take(now)).count();
        assert_eq!(taken(10_000), 50);
        assert_eq!(taken(10_100), 5);
        assert_eq!(taken(60_000), 50, "no more for having waited");
    }
}
