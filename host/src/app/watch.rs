//! Policy files that change on disk are picked up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::control::ControlPlane;
use crate::config::PolicySource;

/// How often files are looked at. Looking beats listening: it works over network file systems, mounted volumes and links that
/// are switched, which are how files change in clusters.
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
    /// What was seen at the last look: a file that is still being written differs from look to look.
    seen: Option<Mark>,
}

/// Looks at the policies' files for as long as it is polled.
pub async fn watch(control: Arc<ControlPlane>) {
    let files: Vec<Watched> = control
        .config()
        .policies
        .iter()
        .enumerate()
        .filter_map(|(policy, p)| match &p.source {
            // Nothing counts as read yet: a change between loading and the first look is not missed.
            PolicySource::File(path) => Some(Watched { policy, path: path.clone(), current: None, seen: None }),
            PolicySource::Builtin(_) => None,
        })
        .collect();
    // Each on its own: a component that takes long to compile holds up no other file. They end with this future.
    let mut watching = JoinSet::new();
    for mut file in files {
        let control = Arc::clone(&control);
        watching.spawn(async move {
            let mut ticks = interval(LOOK);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                look(&control, &mut file).await;
            }
        });
    }
    while watching.join_next().await.is_some() {}
    // Nothing to watch is no reason to end.
    std::future::pending().await
}

async fn look(control: &Arc<ControlPlane>, file: &mut Watched) {
    let now = mark(&file.path).await;
    let settled = std::mem::replace(&mut file.seen, now) == now;
    // A file that is gone leaves what runs alone: it may be in the middle of being replaced.
    if !settled || now.is_none() || now == file.current {
        return;
    }
    let path = file.path.display().to_string();
    let component = match tokio::fs::read(&file.path).await {
        Ok(component) => component,
        // It is read again at the next look.
        Err(e) => return tracing::warn!("{path} has changed and can't be read: {e}; what runs is unchanged"),
    };
    file.current = now;
    // Compared with what the file held before, not with what runs: that may have been deployed from elsewhere since.
    if control.configured(file.policy).is_some_and(|digest| digest == crate::policy::digest(&component)) {
        return;
    }
    if let Err(e) = control.deploy_file(file.policy, component, path.clone()).await {
        tracing::warn!("{path} has changed and was refused: {e}; what runs is unchanged");
    }
}

async fn mark(path: &Path) -> Option<Mark> {
    // Off this thread: a network file system may hang, and a canary still has to be watched.
    let metadata = tokio::fs::metadata(path).await.ok()?;
    Some(Mark {
        modified: metadata.modified().ok(),
        length: metadata.len(),
        #[cfg(unix)]
        inode: std::os::unix::fs::MetadataExt::ino(&metadata),
    })
}
