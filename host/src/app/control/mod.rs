//! The control side of a running proxy: what runs now, and how that changes.
//!
//! `start` loads the first generations, `deploy` loads later ones, `change` promotes and rolls
//! back, `watch_trial` withdraws canaries, `publish` puts each change into force, and `status`
//! reports.

mod adoption;
mod change;
mod deploy;
mod policy_state;
mod publish;
mod snapshot;
mod start;
mod status;
mod watch_trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::policies;
use crate::admin::{ChangeError, Readiness};
use crate::config::{Config, Policy};
use crate::decision::{PolicyEntry, Tokens};
use crate::policy::{Engine, Generation, Lists, PolicySpec};
use crate::proxy::Snapshot;
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::Topology;

use policy_state::PolicyState;

pub use adoption::Adoption;
pub use status::AdminControl;

/// The control side.
pub struct ControlPlane {
    config: Arc<Config>,
    engine: Engine,
    stats: Stats,
    snapshots: watch::Sender<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    readiness: Mutex<Readiness>,
    explain: Tokens,
    state_dir: Option<StateDir>,
    /// By policy index.
    policies: Vec<Managed>,
    /// Notified when a policy's first load has succeeded or failed.
    settled: Notify,
}

/// One policy name.
#[derive(Default)]
struct Managed {
    /// Held while a change is made and published, so that one happens at a time.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<PolicyState>,
}

impl ControlPlane {
    /// The control side of a proxy whose policies are not loaded yet.
    pub fn new(
        config: Arc<Config>,
        engine: Engine,
        stats: Stats,
        topology: &Arc<Topology>,
        state_dir: Option<StateDir>,
    ) -> Self {
        let loading: Arc<str> = "it is being loaded".into();
        let no_lists = Arc::new(Lists::new(&[], 0));
        let entry = |policy: &Policy| PolicyEntry {
            name: policy.name.as_str().into(),
            on_failure: policy.on_failure,
            while_absent: policy.while_absent,
            lists: Arc::clone(&no_lists),
            active: Err(Arc::clone(&loading)),
            trial: None,
        };
        let entries = config.policies.iter().map(entry).collect();
        let snapshot = Snapshot::next(None, &config, topology, entries);
        Self {
            adoption: Arc::new(Adoption::new(config.workers)),
            policies: config.policies.iter().map(|_| Managed::default()).collect(),
            config,
            engine,
            stats,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            readiness: Mutex::new(Readiness::Starting),
            explain: Tokens::default(),
            state_dir,
            settled: Notify::new(),
        }
    }

    /// For a worker: the current snapshot and later ones.
    pub fn subscribe(&self) -> watch::Receiver<Arc<Snapshot>> {
        self.snapshots.subscribe()
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.snapshots.borrow())
    }

    /// For a worker: where it reports which snapshot it has adopted.
    pub fn adoption(&self) -> Arc<Adoption> {
        Arc::clone(&self.adoption)
    }

    /// The tokens that entitle a request to be explained.
    pub fn explain_tokens(&self) -> Tokens {
        self.explain.clone()
    }

    /// The configuration in use.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The digest of the component that the configuration named for this policy (by index) when it
    /// was last read.
    pub fn configured(&self, policy: usize) -> Option<String> {
        self.state(policy).configured.clone()
    }

    /// Sets whether load balancers should send clients here.
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

    fn state(&self, index: usize) -> MutexGuard<'_, PolicyState> {
        self.policies[index]
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Compiles and sets up, which takes from milliseconds to seconds, on a thread for blocking
    /// work.
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
            let topology = Arc::clone(&this.snapshot().topology);
            let pools = policies::pools(&this.config, &topology.pools, index);
            let stats = this.stats.policy(&policy.name);
            this.engine
                .load(&spec, &pools, topology.generation, &stats, number)
                .map_err(|e| e.to_string())
        };
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or_else(|e| Err(format!("it can't be loaded: {e}")))
    }
}
