//! The authorities that sign clients' certificates: `client-ca`.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::RootCertStore;
use x509_parser::prelude::{X509Certificate, X509Version};

use super::certificate::{CertificateError, chain, expiry, parsed};
use super::client_certificate::distinguished_name;

/// Authorities that sign clients' certificates.
#[derive(Debug, Clone)]
pub struct Authorities {
    /// Their keys and names.
    pub roots: Arc<RootCertStore>,
    /// When the first of them expires. Their keys are trusted beyond that: a path is verified up to
    /// a root, and not the root itself (RFC 5280 section 6.1).
    pub expires: SystemTime,
    /// The subject of that one.
    pub first: String,
}

impl Authorities {
    /// Those in a PEM text.
    ///
    /// # Errors
    ///
    /// There are none, or one of them is broken, or may not sign certificates.
    pub fn parse(text: &[u8]) -> Result<Self, CertificateError> {
        let (mut roots, mut earliest) = (RootCertStore::empty(), None);
        for root in chain(text)? {
            let (expires, certificate) = (expiry(&root)?, parsed(&root)?);
            let subject = subject(&certificate);
            if let Some(why) = unfit(&certificate) {
                return Err(CertificateError::NoAuthority { subject, why });
            }
            if earliest.as_ref().is_none_or(|(first, _)| expires < *first) {
                earliest = Some((expires, subject));
            }
            roots
                .add(root)
                .map_err(|e| CertificateError::Malformed(e.to_string()))?;
        }
        let (expires, first) = earliest.ok_or(CertificateError::NoCertificate)?;
        Ok(Self {
            roots: Arc::new(roots),
            expires,
            first,
        })
    }
}

fn subject(certificate: &X509Certificate<'_>) -> String {
    let name = distinguished_name(certificate.subject());
    name.unwrap_or_else(|_| "a certificate whose subject can't be read".to_owned())
}

/// Why it is no authority's; `None` if it is one's. Before version 3 a certificate could not say.
fn unfit(certificate: &X509Certificate<'_>) -> Option<&'static str> {
    let is_authority = certificate.is_ca() || certificate.version() != X509Version::V3;
    if !is_authority {
        return Some("its basic constraints do not say CA");
    }
    match certificate.key_usage() {
        Ok(Some(usage)) if !usage.value.key_cert_sign() => {
            Some("its key usage has no signing of certificates")
        }
        Ok(_) => None,
        Err(_) => Some("its key usage can't be read"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, KeyPair, KeyUsagePurpose};

    fn pem(name: &str, change: impl FnOnce(&mut CertificateParams)) -> String {
        let mut params = CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        params.self_signed(&key).unwrap().pem()
    }

    #[test]
    fn the_authority_that_expires_first_is_named() {
        let until = |year| {
            move |params: &mut CertificateParams| {
                params.not_after = rcgen::date_time_ymd(year, 1, 1);
            }
        };
        let text = [
            pem("a", until(2050)),
            pem("b", until(2040)),
            pem("c", until(2060)),
        ]
        .concat();
        let all = Authorities::parse(text.as_bytes()).unwrap();
        assert_eq!((all.first.as_str(), all.roots.len()), ("CN=b", 3));
        let expires = humantime::format_rfc3339_seconds(all.expires).to_string();
        assert_eq!(expires, "2040-01-01T00:00:00Z");
    }

    #[test]
    fn a_certificate_that_may_not_sign_others_is_no_authority() {
        let good = pem("good", |params| {
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        });
        assert!(Authorities::parse(good.as_bytes()).is_ok());
        let no_ca = pem("leaf", |params| params.is_ca = IsCa::NoCa);
        let says_no_ca = pem("leaf", |params| params.is_ca = IsCa::ExplicitNoCa);
        let no_usage = pem("leaf", |params| {
            params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        });
        for (wrong, words) in [
            (no_ca, "basic constraints"),
            (says_no_ca, "basic constraints"),
            (no_usage, "key usage"),
        ] {
            let both = [good.clone(), wrong].concat();
            let said = Authorities::parse(both.as_bytes()).unwrap_err().to_string();
            assert!(said.contains("CN=leaf") && said.contains(words), "{said}");
        }
    }
}
