//! Certificates in memory, for a machine's own use.

use rcgen::{CertificateParams, KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::Certificate;
use super::CertificateError;

/// A new certificate for these names and addresses, which nobody has signed.
///
/// # Errors
///
/// A name is none.
pub fn self_signed(names: &[&str]) -> Result<Certificate, CertificateError> {
    let failed = |e: rcgen::Error| CertificateError::Malformed(e.to_string());
    let names: Vec<String> = names.iter().map(ToString::to_string).collect();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed)?;
    let mut params = CertificateParams::new(names).map_err(failed)?;
    params.distinguished_name = rcgen::DistinguishedName::new();
    params
        .distinguished_name
        .push(rcgen::DnType::CommonName, "waypost, self-signed");
    let certificate = params.self_signed(&key).map_err(failed)?;
    let key = PrivateKeyDer::from(PrivatePkcs8KeyDer::from(key.serialize_der()));
    Certificate::new(vec![certificate.der().clone()], key, None)
}
