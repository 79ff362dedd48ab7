//! Chains of certificates that are worth following, and clients' certificates that are worth
//! taking.

use std::sync::Arc;

use rustls::client::danger::{ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, WebPkiSupportedAlgorithms};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DistinguishedName, Error, OtherError};
use x509_parser::parse_x509_certificate;

use super::client_certificate;
use super::signatures::verify_signatures;

/// The most certificates between a peer's own and a root.
const MOST: usize = 6;
/// The most of them with one name. Certificates of one name could all have signed each other: each
/// more multiplies the search for a path, and six hold the worker for 6 to 36 ms, by the root's
/// kind of key. Two are what an authority has that goes from one key to another.
const MOST_NAMESAKES: usize = 2;

/// Refuses long chains before they are followed, and clients' certificates that can't be taken
/// whole; all else is the verifier's. What is refused here is answered by an alert, as what does
/// not verify.
#[derive(Debug)]
pub(super) struct ShortChains<V: ?Sized> {
    algorithms: WebPkiSupportedAlgorithms,
    verifier: Arc<V>,
}

/// A chain was too long.
#[derive(Debug, thiserror::Error)]
#[error(
    "there are more than {MOST} certificates between the first and a root, or more than \
     {MOST_NAMESAKES} with one name"
)]
struct ChainTooLong;

fn check(between: &[CertificateDer<'_>]) -> Result<(), Error> {
    if between.len() > MOST {
        return Err(refused(ChainTooLong));
    }
    if between.len() <= MOST_NAMESAKES {
        return Ok(());
    }
    // One that can't be read is the verifier's to refuse.
    let read = between.iter().map(|der| parse_x509_certificate(der));
    let read: Vec<_> = read.filter_map(Result::ok).collect();
    let name = |at: usize| read[at].1.subject().as_raw();
    let is_often = |at| {
        (0..read.len())
            .filter(|other| name(*other) == name(at))
            .count()
    };
    match (0..read.len()).any(|at| is_often(at) > MOST_NAMESAKES) {
        true => Err(refused(ChainTooLong)),
        false => Ok(()),
    }
}

fn refused(why: impl std::error::Error + Send + Sync + 'static) -> Error {
    CertificateError::Other(OtherError(Arc::new(why))).into()
}

impl<V: ?Sized> ShortChains<V> {
    pub(super) fn new(provider: &CryptoProvider, verifier: Arc<V>) -> Self {
        Self {
            algorithms: provider.signature_verification_algorithms,
            verifier,
        }
    }
}

impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for ShortChains<V> {
    fn offer_client_auth(&self) -> bool {
        self.verifier.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.verifier.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.verifier.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check(between)?;
        let verified = self.verifier.verify_client_cert(first, between, now)?;
        client_certificate::read(first).map_err(refused)?;
        Ok(verified)
    }

    verify_signatures!();
}

impl<V: ServerCertVerifier + ?Sized> ServerCertVerifier for ShortChains<V> {
    fn verify_server_cert(
        &self,
        first: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        staple: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        check(between)?;
        self.verifier
            .verify_server_cert(first, between, name, staple, now)
    }

    verify_signatures!();
}

#[cfg(test)]
mod tests {
    use super::super::trusting::Trusting;
    use super::*;
    use crate::net::tls::provider;

    #[test]
    fn a_chain_that_is_too_long_is_not_followed() {
        let provider = provider::provider();
        let short = ShortChains::new(&provider, Arc::new(Trusting::new(&provider)));
        let certificate = CertificateDer::from(vec![0]);
        let verified = |between: usize| {
            let between = vec![certificate.clone(); between];
            let name = ServerName::try_from("a.test").unwrap();
            let now = UnixTime::now();
            short.verify_server_cert(&certificate, &between, &name, &[], now)
        };
        assert!(verified(0).is_ok() && verified(MOST).is_ok());
        let refused = verified(MOST + 1).unwrap_err().to_string();
        assert!(refused.contains("ChainTooLong"), "{refused}");
    }
}
