//! The families of backends. A backend has its state and what has happened to it: of thousands that
//! stand by, nothing else is worth a series.

use std::fmt;

use super::Snapshot;
use super::families::{Families, LATENCY_BOUNDS, Labels, MICROSECONDS};
use crate::admin::report::Backend;
use crate::stats::FORGOTTEN;

impl Snapshot {
    fn all(&self) -> impl Iterator<Item = (Labels<'_, 1>, &Backend)> {
        let all = self.0.backends.iter();
        all.map(|(address, b)| ([("backend", address.as_str())], b))
    }

    /// What is counted of backends of which it is more than nothing.
    fn counted(&self, value: fn(&Backend) -> u64) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
        let all = self.all().map(move |(labels, b)| (labels, value(b)));
        all.filter(|(_, n)| *n > 0)
    }

    /// What is now, of backends that requests or connections were meant for.
    fn now(&self, value: fn(&Backend) -> u64) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
        let used = |b: &Backend| b.requests + b.failures + b.in_flight + b.connections > 0;
        let all = self.all().filter(move |(_, b)| used(b));
        all.map(move |(labels, b)| (labels, value(b)))
    }

    pub(super) fn backends(&self, out: &mut Families<'_>) -> fmt::Result {
        out.counter(
            "backend_requests",
            "Requests sent to a backend",
            None,
            self.counted(|b| b.requests),
        )?;
        out.counter(
            "backend_failures",
            "Attempts at a backend that failed",
            None,
            self.counted(|b| b.failures),
        )?;
        out.gauge(
            "backend_in_flight",
            "Requests not yet answered in full",
            None,
            self.now(|b| b.in_flight),
        )?;
        out.gauge(
            "backend_connections",
            "Connections open, in use or pooled",
            None,
            self.now(|b| b.connections),
        )?;
        let latency = self.all().map(|(labels, b)| (labels, &b.latency.all.0));
        out.histogram(
            "backend_latency",
            "Time to the response head",
            LATENCY_BOUNDS,
            MICROSECONDS,
            latency.filter(|(_, h)| h.count > 0),
        )?;
        self.health(out)
    }

    fn health(&self, out: &mut Families<'_>) -> fmt::Result {
        let there = self.0.backends.iter();
        let there = there.filter(|(address, _)| *address != FORGOTTEN);
        let states =
            there.map(|(address, b)| ([("backend", address.as_str()), ("state", b.state)], 1));
        out.gauge(
            "backend_state",
            "1 for the state that the backend is in; other states have no series",
            None,
            states,
        )?;
        out.counter(
            "backend_probes",
            "Probes of a backend",
            None,
            self.counted(|b| b.probes),
        )?;
        out.counter(
            "backend_probes_failed",
            "Probes that failed",
            None,
            self.counted(|b| b.failed_probes),
        )?;
        out.gauge(
            "backend_consecutive_failures",
            "Failures since the last success",
            None,
            self.now(|b| b.consecutive_failures),
        )?;
        out.counter(
            "backend_handshake_failures",
            "Connections to a backend that failed in the TLS handshake or by their protocol",
            None,
            self.counted(|b| b.handshake_failures),
        )
    }
}
