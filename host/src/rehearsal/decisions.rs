//! A request for a policy, and the policy's decisions.

use std::sync::Arc;

use crate::config::TargetRights;
use crate::message::{Fields, RequestHead};
use crate::policy::{
    Fault, Hook, HookAnswer, LogLine, NO_POOL, Reply, RoutePools, Routed, Script, Selected,
};
use crate::upstream::{Completion, FailedAttempt};

/// A request, with the draws, clock readings and facts that a policy gets for it.
#[derive(Debug, Clone, Default)]
pub(super) struct Question {
    /// The request as a policy would see it.
    pub head: RequestHead,
    /// The pool's id.
    pub pool: u32,
    /// Where else the request may go.
    pub ways: Ways,
    /// Which attempt the selection is for; 1 is the first.
    pub attempt: u32,
    /// The attempts that failed.
    pub failed: Vec<FailedAttempt>,
    /// The backend's response; `None` if no backend is asked.
    pub response: Option<Response>,
    /// What becomes of the request; `None` if the policy is not to hear of it. Without a backend,
    /// it is the one that was selected.
    pub completion: Option<Completion>,
    /// How long the client still waits, in nanoseconds.
    pub left: Option<u64>,
    /// Draws and time, for all hooks together.
    pub script: Script,
}

/// Where a request may go.
#[derive(Debug, Clone, Default)]
pub(super) struct Ways {
    /// The ids of the pools that a policy may choose, if there are several.
    pub pools: Vec<u32>,
    /// What a policy may edit of what the backend is asked for.
    pub rights: TargetRights,
    /// The port and the user, if the request is one to a forward proxy.
    pub destination: Option<(u16, Option<Arc<str>>)>,
}

impl Ways {
    /// The pools, of which this one is chosen.
    pub(super) fn from(&self, chosen: u32) -> RoutePools<'_> {
        RoutePools {
            chosen: match self.destination {
                Some(_) => NO_POOL,
                None => chosen,
            },
            all: &self.pools,
        }
    }
}

/// A response.
#[derive(Debug, Clone, Default)]
pub(super) struct Response {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Fields,
    /// The backend that gave it; the one that was selected if `None`.
    pub backend: Option<u32>,
    /// Whether the proxy has made it, and no backend.
    pub is_local: bool,
}

/// The decisions of the hooks.
#[derive(Debug, Default)]
pub(super) struct Decisions {
    /// By [`Hook::index`]; `None` if the hook was not asked.
    pub answers: [Option<Result<HookAnswer, Fault>>; Hook::ALL.len()],
    /// The request after it was edited.
    pub head: RequestHead,
    /// The fields of the response after they were edited.
    pub response_fields: Fields,
    /// The fields of the policy's own answer after they were edited, if there is one.
    pub answer_fields: Option<Fields>,
    /// The instructions of each call, where the engine counts them.
    pub fuel: Vec<u64>,
    /// The policy's log lines, at most 256 of each call.
    pub lines: Vec<LogLine>,
    /// The fault of the script: a draw that is out of the bounds that the policy gave.
    pub complaint: Option<String>,
    /// Draws of the script that no hook asked for.
    pub draws_left: usize,
}

impl Decisions {
    /// What this hook decided, if it was asked.
    pub(super) fn of(&self, hook: Hook) -> Option<Result<&HookAnswer, &Fault>> {
        self.answers[hook.index()].as_ref().map(Result::as_ref)
    }

    /// The result of the selection, if the policy selects.
    pub(super) fn selection(&self) -> Option<Result<&Selected, &Fault>> {
        match self.of(Hook::Selection)? {
            Ok(HookAnswer::Selected(selected)) => Some(Ok(selected)),
            Ok(_) => None,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// The backend that was selected.
    pub(super) fn backend(&self) -> Option<u32> {
        match self.selection() {
            Some(Ok(Selected::Backend(backend))) => Some(*backend),
            _ => None,
        }
    }

    /// What the policy decided about the pool, if it was asked.
    pub(super) fn routed(&self) -> Option<Result<&Routed, &Fault>> {
        let asked = self
            .of(Hook::Routing)
            .or_else(|| self.of(Hook::Destination));
        match asked? {
            Ok(HookAnswer::Routed(routed)) => Some(Ok(routed)),
            Ok(_) => None,
            Err(fault) => Some(Err(fault)),
        }
    }

    /// The answer that the client would get from the policy, and the hook that gave it.
    pub(super) fn answer(&self) -> Option<(Hook, &Reply)> {
        let replies = |hook| self.of(hook)?.ok()?.reply().map(|reply| (hook, reply));
        Hook::ALL.into_iter().find_map(replies)
    }

    /// The hooks that failed, and how.
    pub(super) fn faults(&self) -> impl Iterator<Item = (Hook, &Fault)> {
        let fault = |hook| self.of(hook)?.err().map(|fault| (hook, fault));
        Hook::ALL.into_iter().filter_map(fault)
    }
}
