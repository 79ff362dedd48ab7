//! The control side of a running proxy: what runs now, and the one way in which that changes.
//!
//! `deploy` changes it, `start` is the first time, `watch_trial` withdraws canaries, `status` says
//! what there is.

mod adoption;
mod deploy;
mod start;
mod status;
mod watch_trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::policies;
use crate::admin::{ChangeError, Readiness};
use crate::config::{Config, Policy};
use crate::decision::{PolicyEntry, Tokens};
use crate::policy::{Engine, Generation, PolicySpec};
use crate::proxy::Snapshot;
use crate::rollout::{Keep, Mark, Record};
use crate::route::RouteTable;
use crate::stats::Stats;
use crate::upstream::{PoolId, PoolTopology};

pub use adoption::Adoption;
pub use status::AdminControl;

/// The control side.
pub struct ControlPlane {
    config: Arc<Config>,
    engine: Engine,
    stats: Stats,
    topologies: Arc<[Arc<PoolTopology>]>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    readiness: Mutex<Readiness>,
    explain: Tokens,
    keep: Option<Keep>,
    /// By policy index.
    policies: Vec<Managed>,
    /// A policy has been loaded, or has not, at the start.
    settled: Notify,
}

/// One policy name.
#[derive(Default)]
struct Managed {
    /// Held while a change is made and published: one at a time.
    changing: tokio::sync::Mutex<()>,
    known: Mutex<Known>,
}

/// What is known of one policy name.
#[derive(Default)]
struct Known {
    record: Record,
    /// The components of what decides, what did, and what is on trial, to be kept on disk; by
    /// generation.
    components: Vec<(u64, Arc<[u8]>)>,
    /// The digest of what the configuration named when it was last taken.
    configured: Option<String>,
    /// What the state folder holds.
    on_disk: Option<Mark>,
    /// Loaded or refused: the start is over.
    settled: bool,
    /// Why what was promoted before the restart is not used, until something else is deployed.
    damage: Option<String>,
}

impl ControlPlane {
    /// The control side of a proxy whose policies are not loaded yet.
    pub fn new(
        config: Arc<Config>,
        engine: Engine,
        stats: Stats,
        topologies: Arc<[Arc<PoolTopology>]>,
        keep: Option<Keep>,
    ) -> Self {
        let loading: Arc<str> = "it is being loaded".into();
        let entry = |policy: &Policy| PolicyEntry {
            name: policy.name.as_str().into(),
            on_failure: policy.on_failure,
            while_absent: policy.while_absent,
            active: Err(Arc::clone(&loading)),
            trial: None,
        };
        let pools: Vec<PoolId> = topologies.iter().map(|pool| pool.id).collect();
        let snapshot = Snapshot {
            version: 1,
            routes: Arc::new(RouteTable::new(&config.routes, &pools)),
            pools: Arc::clone(&topologies),
            policies: config.policies.iter().map(entry).collect(),
        };
        Self {
            adoption: Arc::new(Adoption::new(config.workers)),
            policies: config.policies.iter().map(|_| Managed::default()).collect(),
            config,
            engine,
            stats,
            topologies,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            readiness: Mutex::new(Readiness::Starting),
            explain: Tokens::default(),
            keep,
            settled: Notify::new(),
        }
    }

    /// For a worker: what decides requests, now and later.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    /// For a worker: where it tells what it has adopted.
    pub fn adoption(&self) -> Arc<Adoption> {
        Arc::clone(&self.adoption)
    }

    /// Who may have a request explained.
    pub fn explain_tokens(&self) -> Tokens {
        self.explain.clone()
    }

    /// The configuration that runs.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The digest of what the configuration named for this policy when it was last read, by index.
    pub fn configured(&self, policy: usize) -> Option<String> {
        self.known(policy).configured.clone()
    }

    /// Notes whether clients should be sent here.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    fn index(&self, name: &str) -> Result<usize, ChangeError> {
        let index = self.config.policies.iter().position(|p| p.name == name);
        index.ok_or_else(|| ChangeError::Unknown(name.to_owned()))
    }

    fn known(&self, index: usize) -> MutexGuard<'_, Known> {
        self.policies[index]
            .known
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles and sets up; takes from milliseconds to seconds, on a thread for what blocks.
    async fn load(
        self: &Arc<Self>,
        index: usize,
        component: Arc<[u8]>,
        source: String,
        number: u64,
        shadow: bool,
    ) -> Result<Arc<Generation>, String> {
        let this = Arc::clone(self);
        let load = move || {
            let policy = &this.config.policies[index];
            let spec = PolicySpec {
                shadow,
                ..policies::spec(policy, component, source)
            };
            let pools = policies::pools(&this.config, &this.topologies, index);
            this.engine
                .load(&spec, &pools, 1, &this.stats.policy(&policy.name), number)
                .map_err(|e| e.to_string())
        };
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or_else(|e| Err(format!("loading it failed: {e}")))
    }

    /// Publishes what the record of this policy says, and tells the version.
    fn publish(&self, index: usize) -> u64 {
        let mut version = 0;
        self.snapshots.send_modify(|current| {
            // Inside, so that of two changes the later one is published later.
            let known = self.known(index);
            let mut policies = current.policies.clone();
            let entry = &mut policies[index];
            entry.trial = known.record.trial().cloned();
            match known.record.active() {
                Some(active) => entry.active = Ok(Arc::clone(active)),
                None => {
                    entry.active = Err(known
                        .record
                        .last_error()
                        .unwrap_or("it is being loaded")
                        .into())
                }
            }
            version = current.version + 1;
            *current = Arc::new(Snapshot {
                version,
                routes: Arc::clone(&current.routes),
                pools: Arc::clone(&current.pools),
                policies,
            });
        });
        version
    }
}

impl Known {
    /// Remembers a component for as long as its generation may be the one to keep.
    fn remember(&mut self, number: u64, component: Arc<[u8]>) {
        self.components.push((number, component));
        self.forget();
    }

    fn forget(&mut self) {
        let Self {
            record, components, ..
        } = self;
        let used = [
            record.active(),
            record.former(),
            record.trial().map(|t| &t.generation),
        ];
        let used: Vec<u64> = used.into_iter().flatten().map(|g| g.number()).collect();
        components.retain(|(number, _)| used.contains(number));
    }
}
