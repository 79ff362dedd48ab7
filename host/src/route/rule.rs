//! What routes with a pool decide.

use std::collections::HashMap;
use std::ops::Deref;
use std::sync::Arc;

use super::target::{RuleMirror, RuleTarget, numbers};
use crate::config::{Compression, ProxyHeader, Route, RouteEdits, TargetRights, Timeouts};
use crate::policy::PolicyId;
use crate::stats::RouteSlot;
use crate::upstream::PoolId;

pub(super) fn edits(route: &Route) -> Option<Box<RouteEdits>> {
    (!route.edits.is_empty()).then(|| Box::new(route.edits.of_route(&route.to_string())))
}

/// What a route decides.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// Its place among the routes of the configuration.
    pub number: u32,
    /// Where it is counted.
    pub slot: RouteSlot,
    handling: Arc<Handling>,
}

/// How requests are handled. Routes that say the same share one: of ten thousand hosts, which are
/// asked for in turns, it would never be in the processor's caches otherwise.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handling {
    /// The pools that take its requests, at least one.
    pub targets: Box<[RuleTarget]>,
    /// The policies, in the order in which they are asked.
    pub policies: Box<[PolicyId]>,
    /// The numbers of its pools, if there are several.
    pub pools: Box<[u32]>,
    /// What its policies may edit of a request's target.
    pub rights: TargetRights,
    /// Whether header names keep the case in which client and backend sent them.
    pub preserve_case: bool,
    /// Where copies of its requests go.
    pub mirror: Option<Box<RuleMirror>>,
    /// Its time-outs; `None` if they are those of all.
    pub timeouts: Option<Box<Timeouts>>,
    /// Its largest request body, where that is not the one of all; 0 = no limit.
    pub body_bytes: Option<u64>,
    /// The protocols to which a connection may change.
    pub upgrade: Box<[Box<str>]>,
    /// What it changes of requests and responses; `None` for nothing.
    pub edits: Option<Box<RouteEdits>>,
    /// Which responses are compressed on their way.
    pub compress: Option<Box<Compression>>,
    /// The header that a backend gets before a connection that is passed on.
    pub proxy_protocol: Option<ProxyHeader>,
}

impl Rule {
    /// That of the route with this number.
    pub fn new(number: u32, slot: RouteSlot, handling: Arc<Handling>) -> Self {
        Self {
            number,
            slot,
            handling,
        }
    }
}

impl Deref for Rule {
    type Target = Handling;

    #[inline]
    fn deref(&self) -> &Handling {
        &self.handling
    }
}

/// The pools and the policies of a route.
type Key = (Vec<PoolId>, Box<[PolicyId]>);

/// What routes have said so far.
#[derive(Default)]
pub(super) struct Known(HashMap<Key, Vec<Arc<Handling>>>);

impl Known {
    /// Of one pool and the same policies so many are compared; a table is to be built in no time.
    const COMPARED: usize = 16;

    /// The one that says the same, if there is one.
    pub(super) fn share(&mut self, handling: Handling) -> Arc<Handling> {
        let pools = handling.targets.iter().map(|target| target.pool);
        let key = (pools.collect(), handling.policies.clone());
        let alike = self.0.entry(key).or_default();
        if let Some(same) = alike.iter().find(|known| ***known == handling) {
            return Arc::clone(same);
        }
        let handling = Arc::new(handling);
        if alike.len() < Self::COMPARED {
            alike.push(Arc::clone(&handling));
        }
        handling
    }
}

impl Handling {
    /// That of a route; `None` if a pool or a policy of it is not there.
    pub(super) fn new(route: &Route, pools: &[PoolId], policies: &[PolicyId]) -> Option<Self> {
        let ids = route.policies.iter().map(|at| policies.get(*at).copied());
        let traffic = &route.traffic;
        let targets = traffic.targets.iter().map(|to| RuleTarget::new(to, pools));
        let targets = targets.collect::<Option<Box<[RuleTarget]>>>()?;
        let mirror = traffic.mirror.as_ref();
        Some(Self {
            pools: numbers(&targets),
            targets,
            policies: ids.collect::<Option<_>>()?,
            rights: route.rights,
            preserve_case: route.preserve_header_case,
            mirror: mirror
                .and_then(|to| RuleMirror::new(to, pools))
                .map(Box::new),
            timeouts: traffic.timeouts.clone(),
            body_bytes: traffic.body_bytes,
            upgrade: route
                .upgrade
                .iter()
                .map(|name| name.as_str().into())
                .collect(),
            edits: edits(route),
            compress: route.compress.clone().map(Box::new),
            proxy_protocol: route.layer4.as_ref().and_then(|l| l.proxy_protocol),
        })
    }
}
