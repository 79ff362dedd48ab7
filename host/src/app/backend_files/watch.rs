//! Reads the files of pools at the start, and again when they change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::bail;
use tokio::task::{JoinSet, spawn_blocking};

use super::{BackendFiles, Unusable, read};
use crate::app::control::{CarriedBackends, ControlPlane, restore_backends};
use crate::app::looks::{Fingerprint, Looks, fingerprint, ticks};
use crate::config::{Backend, Config, Pool};
use crate::ground;
use crate::rollout::StateDir;
use crate::upstream::{Discovery, Origin, Overlay};

/// Reads the files of a configuration that is to run, and what the admin API had changed when
/// the process before this one ended. What can't be used is said, and the proxy starts without it,
/// or with the last list that the process had which it replaces.
///
/// # Errors
///
/// A file can't be used, there is no such list, and all has to be known (`--strict`).
pub(in crate::app) fn start(
    config: &Config,
    discovery: &Discovery,
    state_dir: Option<&StateDir>,
    carried: &mut CarriedBackends,
) -> anyhow::Result<BackendFiles> {
    let files = BackendFiles::default();
    for pool in &config.pools {
        let Some(path) = &pool.file else { continue };
        let added = match (read(path, pool), carried.list(pool, path)) {
            (Ok(added), _) => {
                files.note(&pool.name, path, Ok(added.len()));
                added
            }
            (Err(unusable), Some(last)) => {
                files.note(&pool.name, path, Ok(last.len()));
                files.note(&pool.name, path, Err(unusable.reason()));
                last
            }
            (Err(unusable), None) if config.resolver.strict => {
                bail!("pool {:?}: `file`: {}", pool.name, unusable.reason());
            }
            (Err(unusable), None) => {
                files.note(&pool.name, path, Err(unusable.reason()));
                continue;
            }
        };
        let edits = BTreeMap::new();
        discovery.overlay(&pool.name, Origin::File, Overlay { added, edits });
    }
    let mut refused = Vec::new();
    if let Some(state_dir) = state_dir {
        refused = restore_backends(state_dir, config, discovery);
    }
    refused.extend(carried.overlay(config, discovery));
    files.damaged(refused);
    carried.remember_names(discovery);
    Ok(files)
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
        read: Result<Vec<Backend>, Unusable>,
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
