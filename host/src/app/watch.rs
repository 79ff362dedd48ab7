//! Policy files that change on disk are picked up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::control::ControlPlane;
use crate::config::PolicySource;
use crate::files;
use crate::ground;
use crate::policy::{MAX_COMPONENT, digest};

/// How often files are looked at. Looking beats listening: it works over network file systems,
/// mounted volumes and links that are switched, which are how files change in clusters.
const LOOK: Duration = Duration::from_millis(500);

/// What tells one version of a file from another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Mark {
    modified: Option<SystemTime>,
    length: u64,
    #[cfg(unix)]
    inode: u64,
}

#[derive(Debug)]
struct Watched {
    policy: usize,
    path: PathBuf,
    /// What was read last.
    current: Option<Mark>,
    /// What was seen at the last look: a file that is still being written differs from look to
    /// look.
    seen: Option<Mark>,
    /// Of what was seen last, why it can't be read: said once.
    unreadable: Option<String>,
}

/// Looks at the policies' files for as long as it is polled. Each has a task of its own: a file on
/// a network that does not answer, or a component that takes long to load, holds up no other
/// policy.
pub async fn watch(control: Arc<ControlPlane>) {
    let mut watches = JoinSet::new();
    for (policy, p) in control.config().policies.iter().enumerate() {
        let PolicySource::File(path) = &p.source else {
            continue;
        };
        let (control, path) = (Arc::clone(&control), path.clone());
        // Nothing that it knows is lost by a panic: the next one compares the file with what was
        // configured.
        watches.spawn(async move {
            ground::stays("the watcher of a policy's file", || {
                // Nothing counts as read yet: a change between loading and the first look is not
                // missed.
                let file = Watched {
                    policy,
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
    // Nothing to watch is no reason to end.
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
    let now = mark(&file.path).await;
    let settled = std::mem::replace(&mut file.seen, now) == now;
    // A file that is gone leaves what runs alone: it may be in the middle of being replaced.
    if !settled || now.is_none() || now == file.current {
        return;
    }
    let path = file.path.display().to_string();
    let component = match read(&file.path).await {
        Ok(component) => component,
        // It is read again at the next look.
        Err(reason) => {
            if file.unreadable.as_ref() != Some(&reason) {
                tracing::warn!(
                    "{path} has changed and can't be read: {reason}; what runs is unchanged"
                );
                file.unreadable = Some(reason);
            }
            return;
        }
    };
    file.unreadable = None;
    file.current = now;
    // Compared with what the file held before, not with what runs: that may have been deployed from
    // elsewhere since.
    if control
        .configured(file.policy)
        .is_some_and(|configured| configured == digest(&component))
    {
        return;
    }
    if let Err(e) = control
        .deploy_file(file.policy, component, path.clone())
        .await
    {
        tracing::warn!("{path} has changed and was refused: {e}; what runs is unchanged");
    }
}

/// Off this thread, as [`mark`] is: a network file system may hang, and a canary still has to be
/// watched.
async fn read(path: &Path) -> Result<Vec<u8>, String> {
    let path = path.to_owned();
    let read =
        tokio::task::spawn_blocking(move || files::read_regular(&path, MAX_COMPONENT as u64)).await;
    read.map_err(|e| e.to_string())?.map_err(|e| e.to_string())
}

async fn mark(path: &Path) -> Option<Mark> {
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some(Mark {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}
