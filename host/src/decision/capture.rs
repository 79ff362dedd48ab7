//! What is captured of one request while its policies are asked.

use std::cell::RefCell;

use super::explain::{Trace, TracedCall};
use super::record::RecordedRequest;
use crate::policy::{Hook, PolicyHandle};
use crate::recording::Role;

/// What is captured of one request. Nothing is of most, and those pay for a look at one pointer.
#[derive(Debug, Default)]
pub(super) struct Capture {
    /// For the client that sent it.
    pub trace: Option<RefCell<Trace>>,
    /// For a replay.
    pub record: Option<RefCell<RecordedRequest>>,
}

impl Capture {
    /// The record, if it is to hold calls of this policy.
    pub(super) fn record_of(&self, handle: &PolicyHandle) -> Option<&RefCell<RecordedRequest>> {
        let record = self.record.as_ref();
        record.filter(|record| record.borrow().wants(handle))
    }
}

/// The call of this handle that has just ended, as a trace names it.
pub(super) fn traced(handle: &PolicyHandle, hook: Hook, role: Role) -> TracedCall<'_> {
    let generation = handle.generation();
    TracedCall {
        hook,
        policy: generation.name(),
        generation: generation.number(),
        role: match role {
            Role::Active => None,
            Role::Canary => Some("canary"),
            Role::Shadow => Some("shadow"),
        },
        took: handle.took(),
    }
}
