//! One hook of one policy, known by data.

use super::environment::Caller;
use crate::policy::{
    Attempt, CheckRange, Completed, EditRequest, EditResponse, Fault, Hook, HookAnswer, Message,
    PolicyHandle, Select,
};
use crate::upstream::Completion;

/// What any hook may be asked beside the message.
#[derive(Debug, Clone, Copy)]
pub struct HookFacts<'a> {
    /// The pool of the route.
    pub pool: u32,
    /// The attempt that a backend is selected for.
    pub attempt: Attempt<'a>,
    /// The status of the response.
    pub status: u16,
    /// The backend that gave it.
    pub backend: u32,
    /// What became of the request.
    pub completion: &'a Completion,
}

impl<'a> HookFacts<'a> {
    fn edit_response(self) -> EditResponse {
        EditResponse {
            pool: self.pool,
            status: self.status,
            backend: self.backend,
        }
    }

    fn completed(self) -> Completed<'a> {
        Completed {
            pool: self.pool,
            completion: self.completion,
            failed: self.attempt.failed,
        }
    }
}

/// Asks one hook of one policy, as a recording or a benchmark names it. A request's hooks are asked
/// by a [`PolicyChain`](super::PolicyChain).
pub fn ask_hook(
    caller: impl Caller,
    handle: &mut PolicyHandle,
    hook: Hook,
    facts: HookFacts<'_>,
    message: &mut Message<'_>,
) -> Result<HookAnswer, Fault> {
    let HookFacts { pool, attempt, .. } = facts;
    match hook {
        Hook::Range => {
            let question = CheckRange { pool };
            caller.call(handle, &question, message).map(Into::into)
        }
        Hook::RequestHeaders => {
            let question = EditRequest { pool };
            caller.call(handle, &question, message).map(Into::into)
        }
        Hook::Selection => {
            let question = Select { pool, attempt };
            caller.call(handle, &question, message).map(Into::into)
        }
        Hook::ResponseHeaders => {
            let question = facts.edit_response();
            caller.call(handle, &question, message).map(Into::into)
        }
        Hook::Completion => {
            let question = facts.completed();
            caller.call(handle, &question, message).map(Into::into)
        }
    }
}
