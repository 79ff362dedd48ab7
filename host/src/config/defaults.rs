//! The defaults of a configuration, and how it is shown.

use std::fmt;

use super::{Admin, H2Limits, HalfClose, Limits, Rollout, StoreLimits};

impl fmt::Debug for Admin {
    /// Omits the token, which must not get into a log.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let token = self.token.as_ref().map(|_| "(set)");
        f.debug_struct("Admin")
            .field("listen", &self.listen)
            .field("token", &token)
            .finish()
    }
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            request_line: 8 * 1024,
            header_bytes: 32 * 1024,
            header_count: 100,
            connections: 20_000,
            connections_per_client: 12_000,
            tls_handshakes: 8_000,
            tls_handshakes_per_client: 2_000,
            body_bytes: 0,
            requests_per_connection: 0,
            half_close: HalfClose::default(),
            h2: H2Limits::default(),
        }
    }
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            entries: 10_000,
            bytes: 4 << 20,
        }
    }
}

impl Default for Rollout {
    fn default() -> Self {
        Self {
            max_faults: 3,
            failure_margin: 0.05,
            min_requests: 20,
            latency_margin: 0.5,
        }
    }
}
