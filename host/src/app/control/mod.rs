//! The control side of a running proxy: what runs now, and how that changes.
//!
//! `start` loads the first generations, `deploy` loads later ones, `change` promotes and rolls
//! back, `watch_trial` withdraws canaries, `publish` puts each of these into force, `configure`
//! prepares and publishes another topology or configuration (`changes` says what differs,
//! `next_policy` loads what that needs), `snapshot` makes what is published, `carried` is what
//! another process gets or has left, `reloads` and `upgrades` are asked for here, and `readiness`
//! and `status` report.

mod adoption;
mod backends;
mod carried;
mod change;
mod changes;
mod configure;
mod deploy;
mod discovered;
mod forgetting;
mod next_policy;
mod policy_state;
mod process;
mod publish;
mod readiness;
mod reloads;
mod shown;
mod snapshot;
mod start;
mod status;
mod upgrades;
mod watch_trial;

use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use tokio::sync::{Notify, mpsc, watch};

use super::backend_files::BackendFiles;
use super::certificates::{ListenerCertificates, PoolFiles};
use super::names::Names;
use super::policies;
use super::reopening::Reopenings;
use crate::admin::{ChangeError, Readiness};
use crate::config::{Config, Policy, PolicySource};
use crate::decision::{PolicyEntry, Tokens};
use crate::observe::tap::Tap;
use crate::policy::{Engine, Generation, Lists, PolicyId, PolicySpec};
use crate::proxy::{Equipment, Snapshot};
use crate::rollout::StateDir;
use crate::stats::Stats;
use crate::upstream::{Discovery, Registry, Topology};
use crate::users::Door;

use backends::LeftEdits;
use forgetting::KnownPolicies;
use policy_state::PolicyState;

pub use adoption::Adoption;
pub(in crate::app) use backends::{CarriedBackends, restore_backends};
pub(in crate::app) use carried::Carried;
pub(in crate::app) use configure::Prepared;
pub(in crate::app) use discovered::warning;
pub(in crate::app) use forgetting::forget;
pub(in crate::app) use next_policy::Purpose;
pub use process::Process;
pub(in crate::app) use reloads::{Reloads, Request, Secret, Written};
pub use status::AdminControl;
pub(in crate::app) use upgrades::{UpgradeRequest, upgrades};

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
    pub(in crate::app) registry: Registry,
    snapshots: watch::Sender<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    readiness: Mutex<Readiness>,
    explain: Tokens,
    pub(in crate::app) tap: Tap,
    state_dir: Option<StateDir>,
    carried: Mutex<Carried>,
    /// Whether deployments have to wait for another process.
    held: AtomicBool,
    certificates: Mutex<Arc<ListenerCertificates>>,
    pool_files: PoolFiles,
    reloads: Reloads,
    upgrades: mpsc::Sender<UpgradeRequest>,
    /// Those who want the logs opened anew.
    pub(in crate::app) reopening: Reopenings,
    pub(in crate::app) names: Arc<Names>,
    backend_files: BackendFiles,
    pub(in crate::app) door: Arc<Door>,
    /// Held while the admin API changes backends, so that one change is made at a time.
    changing_backends: tokio::sync::Mutex<()>,
    left_edits: Mutex<LeftEdits>,
    /// The policies of the newest snapshot, in the order of its configuration.
    policies: Mutex<Vec<Arc<Managed>>>,
    ids: Mutex<KnownPolicies>,
    /// Held while another topology or configuration is published, so that one is at a time.
    configuring: Arc<tokio::sync::Mutex<()>>,
    /// Notified when a policy's first load has succeeded or failed.
    settled: Notify,
}

/// One policy name.
pub(in crate::app) struct Managed {
    id: PolicyId,
    pub(in crate::app) name: String,
    /// Held while a change is made and published, so that one happens at a time.
    changing: Arc<tokio::sync::Mutex<()>>,
    state: Mutex<PolicyState>,
}

