//! A certificate with its chain and its key, as it is read from PEM.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD as STANDARD;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use x509_parser::asn1_rs::{Any, Tag};
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::Names;
use super::provider;

/// A certificate that can be served.
#[derive(Debug, Clone)]
pub struct Certificate {
    pub(super) key: Arc<CertifiedKey>,
    names: Arc<Names>,
    /// Neither before the first nor after the second.
    valid: (SystemTime, SystemTime),
}

/// Why a certificate can't be served.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CertificateError {
    /// There is none.
    #[error("has no certificate (a block that begins with -----BEGIN CERTIFICATE-----)")]
    NoCertificate,
    /// There is no key.
    #[error(
        "has no private key (a block that begins with -----BEGIN PRIVATE KEY-----, \
         -----BEGIN EC PRIVATE KEY----- or -----BEGIN RSA PRIVATE KEY-----)"
    )]
    NoKey,
    /// The key is encrypted.
    #[error(
        "has a private key with a password, which nobody can type here; write it without one: \
         openssl pkey -in FILE -out FILE.plain"
    )]
    Encrypted,
    /// Among authorities.
    #[error(
        "has a certificate that is not an authority's, {subject}: {why}; list the authorities that \
         have signed clients' certificates"
    )]
    NoAuthority {
        /// Of that certificate.
        subject: String,
        /// What it lacks.
        why: &'static str,
    },
    /// It is not PEM.
    #[error("is not PEM: {0}")]
    Pem(String),
    /// It is no certificate.
    #[error("has a block that is not a certificate: {0}")]
    Malformed(String),
    /// The key is of a kind that is not supported, or broken.
    #[error("has a private key that can't be used: {0}")]
    Key(String),
    /// They don't belong together.
    #[error("has a private key that is not the certificate's")]
    Mismatch,
    /// Clients don't take so much.
    #[error("has a chain of more than {CHAIN} bytes, which clients refuse")]
    Chain,
    /// What was to be stapled.
    #[error("is not the answer of an OCSP responder (DER, RFC 6960 section 4.2.1)")]
    Staple,
}

/// The longest chain. Peers take handshake messages of 64 KiB.
const CHAIN: usize = 48 * 1024;

impl Certificate {
    /// Reads the certificate and its chain from one PEM text, the key from another or the same, and
    /// takes an OCSP response to be stapled.
    ///
    /// # Errors
    ///
    /// Why it can't be served; [`CertificateError::is_of_key`] says which text is wrong.
    pub fn parse(
        certificate: &[u8],
        key: &[u8],
        ocsp: Option<Vec<u8>>,
    ) -> Result<Self, CertificateError> {
        let chain = chain(certificate)?;
        let key = match PrivateKeyDer::from_pem_slice(key) {
            _ if is_encrypted(key) => return Err(CertificateError::Encrypted),
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => return Err(CertificateError::NoKey),
            Err(error) => return Err(CertificateError::Pem(error.to_string())),
        };
        Self::new(chain, key, ocsp)
    }

    pub(super) fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        ocsp: Option<Vec<u8>>,
    ) -> Result<Self, CertificateError> {
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        if chain
            .iter()
            .map(|certificate| certificate.len())
            .sum::<usize>()
            > CHAIN
        {
            return Err(CertificateError::Chain);
        }
        if ocsp.as_deref().is_some_and(|staple| !is_staple(staple)) {
            return Err(CertificateError::Staple);
        }
        let parsed = parsed(first)?;
        let names = Arc::new(names(&parsed));
        let valid = parsed.validity();
        let valid = (
            time(valid.not_before.timestamp()),
            time(valid.not_after.timestamp()),
        );
        let key = provider::provider()
            .key_provider
            .load_private_key(key)
            .map_err(|e| CertificateError::Key(e.to_string()))?;
        let mut key = CertifiedKey::new(chain, key);
        key.ocsp = ocsp;
        match key.keys_match() {
            Ok(()) | Err(rustls::Error::InconsistentKeys(rustls::InconsistentKeys::Unknown)) => {}
            Err(_) => return Err(CertificateError::Mismatch),
        }
        Ok(Self {
            key: Arc::new(key),
            names,
            valid,
        })
    }

    /// The names that it is for.
    pub fn names(&self) -> &Arc<Names> {
        &self.names
    }

    /// Whether it is the same certificate with the same chain and staple. A key is not compared: it
    /// belongs to the certificate.
    pub fn is_same(&self, other: &Self) -> bool {
        self.key.cert == other.key.cert && self.key.ocsp == other.key.ocsp
    }

    /// The certificate itself, without its chain.
    pub fn der(&self) -> Option<&CertificateDer<'static>> {
        self.key.cert.first()
    }

    /// The certificate and its chain as PEM.
    pub fn pem(&self) -> String {
        let mut text = String::new();
        for certificate in &self.key.cert {
            let encoded = STANDARD.encode(certificate);
            text.push_str("-----BEGIN CERTIFICATE-----\n");
            // All of it is ASCII.
            for line in encoded.as_bytes().chunks(64) {
                text.push_str(&String::from_utf8_lossy(line));
                text.push('\n');
            }
            text.push_str("-----END CERTIFICATE-----\n");
        }
        text
    }

    /// When it expires.
    pub fn expires(&self) -> SystemTime {
        self.valid.1
    }

    /// When it begins to be valid.
    pub fn begins(&self) -> SystemTime {
        self.valid.0
    }
}

impl CertificateError {
    /// Whether the file with the key is at fault.
    pub fn is_of_key(&self) -> bool {
        matches!(
            self,
            Self::NoKey | Self::Encrypted | Self::Key(_) | Self::Mismatch
        )
    }

