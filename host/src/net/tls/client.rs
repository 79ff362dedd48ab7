//! TLS to backends: what is trusted, what the proxy shows of itself, and the handshake.

use std::fmt;
use std::io;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::client::danger::ServerCertVerifier;
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{CertificateError, ClientConfig, RootCertStore};
use sha2::{Digest, Sha256};
use thiserror::Error;

use super::acceptor::session;
use super::certificate::{self, is_encrypted};
use super::handshake::{self, HandshakeError};
use super::provider::provider;
use super::short_chains::ShortChains;
use super::trusting::Trusting;
use crate::config::{KeyPairFiles, PoolTls};
use crate::files;
use crate::net::{Stream, TlsFacts};

/// Far more than any bundle of certificates; the system's are some 250 KiB.
const MAX_FILE: u64 = 4 << 20;
/// Sessions that are kept to be resumed: a backend has few names.
const SESSIONS: usize = 64;

/// Which protocols are offered in the handshake.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Alpn {
    /// HTTP/1.1.
    Http11,
    /// HTTP/2.
    H2,
    /// Either; the backend chooses.
    Either,
}

/// What an operator has decided about the connections of some backends; it distinguishes one
/// [`Connector`] from another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ConnectorId {
    name: String,
    settings: PoolTls,
    alpn: Alpn,
}

/// Opens TLS sessions to the backends of one name. Cheap to share: sessions to be resumed are kept
/// in it.
pub struct Connector {
    id: ConnectorId,
    name: ServerName<'static>,
    config: Arc<ClientConfig>,
    /// Of what its files hold.
    digest: [u8; 32],
}

/// Why a [`Connector`] can't be made.
#[derive(Debug, Error)]
pub enum ConnectorError {
    /// A file can't be read.
    #[error("{} can't be read: {reason}; check the path and who may read it", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What the system says.
        reason: io::Error,
    },
    /// A file has not what it should.
    #[error("{} {fault}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and what to do.
        fault: String,
    },
    /// The system has no roots.
    #[error(
        "this system has no certificates of authorities{reason}; install them (the package \
         ca-certificates), or write `ca`"
    )]
    NoRoots {
        /// What was found in their place.
        reason: String,
    },
    /// The name is not one that a certificate can have.
    #[error(
        "{name:?} is not a name that a certificate can have; write `server-name` with the name in \
         the backend's certificate"
    )]
    Name {
        /// The name.
        name: String,
    },
}

impl ConnectorId {
    /// Of connections to the backends that are written with this host.
    pub fn new(settings: &PoolTls, host: &str, alpn: Alpn) -> Self {
        Self {
            name: settings.server_name.as_deref().unwrap_or(host).to_owned(),
            settings: settings.clone(),
            alpn,
        }
    }

    /// The name that the certificate must have.
    pub fn name(&self) -> &str {
        &self.name
    }
}

impl Connector {
    /// Reads the files of these settings. `host` is the host that the backend is written with.
    ///
    /// # Errors
    ///
    /// A file can't be used, or the name is none.
    pub fn new(settings: &PoolTls, host: &str, alpn: Alpn) -> Result<Self, ConnectorError> {
        let name = settings.server_name.as_deref().unwrap_or(host);
        let server_name = server_name(name)?;
        let mut digest = Sha256::new();
        let provider = provider();
        let verifier: Arc<dyn ServerCertVerifier> = match settings.insecure {
            true => Arc::new(Trusting::new(&provider)),
            false => verifier(settings.ca.as_deref(), &provider, &mut digest)?,
        };
        let builder = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(|e| no_versions(&e))?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match &settings.client_certificate {
            None => builder.with_no_client_auth(),
            Some(files) => {
                let (chain, key) = key_pair(files, &mut digest)?;
                let config = builder.with_client_auth_cert(chain, key);
                config.map_err(|e| unfit(files, &e))?
            }
        };
        config.alpn_protocols = match alpn {
            Alpn::Http11 => vec![b"http/1.1".to_vec()],
            Alpn::H2 => vec![b"h2".to_vec()],
            Alpn::Either => vec![b"h2".to_vec(), b"http/1.1".to_vec()],
        };
        config.resumption = Resumption::in_memory_sessions(SESSIONS);
        Ok(Self {
            id: ConnectorId::new(settings, host, alpn),
            name: server_name,
            config: Arc::new(config),
            digest: digest.finalize().into(),
        })
    }

    /// With a configuration that was made elsewhere.
    #[cfg(test)]
    pub(super) fn of(config: Arc<ClientConfig>, name: ServerName<'static>) -> Self {
        Self {
            id: ConnectorId {
                name: String::new(),
                settings: PoolTls::default(),
                alpn: Alpn::Http11,
            },
            name,
            config,
            digest: [0; 32],
        }
    }

    /// What distinguishes it from others.
    pub fn id(&self) -> &ConnectorId {
        &self.id
    }

    /// Whether the other one has the same settings and read the same from its files.
    pub fn does_as(&self, other: &Self) -> bool {
        (&self.id, self.digest) == (&other.id, other.digest)
    }

    /// Has the backend and this side agree. The caller limits the time.
    ///
    /// # Errors
    ///
    /// The connection failed, or the backend is not the one that it should be.
    pub async fn connect(&self, stream: Stream) -> Result<(Stream, TlsFacts), HandshakeError> {
        let below = stream.into_below()?;
        let (config, name) = (Arc::clone(&self.config), self.name.clone());
        let stream = handshake::ask(below, config, name).await?;
        let facts = TlsFacts {
            session: Arc::new(session(&stream, None)),
            certificate: None,
        };
        Ok((Stream::Tls(Box::new(stream)), facts))
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Connector").field(&self.id).finish()
    }
}

