//! The control side: what runs now, and how a policy is replaced.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::{Notify, watch};

use super::policies;
use crate::admin::{Control, PolicyStatus, Readiness, ReplaceError, ReplaceFuture};
use crate::config::{Config, Isolation, OnFailure};
use crate::policy::{Engine, Generation};
use crate::proxy::Snapshot;
use crate::stats::Stats;
use crate::upstream::PoolTopology;

/// How long a replacement waits for every worker to have adopted it before it answers all the same.
const ADOPTION: Duration = Duration::from_secs(5);

/// Which snapshot each worker has adopted.
#[derive(Debug)]
pub struct Adoption {
    versions: Vec<AtomicU64>,
    changed: Notify,
}

/// The control side of a running proxy.
pub struct ControlPlane {
    config: Arc<Config>,
    engine: Engine,
    stats: Stats,
    topologies: Arc<[Arc<PoolTopology>]>,
    snapshots: watch::Sender<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    readiness: Mutex<Readiness>,
    /// One replacement at a time, from whichever side.
    replacing: tokio::sync::Mutex<()>,
    /// By policy index.
    notes: Mutex<Vec<Note>>,
}

/// What is known of a policy beside its generation.
#[derive(Debug, Clone)]
struct Note {
    source: String,
    last_error: Option<String>,
}

impl Adoption {
    /// None has adopted anything.
    pub fn new(workers: usize) -> Self {
        Self { versions: (0..workers).map(|_| AtomicU64::new(0)).collect(), changed: Notify::new() }
    }

    /// A worker has adopted this version.
    pub fn adopted(&self, worker: usize, version: u64) {
        self.versions[worker].store(version, Ordering::Release);
        self.changed.notify_waiters();
    }

    /// Waits until all workers have adopted this version or a later one.
    pub async fn wait(&self, version: u64) {
        loop {
            let changed = self.changed.notified();
            if self.versions.iter().all(|v| v.load(Ordering::Acquire) >= version) {
                return;
            }
            changed.await;
        }
    }
}

