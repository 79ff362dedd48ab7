//! The certificates of a listener, by name.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use rustls::server::ClientHello;
use rustls::{RootCertStore, ServerConfig};

use super::Certificate;
use super::Challenges;
use super::Names;
use super::Offer;
use super::provider;

/// The certificates of a listener. Handshakes read them without a lock, and the control side
/// replaces them; open connections notice nothing.
#[derive(Debug)]
pub struct CertificateStore {
    /// Only read and changed by what replaces.
    offer: Mutex<Offer>,
    challenges: Challenges,
    served: ArcSwap<Served>,
}

#[derive(Debug)]
struct Served {
    /// Of clients that ask for no name, or for another one; also the first of `all`.
    default: Arc<Identity>,
    all: Vec<Arc<Identity>>,
    /// Positions in `all`, in the order of the configuration, by DNS name.
    by_name: HashMap<Box<str>, Vec<usize>>,
}

/// A certificate and the configuration that presents it.
#[derive(Debug)]
pub(super) struct Identity {
    certificate: Certificate,
    pub(super) config: Arc<ServerConfig>,
}

impl CertificateStore {
    /// A store with these certificates, the default one first.
    ///
    /// # Errors
    ///
    /// There is none, or a certificate can't be used with this offer.
    pub fn new(offer: Offer, certificates: &[Certificate]) -> Result<Self, rustls::Error> {
        let served = Served::new(&offer, certificates)?;
        Ok(Self {
            challenges: offer.challenges.clone(),
            offer: Mutex::new(offer),
            served: ArcSwap::from_pointee(served),
        })
    }

    /// Replaces all certificates.
    ///
    /// # Errors
    ///
    /// As of [`CertificateStore::new`]; the ones before stay.
    pub fn replace(&self, certificates: &[Certificate]) -> Result<(), rustls::Error> {
        let offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        self.served
            .store(Arc::new(Served::new(&offer, certificates)?));
        Ok(())
    }

    /// Verifies clients by these roots from now on, where they show a certificate.
    ///
    /// # Errors
    ///
    /// As of [`CertificateStore::new`]; the ones before stay.
    pub fn trust(
        &self,
        roots: Arc<RootCertStore>,
        certificates: &[Certificate],
    ) -> Result<(), rustls::Error> {
        let mut offer = self.offer.lock().unwrap_or_else(PoisonError::into_inner);
        let mut next = offer.clone();
        next.clients = offer
            .clients
            .as_ref()
            .map(|(_, required)| (roots, *required));
        self.served
            .store(Arc::new(Served::new(&next, certificates)?));
        *offer = next;
        Ok(())
    }

    /// What answers a certificate authority; `None` if this hello is not one's.
    pub(super) fn challenge(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        self.challenges.find(hello)
    }

    /// The names of the certificate that this hello would get.
    pub fn names_for(&self, hello: &ClientHello<'_>) -> Arc<Names> {
        Arc::clone(self.choose(hello).names())
    }

    /// The certificate for what the client asks.
    pub(super) fn choose(&self, hello: &ClientHello<'_>) -> Arc<Identity> {
        let served = self.served.load();
        let named = hello.server_name().and_then(|name| served.named(name));
        let mut named = named
            .into_iter()
            .flatten()
            .filter_map(|at| served.all.get(*at));
        let chosen = match named.clone().find(|identity| identity.fits(hello)) {
            Some(fitting) => fitting,
            None => named.next().unwrap_or_else(|| served.default_for(hello)),
        };
        Arc::clone(chosen)
    }
}

impl Served {
    fn new(offer: &Offer, certificates: &[Certificate]) -> Result<Self, rustls::Error> {
        let mut all = Vec::with_capacity(certificates.len());
        let mut by_name: HashMap<Box<str>, Vec<usize>> = HashMap::new();
        for (at, certificate) in certificates.iter().enumerate() {
            for name in certificate.names().dns() {
                by_name.entry(name.into()).or_default().push(at);
            }
            all.push(Arc::new(Identity {
                config: Arc::new(offer.present(certificate)?),
                certificate: certificate.clone(),
            }));
        }
        let default = all.first().map(Arc::clone);
        Ok(Self {
            default: default.ok_or(rustls::Error::NoCertificatesPresented)?,
            all,
            by_name,
        })
    }

    /// The certificates for a name: those for just this name, else those with a wildcard in place
    /// of its first label.
    fn named(&self, name: &str) -> Option<&Vec<usize>> {
        let name = name.to_ascii_lowercase();
        if let Some(exact) = self.by_name.get(name.as_str()) {
            return Some(exact);
        }
        let (_, rest) = name.split_once('.')?;
        self.by_name.get(format!("*.{rest}").as_str())
    }

    /// The first certificate; if the client can't verify its kind of signature, one for the same
    /// names that it can.
    fn default_for(&self, hello: &ClientHello<'_>) -> &Arc<Identity> {
        let names = self.default.names();
        let mut same = self.all.iter().filter(|i| i.names() == names);
        let fitting = same.find(|identity| identity.fits(hello));
        fitting.unwrap_or(&self.default)
    }
}

impl Identity {
    pub(super) fn names(&self) -> &Arc<Names> {
        self.certificate.names()
    }

    /// Whether the client can verify its kind of signature.
    fn fits(&self, hello: &ClientHello<'_>) -> bool {
        let key = &self.certificate.key.key;
        let suites = &provider::provider().cipher_suites;
        key.choose_scheme(hello.signature_schemes()).is_some()
            && suites.iter().any(|suite| {
                hello.cipher_suites().contains(&suite.suite())
                    && suite.usable_for_signature_algorithm(key.algorithm())
            })
    }
}
