//! From the certificates of the configuration to what listeners serve. `certificates`, which also
//! watches them, takes its place.

use std::path::Path;
use std::sync::Arc;

use anyhow::{Context, Result};

use crate::config::{CertificateFiles, Certificates, Listener, ListenerTls, TlsVersion};
use crate::files;
use crate::net::tls::{Acceptor, Certificate, CertificateStore, Offer, Tickets, self_signed};

/// More than any chain of certificates has.
const MOST: u64 = 1 << 20;
/// The names of a certificate that is made in memory.
const LOCAL: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// What makes the TLS sessions of each listener; `None` for a plain one.
///
/// # Errors
///
/// A sentence that names the file.
pub(super) fn acceptors(listeners: &[Listener]) -> Result<Vec<Option<Acceptor>>> {
    let tickets = Tickets::new().context("keys for TLS can't be made")?;
    let acceptor = |listener: &Listener| match &listener.tls {
        None => Ok(None),
        Some(tls) => acceptor(listener, tls, &tickets)
            .map(Some)
            .with_context(|| format!("the listener {} can't serve TLS", listener.address)),
    };
    listeners.iter().map(acceptor).collect()
}

fn acceptor(listener: &Listener, tls: &ListenerTls, tickets: &Tickets) -> Result<Acceptor> {
    let clients = match &tls.clients {
        None => None,
        Some(clients) => {
            let roots = Offer::roots(&read(&clients.ca)?);
            Some((roots.with_context(|| named(&clients.ca))?, clients.required))
        }
    };
    let offer = Offer {
        http1: listener.protocols.http1,
        h2: listener.protocols.h2,
        only_tls13: tls.min_version == TlsVersion::Tls13,
        clients,
        tickets: tickets.clone(),
    };
    let certificates = match &tls.certificates {
        Certificates::Files(files) => files.iter().map(certificate).collect::<Result<_>>()?,
        Certificates::SelfSigned => vec![self_signed(&LOCAL)?],
    };
    let store = CertificateStore::new(offer, &certificates)?;
    Ok(Acceptor::new(Arc::new(store)))
}

fn certificate(files: &CertificateFiles) -> Result<Certificate> {
    let (certificate, key) = (read(&files.certificate)?, read(&files.key)?);
    let ocsp = files.ocsp.as_deref().map(read).transpose()?;
    Certificate::parse(&certificate, &key, ocsp).with_context(|| named(&files.certificate))
}

fn read(path: &Path) -> Result<Vec<u8>> {
    files::read_regular(path, MOST).with_context(|| named(path))
}

fn named(path: &Path) -> String {
    format!("the file {}", path.display())
}
