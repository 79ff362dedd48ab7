//! Where a pool's backends are and how they are reached: the words of the configuration.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

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

/// One entry of `backends`, not yet resolved.
#[derive(Debug, Clone, PartialEq)]
pub struct Backend {
    /// `host:port` or `ip:port`; the port is there even if it was left out (80, with TLS 443). Of a
    /// service, the name of its SRV records.
    pub address: String,
    /// Whether it is a host or a service.
    pub kind: BackendKind,
    /// How it is reached with TLS, if it is: the pool's `tls`, or what `https://` stands for.
    pub tls: Option<PoolTls>,
    /// What it speaks, where its address says that; else its pool says it.
    pub protocol: Option<PoolProtocol>,
    /// Default 1; 0 for a backend that takes no requests.
    pub weight: u32,
    /// Free labels, in order.
    pub labels: Vec<(String, String)>,
}

/// What the address of a backend names.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum BackendKind {
    /// A host and a port.
    #[default]
    Address,
    /// A service, whose SRV records name hosts and ports.
    Srv,
}

impl Backend {
    /// The host of `host:port`; of a service, the domain that offers it. Certificates are for this
    /// name, since a forged answer for a service could name any host (RFC 9525 section 6.1).
    pub fn host(&self) -> &str {
        match self.kind {
            BackendKind::Address => {
                let address = &*self.address;
                let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
                let inner = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
                inner.unwrap_or(host)
            }
            BackendKind::Srv => {
                let mut domain = &*self.address;
                while domain.starts_with('_')
                    && let Some((_, rest)) = domain.split_once('.')
                {
                    domain = rest;
                }
                domain
            }
        }
    }

    /// The port of `host:port`; 0 for a service, whose records have the ports.
    pub fn port(&self) -> u16 {
        let port = self.address.rsplit_once(':').map(|(_, port)| port.parse());
        port.and_then(Result::ok).unwrap_or(0)
    }
}

/// `[resolver]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResolverConfig {
    /// `servers`: those that are asked. Empty: those of `/etc/resolv.conf`, with its options.
    pub servers: Vec<SocketAddr>,
    /// `family`: the addresses that are asked for. Default both.
    pub family: AddressFamily,
    /// `min-ttl`: an answer is used for so long at least. Default 1 s.
    pub min_ttl: Duration,
    /// `max-ttl`: and for so long at most. Default 5 minutes.
    pub max_ttl: Duration,
    /// `timeout`: how long one attempt may take. `None`: as `/etc/resolv.conf` says.
    pub timeout: Option<Duration>,
    /// `attempts`: how often a server is asked that does not answer. `None`: as
    /// `/etc/resolv.conf` says.
    pub attempts: Option<usize>,
    /// `strict`, and `--strict`: a name that can't be resolved is an error at the start and in a
    /// reload. Default false.
    pub strict: bool,
}

/// `family` of `[resolver]`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum AddressFamily {
    /// `"both"`
    #[default]
    Both,
    /// `"ipv4"`
    Ipv4,
    /// `"ipv6"`
    Ipv6,
}

impl Default for ResolverConfig {
    fn default() -> Self {
        Self {
            servers: Vec::new(),
            family: AddressFamily::Both,
            min_ttl: Duration::from_secs(1),
            max_ttl: Duration::from_secs(300),
            timeout: None,
            attempts: None,
            strict: false,
        }
    }
}
