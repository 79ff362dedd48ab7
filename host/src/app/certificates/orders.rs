//! What orders by ACME change in the certificates that are served.

use std::sync::Arc;

use base64::Engine;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};

use super::ListenerCertificates;
use super::kept::Kept;
use super::ordered::Ordered;
use crate::config::{Acme, AcmeChallenge, Config, ExternalAccount};
use crate::files;
use crate::net::tls::client_config;
#[cfg(feature = "acme")]
use crate::net::tls::{Certificate, Challenges};
use crate::proxy::HttpChallenges;

impl ListenerCertificates {
    /// What authorities are answered by plain HTTP; `None` if they don't ask there.
    pub(super) fn asked_by_http(&self, config: &Config, former: &Self) -> Option<HttpChallenges> {
        let by_http = config
            .acme
            .as_ref()
            .is_some_and(|acme| acme.challenge == AcmeChallenge::Http01);
        let table = || former.http_challenges.clone().unwrap_or_default();
        (by_http && !self.ordered.is_empty()).then(table)
    }

    /// The certificates of all lists of `tls.acme`. The orders for what was listed before go on,
    /// unless another authority is asked.
    pub(super) fn next_ordered(&self, config: &Config) -> Result<Vec<Arc<Ordered>>, String> {
        let known: &[_] = match config.acme == self.acme {
            true => &self.ordered,
            false => &[],
        };
        ordered(config, known)
    }

    /// What certificate authorities are answered.
    #[cfg(feature = "acme")]
    pub(in crate::app) fn challenges(&self) -> &Challenges {
        &self.challenges
    }

    /// The same by plain HTTP; `None` if they don't ask there.
    pub(in crate::app) fn http_challenges(&self) -> Option<HttpChallenges> {
        self.http_challenges.clone()
    }

    /// The certificates that are ordered by ACME, each once.
    #[cfg(feature = "acme")]
    pub(in crate::app) fn ordered(&self) -> &[Arc<Ordered>] {
        &self.ordered
    }

    /// Serves a certificate that was issued, on every listener that it was ordered for.
    #[cfg(feature = "acme")]
    pub(in crate::app) fn issued(
        &self,
        ordered: &Arc<Ordered>,
        certificate: &Certificate,
    ) -> Result<(), String> {
        for served in &self.listeners {
            for (at, watched) in served.certificates.iter().enumerate() {
                let is_its = watched.source.ordered();
                if is_its.is_some_and(|o| Arc::ptr_eq(o, ordered)) {
                    served.replace(at, certificate)?;
                }
            }
        }
        Ok(())
    }
}

/// The certificates of all lists of `tls.acme`.
fn ordered(config: &Config, known: &[Arc<Ordered>]) -> Result<Vec<Arc<Ordered>>, String> {
    let mut all: Vec<Arc<Ordered>> = Vec::new();
    let encrypted = config.listeners.iter();
    let with_tls = encrypted.filter_map(|listener| Some((listener, listener.tls.as_ref()?)));
    for (listener, tls) in with_tls.filter(|(_, tls)| !tls.acme.is_empty()) {
        let address = &listener.address;
        if !cfg!(feature = "acme") {
            return Err(format!(
                "listener {address}: `tls.acme` needs the Cargo feature `acme`, without which \
                 this program was built; build it with the feature, or name files in \
                 `certificates`"
            ));
        }
        // The configuration was refused otherwise.
        let (Some(acme), Some(state_dir)) = (&config.acme, &config.state_dir) else {
            return Err(format!(
                "listener {address}: `tls.acme` needs `[acme]` and `state-dir`"
            ));
        };
        // The same names in another order are the same certificate.
        if all.iter().any(|listed| listed.is_for(&tls.acme)) {
            continue;
        }
        if let Some(known) = known.iter().find(|known| known.is_for(&tls.acme)) {
            all.push(Arc::clone(known));
        } else {
            let kept = Kept::new(state_dir, &acme.directory);
            if all.is_empty() {
                readable(acme, &kept)?;
            }
            let new = Ordered::new(&tls.acme, &kept);
            let new = new.map_err(|e| format!("listener {address}: `tls.acme`: {e}"))?;
            all.push(Arc::new(new));
        }
    }
    Ok(all)
}

/// Reads the files that an order will need: it may come in two months, when nobody looks.
fn readable(acme: &Acme, kept: &Kept) -> Result<(), String> {
    if let Some(ca) = &acme.ca {
        client_config(Some(ca)).map_err(|e| format!("`acme.ca`: {e}"))?;
    }
    match &acme.external_account {
        // An account is bound once.
        Some(external) if !kept.has_account() => {
            external_key(external).map_err(|e| format!("`acme.external-account`: {e}"))?;
            Ok(())
        }
        _ => Ok(()),
    }
}

/// A key has some 64 bytes.
const LARGEST_KEY: u64 = 4096;

/// The key of the external account, in either alphabet of base64, with padding or without.
pub(in crate::app) fn external_key(external: &ExternalAccount) -> Result<Vec<u8>, String> {
    let path = external.key_file.display();
    let text = files::read_regular(&external.key_file, LARGEST_KEY)
        .map_err(|e| format!("`key-file` {path} can't be read: {e}"))?;
    let text: Vec<u8> = text
        .trim_ascii()
        .iter()
        .map(|byte| match byte {
            b'+' => b'-',
            b'/' => b'_',
            other => *other,
        })
        .collect();
    let lenient =
        GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
    let key = GeneralPurpose::new(&alphabet::URL_SAFE, lenient).decode(text);
    let key = key.map_err(|e| {
        format!("`key-file` {path} is not base64: {e}; write the key as the authority shows it")
    })?;
    match key.is_empty() {
        true => Err(format!(
            "`key-file` {path} is empty; write the key as the authority shows it"
        )),
        false => Ok(key),
    }
}
