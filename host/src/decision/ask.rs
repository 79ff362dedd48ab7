//! One hook of one policy, known by data.

use std::sync::Arc;

use super::environment::Caller;
use crate::config::TargetRights;
use crate::policy::{
    Ask, Attempt, CheckRange, Completed, Decide, EditLocalResponse, EditRequest, EditResponse,
    EditTarget, Fault, Hook, HookAnswer, LocalSource, Message, PolicyHandle, Route, RoutePools,
    Select,
};
use crate::upstream::Completion;

/// What any hook may be asked beside the message.
#[derive(Debug, Clone, Copy)]
pub struct HookFacts<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// What the route lets its policies edit of the request's target.
    pub rights: TargetRights,
    /// The attempt that a backend is selected for.
    pub attempt: Attempt<'a>,
    /// The status of the response.
    pub status: u16,
    /// The backend that gave it.
    pub backend: u32,
    /// What made it, if no backend did.
    pub source: LocalSource,
    /// The port of the destination, in a forward proxy.
    pub port: u16,
    /// The user of a forward proxy.
    pub user: Option<&'a Arc<str>>,
    /// What became of the request.
    pub completion: &'a Completion,
}

impl<'a> HookFacts<'a> {
    fn decide(self) -> Decide<'a> {
        Decide {
            pools: self.pools,
            port: self.port,
            user: self.user,
        }
    }

    fn edit_response(self) -> EditResponse<'a> {
        EditResponse {
            pools: self.pools,
            status: self.status,
            backend: self.backend,
        }
    }

    fn edit_local_response(self) -> EditLocalResponse<'a> {
        EditLocalResponse {
            pools: self.pools,
            status: self.status,
            source: self.source,
        }
    }

    fn completed(self) -> Completed<'a> {
        Completed {
            pools: self.pools,
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
    let HookFacts {
        pools,
        attempt,
        rights,
        ..
    } = facts;
    let put = Put {
        caller,
        handle,
        message,
    };
    match hook {
        Hook::Destination => put.ask(&facts.decide()),
        Hook::Range => put.ask(&CheckRange { pools }),
        Hook::RequestHeaders => put.ask(&EditRequest { pools }),
        Hook::RequestTarget => put.ask(&EditTarget { pools, rights }),
        Hook::Routing => put.ask(&Route { pools }),
        Hook::Selection => put.ask(&Select { pools, attempt }),
        Hook::ResponseHeaders => put.ask(&facts.edit_response()),
        Hook::LocalResponse => put.ask(&facts.edit_local_response()),
        Hook::Completion => put.ask(&facts.completed()),
    }
}

/// One question to one policy.
struct Put<'a, 'm, C> {
    caller: C,
    handle: &'a mut PolicyHandle,
    message: &'a mut Message<'m>,
}

impl<C: Caller> Put<'_, '_, C> {
    fn ask<Q: Ask>(self, question: &Q) -> Result<HookAnswer, Fault> {
        let answer = self.caller.call(self.handle, question, self.message);
        answer.map(Into::into)
    }
}
