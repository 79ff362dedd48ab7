//! The families of certificates.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::{Families, Labels};
use crate::admin::control::CertificateStatus;

impl Snapshot {
    pub(super) fn certificates(&self, out: &mut Families<'_>) -> fmt::Result {
        let all = || self.0.certificates.iter().map(|c| (labels(c), c));
        out.gauge(
            "certificate_expiry_timestamp",
            "When a listener's certificate expires, since 1970",
            Some(&Unit::Seconds),
            all().map(|(labels, certificate)| (labels, certificate.expires_unix())),
        )?;
        out.counter(
            "certificate_reload_failures",
            "Changes of a certificate's files that could not be used",
            None,
            all().map(|(labels, certificate)| (labels, certificate.reload_failures)),
        )?;
        out.gauge(
            "certificate_refused",
            "Whether a certificate's files can't be used as they are now",
            None,
            all().map(|(labels, certificate)| (labels, certificate.refused.is_some().into())),
        )
    }
}

/// The file too, because two certificates of a listener may be for the same name: with different
/// kinds of keys.
fn labels(certificate: &CertificateStatus) -> Labels<'_, 3> {
    [
        ("listener", &certificate.listener),
        ("name", certificate.name()),
        ("file", &certificate.file),
    ]
}