impl Managed {
    fn new(id: PolicyId, name: &str) -> Self {
        Self {
            id,
            name: name.to_owned(),
            changing: Arc::default(),
            state: Mutex::default(),
        }
    }

    fn state(&self) -> MutexGuard<'_, PolicyState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a configuration says of it; `None` if it is not there.
    fn configured<'c>(&self, config: &'c Config) -> Option<&'c Policy> {
        config.policies.iter().find(|p| p.name == self.name)
    }

    /// The digest of the component that the configuration named when it was last read.
    pub(in crate::app) fn configured_digest(&self) -> Option<String> {
        self.state().configured.clone()
    }
}

/// What a policy is published as before it is loaded.
fn unloaded((policy, managed): (&Policy, &Arc<Managed>), lists: &Arc<Lists>) -> PolicyEntry {
    PolicyEntry {
        id: managed.id,
        name: policy.name.as_str().into(),
        on_failure: policy.on_failure,
        while_absent: policy.while_absent,
        lists: Arc::clone(lists),
        active: Err("it is being loaded".into()),
        trial: None,
    }
}

impl ControlPlane {
    /// The control side of a proxy whose policies are not loaded yet.
    pub fn new(config: Arc<Config>, topology: &Arc<Topology>, process: Process) -> Self {
        let Process {
            engine,
            stats,
            registry,
            state_dir,
            carried,
            certificates,
            reloads,
            upgrades,
            names,
            backend_files,
            door,
        } = process;
        let mut known = KnownPolicies::default();
        let managed =
            |policy: &Policy| Arc::new(Managed::new(known.ids.id(&policy.name), &policy.name));
        let policies: Vec<Arc<Managed>> = config.policies.iter().map(managed).collect();
        let no_lists = Arc::new(Lists::new(&[], 0));
        let entry = |of| unloaded(of, &no_lists);
        let entries = config.policies.iter().zip(&policies).map(entry).collect();
        let bare = (&Arc::default(), &stats);
        let snapshot = Snapshot::next(None, &config, topology, entries, bare);
        Self {
            adoption: Arc::new(Adoption::new(config.workers)),
            tap: Tap::new(config.workers),
            policies: Mutex::new(policies),
            ids: Mutex::new(known),
            current: Mutex::new(Arc::clone(&config)),
            config,
            engine,
            stats,
            registry,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            readiness: Mutex::new(Readiness::Starting),
            explain: Tokens::default(),
            state_dir,
            carried: Mutex::new(carried),
            held: AtomicBool::new(false),
            certificates: Mutex::new(certificates),
            pool_files: PoolFiles::default(),
            settled: Notify::new(),
            reloads,
            upgrades,
            reopening: Reopenings::default(),
            names,
            backend_files,
            door,
            left_edits: Mutex::default(),
            changing_backends: Default::default(),
            configuring: Default::default(),
        }
    }

