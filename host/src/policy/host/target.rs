//! What the backend is asked for, as a policy reads and edits it.

use wasmtime::component::Resource;

use super::super::bindings::waypost::policy::types::{self, TargetError};
use super::super::resources::Target;
use super::super::state::{CallContext, State};
use crate::config::{TargetRights, normalise_host};

impl types::HostTarget for State {
    fn path(&mut self, _: Resource<Target>) -> String {
        self.context.request.sent_parts().0.to_owned()
    }

    fn query(&mut self, _: Resource<Target>) -> Option<String> {
        self.context.request.sent_parts().1.map(str::to_owned)
    }

    fn host(&mut self, _: Resource<Target>) -> String {
        let request = &self.context.request;
        request.forwarded_authority(&request.host).to_owned()
    }

    fn set_path(&mut self, _: Resource<Target>, path: String) -> Result<(), TargetError> {
        let has_path = self.context.request.path() != "*";
        editable(&mut self.context, |may| may.path && has_path, path.len())?;
        valid(self.context.request.send_path(&path))
    }

    fn set_query(&mut self, _: Resource<Target>, query: Option<String>) -> Result<(), TargetError> {
        let has_path = self.context.request.path() != "*";
        let length = query.as_ref().map_or(0, String::len);
        editable(&mut self.context, |may| may.query && has_path, length)?;
        valid(self.context.request.send_query(query.as_deref()))
    }

    fn set_host(&mut self, _: Resource<Target>, host: String) -> Result<(), TargetError> {
        editable(&mut self.context, |may| may.host, host.len())?;
        let is_name = normalise_host(&host).is_some_and(|host| !host.is_empty());
        valid(is_name && self.context.request.send_authority(&host))
    }

    fn drop(&mut self, _: Resource<Target>) -> wasmtime::Result<()> {
        Ok(())
    }
}

/// Counts an edit of this length, if the route allows it; can be undone from here on.
fn editable(
    context: &mut CallContext,
    may: impl FnOnce(TargetRights) -> bool,
    length: usize,
) -> Result<(), TargetError> {
    if !may(context.rights) {
        return Err(TargetError::NotAllowed);
    }
    let spent = context.budget.spend(length);
    spent.map_err(|_| TargetError::TooMany)?;
    let before = &context.request.by_route;
    context.undo_target.get_or_insert_with(|| before.clone());
    Ok(())
}

fn valid(is_valid: bool) -> Result<(), TargetError> {
    match is_valid {
        true => Ok(()),
        false => Err(TargetError::Invalid),
    }
}
