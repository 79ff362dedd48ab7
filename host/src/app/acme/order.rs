//! One order: from the account to a certificate with its key.

use std::collections::HashMap;
use std::time::{Duration, SystemTime};

use instant_acme::{
    Account, AuthorizationHandle, AuthorizationStatus, CertificateIdentifier, ChallengeHandle,
    ChallengeType, Error, Identifier, NewOrder, Order, OrderStatus, RetryPolicy,
};
use rcgen::{CertificateParams, DistinguishedName, KeyPair, PKCS_ECDSA_P256_SHA256};

use super::super::certificates::ListenerCertificates;
use super::failure::Failure;
use crate::config::AcmeChallenge;
use crate::net::tls::Certificate;

/// How the authority is asked whether it has checked the names, and whether it has signed.
const POLLING: RetryPolicy = RetryPolicy::new()
    .initial_delay(Duration::from_millis(250))
    .backoff(1.5)
    .timeout(Duration::from_secs(180));
/// Tokens are base64url and some 43 characters (RFC 8555 section 8.1).
const LONGEST_TOKEN: usize = 256;

/// What an order gives.
pub(super) struct Issued {
    pub certificate: Certificate,
    /// The chain, and the key behind it.
    pub pem: String,
}

/// The answers to the challenges of an order, which end with it.
pub(super) struct Answers<'a> {
    certificates: &'a ListenerCertificates,
    by_token: HashMap<String, String>,
    by_name: Vec<(String, [u8; 32])>,
}

impl<'a> Answers<'a> {
    pub(super) fn new(certificates: &'a ListenerCertificates) -> Self {
        Self {
            certificates,
            by_token: HashMap::new(),
            by_name: Vec::new(),
        }
    }

    /// Answers one more challenge.
    fn add(&mut self, name: &str, challenge: &ChallengeHandle<'_>) -> Result<(), Failure> {
        let key = challenge.key_authorization();
        match challenge.r#type {
            ChallengeType::Http01 => {
                let token = &challenge.token;
                let is_token = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_');
                if token.is_empty() || token.len() > LONGEST_TOKEN || !token.bytes().all(is_token) {
                    return Err(Failure::new("the authority's token is not one"));
                }
                self.by_token.insert(token.clone(), key.as_str().to_owned());
                if let Some(table) = self.certificates.http_challenges() {
                    table.answer(self.by_token.clone());
                }
            }
            _ => {
                let digest = <[u8; 32]>::try_from(key.digest().as_ref());
                let digest = digest.map_err(|_| Failure::new("the digest has no 32 bytes"))?;
                self.by_name.push((name.to_owned(), digest));
                let answered = self.certificates.challenges().answer(&self.by_name);
                answered.map_err(|e| Failure::new(&e.to_string()))?;
            }
        }
        Ok(())
    }
}

impl Drop for Answers<'_> {
    fn drop(&mut self) {
        self.certificates.challenges().clear();
        if let Some(table) = self.certificates.http_challenges() {
            table.clear();
        }
    }
}

/// Orders a certificate for these names.
pub(super) async fn order(
    account: &Account,
    names: &[String],
    challenge: AcmeChallenge,
    replaces: Option<CertificateIdentifier<'_>>,
    answers: &mut Answers<'_>,
) -> Result<Issued, Failure> {
    let identifiers: Vec<_> = names.iter().map(|n| Identifier::Dns(n.clone())).collect();
    let mut new = NewOrder::new(&identifiers);
    if let Some(replaces) = replaces {
        new = new.replaces(replaces);
    }
    let mut order = account.new_order(&new).await?;
    authorize(&mut order, names, challenge, answers).await?;
    if order.state().status == OrderStatus::Pending {
        let polled = order.poll_ready(&POLLING).await;
        if !matches!(polled, Ok(OrderStatus::Ready)) {
            let polled = polled.err().unwrap_or(Error::Str("the order is not ready"));
            return Err(refused(&mut order, polled).await);
        }
    }
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(|e| unfit(&e))?;
    let mut params = CertificateParams::new(names.to_vec()).map_err(|e| unfit(&e))?;
    params.distinguished_name = DistinguishedName::new();
    let request = params.serialize_request(&key).map_err(|e| unfit(&e))?;
    order.finalize_csr(request.der()).await?;
    let chain = order.poll_certificate(&POLLING).await?;
    issued(names, &chain, &key.serialize_pem())
}

