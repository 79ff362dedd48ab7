//! The certificates of the listeners: read at the start, watched, and replaced while connections
//! are open.

mod clients;
#[cfg_attr(
    not(feature = "acme"),
    expect(dead_code, reason = "only orders use all of it")
)]
mod kept;
mod next;
#[cfg_attr(
    not(feature = "acme"),
    expect(dead_code, reason = "only orders use all of it")
)]
mod ordered;
mod orders;
mod pool_files;
mod pools;
mod read;
mod watch;

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use self::clients::ClientRoots;
use self::read::Files;
use crate::admin::CertificateStatus;
use crate::config::{Acme, Certificates as Configured, Config, Listener, ListenerTls, TlsVersion};
use crate::net::tls::{
    Acceptor, Authorities, Certificate, CertificateStore, Challenges, Offer, Tickets, self_signed,
};
use crate::proxy::HttpChallenges;

#[cfg(feature = "acme")]
pub(super) use self::kept::Kept;
pub(super) use self::ordered::Ordered;
#[cfg(feature = "acme")]
pub(super) use self::ordered::{Progress, renewal};
#[cfg(feature = "acme")]
pub(super) use self::orders::external_key;
pub(super) use self::pool_files::PoolFiles;
pub(super) use self::pools::watch as watch_pools;
pub(super) use self::watch::watch;

/// The names and addresses of `--tls-self-signed`.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
/// How long before its end a certificate is worth a warning.
const SOON: Duration = Duration::from_secs(14 * 24 * 3600);

/// The certificates of all listeners with TLS.
#[derive(Debug, Default)]
pub(in crate::app) struct ListenerCertificates {
    listeners: Vec<Arc<Served>>,
    /// The position of each in the configuration.
    positions: Vec<usize>,
    /// The positions of those that have none, because their connections are passed on.
    bare: Vec<usize>,
    /// Of all listeners, for the life of the process; `None` while none has TLS.
    tickets: Option<Tickets>,
    /// What certificates are ordered by.
    acme: Option<Acme>,
    /// Those that are ordered by ACME, each once.
    ordered: Vec<Arc<Ordered>>,
    /// What authorities are answered in handshakes.
    challenges: Challenges,
    /// What they are answered by plain HTTP; `None` if they don't ask there.
    http_challenges: Option<HttpChallenges>,
}

/// The certificates of one listener.
#[derive(Debug)]
struct Served {
    /// As it is configured.
    listener: Listener,
    address: String,
    store: Arc<CertificateStore>,
    certificates: Vec<Watched>,
    /// What clients' certificates are verified by; `None` if they show none.
    clients: Option<ClientRoots>,
    /// Held while a certificate or the roots are replaced, so that one is at a time.
    replacing: Mutex<()>,
}

#[derive(Debug)]
struct Watched {
    source: Source,
    state: Mutex<State>,
}

/// Where a certificate comes from.
#[derive(Debug)]
enum Source {
    Files(Files),
    Ordered(Arc<Ordered>),
    /// `--tls-self-signed`
    Memory,
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
        Self::default().next(config)
    }

    /// What makes sessions of the connections of a listener, by its position in the configuration;
    /// `None` if it has no TLS.
    pub(super) fn acceptor(&self, number: usize) -> Option<Acceptor> {
        if self.bare.contains(&number) {
            return Some(Acceptor::without_certificates());
        }
        Some(Acceptor::new(Arc::clone(&self.at(number)?.store)))
    }

    /// All certificates as they are served now.
    pub(super) fn status(&self) -> Vec<CertificateStatus> {
        let all = self.listeners.iter().flat_map(|served| {
            let clients = served
                .clients
                .iter()
                .map(|roots| roots.status(&served.address));
            let certificates = served.certificates.iter().map(|watched| {
                let state = watched.state();
                CertificateStatus {
                    listener: served.address.clone(),
                    file: watched.source.name(),
                    names: state.certificate.names().all().collect(),
                    expires: state.certificate.expires(),
                    reload_failures: state.failures,
                    refused: watched.source.note().or_else(|| state.refused.clone()),
                    acme: watched.source.ordered().map(|ordered| ordered.status()),
                }
            });
            certificates.chain(clients)
        });
        all.collect()
    }

    /// All of them in a line each, as they are served now.
    pub(super) fn lines(&self) -> Vec<String> {
        let all = self.listeners.iter().flat_map(|served| {
            let address = &served.address;
            let certificates = served.certificates.iter().map(move |watched| {
                let certificate = &watched.state().certificate;
                let names: Vec<String> = certificate.names().all().collect();
                if let Some(ordered) = watched.source.ordered().filter(|o| !o.is_issued()) {
                    let names = ordered.names().join(", ");
                    return format!(
                        "certificate of listener {address}: to be ordered, for {names}"
                    );
                }
                format!(
                    "certificate of listener {address}: ok, for {}, until {}",
                    names.join(", "),
                    humantime::format_rfc3339_seconds(certificate.expires())
                )
            });
            let clients = served.clients.iter();
            let clients = clients.map(move |roots| {
                format!("`client-ca` of listener {address}: ok, {}", roots.summary())
            });
            certificates.chain(clients)
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
            let note = watched.source.note().or_else(|| state.refused.clone());
            // Its next order comes in time.
            let renewed = watched.source.ordered().is_some();
            note.or_else(|| state.certificate_note(!renewed))
        })
        .chain(
            self.listeners
                .iter()
                .filter_map(|s| s.clients.as_ref()?.note(&s.address)),
        )
        .collect()
    }

    /// Warns of certificates that are of no use to clients, or will soon be.
    pub(super) fn log_notes(&self) {
        for note in self.notes() {
            tracing::warn!("{note}");
        }
    }
}