impl HandshakeError {
    /// What went wrong in a handshake with a backend, in an operator's words.
    pub fn of_backend(&self) -> String {
        let Self::Tls(rustls::Error::InvalidCertificate(certificate)) = self else {
            return format!("the TLS handshake failed: {self}");
        };
        match certificate {
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                "its certificate has expired".to_owned()
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                "its certificate is not valid yet".to_owned()
            }
            // An authority of the same name has signed it in the second case.
            CertificateError::UnknownIssuer | CertificateError::BadSignature => {
                "its certificate is not from an authority that is trusted; write the \
                 authority's certificate as `ca`"
                    .to_owned()
            }
            CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
                format!("its certificate is not for this name (see `server-name`): {certificate}")
            }
            CertificateError::BadEncoding => "its certificate can't be read".to_owned(),
            CertificateError::Revoked => "its certificate was revoked".to_owned(),
            CertificateError::UnhandledCriticalExtension => {
                "its certificate has an extension that must be understood and is not".to_owned()
            }
            CertificateError::InvalidPurpose | CertificateError::InvalidPurposeContext { .. } => {
                "its certificate is not for servers (extended key usage)".to_owned()
            }
            other => format!("its certificate is not accepted ({other:?})"),
        }
    }
}

/// What trusts the roots in a file, or the system's, and speaks HTTP/1.1: for what is no backend.
///
/// # Errors
///
/// The roots can't be read.
pub fn client_config(ca: Option<&Path>) -> Result<Arc<ClientConfig>, ConnectorError> {
    let settings = PoolTls {
        ca: ca.map(Path::to_owned),
        ..PoolTls::default()
    };
    // The name is chosen for each connection.
    Connector::new(&settings, "localhost", Alpn::Http11).map(|connector| connector.config)
}

fn server_name(name: &str) -> Result<ServerName<'static>, ConnectorError> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(ServerName::from(address));
    }
    let found = ServerName::try_from(name.to_owned());
    found.map_err(|_| ConnectorError::Name {
        name: name.to_owned(),
    })
}

fn verifier(
    ca: Option<&Path>,
    provider: &Arc<CryptoProvider>,
    digest: &mut Sha256,
) -> Result<Arc<ShortChains<WebPkiServerVerifier>>, ConnectorError> {
    let (mut roots, path) = (RootCertStore::empty(), ca.map(Path::to_owned));
    for certificate in match ca {
        Some(ca) => certificates(ca, digest)?,
        None => system_roots(digest)?,
    } {
        match (roots.add(certificate), &path) {
            (Ok(()), _) => {}
            // One of the system's that is not understood is no loss.
            (Err(_), None) => {}
            (Err(e), Some(path)) => {
                return Err(fault(
                    path,
                    format!("has a certificate that is not one: {e}"),
                ));
            }
        }
    }
    let built = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let built = built.build().map_err(|e| match path {
        Some(path) => fault(&path, format!("can't be used: {e}")),
        None => ConnectorError::NoRoots {
            reason: format!(": {e}"),
        },
    })?;
    Ok(Arc::new(ShortChains::new(provider, built)))
}

fn system_roots(digest: &mut Sha256) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let first = found.errors.first();
        let reason = first.map(|e| format!(" ({e})")).unwrap_or_default();
        return Err(ConnectorError::NoRoots { reason });
    }
    found.certs.iter().for_each(|c| digest.update(c));
    Ok(found.certs)
}

fn read(path: &Path, digest: &mut Sha256) -> Result<Vec<u8>, ConnectorError> {
    let bytes = files::read_regular(path, MAX_FILE);
    let bytes = bytes.map_err(|reason| ConnectorError::Unreadable {
        path: path.to_owned(),
        reason,
    })?;
    digest.update(&bytes);
    Ok(bytes)
}

fn certificates(
    path: &Path,
    digest: &mut Sha256,
) -> Result<Vec<CertificateDer<'static>>, ConnectorError> {
    let bytes = read(path, digest)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    let found = found.map_err(|e| fault(path, format!("is not PEM: {e}")))?;
    match found.is_empty() {
        true => Err(fault(
            path,
            "has no certificate; it should have at least one, in PEM (-----BEGIN CERTIFICATE-----)",
        )),
        false => Ok(found),
    }
}

fn key_pair(
    files: &KeyPairFiles,
    digest: &mut Sha256,
) -> Result<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>), ConnectorError> {
    let chain = certificates(&files.certificate, digest)?;
    let text = read(&files.key, digest)?;
    let key = match PrivateKeyDer::from_pem_slice(&text) {
        _ if is_encrypted(&text) => Err(certificate::CertificateError::Encrypted),
        Ok(key) => Ok(key),
        Err(_) => Err(certificate::CertificateError::NoKey),
    };
    let key = key.map_err(|e| fault(&files.key, e.to_string()))?;
    Ok((chain, key))
}

fn unfit(files: &KeyPairFiles, error: &rustls::Error) -> ConnectorError {
    let key = files.key.display();
    fault(
        &files.certificate,
        format!("does not go with the key in {key}: {error}"),
    )
}

fn fault(path: &Path, fault: impl Into<String>) -> ConnectorError {
    ConnectorError::File {
        path: path.to_owned(),
        fault: fault.into(),
    }
}

/// The provider knows TLS 1.2 and 1.3, so this does not happen.
fn no_versions(error: &rustls::Error) -> ConnectorError {
    ConnectorError::NoRoots {
        reason: format!(", and no version of TLS: {error}"),
    }
}
