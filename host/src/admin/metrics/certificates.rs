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
            "Whether a certificate's files can't be used as they are now, or its last order failed",
            None,
            all().map(|(labels, certificate)| (labels, certificate.refused.is_some().into())),
        )?;
        self.orders(out)
    }
}

impl Snapshot {
    /// The families of certificates that are ordered by ACME.
    fn orders(&self, out: &mut Families<'_>) -> fmt::Result {
        let certificates = self.0.certificates.iter();
        let all: Vec<_> = certificates
            .filter_map(|c| Some((labels(c), c.acme.as_ref()?)))
            .collect();
        let all = || all.iter().map(|(labels, orders)| (*labels, *orders));
        out.counter(
            "acme_orders",
            "Certificates that were ordered and issued",
            None,
            all().map(|(labels, orders)| (labels, orders.completed)),
        )?;
        out.counter(
            "acme_order_failures",
            "Orders of certificates that have failed",
            None,
            all().map(|(labels, orders)| (labels, orders.failed)),
        )?;
        out.gauge(
            "acme_next_order_timestamp",
            "When the next order of a certificate begins, since 1970",
            Some(&Unit::Seconds),
            all().map(|(labels, orders)| (labels, orders.next_unix())),
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
