//! `[forward]`: listeners that are a forward proxy, and where it may go.

mod entry;

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::path::PathBuf;

use ipnet::IpNet;

pub(super) use self::entry::{ForwardEntry, forward, warn_if_idle, warn_of_listeners};
use super::{HostPattern, RouteTarget};

/// `[forward]`
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardProxy {
    /// `allow`: the destinations that clients may reach. Default: ports 80 and 443 of all public
    /// addresses.
    pub allow: Vec<Destinations>,
    /// `authentication`; `None` if clients need none.
    pub authentication: Option<ProxyAuthentication>,
    /// `tunnels`: how many may be open at a time. Default 16,384.
    pub tunnels: usize,
    /// `tunnels-per-client`: how many of them may be one client's. Default 256.
    pub tunnels_per_client: usize,
    /// `policies`: indices into [`super::Config::policies`] of those that decide about
    /// destinations, in the order of their calls.
    pub policies: Vec<usize>,
    /// `pools`: where those may send requests in place of their destinations.
    pub pools: Vec<RouteTarget>,
}

/// An entry of `allow`. What it says of a destination must all be so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destinations {
    /// `host`: as the client writes it. Default: any.
    pub host: HostPattern,
    /// `network`: where its address must be. Without it, only public addresses are allowed.
    pub networks: Vec<IpNet>,
    /// `ports`. Default: 80 and 443.
    pub ports: Vec<RangeInclusive<u16>>,
}

/// `authentication` of `[forward]`: clients have names and passwords.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ProxyAuthentication {
    /// `file`: lines of a name, a colon and the hash of a password.
    pub file: PathBuf,
    /// `realm`: what browsers show when they ask for the password. Default `waypost`.
    pub realm: String,
}

impl Destinations {
    /// Whether it allows some address of this host.
    pub fn may_allow(&self, host: &str, port: u16) -> bool {
        self.ports.iter().any(|ports| ports.contains(&port)) && self.host.matches(host)
    }

    /// Whether it allows this address, of which `is_public` is known. Its host and port fit.
    pub fn allows(&self, address: IpAddr, is_public: bool) -> bool {
        match self.networks.is_empty() {
            true => is_public,
            false => self
                .networks
                .iter()
                .any(|network| network.contains(&address)),
        }
    }
}