impl ListenerCertificates {
    /// Those of one listener.
    fn served(
        &self,
        config: &Config,
        (listener, tls): (&Listener, &ListenerTls),
        tickets: &Tickets,
    ) -> Result<Served, Vec<String>> {
        let address = listener.address.to_string();
        let named = |file: &Path| config.named_by(listener, file);
        let mut errors = Vec::new();
        let mut certificates = Vec::new();
        for source in self.sources(tls) {
            match source.read() {
                Ok(certificate) => certificates.push(Watched {
                    source,
                    state: Mutex::new(State {
                        certificate,
                        refused: None,
                        failures: 0,
                    }),
                }),
                Err(reason) => errors.push(format!(
                    "{}listener {address}: {reason}",
                    named(Path::new(&source.name()))
                )),
            }
        }
        let clients = tls.clients.as_ref().map(ClientRoots::read).transpose();
        let clients = clients.unwrap_or_else(|reason| {
            let ca = tls.clients.as_ref().map(|of| named(&of.ca));
            let at = ca.unwrap_or_default();
            errors.push(format!("{at}listener {address}: `client-ca` {reason}"));
            None
        });
        if !errors.is_empty() {
            return Err(errors);
        }
        let offer = Offer {
            http1: listener.protocols.http1,
            h2: listener.protocols.h2,
            only_tls13: tls.min_version == TlsVersion::Tls13,
            clients: clients.as_ref().map(ClientRoots::offered),
            tickets: tickets.clone(),
            challenges: self.challenges.clone(),
        };
        let served: Vec<_> = certificates
            .iter()
            .map(|w| w.state().certificate.clone())
            .collect();
        let store = CertificateStore::new(offer, &served)
            .map_err(|e| vec![format!("listener {address}: TLS can't be used: {e}")])?;
        Ok(Served {
            listener: listener.clone(),
            address,
            store: Arc::new(store),
            certificates,
            clients,
            replacing: Mutex::default(),
        })
    }

    fn sources(&self, tls: &ListenerTls) -> Vec<Source> {
        let mut all: Vec<Source> = match &tls.certificates {
            Configured::Files(all) => all.iter().map(|f| Source::Files(Files::new(f))).collect(),
            Configured::SelfSigned => vec![Source::Memory],
            Configured::None => Vec::new(),
        };
        let ordered = self.ordered.iter().find(|o| o.is_for(&tls.acme));
        all.extend(ordered.map(|ordered| Source::Ordered(Arc::clone(ordered))));
        all
    }
}

impl Served {
    /// Serves a certificate from now on.
    fn replace(&self, at: usize, certificate: &Certificate) -> Result<(), String> {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let mut all = self.certificates();
        all[at] = certificate.clone();
        self.store.replace(&all).map_err(|e| e.to_string())?;
        let mut state = self.certificates[at].state();
        state.certificate = certificate.clone();
        state.refused = None;
        Ok(())
    }

    /// Verifies clients by these authorities from now on.
    fn trust(&self, authorities: Authorities) -> Result<(), String> {
        let _one = self
            .replacing
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let roots = Arc::clone(&authorities.roots);
        let trusted = self.store.trust(roots, &self.certificates());
        trusted.map_err(|e| e.to_string())?;
        if let Some(clients) = &self.clients {
            clients.replaced(authorities);
        }
        Ok(())
    }

    fn certificates(&self) -> Vec<Certificate> {
        let all = self.certificates.iter();
        all.map(|watched| watched.state().certificate.clone())
            .collect()
    }
}

impl Watched {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl State {
    /// A sentence about a certificate that is not valid, or not for long.
    fn certificate_note(&self, is_renewed_by_hand: bool) -> Option<String> {
        let (now, names) = (SystemTime::now(), self.certificate.names().summary());
        let expires = self.certificate.expires();
        let day = |time| humantime::format_rfc3339_seconds(time);
        match expires.duration_since(now) {
            Err(_) => Some(format!(
                "the certificate for {names} has expired on {}; clients refuse it",
                day(expires)
            )),
            Ok(left) if left < SOON && is_renewed_by_hand => Some(format!(
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

impl Source {
    fn read(&self) -> Result<Certificate, String> {
        match self {
            Self::Files(files) => files.certificate(),
            Self::Ordered(ordered) => Ok(ordered.served()),
            Self::Memory => self_signed(&LOCAL).map_err(|e| e.to_string()),
        }
    }

    fn files(&self) -> Option<&Files> {
        match self {
            Self::Files(files) => Some(files),
            _ => None,
        }
    }

    fn ordered(&self) -> Option<&Arc<Ordered>> {
        match self {
            Self::Ordered(ordered) => Some(ordered),
            _ => None,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Files(files) => files.name(),
            Self::Ordered(_) => "acme".to_owned(),
            Self::Memory => String::new(),
        }
    }

    fn note(&self) -> Option<String> {
        self.ordered().and_then(|ordered| ordered.note())
    }
}
