//! How a pool's backends are reached: the words of the configuration.

use std::path::PathBuf;

/// `protocol` of `[pools.NAME]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PoolProtocol {
    /// `"http/1.1"` (the default).
    #[default]
    Http11,
    /// `"h2"`: HTTP/2 over TLS, agreed on in the handshake.
    H2,
    /// `"h2c"`: HTTP/2 without TLS, by prior knowledge.
    H2c,
    /// `"auto"`: HTTP/2 if the backend agrees to it in the TLS handshake, else HTTP/1.1.
    Auto,
}

/// `tls` of `[pools.NAME]`, or of a backend that is written as `https://`.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct PoolTls {
    /// `server-name`: the name that is asked for and that the certificate must have; by default the
    /// host that the backend is written with.
    pub server_name: Option<String>,
    /// `ca`: the certificates that vouch for the backend's; by default those of the system.
    pub ca: Option<PathBuf>,
    /// `client-certificate`: with which the proxy shows who it is.
    pub client_certificate: Option<KeyPairFiles>,
    /// `insecure`: any certificate is taken.
    pub insecure: bool,
}

/// A certificate and its key. Both may be in one file.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct KeyPairFiles {
    /// PEM: the certificate, and those between it and a root.
    pub certificate: PathBuf,
    /// PEM.
    pub key: PathBuf,
}
