//! The families of connections that are passed on as they are.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::Families;

impl Snapshot {
    pub(super) fn layer4(&self, out: &mut Families<'_>) -> fmt::Result {
        let passed = self.0.layer4;
        out.plain_counter(
            "layer4_opened",
            "Connections passed on as they are",
            passed.opened,
        )?;
        out.plain_counter(
            "layer4_refused",
            "Connections closed because no backend was reached, or a policy refused them",
            passed.refused,
        )?;
        out.gauge(
            "layer4_active",
            "Connections open that are passed on as they are",
            None,
            [([], passed.active)],
        )?;
        let bytes = [
            ("from_clients", passed.bytes_from_clients),
            ("to_clients", passed.bytes_to_clients),
        ];
        out.counter(
            "layer4",
            "Bytes of connections passed on as they are",
            Some(&Unit::Bytes),
            bytes.map(|(direction, n)| ([("direction", direction)], n)),
        )
    }
}
