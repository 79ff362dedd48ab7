//! The files of pools: read at the start and with a configuration, and again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Result, bail};
use tokio::task::{JoinSet, spawn_blocking};

use super::control::{ControlPlane, restore_backends};
use super::looks::{Fingerprint, Looks, fingerprint, ticks};
use crate::admin::FileStatus;
use crate::config::{Backend, Config, MAX_FILE_BYTES, Pool, parse_backends};
use crate::files;
use crate::ground;
use crate::rollout::StateDir;
use crate::units::counted;
use crate::upstream::{Discovery, Origin, Overlay};

/// What is known of the files of pools.
#[derive(Debug, Default)]
pub(in crate::app) struct BackendFiles {
    /// By the name of the pool.
    known: Mutex<BTreeMap<String, FileStatus>>,
    /// What could not be taken up of what was kept, as sentences.
    damage: Mutex<Vec<String>>,
}

/// Why a file is not used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::app) enum Unusable {
    /// It may be readable at the next look.
    Unread(String),
    /// It says something that can't be meant.
    Wrong(String),
}

impl Unusable {
    /// The sentence.
    pub(in crate::app) fn reason(&self) -> &str {
        match self {
            Self::Unread(reason) | Self::Wrong(reason) => reason,
        }
    }
}

impl BackendFiles {
    /// Reads the files of a configuration that is to run, and what the admin API had changed when
    /// the process ended. What can't be used is said, and the proxy starts without it.
    ///
    /// # Errors
    ///
    /// A file can't be used, and all has to be known (`--strict`).
    pub(in crate::app) fn start(
        config: &Config,
        discovery: &Discovery,
        state_dir: Option<&StateDir>,
    ) -> Result<Self> {
        let files = Self::default();
        for pool in &config.pools {
            let Some(path) = &pool.file else { continue };
            match read(path, pool) {
                Ok(added) => {
                    files.note(&pool.name, path, Ok(added.len()));
                    let edits = BTreeMap::new();
                    discovery.overlay(&pool.name, Origin::File, Overlay { added, edits });
                }
                Err(unusable) if config.resolver.strict => {
                    bail!("pool {:?}: `file`: {}", pool.name, unusable.reason());
                }
                Err(unusable) => files.note(&pool.name, path, Err(unusable.reason())),
            }
        }
        if let Some(state_dir) = state_dir {
            let damage = restore_backends(state_dir, config, discovery);
            damage.iter().for_each(|reason| tracing::error!("{reason}"));
            *files.damage() = damage;
        }
        Ok(files)
    }

    /// What was kept is whole again.
    pub(in crate::app) fn mended(&self) {
        self.damage().clear();
    }

    /// By the name of the pool.
    pub(in crate::app) fn status(&self) -> BTreeMap<String, FileStatus> {
        self.known().clone()
    }

    /// Sentences about files that can't be used as they are now.
    pub(in crate::app) fn notes(&self) -> Vec<String> {
        let known = self.known();
        let refused = known.iter().filter_map(|(pool, file)| {
            let refused = file.refused.as_ref()?;
            Some(format!("pool {pool:?}: `file`: {refused}"))
        });
        let damage = self.damage().clone();
        refused.chain(damage).collect()
    }

    /// Notes what has come of reading a file. Says it if that is new.
    pub(in crate::app) fn note(
        &self,
        pool: &str,
        path: &Path,
        read: std::result::Result<usize, &str>,
    ) {
        let mut known = self.known();
        let path = path.display().to_string();
        let status = known.entry(pool.to_owned()).or_default();
        if status.path != path {
            *status = FileStatus {
                path,
                ..FileStatus::default()
            };
        }
        match read {
            Ok(backends) => {
                status.backends = backends;
                if status.refused.take().is_some() {
                    tracing::info!("pool {pool:?}: {} can be used again", status.path);
                }
            }
            Err(reason) if status.refused.as_deref() == Some(reason) => {}
            Err(reason) => {
                status.failures += 1;
                status.refused = Some(reason.to_owned());
                let stays = match status.backends {
                    0 => "it lists no backends until then".to_owned(),
                    n => format!(
                        "the {} that it listed before stay in use",
                        counted(n as u64, "backend")
                    ),
                };
                tracing::warn!("pool {pool:?}: `file`: {reason}; {stays}");
            }
        }
    }

