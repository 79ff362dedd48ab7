//! The families of names.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::{Families, Labels};
use crate::admin::names::NameStatus;

impl Snapshot {
    pub(super) fn names(&self, out: &mut Families<'_>) -> fmt::Result {
        let all = || self.0.names.iter().map(|name| (labels(name), name));
        out.counter(
            "dns_lookups",
            "Look-ups of a backend's name that have ended",
            None,
            all().map(|(labels, name)| (labels, name.lookups)),
        )?;
        out.counter(
            "dns_lookup_failures",
            "Look-ups of a backend's name that brought no answer of use",
            None,
            all().map(|(labels, name)| (labels, name.failures)),
        )?;
        out.gauge(
            "dns_stale",
            "Whether an earlier answer is in use because there is no better one",
            None,
            all().map(|(labels, name)| (labels, u64::from(name.state == "stale"))),
        )?;
        out.gauge(
            "dns_records",
            "Addresses or targets of a backend's name that are in use",
            None,
            all().map(|(labels, name)| (labels, name.records.len() as u64)),
        )?;
        out.gauge(
            "dns_answer_age",
            "Age of the oldest answer for a backend's name that is in use; 0 without one",
            Some(&Unit::Seconds),
            all().map(|(labels, name)| (labels, name.age().as_secs())),
        )
    }
}

fn labels(name: &NameStatus) -> Labels<'_, 2> {
    [("name", &name.name), ("kind", name.kind)]
}
