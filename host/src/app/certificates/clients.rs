//! The roots that clients' certificates are verified by: `client-ca`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::RootCertStore;

use super::read::parsed;
use crate::admin::CertificateStatus;
use crate::config::ClientCertificates;
use crate::net::tls::Offer;

/// The roots of one listener.
#[derive(Debug)]
pub(super) struct ClientRoots {
    path: PathBuf,
    required: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    roots: Arc<RootCertStore>,
    /// When the first of them expires.
    expires: SystemTime,
    /// Why the file can't be used as it is now.
    refused: Option<String>,
    failures: u64,
}

impl ClientRoots {
    /// Reads the file, or says what is wrong with it.
    pub(super) fn read(clients: &ClientCertificates) -> Result<Self, String> {
        let (roots, expires) = parsed(&clients.ca, Offer::roots)?;
        Ok(Self {
            path: clients.ca.clone(),
            required: clients.required,
            state: Mutex::new(State {
                roots,
                expires,
                refused: None,
                failures: 0,
            }),
        })
    }

    pub(super) fn path(&self) -> &PathBuf {
        &self.path
    }

    /// The roots, and whether a client must present a certificate.
    pub(super) fn offered(&self) -> (Arc<RootCertStore>, bool) {
        (Arc::clone(&self.state().roots), self.required)
    }

    /// Whether these are the ones that are in use, and nothing is wrong.
    pub(super) fn is_same(&self, roots: &RootCertStore) -> bool {
        let state = self.state();
        state.roots.roots == roots.roots && state.refused.is_none()
    }

    /// They are in use from now on.
    pub(super) fn replaced(&self, roots: Arc<RootCertStore>, expires: SystemTime) {
        let mut state = self.state();
        (state.roots, state.expires, state.refused) = (roots, expires, None);
    }

    /// The file can't be used as it is; the roots that were in use stay.
    pub(super) fn refused(&self, reason: String) {
        let mut state = self.state();
        state.refused = Some(reason);
        state.failures += 1;
    }

    pub(super) fn note(&self) -> Option<String> {
        self.state().refused.clone()
    }

    pub(super) fn status(&self, listener: &str) -> CertificateStatus {
        let state = self.state();
        CertificateStatus {
            listener: listener.to_owned(),
            file: self.path.display().to_string(),
            names: Vec::new(),
            expires: state.expires,
            reload_failures: state.failures,
            refused: state.refused.clone(),
            acme: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
