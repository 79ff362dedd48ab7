//! Watches the files of certificates and serves those that change.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::JoinSet;
use tokio::time::interval;

use super::super::looks::{Fingerprint, Looks, fingerprint, ticks};
use super::clients::ClientRoots;
use super::read::parsed;
use super::{ListenerCertificates, Served};
use crate::ground;
use crate::net::tls::Authorities;

/// How often it is asked which certificates expire.
const EXPIRY: Duration = Duration::from_secs(12 * 3600);

/// Watches for as long as it is polled. Each certificate has its own task, so that a file system
/// that hangs does not delay others.
pub(in crate::app) async fn watch(all: Arc<ListenerCertificates>) {
    let mut watches = JoinSet::new();
    for served in &all.listeners {
        for part in served.watched() {
            let served = Arc::clone(served);
            watches.spawn(async move {
                ground::stays("the watcher of a certificate", || {
                    watch_one(Arc::clone(&served), part)
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

/// What comes from files and may change.
#[derive(Debug, Clone, Copy)]
enum Part {
    /// The certificate at this position.
    Certificate(usize),
    /// `client-ca`
    Clients,
}

impl Served {
    fn watched(&self) -> Vec<Part> {
        let certificates = self.certificates.iter().enumerate();
        certificates
            .filter(|(_, watched)| watched.source.files().is_some())
            .map(|(at, _)| Part::Certificate(at))
            .chain(self.clients.as_ref().map(|_| Part::Clients))
            .collect()
    }

    fn paths(&self, part: Part) -> Vec<&PathBuf> {
        match part {
            Part::Certificate(at) => {
                let files = self.certificates[at].source.files();
                files.into_iter().flat_map(|files| files.paths()).collect()
            }
            Part::Clients => self.clients.iter().map(ClientRoots::path).collect(),
        }
    }
}

/// The versions of files.
type Seen = Vec<Option<Fingerprint>>;

async fn watch_one(served: Arc<Served>, part: Part) {
    let mut ticks = ticks();
    // Nothing counts as read yet, so that a change since the start is not missed.
    let mut looks = Looks::default();
    loop {
        ticks.tick().await;
        ground::fault_point("certificates");
        let now = versions(served.paths(part)).await;
        if looks.is_new(&now) {
            looks.read(now);
            match part {
                Part::Certificate(at) => reload(&served, at).await,
                Part::Clients => reload_clients(&served).await,
            }
        }
    }
}

/// The versions of these files.
pub(super) async fn versions(paths: Vec<&PathBuf>) -> Vec<Option<Fingerprint>> {
    let mut versions = Seen::new();
    for path in paths {
        versions.push(fingerprint(path).await);
    }
    versions
}

/// Reads `client-ca`, and verifies new clients by what is new. Open connections stay.
async fn reload_clients(served: &Served) {
    let Some(clients) = &served.clients else {
        return;
    };
    let path = clients.path().clone();
    let read = tokio::task::spawn_blocking(move || parsed(&path, Authorities::parse)).await;
    let read = read.unwrap_or_else(|e| Err(e.to_string()));
    let address = &served.address;
    let replaced = match read {
        Ok(authorities) if clients.is_same(&authorities) => return,
        Ok(authorities) => served.trust(authorities),
        Err(reason) => Err(reason),
    };
    match replaced {
        Ok(()) => tracing::info!("listener {address}: `client-ca` was replaced"),
        Err(reason) => {
            let refused = format!(
                "listener {address}: `client-ca` {reason}; clients are verified by the one before"
            );
            tracing::warn!("{refused}");
            clients.refused(refused);
        }
    }
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
