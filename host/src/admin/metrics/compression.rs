//! The families of responses that were compressed on their way.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::Families;

impl Snapshot {
    pub(super) fn compression(&self, out: &mut Families<'_>) -> fmt::Result {
        let compressed = &self.0.compressed;
        out.plain_counter(
            "compressed_responses",
            "Responses that were compressed on their way",
            compressed.responses,
        )?;
        let sides = [("in", compressed.bytes_in), ("out", compressed.bytes_out)];
        out.counter(
            "compressed",
            "Bodies that were compressed, as backends sent them (in) and clients got them (out)",
            Some(&Unit::Bytes),
            sides.map(|(side, n)| ([("side", side)], n)),
        )
    }
}
