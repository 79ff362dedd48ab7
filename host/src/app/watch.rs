//! Watches policy files and deploys those that change.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::control::{ControlPlane, Managed};
use crate::files;
use crate::ground;
use crate::policy::{MAX_COMPONENT, digest};

/// How often files are checked. Polling beats notifications: it works with network file systems,
/// mounted volumes and switched links, which is how files change in clusters.
pub(super) const LOOK: Duration = Duration::from_millis(500);

/// Distinguishes versions of a file without reading it. Links are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Fingerprint {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

struct Watched {
    policy: Arc<Managed>,
    path: PathBuf,
    /// The version that was read last.
    current: Option<Fingerprint>,
    /// The version at the last check: a file that is still being written differs from check to
    /// check.
    seen: Option<Fingerprint>,
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
                    current: None,
                    seen: None,
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
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        ground::fault_point("watcher");
        look(&control, &mut file).await;
    }
}

async fn look(control: &Arc<ControlPlane>, file: &mut Watched) {
    let now = fingerprint(&file.path).await;
    let settled = std::mem::replace(&mut file.seen, now) == now;
    // A missing file changes nothing: it may be about to be replaced.
    if !settled || now.is_none() || now == file.current {
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
    file.current = now;
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

pub(super) async fn fingerprint(path: &Path) -> Option<Fingerprint> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some(Fingerprint {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}