/// Shows that the names are ours, where the authority does not know it already.
async fn authorize(
    order: &mut Order,
    names: &[String],
    challenge: AcmeChallenge,
    answers: &mut Answers<'_>,
) -> Result<(), Failure> {
    let (kind, written) = match challenge {
        AcmeChallenge::TlsAlpn01 => (ChallengeType::TlsAlpn01, "tls-alpn-01"),
        AcmeChallenge::Http01 => (ChallengeType::Http01, "http-01"),
    };
    let mut authorizations = order.authorizations();
    while let Some(authorization) = authorizations.next().await {
        let mut authorization = authorization?;
        let name = authorization.identifier().to_string().to_ascii_lowercase();
        match authorization.status {
            AuthorizationStatus::Valid => continue,
            AuthorizationStatus::Pending => {}
            status => return Err(Failure::new(&format!("{name}: it is {status:?}"))),
        }
        if !names.contains(&name) {
            return Err(Failure::new(&format!(
                "it asks for {name}, which was not ordered"
            )));
        }
        let Some(mut challenge) = authorization.challenge(kind.clone()) else {
            return Err(Failure::new(&format!(
                "{name}: it does not offer {written}"
            )));
        };
        answers.add(&name, &challenge)?;
        challenge.set_ready().await?;
    }
    Ok(())
}

/// Why the names were not accepted: the challenges say it, and the order does not.
async fn refused(order: &mut Order, polled: Error) -> Failure {
    let mut authorizations = order.authorizations();
    while let Some(Ok(mut authorization)) = authorizations.next().await {
        if authorization.refresh().await.is_err() {
            break;
        }
        if let Some(reason) = reason(&authorization) {
            return Failure::new(&reason);
        }
    }
    polled.into()
}

fn reason(authorization: &AuthorizationHandle<'_>) -> Option<String> {
    let mut errors = authorization
        .challenges
        .iter()
        .filter_map(|c| c.error.as_ref());
    let error = errors.next()?;
    let name = authorization.identifier().to_string();
    let detail = error.detail.as_deref().unwrap_or("it gives no reason");
    let kind = error.r#type.as_deref().unwrap_or_default();
    let kind = kind.rsplit(':').next().unwrap_or_default();
    Some(format!("{name}: {detail} ({kind})"))
}

/// The certificate, if it is what was ordered.
fn issued(names: &[String], chain: &str, key: &str) -> Result<Issued, Failure> {
    let certificate = Certificate::parse(chain.as_bytes(), key.as_bytes(), None)
        .map_err(|e| Failure::new(&format!("what it issued {e}")))?;
    let has: Vec<String> = certificate.names().all().collect();
    if let Some(missing) = names.iter().find(|name| !has.contains(name)) {
        return Err(Failure::new(&format!(
            "what it issued is not for {missing}"
        )));
    }
    // A name that this proxy was not asked to serve is not to be served by its key.
    if let Some(extra) = has.iter().find(|name| !names.contains(name)) {
        return Err(Failure::new(&format!(
            "what it issued is also for {extra}, which was not ordered"
        )));
    }
    let now = SystemTime::now();
    if certificate.expires() <= now {
        return Err(Failure::new("what it issued has expired"));
    }
    if certificate.begins() > now {
        return Err(Failure::new(
            "what it issued is not valid yet by this machine's clock",
        ));
    }
    Ok(Issued {
        // Only what was understood is kept: another key between the certificates would be taken
        // for theirs at the next start.
        pem: format!("{}{key}", certificate.pem()),
        certificate,
    })
}

fn unfit(error: &rcgen::Error) -> Failure {
    Failure::new(&format!(
        "the request for the certificate can't be made: {error}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an authority issues for these names, and the key that it is for.
    fn chain(names: &[&str]) -> (String, String) {
        let names: Vec<String> = names.iter().map(ToString::to_string).collect();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(names).unwrap();
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    #[test]
    fn a_certificate_is_for_the_names_that_were_ordered_and_for_our_key_or_refused() {
        let ordered = ["a.test", "b.test"].map(str::to_owned);
        let of = |names: &[&str]| {
            let (chain, key) = chain(names);
            let issued = issued(&ordered, &chain, &key);
            issued.map(|_| ()).map_err(|e| e.to_string())
        };
        assert_eq!(of(&["a.test", "b.test"]), Ok(()));
        assert_eq!(of(&["B.test", "a.TEST"]), Ok(()));
        for (names, words) in [
            (&["a.test"][..], "is not for b.test"),
            (&["a.test", "*.test"], "is not for b.test"),
            (&["a.test", "b.test", "c.test"], "is also for c.test"),
            (&["a.test", "b.test", "127.0.0.1"], "is also for 127.0.0.1"),
        ] {
            let said = of(names).unwrap_err();
            assert!(said.contains(words), "{said}");
        }
        let ((ours, _), (_, other)) = (chain(&["a.test", "b.test"]), chain(&["a.test"]));
        let said = issued(&ordered, &ours, &other).err().unwrap().to_string();
        assert!(
            said.contains("private key that is not the certificate's"),
            "{said}"
        );
    }
}
