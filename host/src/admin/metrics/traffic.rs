//! The families of the process, its requests and connections.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::{Families, LATENCY_BOUNDS, MICROSECONDS};

impl Snapshot {
    pub(super) fn process(&self, out: &mut Families<'_>) -> fmt::Result {
        let r = &self.0;
        out.info("build", "Waypost's version", [[("version", r.version)]])?;
        out.gauge(
            "uptime",
            "Time since counting began",
            Some(&Unit::Seconds),
            [([], r.uptime_seconds)],
        )?;
        let directions = [
            ("from_clients", r.bytes.from_clients),
            ("to_clients", r.bytes.to_clients),
            ("from_backends", r.bytes.from_backends),
            ("to_backends", r.bytes.to_backends),
        ];
        let bytes = directions.map(|(direction, n)| ([("direction", direction)], n));
        out.counter(
            "traffic",
            "Bytes on the wire, heads and framing included",
            Some(&Unit::Bytes),
            bytes,
        )
    }

    pub(super) fn requests(&self, out: &mut Families<'_>) -> fmt::Result {
        let r = &self.0;
        let codes: Vec<_> = r
            .requests
            .by_status
            .iter()
            .map(|(code, n)| (code.to_string(), *n))
            .collect();
        let by_status = codes
            .iter()
            .map(|(code, n)| ([("status", code.as_str())], *n));
        out.counter(
            "requests",
            "Requests answered, by status code",
            None,
            by_status,
        )?;
        out.plain_counter(
            "requests_received",
            "Requests whose head arrived",
            r.requests.total,
        )?;
        out.plain_counter(
            "requests_unanswered",
            "Requests whose client had left",
            r.requests.unanswered,
        )?;
        out.gauge(
            "requests_active",
            "Requests not yet answered in full",
            None,
            [([], r.requests.active)],
        )?;
        let latency = &r.requests.latency.0;
        let request = [([], latency)];
        out.histogram(
            "request_duration",
            "From a request's head to its response's end",
            LATENCY_BOUNDS,
            MICROSECONDS,
            request,
        )
    }

    fn http2(&self, out: &mut Families<'_>) -> fmt::Result {
        let h = &self.0.http2;
        out.plain_counter("http2_requests", "Requests by HTTP/2", h.requests)?;
        out.plain_counter(
            "http2_connections",
            "Client connections of HTTP/2",
            h.connections,
        )?;
        out.plain_counter(
            "http2_connections_cut",
            "Client connections of HTTP/2 that were ended because of floods",
            h.cut,
        )?;
        out.plain_counter(
            "http2_streams_refused",
            "Streams of HTTP/2 refused because their client had all that it may have",
            h.refused,
        )?;
        out.gauge(
            "http2_connections_active",
            "Client connections of HTTP/2 open",
            None,
            [([], h.connections_active)],
        )?;
        out.gauge(
            "http2_streams_active",
            "Streams of client connections of HTTP/2 open",
            None,
            [([], h.streams_active)],
        )
    }

    fn upstream(&self, out: &mut Families<'_>) -> fmt::Result {
        let c = &self.0.connections;
        out.plain_counter(
            "upstream_connections_opened",
            "Connections opened to backends",
            c.upstream_opened,
        )?;
        out.plain_counter(
            "upstream_connections_reused",
            "Requests sent on a pooled connection",
            c.upstream_reused,
        )?;
        out.plain_counter(
            "upstream_connections_refused",
            "Requests that got no connection to a backend: the process could have no more",
            c.upstream_refused,
        )
    }

    pub(super) fn connections(&self, out: &mut Families<'_>) -> fmt::Result {
        let c = &self.0.connections;
        out.plain_counter(
            "connections_accepted",
            "Client connections accepted",
            c.accepted,
        )?;
        out.plain_counter(
            "connections_refused",
            "Client connections turned away by a limit",
            c.refused,
        )?;
        out.plain_counter(
            "proxy_headers_refused",
            "Connections closed because of their PROXY header",
            c.proxy_headers_refused,
        )?;
        let handshakes = [
            ("completed", c.tls_handshakes.completed),
            ("failed", c.tls_handshakes.failed),
            ("refused", c.tls_handshakes.refused),
        ];
        out.counter(
            "tls_handshakes",
            "TLS handshakes with clients, by how they ended",
            None,
            handshakes.map(|(result, n)| ([("result", result)], n)),
        )?;
        out.gauge(
            "connections_active",
            "Client connections open",
            None,
            [([], c.active)],
        )?;
        self.http2(out)?;
        self.upstream(out)?;
        let tunnels = self.0.tunnels;
        out.plain_counter(
            "tunnels_opened",
            "Connections that have changed their protocol, as for WebSocket",
            tunnels.opened,
        )?;
        out.gauge(
            "tunnels_active",
            "Tunnels open, as of WebSocket",
            None,
            [([], tunnels.active)],
        )
    }

    pub(super) fn losses(&self, out: &mut Families<'_>) -> fmt::Result {
        let r = &self.0;
        out.plain_counter(
            "retries",
            "Attempts at a backend after the first of a request",
            r.retries,
        )?;
        let reasons = r.attempts.retries_by_reason.iter();
        out.counter(
            "retries_by_reason",
            "Attempts at a backend after the first of a request, by what came before",
            None,
            reasons.map(|(reason, n)| ([("reason", *reason)], *n)),
        )?;
        out.plain_counter(
            "retries_over_budget",
            "Attempts that were not made because the retry budget was used up",
            r.attempts.over_budget,
        )?;
        out.plain_counter(
            "hedges",
            "Requests for which a second backend was asked beside the first",
            r.attempts.hedges,
        )?;
        out.plain_counter(
            "hedges_won",
            "Requests that the second backend answered",
            r.attempts.hedges_won,
        )?;
        out.plain_counter(
            "access_log_lines_dropped",
            "Access-log lines dropped",
            r.log_lines_dropped,
        )?;
        out.plain_counter(
            "log_lines_lost",
            "Lines of the operational log lost",
            r.process.log_lines_lost,
        )?;
        let hanging = r
            .workers
            .iter()
            .filter(|worker| worker.hanging_seconds > 0)
            .count() as u64;
        out.gauge(
            "workers_hanging",
            "Workers that hang",
            None,
            [([], hanging)],
        )?;
        out.plain_counter(
            "panics",
            "Panics of any thread: each is a bug of the proxy",
            r.process.panics,
        )
    }

    pub(super) fn recording(&self, out: &mut Families<'_>) -> fmt::Result {
        let recording = self.0.recording;
        out.plain_counter(
            "requests_recorded",
            "Requests recorded for a replay",
            recording.recorded,
        )?;
        out.plain_counter(
            "requests_unrecorded",
            "Requests that could not be recorded",
            recording.dropped,
        )?;
        out.counter(
            "recording",
            "Bytes of the recording",
            Some(&Unit::Bytes),
            [([], recording.bytes)],
        )?;
        out.plain_counter(
            "recording_errors",
            "Writes of the recording that failed",
            recording.errors,
        )
    }
}
