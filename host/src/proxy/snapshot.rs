//! What decides a request: one immutable snapshot for all workers, and each worker's view of it.

use std::cell::RefCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use crate::policy::{BackendFacts, Generation, Seat};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::upstream::{PoolTopology, WorkerPools};

/// Routes, pools and policies of one moment. Published by `app`, adopted by each worker between two requests.
pub struct Snapshot {
    /// Grows with each publication.
    pub version: u64,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The pools by index.
    pub pools: Arc<[Arc<PoolTopology>]>,
    /// The policies by index.
    pub policies: Vec<Arc<Generation>>,
}

/// A worker's view: the snapshot with this worker's instances and connections. A request keeps its view to the end, so the last
/// request on an old view frees the old instances.
pub struct View {
    /// What it is a view of.
    pub snapshot: Arc<Snapshot>,
    /// This worker's instances, by policy index.
    pub seats: Vec<Rc<RefCell<Seat>>>,
    /// This worker's connections and what it knows of the backends.
    pub pools: Rc<WorkerPools>,
}

impl View {
    /// The first view of a worker.
    pub fn new(snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        let pools = Rc::new(WorkerPools::new(&snapshot.pools, stats, worker));
        let seats = snapshot.policies.iter().map(|g| seat(g, &pools, worker)).collect();
        Self { snapshot, seats, pools }
    }

    /// The view of the next snapshot: what did not change is carried over.
    pub fn next(&self, snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        let pools = match Arc::ptr_eq(&snapshot.pools, &self.snapshot.pools) {
            true => Rc::clone(&self.pools),
            false => Rc::new(WorkerPools::new(&snapshot.pools, stats, worker)),
        };
        let carried = |generation: &Arc<Generation>| {
            let at = self.snapshot.policies.iter().position(|old| Arc::ptr_eq(old, generation))?;
            Rc::ptr_eq(&pools, &self.pools).then(|| Rc::clone(&self.seats[at]))
        };
        let seats = snapshot.policies.iter().map(|g| carried(g).unwrap_or_else(|| seat(g, &pools, worker))).collect();
        Self { snapshot, seats, pools }
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("View").field("version", &self.snapshot.version).finish_non_exhaustive()
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("version", &self.version).finish_non_exhaustive()
    }
}

fn seat(generation: &Arc<Generation>, pools: &WorkerPools, worker: usize) -> Rc<RefCell<Seat>> {
    let facts: Arc<dyn BackendFacts> = Arc::clone(&pools.facts) as _;
    Rc::new(RefCell::new(Seat::adopt(Arc::clone(generation), worker, facts)))
}
