//! Watches the files of certificates and serves those that change.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::{MissedTickBehavior, interval};

use super::super::watch::{Fingerprint, LOOK, fingerprint};
use super::{ListenerCertificates, Served};
use crate::ground;

/// How often it is asked which certificates expire.
const EXPIRY: Duration = Duration::from_secs(12 * 3600);

/// Watches for as long as it is polled. Each certificate has its own task, so that a file system
/// that hangs does not delay others.
pub(in crate::app) async fn watch(all: Arc<ListenerCertificates>) {
    let mut watches = JoinSet::new();
    for served in &all.listeners {
        for (at, watched) in served.certificates.iter().enumerate() {
            if watched.source.files().is_none() {
                continue;
            }
            let served = Arc::clone(served);
            watches.spawn(async move {
                ground::stays("the watcher of a certificate", || {
                    watch_one(Arc::clone(&served), at)
                })
                .await;
            });
        }
    }
    let mut ticks = interval(EXPIRY);
    // The start has said it.
    ticks.tick().await;
    loop {
        ticks.tick().await;
        all.log_notes();
    }
}

/// The versions of a certificate's files.
type Seen = Vec<Option<Fingerprint>>;

async fn watch_one(served: Arc<Served>, at: usize) {
    let mut ticks = interval(LOOK);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    // Nothing counts as read yet, so that a change since the start is not missed.
    let (mut current, mut seen) = (Seen::new(), Seen::new());
    loop {
        ticks.tick().await;
        ground::fault_point("certificates");
        let now = versions(&served, at).await;
        // Files that are still being written differ from look to look.
        let settled = std::mem::replace(&mut seen, now.clone()) == now;
        if settled && now != current {
            current = now;
            reload(&served, at).await;
        }
    }
}

async fn versions(served: &Served, at: usize) -> Seen {
    let mut versions = Seen::new();
    let files = served.certificates[at].source.files();
    for path in files.into_iter().flat_map(|files| files.paths()) {
        versions.push(fingerprint(path).await);
    }
    versions
}

/// Reads the files on a thread for blocking work, and serves what is new.
async fn reload(served: &Arc<Served>, at: usize) {
    let Some(files) = served.certificates[at].source.files().cloned() else {
        return;
    };
    let read = tokio::task::spawn_blocking(move || files.certificate()).await;
    let read = read.unwrap_or_else(|e| Err(e.to_string()));
    let is_same = |new: &crate::net::tls::Certificate| {
        let state = served.certificates[at].state();
        state.certificate.is_same(new) && state.refused.is_none()
    };
    let replaced = match read {
        Ok(new) if is_same(&new) => return,
        Ok(new) => served.replace(at, &new).map(|()| new),
        Err(reason) => Err(reason),
    };
    let address = &served.address;
    let mut state = served.certificates[at].state();
    let names = state.certificate.names().summary();
    let expires = humantime::format_rfc3339_seconds(state.certificate.expires());
    match replaced {
        Ok(_) => {
            tracing::info!(
                "listener {address}: the certificate for {names} was replaced; it expires on \
                 {expires}"
            );
        }
        Err(reason) => {
            let refused = format!(
                "listener {address}: {reason}; the certificate for {names} that is in use stays, \
                 until {expires}"
            );
            tracing::warn!("{refused}");
            state.refused = Some(refused);
            state.failures += 1;
        }
    }
}