    /// Forgets the files of pools that have none any more.
    pub(in crate::app) fn keep(&self, config: &Config) {
        let has_file = |name: &str| {
            config
                .pools
                .iter()
                .any(|p| p.name == name && p.file.is_some())
        };
        self.known().retain(|name, _| has_file(name));
    }

    fn damage(&self) -> MutexGuard<'_, Vec<String>> {
        self.damage.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn known(&self) -> MutexGuard<'_, BTreeMap<String, FileStatus>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Reads the file of a pool.
pub(in crate::app) fn read(
    path: &Path,
    pool: &Pool,
) -> std::result::Result<Vec<Backend>, Unusable> {
    let shown = path.display().to_string();
    let unread = |reason: String| Unusable::Unread(format!("{shown} can't be read: {reason}"));
    let bytes = files::read_regular(path, MAX_FILE_BYTES).map_err(|e| unread(e.to_string()))?;
    let text = String::from_utf8(bytes);
    let text = text.map_err(|_| Unusable::Wrong(format!("{shown} is not UTF-8; write JSON")))?;
    let read = parse_backends(&shown, &text, pool);
    let (backends, _) = read.map_err(|errors| Unusable::Wrong(errors.to_string()))?;
    Ok(backends)
}

/// Watches the files of the pools of now for as long as it is polled. Each has its own task, so
/// that a network file system that hangs delays no other.
pub(in crate::app) async fn watch(control: Arc<ControlPlane>) {
    let mut watches = JoinSet::new();
    for pool in &control.current().pools {
        let Some(path) = pool.file.clone() else {
            continue;
        };
        let (control, pool) = (Arc::clone(&control), pool.clone());
        watches.spawn(async move {
            ground::stays("the watcher of a pool's file", || {
                watch_one(Arc::clone(&control), pool.clone(), path.clone())
            })
            .await;
        });
    }
    while watches.join_next().await.is_some() {}
}

async fn watch_one(control: Arc<ControlPlane>, pool: Pool, path: PathBuf) {
    let mut ticks = ticks();
    // Nothing counts as read yet, so that a change since the start is not missed.
    let mut looks: Looks<Option<Fingerprint>> = Looks::default();
    loop {
        ticks.tick().await;
        ground::fault_point("backends");
        let now = fingerprint(&path).await;
        if !looks.is_new(&now) {
            continue;
        }
        let (reading, of_pool) = (path.clone(), pool.clone());
        let read = spawn_blocking(move || read(&reading, &of_pool)).await;
        let read = read.unwrap_or_else(|e| Err(Unusable::Unread(e.to_string())));
        if !matches!(read, Err(Unusable::Unread(_))) || now.is_none() {
            looks.read(now);
        }
        control.follow_file(&pool, &path, read).await;
    }
}

impl ControlPlane {
    /// Takes up what was read of the file of a pool; what can't be used changes nothing.
    pub(in crate::app) async fn follow_file(
        self: &Arc<Self>,
        pool: &Pool,
        path: &Path,
        read: std::result::Result<Vec<Backend>, Unusable>,
    ) {
        let files = self.backend_files();
        let added = match read {
            Ok(added) => added,
            Err(unusable) => return files.note(&pool.name, path, Err(unusable.reason())),
        };
        files.note(&pool.name, path, Ok(added.len()));
        let overlay = Overlay {
            added,
            ..Overlay::default()
        };
        self.overlay_when_asked(pool, Origin::File, overlay).await;
    }
}
