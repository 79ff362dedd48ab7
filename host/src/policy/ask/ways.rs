//! The questions about where a request goes.

use std::sync::Arc;

use super::super::answer::{Edited, Fault, RoutePools, Routed};
use super::super::handle::PolicyHandle;
use super::super::hook::Hook;
use super::{Ask, Message};
use crate::config::TargetRights;

/// May a client of the forward proxy reach this, and by which pool?
#[derive(Debug, Clone, Copy)]
pub struct Decide<'a> {
    /// The pools of `[forward]`; none is chosen yet.
    pub pools: RoutePools<'a>,
    /// The port of the destination, whose host is the request's.
    pub port: u16,
    /// Who has signed in.
    pub user: Option<&'a Arc<str>>,
}

/// What is the backend asked for?
#[derive(Debug, Clone, Copy)]
pub struct EditTarget<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// What the route allows.
    pub rights: TargetRights,
}

/// Which pool takes the request?
#[derive(Debug, Clone, Copy)]
pub struct Route<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
}

impl Ask for Decide<'_> {
    type Answer = Routed;
    const HOOK: Hook = Hook::Destination;

    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Routed, Fault> {
        handle.decide(message.head, self.pools, (self.port, self.user))
    }
}

impl Ask for EditTarget<'_> {
    type Answer = Edited;
    const HOOK: Hook = Hook::RequestTarget;

    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Edited, Fault> {
        handle.edit_target(message.head, self.pools, self.rights)
    }
}

impl Ask for Route<'_> {
    type Answer = Routed;
    const HOOK: Hook = Hook::Routing;

    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Routed, Fault> {
        handle.route(message.head, self.pools)
    }
}
