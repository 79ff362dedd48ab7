//! The files of pools' `tls`: read again when they change.

use std::path::PathBuf;
use std::sync::Arc;

use super::super::control::ControlPlane;
use super::super::looks::{Looks, ticks};
use super::watch::versions;
use crate::config::Config;
use crate::ground;

/// Watches for as long as it is polled.
pub(in crate::app) async fn watch(control: Arc<ControlPlane>) {
    ground::stays("the watcher of the pools' files", || {
        watch_all(Arc::clone(&control))
    })
    .await;
}

async fn watch_all(control: Arc<ControlPlane>) {
    let mut ticks = ticks();
    // What was read a moment ago.
    let mut watched = files(&control.current());
    let mut looks = Looks::after(versions(watched.iter().collect()).await);
    loop {
        ticks.tick().await;
        let named = files(&control.current());
        let now = versions(named.iter().collect()).await;
        if named != watched {
            // Another configuration has just been read, with these.
            (watched, looks) = (named, Looks::after(now));
            continue;
        }
        if !looks.is_new(&now) {
            continue;
        }
        match control.publish_pool_files().await {
            Ok(()) => {
                looks.read(now);
                control.pool_files().set(None);
                tracing::info!("files of `[pools]` were replaced: new connections use them");
            }
            // Tried again at the next look: a name may not have been resolved.
            Err(reason) => {
                let refused = format!("{reason}; the files that were read before stay in use");
                control.pool_files().set(Some(refused));
            }
        }
    }
}

/// The files of all pools' `tls`, each once.
fn files(config: &Config) -> Vec<PathBuf> {
    let backends = config.pools.iter().flat_map(|pool| &pool.backends);
    let mut all = Vec::new();
    for tls in backends.filter_map(|backend| backend.tls.as_ref()) {
        let own = tls.client_certificate.iter();
        let own = own.flat_map(|files| [&files.certificate, &files.key]);
        all.extend(tls.ca.iter().chain(own).cloned());
    }
    all.sort();
    all.dedup();
    all
}
