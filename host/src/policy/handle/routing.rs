//! Which way a request takes, as a policy decides.

use std::sync::Arc;

use super::super::answer::{Fault, RoutePools, Routed};
use super::super::hook::Hook;
use super::super::instance::request_handle;
use super::super::verdict;
use super::PolicyHandle;
use crate::message::RequestHead;

impl PolicyHandle {
    /// Which pool takes this request?
    pub fn route(
        &mut self,
        request: &mut RequestHead,
        pools: RoutePools<'_>,
    ) -> Result<Routed, Fault> {
        if !self.hooks().routing {
            return Ok(Routed::NoChoice);
        }
        self.call(Hook::Routing, request, None, pools, |exports, store| {
            let Some(route) = &exports.route else {
                return Ok(Routed::NoChoice);
            };
            let (answer,) = route.call(store, (request_handle(),))?;
            Ok(verdict::routed(answer, pools.count())?)
        })
    }

    /// May this user of the forward proxy reach this port of the request's host, and by which pool?
    pub fn decide(
        &mut self,
        request: &mut RequestHead,
        pools: RoutePools<'_>,
        (port, user): (u16, Option<&Arc<str>>),
    ) -> Result<Routed, Fault> {
        if !self.hooks().destination {
            return Ok(Routed::NoChoice);
        }
        self.call(Hook::Destination, request, None, pools, |exports, store| {
            let Some(decide) = &exports.decide else {
                return Ok(Routed::NoChoice);
            };
            let (answer,) = decide.call(store, (request_handle(), port, user.cloned()))?;
            Ok(verdict::routed(answer, pools.count())?)
        })
    }
}
