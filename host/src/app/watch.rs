//! Watches policy files and deploys those that change.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::task::JoinSet;

use super::control::{ControlPlane, Managed};
use super::looks::{Fingerprint, Looks, fingerprint, ticks};
use crate::files;
use crate::ground;
use crate::policy::{MAX_COMPONENT, digest};

struct Watched {
    policy: Arc<Managed>,
    path: PathBuf,
    looks: Looks<Option<Fingerprint>>,
    /// Why the file can't be read, so that this is logged once.
    unreadable: Option<String>,
}

/// Watches the policies' files for as long as it is polled. Each file has its own task, so that a
/// network file system that hangs, or a component that loads slowly, does not delay others.
pub(super) async fn watch(control: Arc<ControlPlane>) {
    let mut watches = JoinSet::new();
    for (policy, path) in control.policy_files() {
        let control = Arc::clone(&control);
        // A panic loses nothing: the next watcher compares the file with what was configured.
        watches.spawn(async move {
            ground::stays("the watcher of a policy's file", || {
                // Nothing counts as read yet, so that a change between loading and the first check
                // is not missed.
                let file = Watched {
                    policy: Arc::clone(&policy),
                    path: path.clone(),
                    looks: Looks::default(),
                    unreadable: None,
                };
                watch_one(Arc::clone(&control), file)
            })
            .await;
        });
    }
    while let Some(ended) = watches.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a policy's file is no longer watched");
        }
    }
    // Without files to watch, this must not return.
    std::future::pending().await
}

async fn watch_one(control: Arc<ControlPlane>, mut file: Watched) {
    let mut ticks = ticks();
    loop {
        ticks.tick().await;
        ground::fault_point("watcher");
        look(&control, &mut file).await;
    }
}

async fn look(control: &Arc<ControlPlane>, file: &mut Watched) {
    let now = fingerprint(&file.path).await;
    // A missing file changes nothing: it may be about to be replaced.
    if !file.looks.is_new(&now) || now.is_none() {
        return;
    }
    let path = file.path.display().to_string();
    let component = match read(&file.path).await {
        Ok(component) => component,
        // The next check reads it again.
        Err(reason) => {
            if file.unreadable.as_ref() != Some(&reason) {
                tracing::warn!(
                    "{path} has changed and can't be read: {reason}; the running policy is \
                     unchanged"
                );
                file.unreadable = Some(reason);
            }
            return;
        }
    };
    file.unreadable = None;
    file.looks.read(now);
    // Compared with the file's earlier content, not with the running component, which may have been
    // deployed by other means since.
    if file
        .policy
        .configured_digest()
        .is_some_and(|configured| configured == digest(&component))
    {
        return;
    }
    let (control, policy) = (Arc::clone(control), Arc::clone(&file.policy));
    let deployed = async move {
        if let Err(e) = control.deploy_file(&policy, component, path.clone()).await {
            tracing::warn!(
                "{path} has changed and was refused: {e}; the running policy is unchanged"
            );
        }
    };
    // Of its own: it ends as it should also if another configuration has the watch begin again.
    let _ = tokio::spawn(ground::caught(deployed)).await;
}

/// Reads on another thread, like [`fingerprint`]: a network file system may hang, and canaries must
/// still be watched.
async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let path = path.to_owned();
    let read =
        tokio::task::spawn_blocking(move || files::read_regular(&path, MAX_COMPONENT as u64)).await;
    read.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}
