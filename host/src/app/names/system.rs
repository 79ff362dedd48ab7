//! Look-ups by the C library, which says nothing of times to live.

use std::time::Duration;

use super::answer::Answer;
use crate::config::{AddressFamily, ResolverConfig};
use crate::upstream::{Family, Name, Outcome, Record};

/// How often names are looked up.
const PERIOD: Duration = Duration::from_secs(30);

pub(super) struct Resolver {
    settings: ResolverConfig,
}

impl Resolver {
    pub(super) fn new(settings: &ResolverConfig) -> Result<Self, String> {
        if !settings.servers.is_empty() {
            return Err(
                "`resolver.servers` needs a waypost with the feature `dns`; remove the key, or \
                 build it with that feature"
                    .to_owned(),
            );
        }
        let settings = settings.clone();
        Ok(Self { settings })
    }

    pub(super) fn settings(&self) -> &ResolverConfig {
        &self.settings
    }

    /// The C library looks after its files itself.
    pub(super) fn is_current(&self) -> bool {
        true
    }

    pub(super) fn families(&self, _name: &Name) -> &'static [Family] {
        &[Family::Any]
    }

    pub(super) async fn look_up(&self, name: &Name, _family: Family) -> Answer {
        let Name::Host(host) = name else {
            return Answer::failed("SRV records need the feature `dns`".to_owned());
        };
        let found = match tokio::net::lookup_host((host.as_str(), 0)).await {
            Ok(found) => found,
            Err(e) => return Answer::failed(e.to_string()),
        };
        let is_wanted = |ip: &std::net::IpAddr| match self.settings.family {
            AddressFamily::Both => true,
            AddressFamily::Ipv4 => ip.is_ipv4(),
            AddressFamily::Ipv6 => ip.is_ipv6(),
        };
        let found = found.map(|address| address.ip()).filter(is_wanted);
        let records: Vec<Record> = found.map(Record::Address).collect();
        let outcome = match records.is_empty() {
            true => Outcome::Absent("the name has no address".to_owned()),
            false => Outcome::Found {
                records,
                ttl: PERIOD,
            },
        };
        Answer {
            outcome,
            absent_for: None,
        }
    }
}
