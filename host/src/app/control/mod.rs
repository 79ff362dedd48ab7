//! The control side of a running proxy: what runs now, and how that changes.
//!
//! `start` loads the first generations, `deploy` loads later ones, `change` promotes and rolls
//! back, `watch_trial` withdraws canaries, `publish` puts each of these into force, `configure`
//! publishes another topology or configuration, `snapshot` makes what is published, and `status`
//! reports.

mod adoption;
mod change;
mod configure;
mod deploy;
mod policy_state;
mod publish;
mod snapshot;
mod start;
mod status;
mod watch_trial;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, watch};

use super::certificates::{ListenerCertificates, PoolFiles};
use super::descriptors::Shares;
use super::policies;
use crate::admin::{ChangeError, Readiness};
use crate::config::{Config, Policy};
use crate::decision::{PolicyEntry, Tokens};
use crate::policy::{Engine, Generation, Lists, PolicyId, PolicyIds, PolicySpec};
use crate::proxy::Snapshot;
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::{Registry, Topology};

use policy_state::PolicyState;

pub use adoption::Adoption;
pub use status::AdminControl;

/// What a process has for its whole life, whatever its configuration.
pub struct Process {
    /// Loads policies.
    pub engine: Engine,
    /// All counters.
    pub stats: Stats,
    /// Gives pools and endpoints their ids.
    pub registry: Registry,
    /// What its descriptors allow.
    pub(in crate::app) shares: Shares,
    /// Keeps promoted components over a restart.
    pub state_dir: Option<StateDir>,
    /// The certificates of the listeners.
    pub(in crate::app) certificates: Arc<ListenerCertificates>,
}

/// The control side.
pub struct ControlPlane {
    /// What the process was started with. The names of the policies and what `configure` calls
    /// fixed are the same in every later configuration.
    config: Arc<Config>,
    /// The configuration of the newest snapshot. Other locks may be held while this one is taken,
    /// not the other way round.
    current: Mutex<Arc<Config>>,
    engine: Engine,
    stats: Stats,
    registry: Registry,
    shares: Shares,
    snapshots: watch::Sender<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    readiness: Mutex<Readiness>,
    explain: Tokens,
    state_dir: Option<StateDir>,
    certificates: Arc<ListenerCertificates>,
    pool_files: PoolFiles,
    /// By policy index.
    policies: Vec<Managed>,
    /// Held while another topology or configuration is published, so that one is at a time.
    configuring: tokio::sync::Mutex<()>,
    /// Notified when a policy's first load has succeeded or failed.
    settled: Notify,
}

/// One policy name.
struct Managed {
    id: PolicyId,
    /// Held while a change is made and published, so that one happens at a time.
    changing: tokio::sync::Mutex<()>,
    state: Mutex<PolicyState>,
}

impl ControlPlane {
    /// The control side of a proxy whose policies are not loaded yet.
    pub fn new(config: Arc<Config>, topology: &Arc<Topology>, process: Process) -> Self {
        let Process {
            engine,
            stats,
            registry,
            shares,
            state_dir,
            certificates,
        } = process;
        let mut ids = PolicyIds::default();
        let managed = |policy: &Policy| Managed {
            id: ids.id(&policy.name),
            changing: Default::default(),
            state: Default::default(),
        };
        let policies: Vec<Managed> = config.policies.iter().map(managed).collect();
        let loading: Arc<str> = "it is being loaded".into();
        let no_lists = Arc::new(Lists::new(&[], 0));
        let entry = |(policy, managed): (&Policy, &Managed)| PolicyEntry {
            id: managed.id,
            name: policy.name.as_str().into(),
            on_failure: policy.on_failure,
            while_absent: policy.while_absent,
            lists: Arc::clone(&no_lists),
            active: Err(Arc::clone(&loading)),
            trial: None,
        };
        let entries = config.policies.iter().zip(&policies).map(entry).collect();
        let snapshot = Snapshot::next(None, &config, topology, entries);
        Self {
            adoption: Arc::new(Adoption::new(config.workers)),
            policies,
            current: Mutex::new(Arc::clone(&config)),
            config,
            engine,
            stats,
            registry,
            shares,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            readiness: Mutex::new(Readiness::Starting),
            explain: Tokens::default(),
            state_dir,
            certificates,
            pool_files: PoolFiles::default(),
            settled: Notify::new(),
            configuring: Default::default(),
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

    /// The configuration that the process was started with.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration in use.
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The certificates of the listeners: what is to watch, and what makes sessions.
    pub(in crate::app) fn listener_certificates(&self) -> &Arc<ListenerCertificates> {
        &self.certificates
    }

    /// What is known of the files of the pools' `tls`.
    pub(in crate::app) fn pool_files(&self) -> &PoolFiles {
        &self.pool_files
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
            let snapshot = this.snapshot();
            let (config, topology) = (&snapshot.config, &snapshot.topology);
            let policy = &config.policies[index];
            let spec = PolicySpec {
                shadow,
                ..policies::spec(policy, component, source)
            };
            let pools = policies::pools(config, &topology.pools, index);
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
