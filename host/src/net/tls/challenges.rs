//! Handshakes by which a certificate authority checks that a name leads here (TLS-ALPN-01, RFC
//! 8737).

use std::collections::HashMap;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use rcgen::{CertificateParams, CustomExtension, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::ServerConfig;
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::version::{TLS12, TLS13};

use super::provider;

/// What such a handshake offers, and nothing else (RFC 8737 section 3).
const ALPN: &[u8] = b"acme-tls/1";

/// The answers of the order in progress, by name in lower case. The process has one table, which
/// its listeners share; most of the time it is empty.
#[derive(Debug, Default, Clone)]
pub struct Challenges(Arc<ArcSwapOption<Answers>>);

type Answers = HashMap<Box<str>, Arc<ServerConfig>>;

/// A challenge can't be answered.
#[derive(Debug, thiserror::Error)]
#[error("the certificate for the handshake of {name:?} can't be made: {reason}")]
pub struct ChallengeError {
    name: String,
    reason: String,
}

impl Challenges {
    /// Answers for these names, with the digests of their key authorizations, and for no others.
    ///
    /// # Errors
    ///
    /// A name is none; the answers before stay.
    pub fn answer(&self, names: &[(String, [u8; 32])]) -> Result<(), ChallengeError> {
        let mut answers = Answers::with_capacity(names.len());
        for (name, digest) in names {
            let config = presenting(name, digest).map_err(|reason| ChallengeError {
                name: name.clone(),
                reason,
            })?;
            answers.insert(name.to_ascii_lowercase().into(), Arc::new(config));
        }
        let answers = (!answers.is_empty()).then(|| Arc::new(answers));
        self.0.store(answers);
        Ok(())
    }

    /// Ends all answers.
    pub fn clear(&self) {
        self.0.store(None);
    }

    /// What answers this hello; `None` if it is no authority's, or for a name that is not being
    /// ordered.
    pub(super) fn find(&self, hello: &ClientHello<'_>) -> Option<Arc<ServerConfig>> {
        let answers = self.0.load();
        let answers = answers.as_ref()?;
        let mut offered = hello.alpn()?;
        let is_challenge = offered.next() == Some(ALPN) && offered.next().is_none();
        let name = hello.server_name().filter(|_| is_challenge)?;
        answers.get(name.to_ascii_lowercase().as_str()).cloned()
    }
}

/// The configuration that presents a certificate for this name with the digest in it.
fn presenting(name: &str, digest: &[u8; 32]) -> Result<ServerConfig, String> {
    let failed = |e: rcgen::Error| e.to_string();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(vec![name.to_owned()]).map_err(failed)?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = provider::provider();
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|e| e.to_string())?;
    // Not checked by rustls, which does not know its critical extension.
    let presented = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map_err(|e| e.to_string())?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(SingleCertAndKey::from(presented)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Nobody comes back.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.send_tls13_tickets = 0;
    Ok(config)
}
