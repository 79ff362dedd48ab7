//! Connections that carry no requests: what they are called.

/// As what a connection is passed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layer4 {
    /// One of TLS, whose handshake is the backend's.
    Passthrough,
    /// Whatever its bytes are.
    Tcp,
}

impl Layer4 {
    /// As the access log says it.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Passthrough => "passthrough",
            Self::Tcp => "tcp",
        }
    }
}
