//! Watches the configuration file.

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
                tracing::warn!("{path} is not there any more; the configuration that runs goes on");
            }
            continue;
        }
        is_missing = false;
        if !is_new {
            continue;
        }
        looks.read(now);
        let former = std::mem::replace(&mut read, now);
        if !runs(&control, path.clone()).await {
            // A file that was put in the place of another is whole.
            let is_whole = now
                .zip(former)
                .is_some_and(|(now, former)| now.is_another_file(&former));
            control.ask_for_reload(match is_whole {
                true => Purpose::Publish,
                false => Purpose::Follow,
            });
        }
    }
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
