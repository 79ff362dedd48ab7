//! What decides a request: one immutable snapshot for all workers, and each worker's view of it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::watch::LineupOnce;
use crate::config::OnFailure;
use crate::policy::{Generation, Seat, Trial};
use crate::route::RouteTable;
use crate::stats::{PolicyShard, Stats, TrialShard};
use crate::upstream::{BackendFacts, PoolTopology, WorkerPools};

/// Routes, pools and policies of one moment. Published by `app`, adopted by each worker between two
/// requests.
pub struct Snapshot {
    /// Grows with each publication.
    pub version: u64,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The pools by index.
    pub pools: Arc<[Arc<PoolTopology>]>,
    /// The policies by index.
    pub policies: Vec<Lineup>,
}

/// What answers under a policy's name.
#[derive(Debug, Clone)]
pub struct Lineup {
    /// The name.
    pub name: Arc<str>,
    /// What becomes of a request when the policy fails.
    pub on_failure: OnFailure,
    /// The same when no generation of it is there.
    pub while_absent: OnFailure,
    /// The generation that decides, or why there is none: it is being loaded, or was refused.
    pub active: Result<Arc<Generation>, Arc<str>>,
    /// The generation on trial.
    pub trial: Option<Arc<Trial>>,
}

/// A worker's view: the snapshot with this worker's instances and connections. A request keeps its
/// view to the end, so the last request on an old view frees the old instances.
pub struct View {
    /// What it is a view of.
    pub snapshot: Arc<Snapshot>,
    /// This worker's instances, by policy index.
    pub places: Vec<Place>,
    /// This worker's connections and what it knows of the backends.
    pub pools: Rc<WorkerPools>,
    /// Whether any policy has a generation on trial.
    pub on_trial: bool,
    /// Whether any policy has no generation that decides.
    pub absent: bool,
    /// The same for a recording.
    pub lineup: LineupOnce,
}

/// This worker's side of a [`Lineup`].
#[derive(Debug, Clone)]
pub struct Place {
    /// The seat at the active generation.
    pub active: Option<Rc<RefCell<Seat>>>,
    /// The generation on trial.
    pub trial: Option<OnTrial>,
    /// This worker's counters of the policy's name.
    pub shard: Arc<PolicyShard>,
}

/// This worker's side of a [`Trial`].
#[derive(Debug, Clone)]
pub struct OnTrial {
    /// The trial.
    pub trial: Arc<Trial>,
    /// The seat at the candidate.
    pub seat: Rc<RefCell<Seat>>,
    /// This worker's counters of the trial.
    pub shard: Arc<TrialShard>,
}

impl View {
    /// The first view of a worker.
    pub fn new(snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        let pools = Rc::new(WorkerPools::new(&snapshot.pools, stats, worker));
        let places = snapshot
            .policies
            .iter()
            .map(|lineup| Place::new(lineup, None, &pools, stats, worker))
            .collect();
        let on_trial = snapshot.policies.iter().any(|p| p.trial.is_some());
        let absent = snapshot.policies.iter().any(|p| p.active.is_err());
        Self {
            snapshot,
            places,
            pools,
            on_trial,
            absent,
            lineup: LineupOnce::new(),
        }
    }

    /// The view of the next snapshot: what did not change is carried over.
    pub fn next(&self, snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        if !Arc::ptr_eq(&snapshot.pools, &self.snapshot.pools)
            || snapshot.policies.len() != self.places.len()
        {
            return Self::new(snapshot, stats, worker);
        }
        let pools = Rc::clone(&self.pools);
        let placed = snapshot.policies.iter().zip(&self.places);
        let places = placed
            .map(|(lineup, old)| Place::new(lineup, Some(old), &pools, stats, worker))
            .collect();
        let on_trial = snapshot.policies.iter().any(|p| p.trial.is_some());
        let absent = snapshot.policies.iter().any(|p| p.active.is_err());
        Self {
            snapshot,
            places,
            pools,
            on_trial,
            absent,
            lineup: LineupOnce::new(),
        }
    }
}

impl Place {
    fn new(
        lineup: &Lineup,
        old: Option<&Self>,
        pools: &WorkerPools,
        stats: &Stats,
        worker: usize,
    ) -> Self {
        let facts = || Arc::clone(&pools.facts) as Arc<dyn BackendFacts>;
        let shard = match old {
            Some(old) => Arc::clone(&old.shard),
            None => Arc::clone(&stats.policy(&lineup.name).shards[worker]),
        };
        let active = lineup.active.as_ref().ok().map(|generation| {
            let kept = old.and_then(|o| o.active.as_ref());
            match kept.filter(|seat| Arc::ptr_eq(seat.borrow().generation(), generation)) {
                Some(seat) => Rc::clone(seat),
                None => {
                    let seat =
                        Seat::adopt(Arc::clone(generation), worker, facts(), Arc::clone(&shard));
                    Rc::new(RefCell::new(seat))
                }
            }
        });
        let trial = lineup.trial.as_ref().map(|trial| {
            let kept = old.and_then(|o| o.trial.as_ref());
            match kept.filter(|on_trial| Arc::ptr_eq(&on_trial.trial, trial)) {
                Some(on_trial) => on_trial.clone(),
                None => OnTrial {
                    trial: Arc::clone(trial),
                    seat: Rc::new(RefCell::new(trial.seat(worker, facts()))),
                    shard: Arc::clone(&trial.shards[worker]),
                },
            }
        });
        Self {
            active,
            trial,
            shard,
        }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View")
            .field("version", &self.snapshot.version)
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot")
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}
