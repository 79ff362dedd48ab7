//! `[timeouts]`: how long things may take.

use std::time::Duration;

use crate::document::{Findings, Section};

/// `[timeouts]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Timeouts {
    /// `header-read`: from the first byte (or the accept) to the end of the head. Default 10 s.
    pub header_read: Duration,
    /// `idle`: a kept-alive client connection without a request. Default 60 s.
    pub idle: Duration,
    /// `body-read`: between two pieces of a request body. Default 15 s.
    pub body_read: Duration,
    /// `send`: a client that takes no byte of its response. Default 10 s.
    pub send: Duration,
    /// `linger`: how long a client that still sends when its connection ends may take to read its
    /// answer. Default 30 s.
    pub linger: Duration,
    /// `connect`: to a backend. Default 2 s.
    pub connect: Duration,
    /// `response`: from the request sent to the response head, and between two pieces of the body.
    /// Default 60 s.
    pub response: Duration,
    /// `upstream-idle`: a pooled backend connection. Default 30 s.
    pub upstream_idle: Duration,
    /// `tunnel-idle`: a connection that has changed its protocol (WebSocket) and on which no byte
    /// moves. Default 1 h.
    pub tunnel_idle: Duration,
    /// `drain`: for requests and tunnels that are open on SIGTERM. Default 30 s.
    pub drain: Duration,
    /// `drain-idle`: how long a client connection without a request stays open in a drain, for one
    /// that is on its way. Default 2 s.
    pub drain_idle: Duration,
    /// `shutdown-delay`: from SIGTERM, when `/readyz` is 503, to the end of the listeners. Default
    /// 0.
    pub shutdown_delay: Duration,
    /// `upgrade`: how long the process that is to take over has until it is ready. Default 60 s.
    pub upgrade: Duration,
    /// `tls-handshake`: from the accept, or the PROXY header, to the end of the handshake. Default
    /// 10 s.
    pub tls_handshake: Duration,
}

/// What others call time-outs, and what stands in their place.
const FOREIGN: [(&str, &str); 6] = [
    (
        "read",
        "unknown key; nginx's proxy_read_timeout is `response` here (until the response begins, \
         and between two pieces of it), and client_body_timeout is `body-read`",
    ),
    (
        "server",
        "unknown key; HAProxy's `timeout server` is `response` here",
    ),
    (
        "request",
        "unknown key; how long a backend may take is `response`, how long a client may take for a \
         head is `header-read` of `[timeouts]`, and between two pieces of a body `body-read`",
    ),
    (
        "write",
        "unknown key; how long a client may take no byte of its response is `send`",
    ),
    (
        "client",
        "unknown key; what clients may take is `body-read` for their bodies and `send` for \
         responses",
    ),
    (
        "tunnel",
        "unknown key; how long a tunnel may be silent is `tunnel-idle`",
    ),
];

/// Names the keys that stand in the place of those that other proxies have.
pub(super) fn explain_foreign(section: &mut Section, findings: &mut Findings) {
    for (key, message) in FOREIGN {
        section.refuse(key, message, findings);
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            header_read: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            body_read: Duration::from_secs(15),
            send: Duration::from_secs(10),
            linger: Duration::from_secs(30),
            connect: Duration::from_secs(2),
            response: Duration::from_secs(60),
            upstream_idle: Duration::from_secs(30),
            tunnel_idle: Duration::from_secs(3600),
            drain: Duration::from_secs(30),
            drain_idle: Duration::from_secs(2),
            shutdown_delay: Duration::ZERO,
            upgrade: Duration::from_secs(60),
            tls_handshake: Duration::from_secs(10),
        }
    }
}
