//! The certificates of the listeners: read at the start, watched, and replaced while connections
//! are open.

mod read;
mod watch;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use self::read::{Files, parsed};
use crate::admin::CertificateStatus;
use crate::config::{Certificates as Configured, Config, Listener, ListenerTls, TlsVersion};
use crate::net::tls::{Acceptor, Certificate, CertificateStore, Offer, Tickets, self_signed};

pub(super) use self::watch::watch;

/// The names and addresses of `--tls-self-signed`.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long before its end a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The certificates of all listeners with TLS.
#[derive(Debug, Default)]
pub(in crate::app) struct ListenerCertificates {
    listeners: Vec<Arc<Served>>,
}

/// The certificates of one listener.
#[derive(Debug)]
struct Served {
    /// Its position in the configuration.
    number: usize,
    address: String,
    store: Arc<CertificateStore>,
    certificates: Vec<Watched>,
    /// Held while a certificate is replaced, so that one is at a time.
    replacing: Mutex<()>,
}

#[derive(Debug)]
struct Watched {
    /// `None` for one that was made in memory.
    files: Option<Files>,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    certificate: Certificate,
    /// Why the files can't be used as they are now.
    refused: Option<String>,
    failures: u64,
}

impl ListenerCertificates {
    /// Reads the certificates of all listeners.
    ///
    /// # Errors
    ///
    /// A sentence for each problem.
    pub(super) fn load(config: &Config) -> Result<Self, Vec<String>> {
        let encrypted: Vec<_> = config
            .listeners
            .iter()
            .enumerate()
            .filter_map(|(number, listener)| Some((number, listener, listener.tls.as_ref()?)))
            .collect();
        if encrypted.is_empty() {
            return Ok(Self::default());
        }
        let tickets = Tickets::new().map_err(|e| vec![format!("TLS can't be used: {e}")])?;
        let mut this = Self::default();
        let mut errors = Vec::new();
        for (number, listener, tls) in encrypted {
            match Served::load(number, listener, tls, &tickets) {
                Ok(served) => this.listeners.push(Arc::new(served)),
                Err(reasons) => errors.extend(reasons),
            }
        }
        match errors.is_empty() {
            true => Ok(this),
            false => Err(errors),
        }
    }

    /// What makes sessions of the connections of a listener, by its position in the configuration;
    /// `None` if it has no TLS.
    pub(super) fn acceptor(&self, number: usize) -> Option<Acceptor> {
        let served = self.listeners.iter().find(|s| s.number == number)?;
        Some(Acceptor::new(Arc::clone(&served.store)))
    }

    /// All certificates as they are served now.
    pub(super) fn status(&self) -> Vec<CertificateStatus> {
        let all = self.listeners.iter().flat_map(|served| {
            served.certificates.iter().map(|watched| {
                let state = watched.state();
                CertificateStatus {
                    listener: served.address.clone(),
                    file: watched.files.as_ref().map_or_else(String::new, Files::name),
                    names: state.certificate.names().all().collect(),
                    expires: state.certificate.expires(),
                    reload_failures: state.failures,
                    refused: state.refused.clone(),
                }
            })
        });
        all.collect()
    }

    /// Sentences about certificates that need an operator.
    pub(super) fn notes(&self) -> Vec<String> {
        let all = self
            .listeners
            .iter()
            .flat_map(|served| &served.certificates);
        all.filter_map(|watched| {
            let state = watched.state();
            state.refused.clone().or_else(|| state.certificate_note())
        })
        .collect()
    }

    /// Warns of certificates that are of no use to clients, or will soon be.
    pub(super) fn log_notes(&self) {
        for note in self.notes() {
            tracing::warn!("{note}");
        }
    }
}

impl Served {
    fn load(
        number: usize,
        listener: &Listener,
        tls: &ListenerTls,
        tickets: &Tickets,
    ) -> Result<Self, Vec<String>> {
        let address = listener.address.to_string();
        let mut errors = Vec::new();
        let mut certificates = Vec::new();
        for files in sources(&tls.certificates) {
            let read = match &files {
                Some(files) => files.certificate(),
                None => self_signed(&LOCAL).map_err(|e| e.to_string()),
            };
            match read {
                Ok(certificate) => certificates.push(Watched {
                    files,
                    state: Mutex::new(State {
                        certificate,
                        refused: None,
                        failures: 0,
                    }),
                }),
                Err(reason) => errors.push(format!("listener {address}: {reason}")),
            }
        }
        let clients = match &tls.clients {
            None => None,
            Some(clients) => match parsed(&clients.ca, Offer::roots) {
                Ok(roots) => Some((roots, clients.required)),
                Err(reason) => {
                    errors.push(format!("listener {address}: `client-ca` {reason}"));
                    None
                }
            },
        };
        if !errors.is_empty() {
            return Err(errors);
        }
        let offer = Offer {
            http1: listener.protocols.http1,
            h2: listener.protocols.h2,
            only_tls13: tls.min_version == TlsVersion::Tls13,
            clients,
            tickets: tickets.clone(),
        };
        let served: Vec<_> = certificates
            .iter()
            .map(|w| w.state().certificate.clone())
            .collect();
        let store = CertificateStore::new(offer, &served)
            .map_err(|e| vec![format!("listener {address}: TLS can't be used: {e}")])?;
        Ok(Self {
            number,
            address,
            store: Arc::new(store),
            certificates,
            replacing: Mutex::default(),
        })
    }

    /// Serves a certificate from now on.
    fn replace(&self, at: usize, certificate: &Certificate) -> Result<(), String> {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all: Vec<_> = self
            .certificates
            .iter()
            .map(|watched| watched.state().certificate.clone())
            .collect();
        all[at] = certificate.clone();
        self.store.replace(&all).map_err(|e| e.to_string())?;
        let mut state = self.certificates[at].state();
        state.certificate = certificate.clone();
        state.refused = None;
        Ok(())
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A sentence about a certificate that is not valid, or not for long.
    fn certificate_note(&self) -> Option<String> {
        let (now, names) = (SystemTime::now(), self.certificate.names().summary());
        let expires = self.certificate.expires();
        let day = |time| humantime::format_rfc3339_seconds(time);
        match expires.duration_since(now) {
            Err(_) => Some(format!(
                "the certificate for {names} has expired on {}; clients refuse it",
                day(expires)
            )),
            Ok(left) if left < SOON => Some(format!(
                "the certificate for {names} expires on {}; renew it",
                day(expires)
            )),
            Ok(_) if self.certificate.begins() > now => Some(format!(
                "the certificate for {names} is not valid before {}; clients refuse it",
                day(self.certificate.begins())
            )),
            Ok(_) => None,
        }
    }
}

fn sources(certificates: &Configured) -> Vec<Option<Files>> {
    match certificates {
        Configured::Files(all) => all.iter().map(|files| Some(Files::new(files))).collect(),
        Configured::SelfSigned => vec![None],
    }
}
