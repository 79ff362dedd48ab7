//! Watches the configuration file.

use std::fs::Metadata;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Arc;

use crate::app::control::{ControlPlane, Purpose};
use crate::app::looks::{Looks, fingerprint, ticks};
use crate::config::MAX_FILE_BYTES;
use crate::files;
use crate::ground;
use crate::policy::digest;

/// Asks for a reload when the file has changed, for as long as it is polled.
pub(in crate::app) async fn watch_file(control: Arc<ControlPlane>, path: PathBuf) {
    ground::stays("the watcher of the configuration", || {
        watch(Arc::clone(&control), path.clone())
    })
    .await;
}

async fn watch(control: Arc<ControlPlane>, path: PathBuf) {
    let mut ticks = ticks();
    // Nothing counts as read yet, so that a change since the start is not missed.
    let (mut looks, mut is_missing) = (Looks::default(), false);
    let mut read = None;
    loop {
        ticks.tick().await;
        ground::fault_point("configuration");
        let now = fingerprint(&path).await;
        let is_new = looks.is_new(&now);
        if now.is_none() {
            if is_new && !is_missing {
                is_missing = true;
                let path = path.display();
                tracing::warn!(
                    "{path} is not there any more; the running configuration stays in effect"
                );
            }
            continue;
        }
        is_missing = false;
        if !is_new {
            continue;
        }
        looks.read(now);
        let found = found(path.clone()).await;
        let former = std::mem::replace(&mut read, found.clone());
        if !runs(&control, path.clone()).await {
            // A file that was put in the place of another is whole.
            let is_whole = found
                .zip(former)
                .is_some_and(|(found, former)| found.was_put_in_place_of(&former));
            control.ask_for_reload(match is_whole {
                true => Purpose::Publish,
                false => Purpose::Follow,
            });
        }
    }
}

/// Which file a path leads to.
#[derive(Debug, Clone)]
struct Found {
    /// Behind all links.
    place: PathBuf,
    file: Metadata,
}

impl Found {
    /// Whether it was put there as a whole: a link leads elsewhere, or another file was renamed to
    /// this path. One that was made here and then written has been written last when it was changed
    /// last; a rename is a later change.
    fn was_put_in_place_of(&self, former: &Self) -> bool {
        let changed = (self.file.ctime(), self.file.ctime_nsec());
        let written = (self.file.mtime(), self.file.mtime_nsec());
        self.place != former.place || (self.file.ino() != former.file.ino() && changed > written)
    }
}

async fn found(path: PathBuf) -> Option<Found> {
    let find = move || {
        let place = path.canonicalize().ok()?;
        let file = place.metadata().ok()?;
        Some(Found { place, file })
    };
    tokio::task::spawn_blocking(find).await.ok().flatten()
}

/// Whether the file is the one that runs, and nothing was wrong since.
async fn runs(control: &ControlPlane, path: PathBuf) -> bool {
    let read = move || files::read_regular(&path, MAX_FILE_BYTES);
    let Ok(Ok(text)) = tokio::task::spawn_blocking(read).await else {
        // Reading it again says why it can't be read.
        return false;
    };
    let status = control.reload_status();
    status.errors.is_empty() && status.digest == Some(digest(&text))
}
