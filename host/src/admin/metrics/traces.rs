//! What is shown of the export of traces.

use std::fmt;

use super::Snapshot;
use super::families::Families;

impl Snapshot {
    pub(super) fn traces(&self, out: &mut Families<'_>) -> fmt::Result {
        let traces = self.0.traces;
        out.plain_counter(
            "spans_exported",
            "Spans that the collector of traces has taken",
            traces.exported,
        )?;
        out.plain_counter(
            "spans_dropped",
            "Spans that there was no room for while they waited for the collector",
            traces.dropped,
        )?;
        out.plain_counter(
            "spans_lost",
            "Spans that the collector has not taken",
            traces.lost,
        )?;
        out.plain_counter(
            "span_export_failures",
            "Requests to the collector of traces that have failed",
            traces.failures,
        )
    }
}
