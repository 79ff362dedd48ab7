//! Chains of certificates that are worth following.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, OtherError, SignatureScheme,
};

/// The most certificates between a peer's own and a root. With many of one name that all could have
/// signed each other, the search for a path takes the worker for a tenth of a second; with these
/// it has some 2,000 steps.
const MOST: usize = 6;

/// Refuses long chains before they are followed; all else is the verifier's.
#[derive(Debug)]
pub(super) struct ShortChains<V: ?Sized>(pub(super) Arc<V>);

/// A chain was too long.
#[derive(Debug, thiserror::Error)]
#[error("there are more than {MOST} certificates between the first and a root")]
struct ChainTooLong;

fn check(between: &[CertificateDer<'_>]) -> Result<(), Error> {
    match between.len() > MOST {
        true => Err(CertificateError::Other(OtherError(Arc::new(ChainTooLong))).into()),
        false => Ok(()),
    }
}

impl<V: ClientCertVerifier + ?Sized> ClientCertVerifier for ShortChains<V> {
    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_client_cert(
        &self,
        first: &CertificateDer<'_>,
        between: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        check(between)?;
        self.0.verify_client_cert(first, between, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
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
        self.0.verify_server_cert(first, between, name, staple, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::super::trusting::Trusting;
    use super::*;
    use crate::net::tls::provider;

    #[test]
    fn a_chain_that_is_too_long_is_not_followed() {
        let provider = provider::provider();
        let short = ShortChains(Arc::new(Trusting::new(&provider)));
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
