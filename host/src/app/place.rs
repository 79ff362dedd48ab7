//! Where a listener listens: what tells its sockets from others.

use std::net::SocketAddr;
use std::path::PathBuf;

use crate::config::{self, ListenAddress};

/// What tells sockets apart: listeners of two configurations with the same one have the same
/// socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Place {
    /// Of TCP; whether it takes IPv6 only.
    Tcp(SocketAddr, bool),
    /// A path.
    Unix(PathBuf),
}

impl Place {
    /// The places of all listeners of a configuration.
    pub(super) fn all(listeners: &[config::Listener]) -> Vec<Self> {
        let place = |listener: &config::Listener| match Tcp::of(listener, listeners) {
            Some(Tcp { address, only_v6 }) => Self::Tcp(address, only_v6),
            None => match &listener.address {
                ListenAddress::Unix { path, .. } => Self::Unix(path.clone()),
                ListenAddress::Tcp { address, only_v6 } => Self::Tcp(*address, *only_v6),
            },
        };
        listeners.iter().map(place).collect()
    }

    /// The address, unless it is a path.
    pub(super) fn tcp(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(address, _) => Some(*address),
            Self::Unix(_) => None,
        }
    }

    /// Whether a connection could come to either.
    pub(super) fn overlaps(&self, other: &Self) -> bool {
        let (Some(one), Some(two)) = (self.tcp(), other.tcp()) else {
            return false;
        };
        let is_any = one.ip().is_unspecified() || two.ip().is_unspecified();
        one.port() == two.port() && (is_any || one.ip() == two.ip())
    }

    /// The port, unless the kernel chooses it.
    pub(super) fn port(&self) -> Option<u16> {
        match self {
            Self::Tcp(address, _) => Some(address.port()).filter(|port| *port != 0),
            Self::Unix(_) => None,
        }
    }
}

/// A TCP address, and whether it takes IPv6 only.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tcp {
    pub address: SocketAddr,
    pub only_v6: bool,
}

impl Tcp {
    /// `[::]` of the short form also accepts IPv4 where the system allows it, unless an IPv4
    /// address with the same port is listed too.
    fn of(listener: &config::Listener, all: &[config::Listener]) -> Option<Self> {
        let ListenAddress::Tcp { address, only_v6 } = listener.address else {
            return None;
        };
        let beside = |other: SocketAddr| other.is_ipv4() && other.port() == address.port();
        let shares = address.is_ipv6()
            && address.ip().is_unspecified()
            && address.port() != 0
            && all.iter().filter_map(config::Listener::tcp).any(beside);
        Some(Self {
            address,
            only_v6: only_v6 || shares,
        })
    }
}
