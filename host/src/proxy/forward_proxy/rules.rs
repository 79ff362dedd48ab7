//! What `[forward]` decides, ready for use.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use super::address::{is_own, is_public};
use super::destination::Destination;
use crate::config::{Config, ForwardProxy, Listener, RetryPolicy, TargetRights};
use crate::message::websocket::WEBSOCKET;
use crate::policy::PolicyId;
use crate::proxy::refusal::ForwardRefusal;
use crate::route::{Handling, Rule, RuleTarget};
use crate::stats::RouteSlot;
use crate::upstream::PoolId;

/// Addresses of one host that are tried.
const MOST_ADDRESSES: usize = 8;

/// What `[forward]` decides.
#[derive(Debug)]
pub(in crate::proxy) struct ForwardRules {
    pub(super) config: ForwardProxy,
    /// The value of `Proxy-Authenticate`.
    pub(super) challenge: Arc<str>,
    /// What a route would say of requests that go on by HTTP.
    pub(super) rule: Rule,
    /// What it would say of the destination's pool, by its number of addresses.
    targets: Box<[RuleTarget]>,
    /// What policies are asked about destinations.
    pub(super) asked: Asked,
    /// The ports of this process's own listeners.
    own_ports: Vec<u16>,
}

/// The policies that decide about destinations.
#[derive(Debug)]
pub(super) struct Asked {
    /// What a trial counts them as: the route after the last.
    pub number: u32,
    /// In the order in which they are asked.
    pub policies: Box<[PolicyId]>,
    /// The pools that they may choose.
    pub targets: Box<[RuleTarget]>,
    /// The numbers of those.
    pub pools: Box<[u32]>,
}

impl Asked {
    fn new(config: &Config, policies: &[PolicyId], pools: &[PoolId]) -> Option<Self> {
        let forward = config.forward.as_ref()?;
        let ids = forward.policies.iter();
        let ids = ids.map(|at| policies.get(*at).copied());
        let targets = forward.pools.iter();
        let targets = targets.map(|to| RuleTarget::new(to, pools));
        let targets = targets.collect::<Option<Box<[RuleTarget]>>>()?;
        Some(Self {
            number: u32::try_from(config.routes.len()).unwrap_or(u32::MAX),
            policies: ids.collect::<Option<_>>()?,
            pools: targets.iter().map(|to| to.pool.number()).collect(),
            targets,
        })
    }
}

/// What a route would say of requests that go on by HTTP.
fn rule() -> Rule {
    let handling = Handling {
        targets: Box::default(),
        policies: Box::default(),
        pools: Box::default(),
        rights: TargetRights::default(),
        preserve_case: false,
        mirror: None,
        timeouts: None,
        body_bytes: None,
        upgrade: Box::new([WEBSOCKET.into()]),
        edits: None,
        compress: None,
        proxy_protocol: None,
    };
    // It is no route, and counted as none.
    Rule::new(u32::MAX, RouteSlot::default(), handling.into())
}

impl ForwardRules {
    /// Those of a configuration, if it has a forward proxy.
    pub(in crate::proxy) fn new(
        config: &Config,
        policies: &[PolicyId],
        pools: &[PoolId],
    ) -> Option<Self> {
        // Without its policies it would let through what they refuse.
        let asked = Asked::new(config, policies, pools)?;
        let forward = config.forward.clone()?;
        let realm = forward.authentication.as_ref().map(|a| a.realm.as_str());
        let realm = realm.unwrap_or_default();
        let tcp = config.listeners.iter().filter_map(Listener::tcp);
        let admin = config.admin.iter().map(|admin| admin.listen);
        let ports = tcp.chain(admin).map(|address| address.port());
        // The server is somebody else's: each address is tried once, and its clients may ask again
        // themselves.
        let target = |attempts| RuleTarget {
            pool: PoolId::NOWHERE,
            weight: 1,
            retry: RetryPolicy::until_connected(attempts),
        };
        Some(Self {
            challenge: format!("Basic realm=\"{realm}\", charset=\"UTF-8\"").into(),
            rule: rule(),
            targets: (1..=MOST_ADDRESSES as u32).map(target).collect(),
            asked,
            own_ports: ports.filter(|port| *port > 0).collect(),
            config: forward,
        })
    }

    /// What the rule says of a pool with this many addresses.
    pub(super) fn target(&self, addresses: usize) -> &RuleTarget {
        let last = self.targets.len() - 1;
        &self.targets[addresses.saturating_sub(1).min(last)]
    }

    /// Whether some address of this host may be reached at this port. Names that may not are not
    /// looked up.
    pub(super) fn check(&self, host: &str, port: u16) -> Result<(), ForwardRefusal> {
        let mut all = self.config.allow.iter();
        match all.any(|entry| entry.may_allow(host, port)) {
            true => Ok(()),
            false => Err(ForwardRefusal::Destination),
        }
    }

    /// Those of a host's addresses that may be reached, IPv4 first. Others are left out: a host
    /// with a private address beside a public one is reached by the public one.
    pub(super) fn allowed(
        &self,
        host: &str,
        destination: Destination,
        addresses: &[IpAddr],
    ) -> Result<Vec<SocketAddr>, ForwardRefusal> {
        let mut refusal = ForwardRefusal::Address;
        let mut all = Vec::new();
        for address in addresses.iter().map(|address| address.to_canonical()) {
            let at = SocketAddr::new(address, destination.port);
            match self.permits(host, at) {
                Ok(()) => all.push(at),
                Err(reason) => refusal = reason,
            }
        }
        all.sort_unstable_by_key(|at| at.is_ipv6());
        all.truncate(MOST_ADDRESSES);
        match all.is_empty() {
            true => Err(refusal),
            false => Ok(all),
        }
    }

    fn permits(&self, host: &str, at: SocketAddr) -> Result<(), ForwardRefusal> {
        let (address, port) = (at.ip(), at.port());
        let is_public = is_public(address);
        let entries = self.config.allow.iter();
        let mut fitting =
            entries.filter(|entry| entry.may_allow(host, port) && entry.allows(address, is_public));
        let Some(first) = fitting.next() else {
            return Err(ForwardRefusal::Address);
        };
        let is_listed = !first.networks.is_empty() || fitting.any(|e| !e.networks.is_empty());
        match !is_listed && self.own_ports.contains(&port) && is_own(at) {
            true => Err(ForwardRefusal::Itself),
            false => Ok(()),
        }
    }
}
