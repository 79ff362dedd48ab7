//! The roots that clients' certificates are verified by: `client-ca`.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::SystemTime;

use rustls::RootCertStore;

use super::SOON;
use super::read::parsed;
use crate::admin::CertificateStatus;
use crate::config::ClientCertificates;
use crate::net::tls::Authorities;

/// The roots of one listener.
#[derive(Debug)]
pub(super) struct ClientRoots {
    path: PathBuf,
    required: bool,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    authorities: Authorities,
    /// Why the file can't be used as it is now.
    refused: Option<String>,
    failures: u64,
}

impl ClientRoots {
    /// Reads the file, or says what is wrong with it.
    pub(super) fn read(clients: &ClientCertificates) -> Result<Self, String> {
        let authorities = parsed(&clients.ca, Authorities::parse)?;
        Ok(Self {
            path: clients.ca.clone(),
            required: clients.required,
            state: Mutex::new(State {
                authorities,
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
        (Arc::clone(&self.state().authorities.roots), self.required)
    }

    /// Whether these are the ones that are in use, and nothing is wrong.
    pub(super) fn is_same(&self, new: &Authorities) -> bool {
        let state = self.state();
        let current = &state.authorities;
        // A root that was renewed has the same key and name, and another end.
        (&current.roots.roots, current.expires) == (&new.roots.roots, new.expires)
            && state.refused.is_none()
    }

    /// They are in use from now on.
    pub(super) fn replaced(&self, authorities: Authorities) {
        let mut state = self.state();
        (state.authorities, state.refused) = (authorities, None);
    }

    /// The file can't be used as it is; the roots that were in use stay.
    pub(super) fn refused(&self, reason: String) {
        let mut state = self.state();
        state.refused = Some(reason);
        state.failures += 1;
    }

    /// What an operator should know: why the file can't be used, or that an authority has expired
    /// or soon will.
    pub(super) fn note(&self, listener: &str) -> Option<String> {
        let state = self.state();
        if state.refused.is_some() {
            return state.refused.clone();
        }
        let Authorities { expires, first, .. } = &state.authorities;
        let day = humantime::format_rfc3339_seconds(*expires);
        let file = self.path.display();
        match expires.duration_since(SystemTime::now()) {
            Err(_) => Some(format!(
                "listener {listener}: `client-ca` {file} has an authority that has expired on \
                 {day}, {first}; the clients that it has signed are let in still: remove or renew it"
            )),
            Ok(left) if left < SOON => Some(format!(
                "listener {listener}: `client-ca` {file} has an authority that expires on {day}, \
                 {first}; renew it"
            )),
            Ok(_) => None,
        }
    }

    /// The roots in few words.
    pub(super) fn summary(&self) -> String {
        let Authorities { roots, expires, .. } = &self.state().authorities;
        let day = humantime::format_rfc3339_seconds(*expires);
        format!("{}, until {day}", counted_authorities(roots.len()))
    }

    pub(super) fn status(&self, listener: &str) -> CertificateStatus {
        let state = self.state();
        CertificateStatus {
            listener: listener.to_owned(),
            file: self.path.display().to_string(),
            names: Vec::new(),
            expires: state.authorities.expires,
            reload_failures: state.failures,
            refused: state.refused.clone(),
            acme: None,
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn counted_authorities(number: usize) -> String {
    match number {
        1 => "1 authority".to_owned(),
        n => format!("{n} authorities"),
    }
}
