//! What is looked up, and what one record of an answer says.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::config::{Backend, BackendKind, can_be_reached};

/// What is looked up.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Name {
    /// The addresses of a host.
    Host(String),
    /// The hosts and ports of a service.
    Srv(String),
}

/// Which addresses a look-up asks for. Each family of a name is looked up on its own, so that
/// neither delays the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Family {
    /// Whatever there is; of a service, its SRV records.
    Any,
    /// A
    Ipv4,
    /// AAAA
    Ipv6,
}

/// One record of an answer.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Record {
    /// Of A or AAAA.
    Address(IpAddr),
    /// Of SRV.
    Target(Target),
}

/// What one SRV record says. They are ordered by their priorities.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Target {
    /// The lowest is used.
    pub priority: u16,
    /// An absolute name, with its last dot.
    #[serde(serialize_with = "write_host", deserialize_with = "read_host")]
    pub host: Arc<str>,
    /// Where it listens.
    pub port: u16,
    /// Its share of the requests; 0 stands for very few.
    pub weight: u16,
}

impl Name {
    /// What has to be looked up for a backend; `None` if it is written as an IP address.
    pub fn of(backend: &Backend) -> Option<Self> {
        match backend.kind {
            BackendKind::Address => Self::host(backend.host()),
            BackendKind::Srv => Some(Self::Srv(backend.address.clone())),
        }
    }

    /// The same for a host.
    pub fn host(host: &str) -> Option<Self> {
        let is_address = host.parse::<IpAddr>().is_ok();
        (!is_address && !host.is_empty()).then(|| Self::Host(host.to_owned()))
    }

    /// As it is asked for.
    pub fn text(&self) -> &str {
        match self {
            Self::Host(name) | Self::Srv(name) => name,
        }
    }
}

impl Record {
    /// Whether something can listen there. A name that leads to this machine may be meant.
    pub(super) fn is_usable(&self) -> bool {
        match self {
            Self::Address(ip) => can_be_reached(*ip),
            Self::Target(target) => target.port > 0,
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.text())
    }
}

impl fmt::Display for Record {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address(address) => address.fmt(f),
            Self::Target(target) => write!(
                f,
                "{}:{} (priority {}, weight {})",
                target.host, target.port, target.priority, target.weight
            ),
        }
    }
}

fn write_host<S: Serializer>(host: &Arc<str>, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(host)
}

fn read_host<'de, D: Deserializer<'de>>(from: D) -> Result<Arc<str>, D::Error> {
    String::deserialize(from).map(Arc::from)
}
