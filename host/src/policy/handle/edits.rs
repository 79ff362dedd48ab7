//! What a policy edits of requests and responses.

use super::super::answer::{Edited, Fault, LocalSource, RoutePools};
use super::super::hook::Hook;
use super::super::instance::{headers_handle, request_handle, target_handle};
use super::super::verdict;
use super::PolicyHandle;
use crate::config::TargetRights;
use crate::message::{Fields, RequestHead};

impl PolicyHandle {
    /// Lets the policy edit `request.fields`. After a fault they are as they were before.
    pub fn edit_request<'p>(
        &mut self,
        request: &mut RequestHead,
        pools: impl Into<RoutePools<'p>>,
    ) -> Result<Edited, Fault> {
        if !self.hooks().request_headers {
            return Ok(Edited::Done);
        }
        self.call(
            Hook::RequestHeaders,
            request,
            None,
            pools.into(),
            |exports, store| {
                let Some(edit) = &exports.edit_request else {
                    return Ok(Edited::Done);
                };
                let (answer,) = edit.call(store, (request_handle(), headers_handle()))?;
                Ok(verdict::edited(answer)?)
            },
        )
    }

    /// Lets the policy edit the response's fields. After a fault they are as they were before.
    pub fn edit_response<'p>(
        &mut self,
        request: &mut RequestHead,
        pools: impl Into<RoutePools<'p>>,
        status: u16,
        backend: u32,
        fields: &mut Fields,
    ) -> Result<Edited, Fault> {
        if !self.hooks().response_headers {
            return Ok(Edited::Done);
        }
        self.call(
            Hook::ResponseHeaders,
            request,
            Some(fields),
            pools.into(),
            |exports, store| {
                let Some(edit) = &exports.edit_response else {
                    return Ok(Edited::Done);
                };
                let (answer,) =
                    edit.call(store, (request_handle(), status, backend, headers_handle()))?;
                Ok(verdict::edited(answer)?)
            },
        )
    }

    /// Lets the policy edit what the backend is asked for, as far as the route allows. After a
    /// fault it is as it was before.
    pub fn edit_target(
        &mut self,
        request: &mut RequestHead,
        pools: RoutePools<'_>,
        rights: TargetRights,
    ) -> Result<Edited, Fault> {
        if !self.hooks().request_target {
            return Ok(Edited::Done);
        }
        self.call(
            Hook::RequestTarget,
            request,
            None,
            pools,
            |exports, store| {
                let Some(edit) = &exports.edit_target else {
                    return Ok(Edited::Done);
                };
                store.data_mut().context.rights = rights;
                let (answer,) = edit.call(store, (request_handle(), target_handle()))?;
                Ok(verdict::edited(answer)?)
            },
        )
    }

    /// Lets the policy edit the fields of a response that no backend has made. After a fault they
    /// are as they were before.
    pub fn edit_local_response(
        &mut self,
        request: &mut RequestHead,
        pools: RoutePools<'_>,
        (status, source): (u16, LocalSource),
        fields: &mut Fields,
    ) -> Result<Edited, Fault> {
        if !self.hooks().local_response {
            return Ok(Edited::Done);
        }
        self.call(
            Hook::LocalResponse,
            request,
            Some(fields),
            pools,
            |exports, store| {
                let Some(edit) = &exports.edit_local_response else {
                    return Ok(Edited::Done);
                };
                edit.call(
                    store,
                    (request_handle(), status, source.into(), headers_handle()),
                )?;
                Ok(Edited::Done)
            },
        )
    }
}
