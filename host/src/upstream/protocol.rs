//! The protocols that endpoints speak.

use std::time::Duration;

/// The protocol that an endpoint speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// One exchange at a time on each connection.
    Http11,
    /// Many streams on each connection: HTTP/2, over TLS or by prior knowledge.
    H2,
    /// What it agrees to in the TLS handshake.
    Auto,
}

/// How one worker keeps its connections of HTTP/2 to an endpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamRules {
    /// The most connections; 0 = no limit.
    pub connections: usize,
    /// How long a connection in use may be silent before it is asked whether it is alive; 0 = for
    /// ever.
    pub ping_interval: Duration,
}

impl Default for StreamRules {
    fn default() -> Self {
        Self {
            connections: 0,
            ping_interval: Duration::from_secs(30),
        }
    }
}