impl ControlPlane {
    /// The control side of what `snapshot` says.
    pub fn new(
        config: Arc<Config>,
        engine: Engine,
        stats: Stats,
        topologies: Arc<[Arc<PoolTopology>]>,
        snapshot: Snapshot,
    ) -> Self {
        let notes = config.policies.iter().map(|p| Note { source: policies::source(p), last_error: None }).collect();
        Self {
            adoption: Arc::new(Adoption::new(config.workers)),
            config,
            engine,
            stats,
            topologies,
            snapshots: watch::Sender::new(Arc::new(snapshot)),
            readiness: Mutex::new(Readiness::Starting),
            replacing: tokio::sync::Mutex::default(),
            notes: Mutex::new(notes),
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

    /// The configuration that runs.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// The digest of a policy's component, by index.
    pub fn digest(&self, policy: usize) -> Option<String> {
        self.snapshots.borrow().policies.get(policy).map(|g| g.digest().to_owned())
    }

    /// Notes whether clients should be sent here.
    pub fn set_readiness(&self, readiness: Readiness) {
        *self.readiness.lock().unwrap_or_else(PoisonError::into_inner) = readiness;
    }

    /// Loads a component in place of a policy's, off the workers, and publishes it to all of them at once.
    pub async fn replace(
        self: &Arc<Self>,
        index: usize,
        component: Vec<u8>,
        source: String,
    ) -> Result<PolicyStatus, ReplaceError> {
        let _one_at_a_time = self.replacing.lock().await;
        let number = self.snapshots.borrow().policies[index].number() + 1;
        let this = Arc::clone(self);
        let from = source.clone();
        let load = move || this.load(index, component, from, number);
        let loaded = tokio::task::spawn_blocking(load).await.map_err(|e| ReplaceError::Unavailable(e.to_string()))?;
        match loaded {
            Ok(generation) => {
                self.note(index, |note| *note = Note { source, last_error: None });
                self.publish(index, generation).await;
                self.policies().into_iter().nth(index).ok_or_else(|| ReplaceError::Unknown(index.to_string()))
            }
            Err(reason) => {
                self.note(index, |note| note.last_error = Some(reason.clone()));
                Err(ReplaceError::Refused(reason))
            }
        }
    }

    fn load(&self, index: usize, component: Vec<u8>, source: String, number: u64) -> Result<Arc<Generation>, String> {
        let policy = &self.config.policies[index];
        let spec = policies::spec(policy, component.into(), source);
        let pools = policies::pools(&self.config, &self.topologies, index);
        self.engine.load(&spec, &pools, 1, &self.stats.policy(&policy.name), number).map_err(|e| e.to_string())
    }

    async fn publish(&self, index: usize, generation: Arc<Generation>) {
        let name = generation.name().to_owned();
        let number = generation.number();
        let mut version = 0;
        self.snapshots.send_modify(|current| {
            let mut policies = current.policies.clone();
            policies[index] = generation;
            version = current.version + 1;
            *current = Arc::new(Snapshot {
                version,
                routes: Arc::clone(&current.routes),
                pools: Arc::clone(&current.pools),
                policies,
            });
        });
        if tokio::time::timeout(ADOPTION, self.adoption.wait(version)).await.is_err() {
            tracing::warn!(
                policy = name,
                generation = number,
                "a worker has not adopted the policy after {ADOPTION:?}"
            );
        } else {
            tracing::info!(policy = name, generation = number, "policy replaced on all workers");
        }
    }

    fn note(&self, index: usize, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.notes.lock().unwrap_or_else(PoisonError::into_inner).get_mut(index) {
            change(note);
        }
    }

    fn status(&self, index: usize, generation: &Generation, note: &Note) -> PolicyStatus {
        let policy = &self.config.policies[index];
        PolicyStatus {
            name: policy.name.clone(),
            generation: generation.number(),
            digest: generation.digest().to_owned(),
            source: note.source.clone(),
            hooks: generation.hooks().names().map(str::to_owned).collect(),
            isolation: match policy.isolation {
                Isolation::Worker => "worker".to_owned(),
                Isolation::Request => "request".to_owned(),
            },
            on_failure: match policy.on_failure {
                OnFailure::Random => "random".to_owned(),
                OnFailure::Next => "next".to_owned(),
                OnFailure::Status(status) => status.to_string(),
            },
            deadline: policy.deadline,
            memory_limit_bytes: policy.memory,
            size_bytes: generation.size() as u64,
            loaded_at: generation.loaded_at(),
            last_error: note.last_error.clone(),
        }
    }
}

/// What the admin room is given: an owner of the control side, as its replacements outlive the request that asked for them.
pub struct AdminControl(pub Arc<ControlPlane>);

impl Control for AdminControl {
    fn stats(&self) -> &Stats {
        &self.0.stats
    }

    fn policies(&self) -> Vec<PolicyStatus> {
        self.0.policies()
    }

    fn replace_policy<'a>(&'a self, name: &'a str, component: Vec<u8>) -> ReplaceFuture<'a> {
        Box::pin(async move {
            let index = self.0.config.policies.iter().position(|p| p.name == name);
            let index = index.ok_or_else(|| ReplaceError::Unknown(name.to_owned()))?;
            self.0.replace(index, component, "PUT".to_owned()).await
        })
    }

    fn readiness(&self) -> Readiness {
        *self.0.readiness.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ControlPlane {
    /// All policies as they run now.
    pub fn policies(&self) -> Vec<PolicyStatus> {
        let snapshot = Arc::clone(&self.snapshots.borrow());
        let notes = self.notes.lock().unwrap_or_else(PoisonError::into_inner);
        let all = snapshot.policies.iter().zip(notes.iter()).enumerate();
        all.map(|(index, (generation, note))| self.status(index, generation, note)).collect()
    }

    /// All counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }
}
