//! What decides a request: one immutable snapshot for all workers, and each worker's side of it.

use std::cell::OnceCell;
use std::fmt;
use std::rc::Rc;
use std::sync::Arc;

use super::listening::Listening;
use super::settings::Settings;
use crate::config::Config;
use crate::decision::{PolicyEntry, WorkerPolicies, WorkerSide, lineup};
use crate::observe::access_log::LogHandle;
use crate::observe::traces::TraceHandle;
use crate::recording::{Lineup, Recorder, Sampling};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::upstream::{BackendFacts, Topology, WorkerPools};

/// Settings, routes, pools and policies of one moment. Published by `app`, adopted by each worker
/// between two requests.
pub struct Snapshot {
    /// Grows with each publication.
    pub version: u64,
    /// The configuration.
    pub config: Arc<Config>,
    /// The same about requests, ready for use.
    pub settings: Arc<Settings>,
    /// The routes.
    pub routes: Arc<RouteTable>,
    /// The pools.
    pub topology: Arc<Topology>,
    /// The policies in the order of the configuration.
    pub policies: Vec<PolicyEntry>,
    /// What is open for it.
    pub equipment: Arc<Equipment>,
}

/// The sockets and files of a configuration, as workers use them.
#[derive(Debug, Default)]
pub struct Equipment {
    /// Where clients connect.
    pub listeners: Vec<Arc<Listening>>,
    /// Where the access log goes.
    pub log: LogHandle,
    /// Where sampled requests go; `None` if there is no recording.
    pub recorder: Option<Recorder>,
    /// Where spans go; `None` if there is no collector.
    pub traces: Option<TraceHandle>,
}

/// The snapshot with one worker's instances and connections. A request keeps its own to the end, so
/// the last request on an old one frees the old instances.
pub struct WorkerSnapshot {
    /// The snapshot.
    pub snapshot: Arc<Snapshot>,
    /// The snapshot's settings; a copy, so that a request reaches them by one pointer.
    pub settings: Settings,
    /// This worker's side of the policies.
    pub policies: WorkerPolicies,
    /// This worker's connections and its facts about the backends.
    pub pools: Rc<WorkerPools>,
    /// Where sampled requests go; `None` if there is no recording.
    pub(super) recorder: Option<Recorder>,
    /// The lineup for the records of this snapshot; made with the first.
    lineup: OnceCell<Arc<Lineup>>,
}

impl WorkerSnapshot {
    /// The first one of a worker.
    pub fn new(snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        Self::build(snapshot, None, stats, worker)
    }

    /// The next one. What did not change is carried over: endpoints and policies, by their ids.
    pub fn next(&self, snapshot: Arc<Snapshot>, stats: &Stats, worker: usize) -> Self {
        Self::build(snapshot, Some(self), stats, worker)
    }

    fn build(snapshot: Arc<Snapshot>, former: Option<&Self>, stats: &Stats, worker: usize) -> Self {
        let pools = match former.map(|former| &former.pools) {
            Some(pools) if pools.generation == snapshot.topology.generation => Rc::clone(pools),
            former => {
                let former = former.map(|pools| &**pools);
                Rc::new(WorkerPools::new(&snapshot.topology, former, stats, worker))
            }
        };
        let facts = Arc::clone(&pools.facts) as Arc<dyn BackendFacts>;
        let side = WorkerSide {
            facts: &facts,
            stats,
            worker,
        };
        Self {
            policies: WorkerPolicies::new(&snapshot.policies, former.map(|f| &f.policies), side),
            settings: Settings::clone(&snapshot.settings),
            recorder: snapshot.equipment.recorder.clone(),
            snapshot,
            pools,
            lineup: OnceCell::new(),
        }
    }

    /// The lineup for the records of this snapshot.
    pub(super) fn lineup(&self, sampling: &Sampling) -> &Arc<Lineup> {
        let Snapshot {
            version,
            topology,
            policies,
            ..
        } = &*self.snapshot;
        self.lineup
            .get_or_init(|| Arc::new(lineup(sampling, *version, &topology.pools, policies)))
    }
}

impl fmt::Debug for WorkerSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("WorkerSnapshot")
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
