//! Peers that are believed: load balancers and proxies in front.

use std::net::IpAddr;

use ipnet::IpNet;

/// Peers that are believed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct TrustedPeers {
    /// By address.
    pub networks: Vec<IpNet>,
    /// `"unix:"`: the clients of Unix sockets, which have no address.
    pub unix: bool,
}

impl TrustedPeers {
    /// Whether the peer with this address is one of them.
    pub fn covers(&self, address: IpAddr) -> bool {
        self.networks.iter().any(|net| net.contains(&address))
    }
}