    /// Says what is open for the first configuration. Returns the version of the snapshot.
    pub(in crate::app) fn equip(&self, equipment: Equipment) -> u64 {
        let equipment = Arc::new(equipment);
        self.publish_next(|first| Snapshot {
            equipment,
            settings: Arc::clone(&first.settings),
            config: Arc::clone(&first.config),
            routes: Arc::clone(&first.routes),
            topology: Arc::clone(&first.topology),
            policies: first.policies.clone(),
            version: first.version + 1,
        })
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
    pub fn current(&self) -> Arc<Config> {
        Arc::clone(&self.current.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// The certificates of the listeners: what is to watch, and what makes sessions.
    pub(in crate::app) fn listener_certificates(&self) -> Arc<ListenerCertificates> {
        let current = self.certificates.lock();
        Arc::clone(&current.unwrap_or_else(PoisonError::into_inner))
    }

    /// What is known of names, and what was changed beside the configuration. What is written there
    /// is published soon, or by [`ControlPlane::follow_discovery`] at once.
    pub(in crate::app) fn discovery(&self) -> &Discovery {
        self.names.discovery()
    }

    /// What is known of the files of the pools' `tls`.
    pub(in crate::app) fn pool_files(&self) -> &PoolFiles {
        &self.pool_files
    }

    /// What is known of the files of pools.
    pub(in crate::app) fn backend_files(&self) -> &BackendFiles {
        &self.backend_files
    }

    /// Sets whether load balancers should send clients here.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self
            .readiness
            .lock()
            .unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// The policies of the newest snapshot, in the order of its configuration.
    pub(in crate::app) fn managed(&self) -> Vec<Arc<Managed>> {
        let current = self.policies.lock();
        current.unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn next_id(&self, name: &str) -> PolicyId {
        let mut known = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        known.ids.id(name)
    }

    /// The moment from which policies' monotonic clock counts.
    pub(in crate::app) fn clock_began(&self) -> Instant {
        self.engine.clock_began()
    }

    fn carried(&self) -> MutexGuard<'_, Carried> {
        self.carried.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another descriptor of the state directory's lock, if there is one.
    pub(in crate::app) fn state_lock(&self) -> Option<io::Result<OwnedFd>> {
        let state_dir = self.state_dir.as_ref()?;
        Some(state_dir.lock_copy().map(OwnedFd::from))
    }

    /// The policies whose components come from files, with these.
    pub(in crate::app) fn policy_files(&self) -> Vec<(Arc<Managed>, PathBuf)> {
        let config = self.current();
        let file = |policy: Arc<Managed>| match &policy.configured(&config)?.source {
            PolicySource::File(path) => {
                let path = path.clone();
                Some((policy, path))
            }
            PolicySource::Builtin(_) => None,
        };
        self.managed().into_iter().filter_map(file).collect()
    }

    fn named(&self, name: &str) -> Result<Arc<Managed>, ChangeError> {
        let found = self.managed().into_iter().find(|p| p.name == name);
        found.ok_or_else(|| ChangeError::Unknown(name.to_owned()))
    }

    /// Compiles and sets up, which takes from milliseconds to seconds, on a thread for blocking
    /// work.
    async fn load(
        self: &Arc<Self>,
        policy: &Arc<Managed>,
        component: Arc<[u8]>,
        source: String,
        number: u64,
        shadow: bool,
    ) -> Result<Arc<Generation>, String> {
        let snapshot = self.snapshot();
        let within = (&snapshot.config, &snapshot.topology);
        let what = Component {
            bytes: component,
            source,
            number,
            shadow,
        };
        self.load_within(within, &policy.name, what).await
    }

    /// The same as a part of another configuration.
    async fn load_within(
        self: &Arc<Self>,
        (config, topology): (&Arc<Config>, &Arc<Topology>),
        name: &str,
        what: Component,
    ) -> Result<Arc<Generation>, String> {
        let Some(index) = config.policies.iter().position(|p| p.name == name) else {
            return Err(format!("policy {name:?} has left the configuration"));
        };
        let (this, config, topology) = (Arc::clone(self), Arc::clone(config), Arc::clone(topology));
        let load = move || {
            let policy = &config.policies[index];
            let spec = PolicySpec {
                shadow: what.shadow,
                ..policies::spec(policy, what.bytes, what.source)
            };
            let pools = policies::pools(&config, &topology.pools, index);
            let stats = this.stats.policy(&policy.name);
            this.engine
                .load(&spec, &pools, topology.generation, &stats, what.number)
                .map_err(|e| e.to_string())
        };
        tokio::task::spawn_blocking(load)
            .await
            .unwrap_or_else(|e| Err(format!("it can't be loaded: {e}")))
    }
}

/// A component that is to be loaded.
struct Component {
    bytes: Arc<[u8]>,
    source: String,
    /// The number of its generation.
    number: u64,
    shadow: bool,
}
