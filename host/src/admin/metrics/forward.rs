//! The families of the forward proxy.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::Families;

impl Snapshot {
    pub(super) fn forward(&self, out: &mut Families<'_>) -> fmt::Result {
        let f = &self.0.forward;
        out.plain_counter(
            "forward_requests",
            "Requests to the forward proxy",
            f.requests,
        )?;
        let refused = f.refused.iter();
        out.counter(
            "forward_refused",
            "Requests that the forward proxy did not serve, by reason",
            None,
            refused.map(|(reason, n)| ([("reason", *reason)], *n)),
        )?;
        out.plain_counter(
            "forward_tunnels",
            "Tunnels of the forward proxy opened",
            f.tunnels,
        )?;
        out.gauge(
            "forward_tunnels_active",
            "Tunnels of the forward proxy open",
            None,
            [([], f.tunnels_active)],
        )?;
        let directions = |from, to| {
            [("from_clients", from), ("to_clients", to)]
                .map(|(direction, n)| ([("direction", direction)], n))
        };
        out.counter(
            "forward_tunnel_traffic",
            "Bytes that tunnels which have ended carried",
            Some(&Unit::Bytes),
            directions(f.tunnel_bytes_from_clients, f.tunnel_bytes_to_clients),
        )?;
        out.counter(
            "forward_request_traffic",
            "Bytes of the bodies of requests with a whole URL, and of their responses",
            Some(&Unit::Bytes),
            directions(f.request_bytes_from_clients, f.request_bytes_to_clients),
        )
    }
}