    /// Whether the file with the OCSP response is.
    pub fn is_of_staple(&self) -> bool {
        matches!(self, Self::Staple)
    }
}

/// The certificates in a PEM text; at least one.
pub(super) fn chain(text: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(text).collect();
    let chain = chain.map_err(|error| CertificateError::Pem(error.to_string()))?;
    for certificate in &chain {
        parsed(certificate)?;
    }
    match chain.is_empty() {
        true => Err(CertificateError::NoCertificate),
        false => Ok(chain),
    }
}

/// Whether the first key in a PEM text has a password: PKCS#8, or what came before it.
pub(super) fn is_encrypted(text: &[u8]) -> bool {
    let text = String::from_utf8_lossy(text);
    let Some((before, rest)) = text.split_once("PRIVATE KEY-----") else {
        return false;
    };
    let headers = rest.trim_start().lines().next().unwrap_or_default();
    before.ends_with("ENCRYPTED ")
        || headers.starts_with("Proc-Type:") && headers.contains("ENCRYPTED")
}

/// Whether it is an OCSP response, and of a responder that answered: clients that ask for one end
/// the handshake over anything else. What it says is not looked at.
fn is_staple(staple: &[u8]) -> bool {
    const SUCCESSFUL: &[u8] = &[0];
    let Ok((&[], response)) = Any::from_der(staple) else {
        return false;
    };
    let status = Any::from_der(response.data);
    let is_status = |(rest, status): (&[u8], Any<'_>)| {
        status.tag() == Tag::Enumerated && status.data == SUCCESSFUL && !rest.is_empty()
    };
    response.tag() == Tag::Sequence && status.is_ok_and(is_status)
}

/// When a certificate expires.
pub(super) fn expiry(der: &CertificateDer<'_>) -> Result<SystemTime, CertificateError> {
    Ok(time(parsed(der)?.validity().not_after.timestamp()))
}

pub(super) fn parsed<'a>(
    der: &'a CertificateDer<'_>,
) -> Result<X509Certificate<'a>, CertificateError> {
    match X509Certificate::from_der(der) {
        Ok((_, parsed)) => Ok(parsed),
        Err(error) => Err(CertificateError::Malformed(error.to_string())),
    }
}

/// The names in the certificate; the common name only where there are no others, as browsers once
/// did.
fn names(certificate: &X509Certificate<'_>) -> Names {
    let alternative = certificate.subject_alternative_name().ok().flatten();
    let Some(alternative) = alternative else {
        let common = certificate.subject().iter_common_name();
        let common = common.filter_map(|name| name.as_str().ok().map(str::to_owned));
        return Names::new(common, Vec::new());
    };
    let all = &alternative.value.general_names;
    let dns = all.iter().filter_map(|name| match name {
        GeneralName::DNSName(name) => Some((*name).to_owned()),
        _ => None,
    });
    let addresses = all.iter().filter_map(|name| match name {
        GeneralName::IPAddress(octets) => address(octets),
        _ => None,
    });
    Names::new(dns, addresses.collect())
}

pub(super) fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
    v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from))
        .ok()
}

/// Seconds since 1970, or before.
fn time(seconds: i64) -> SystemTime {
    let since = Duration::from_secs(seconds.unsigned_abs());
    let time = match seconds >= 0 {
        true => SystemTime::UNIX_EPOCH.checked_add(since),
        false => SystemTime::UNIX_EPOCH.checked_sub(since),
    };
    time.unwrap_or(SystemTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::self_signed;

    fn with_staple(staple: &[u8]) -> Result<(), CertificateError> {
        let generated = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = generated.signing_key.serialize_pem();
        let text = generated.cert.pem();
        Certificate::parse(text.as_bytes(), key.as_bytes(), Some(staple.to_vec())).map(|_| ())
    }

    #[test]
    fn a_staple_that_ends_handshakes_is_refused() {
        assert_eq!(with_staple(&[0x30, 5, 0x0a, 1, 0, 5, 0]), Ok(()));
        let successful_and_empty = [0x30, 3, 0x0a, 1, 0];
        let try_later = [0x30, 5, 0x0a, 1, 3, 5, 0];
        let longer = [0x30, 5, 0x0a, 1, 0, 5, 0, 0];
        let other = [0x31, 5, 0x0a, 1, 0, 5, 0];
        for wrong in [
            &b""[..],
            b"garbage",
            &successful_and_empty,
            &try_later,
            &longer,
            &other,
        ] {
            assert_eq!(
                with_staple(wrong),
                Err(CertificateError::Staple),
                "{wrong:02x?}"
            );
        }
    }

    #[test]
    fn a_chain_that_clients_refuse_is_refused_and_any_other_is_written_as_it_was() {
        let generated = rcgen::generate_simple_self_signed(["a.test".to_owned()]).unwrap();
        let key = generated.signing_key.serialize_pem();
        let length = generated.cert.der().len();
        let of = |count: usize| {
            let text = generated.cert.pem().repeat(count);
            Certificate::parse(text.as_bytes(), key.as_bytes(), None)
        };
        let longest = CHAIN / length;
        let written = of(longest).unwrap().pem();
        assert_eq!(chain(written.as_bytes()).unwrap().len(), longest);
        let again = Certificate::parse(written.as_bytes(), key.as_bytes(), None).unwrap();
        assert!(again.is_same(&of(longest).unwrap()));
        assert_eq!(of(longest + 1).unwrap_err(), CertificateError::Chain);
        assert!(self_signed(&["a.test"]).unwrap().pem().len() > 100);
    }
}
