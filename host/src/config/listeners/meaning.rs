//! The validated meaning of a listener.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use super::super::{TcpForward, TrustedPeers};

/// `[[listeners]]`, or an address of `listen`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// Where clients connect.
    pub address: ListenAddress,
    /// `tls`; `None` for a plain listener.
    pub tls: Option<ListenerTls>,
    /// The versions of HTTP that are served.
    pub protocols: Protocols,
    /// `proxy-protocol`: the peers that must begin with a PROXY header; `None` if no peer may send
    /// one.
    pub proxy_protocol: Option<TrustedPeers>,
    /// `redirect-to-https`: the port to which every request is redirected; `None` if they are
    /// served.
    pub redirect_to_https: Option<u16>,
    /// Whether it is a forward proxy: one of `[forward]`.
    pub forward: bool,
    /// `tcp`: where its connections are passed on to; `None` if it serves requests.
    pub tcp: Option<Arc<TcpForward>>,
}

/// Where a listener listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListenAddress {
    /// An address and a port.
    Tcp {
        /// Port 0 is one that the kernel chooses.
        address: SocketAddr,
        /// `[::]` takes IPv6 only. In the short form it takes IPv4 too, unless an IPv4 address with
        /// this port is listed.
        only_v6: bool,
    },
    /// A socket of this machine: `unix:PATH`.
    Unix {
        /// The socket's file.
        path: PathBuf,
        /// `mode`: the permissions of the file. Default 0660.
        mode: u32,
    },
}

/// The versions of HTTP that a listener serves; at least one, unless it passes connections on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Protocols {
    /// `"http/1.1"`, and HTTP/1.0.
    pub http1: bool,
    /// `"h2"` with TLS, by ALPN; `"h2c"` without, by prior knowledge.
    pub h2: bool,
}

impl Protocols {
    /// Those of a listener that reads no request.
    pub const NONE: Self = Self {
        http1: false,
        h2: false,
    };
}

/// `tls` of a listener.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListenerTls {
    /// The certificates. The first is that of clients that ask for no name or another one.
    pub certificates: Certificates,
    /// `acme`: the names of one more certificate, which is ordered from the authority of `[acme]`
    /// and comes after the others; empty if there is none.
    pub acme: Vec<String>,
    /// `client-ca` and `client-certificate`; `None` if clients are not asked for a certificate.
    pub clients: Option<ClientCertificates>,
    /// `min-version`. Default 1.2.
    pub min_version: TlsVersion,
}

/// Where the certificates of a listener come from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Certificates {
    /// Files; at least one entry, or none if there is `acme`.
    Files(Vec<CertificateFiles>),
    /// `passthrough = true`: there is none, because each connection is passed on.
    None,
    /// `--tls-self-signed`: one for localhost is made in memory.
    SelfSigned,
}

/// One certificate with its chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateFiles {
    /// `certificate`: PEM, the certificate first.
    pub certificate: PathBuf,
    /// `key`: PEM; the same file if it was left out.
    pub key: PathBuf,
    /// `ocsp`: a response of the certificate's OCSP responder, DER, that is sent with it.
    pub ocsp: Option<PathBuf>,
}

/// Which certificates clients present.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientCertificates {
    /// `client-ca`: PEM, the roots that have signed them.
    pub ca: PathBuf,
    /// `client-certificate`: `"required"` (the default) or `"optional"`.
    pub required: bool,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum TlsVersion {
    /// `"1.2"`
    Tls12,
    /// `"1.3"`
    Tls13,
}

impl Listener {
    /// A plain listener with every default: an address of `listen`.
    pub fn plain(address: SocketAddr) -> Self {
        Self {
            address: ListenAddress::Tcp {
                address,
                only_v6: false,
            },
            tls: None,
            protocols: Protocols {
                http1: true,
                h2: true,
            },
            proxy_protocol: None,
            redirect_to_https: None,
            forward: false,
            tcp: None,
        }
    }

    /// The address of a TCP listener.
    pub fn tcp(&self) -> Option<SocketAddr> {
        match self.address {
            ListenAddress::Tcp { address, .. } => Some(address),
            ListenAddress::Unix { .. } => None,
        }
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { address, .. } => address.fmt(f),
            Self::Unix { path, .. } => write!(f, "unix:{}", path.display()),
        }
    }
}
