//! One type for each hook's call, and the message that a hook sees.

mod ways;

use std::fmt;

pub use self::ways::{Decide, EditTarget, Route};

use super::answer::{
    Attempt, Edited, Fault, Heard, LocalSource, RangeVerdict, Reply, RoutePools, Routed, Selected,
};
use super::handle::PolicyHandle;
use super::hook::Hook;
use crate::message::{Fields, RequestHead};
use crate::upstream::{Completion, FailedAttempt};

/// The message that a hook sees and may edit.
#[derive(Debug)]
pub struct Message<'a> {
    /// The request.
    pub head: &'a mut RequestHead,
    /// The response's fields; `None` before there is one.
    pub response: Option<&'a mut Fields>,
}

impl<'a> Message<'a> {
    /// A request that has no response yet.
    pub fn request(head: &'a mut RequestHead) -> Self {
        Self {
            head,
            response: None,
        }
    }
}

/// The answer of any hook, for code that knows its hook by data and not by type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HookAnswer {
    /// Of `range.check`.
    Range(RangeVerdict),
    /// Of the header hooks.
    Edited(Edited),
    /// Of `selection.select`.
    Selected(Selected),
    /// Of `routing.route` and `destination.decide`.
    Routed(Routed),
    /// Of `completion.completed`.
    Heard(Heard),
}

impl HookAnswer {
    /// The policy's own answer to the client, if it is one.
    pub fn reply(&self) -> Option<&Reply> {
        match self {
            Self::Range(RangeVerdict::Answer(reply))
            | Self::Edited(Edited::Answer(reply))
            | Self::Selected(Selected::Answer(reply))
            | Self::Routed(Routed::Answer(reply)) => Some(reply),
            Self::Range(_)
            | Self::Edited(_)
            | Self::Selected(_)
            | Self::Routed(_)
            | Self::Heard(_) => None,
        }
    }
}

impl fmt::Display for HookAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(verdict) => verdict.fmt(f),
            Self::Edited(edited) => edited.fmt(f),
            Self::Selected(selected) => selected.fmt(f),
            Self::Routed(routed) => routed.fmt(f),
            Self::Heard(heard) => heard.fmt(f),
        }
    }
}

impl From<RangeVerdict> for HookAnswer {
    fn from(verdict: RangeVerdict) -> Self {
        Self::Range(verdict)
    }
}

impl From<Edited> for HookAnswer {
    fn from(edited: Edited) -> Self {
        Self::Edited(edited)
    }
}

impl From<Selected> for HookAnswer {
    fn from(selected: Selected) -> Self {
        Self::Selected(selected)
    }
}

impl From<Routed> for HookAnswer {
    fn from(routed: Routed) -> Self {
        Self::Routed(routed)
    }
}

impl From<Heard> for HookAnswer {
    fn from(heard: Heard) -> Self {
        Self::Heard(heard)
    }
}

/// A call of one hook: its parameters beside the message.
pub trait Ask {
    /// The hook's answer.
    type Answer: Clone + Into<HookAnswer>;
    /// The hook.
    const HOOK: Hook;

    /// Calls the hook.
    fn ask(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
    ) -> Result<Self::Answer, Fault>;

    /// Calls the hook of a policy that knows a newer list of the pool's backends than the request
    /// does.
    #[cold]
    fn ask_by(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
        _positions: Positions<'_>,
    ) -> Result<Self::Answer, Fault> {
        self.ask(handle, message)
    }
}

/// The positions of one list's backends in another list.
#[derive(Clone, Copy)]
pub struct Positions<'a> {
    /// Of the request's list, in the policy's.
    pub there: &'a dyn Fn(u32) -> Option<u32>,
    /// Of the policy's list, in the request's.
    pub back: &'a dyn Fn(u32) -> Option<u32>,
}

impl Positions<'_> {
    /// These attempts in the policy's list, without those at backends that have left it.
    fn of_failed(&self, failed: &[FailedAttempt]) -> Vec<FailedAttempt> {
        let there = |past: &FailedAttempt| {
            let backend = (self.there)(past.backend)?;
            Some(FailedAttempt { backend, ..*past })
        };
        failed.iter().filter_map(there).collect()
    }
}

/// The index of a backend that has left its pool's list: no list is as long.
const LEFT: u32 = u32::MAX;

/// Which range is wanted?
#[derive(Debug, Clone, Copy)]
pub struct CheckRange<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
}

/// Which fields of the request change?
#[derive(Debug, Clone, Copy)]
pub struct EditRequest<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
}

/// Which backend takes the request?
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// Which attempt it is.
    pub attempt: Attempt<'a>,
}

/// Which fields of the response change?
#[derive(Debug, Clone, Copy)]
pub struct EditResponse<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// The response's status.
    pub status: u16,
    /// The backend that answered, by its index in the pool.
    pub backend: u32,
}

/// Which fields of a response change that no backend has made?
#[derive(Debug, Clone, Copy)]
pub struct EditLocalResponse<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// The response's status.
    pub status: u16,
    /// What has made it.
    pub source: LocalSource,
}

/// What became of the request.
#[derive(Debug, Clone, Copy)]
pub struct Completed<'a> {
    /// The pools of the route.
    pub pools: RoutePools<'a>,
    /// What became of it.
    pub completion: &'a Completion,
    /// The attempts at it that failed.
    pub failed: &'a [FailedAttempt],
}

impl Ask for CheckRange<'_> {
    type Answer = RangeVerdict;
    const HOOK: Hook = Hook::Range;

    #[inline]
    fn ask(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
    ) -> Result<RangeVerdict, Fault> {
        handle.check_range(message.head, self.pools)
    }
}

impl Ask for EditRequest<'_> {
    type Answer = Edited;
    const HOOK: Hook = Hook::RequestHeaders;

    #[inline]
    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Edited, Fault> {
        handle.edit_request(message.head, self.pools)
    }
}

impl Ask for Select<'_> {
    type Answer = Selected;
    const HOOK: Hook = Hook::Selection;

    #[inline]
    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Selected, Fault> {
        handle.select(message.head, self.pools, self.attempt)
    }

    #[cold]
    fn ask_by(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
        positions: Positions<'_>,
    ) -> Result<Selected, Fault> {
        let failed = positions.of_failed(self.attempt.failed);
        let attempt = Attempt {
            failed: &failed,
            ..self.attempt
        };
        let selected = handle.select(message.head, self.pools, attempt)?;
        Ok(match selected {
            // A backend that is not in the request's list counts as no choice.
            Selected::Backend(backend) => {
                (positions.back)(backend).map_or(Selected::NoChoice, Selected::Backend)
            }
            other => other,
        })
    }
}

impl Ask for EditResponse<'_> {
    type Answer = Edited;
    const HOOK: Hook = Hook::ResponseHeaders;

    #[inline]
    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Edited, Fault> {
        // Without a response there is nothing to edit.
        let Some(fields) = message.response.as_deref_mut() else {
            return Ok(Edited::Done);
        };
        handle.edit_response(message.head, self.pools, self.status, self.backend, fields)
    }

    #[cold]
    fn ask_by(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
        positions: Positions<'_>,
    ) -> Result<Edited, Fault> {
        let backend = (positions.there)(self.backend).unwrap_or(LEFT);
        Self { backend, ..*self }.ask(handle, message)
    }
}

impl Ask for EditLocalResponse<'_> {
    type Answer = Edited;
    const HOOK: Hook = Hook::LocalResponse;

    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Edited, Fault> {
        let Some(fields) = message.response.as_deref_mut() else {
            return Ok(Edited::Done);
        };
        handle.edit_local_response(message.head, self.pools, (self.status, self.source), fields)
    }
}

impl Ask for Completed<'_> {
    type Answer = Heard;
    const HOOK: Hook = Hook::Completion;

    fn ask(&self, handle: &mut PolicyHandle, message: &mut Message<'_>) -> Result<Heard, Fault> {
        handle.completed(message.head, self.pools, (self.completion, self.failed))
    }

    #[cold]
    fn ask_by(
        &self,
        handle: &mut PolicyHandle,
        message: &mut Message<'_>,
        positions: Positions<'_>,
    ) -> Result<Heard, Fault> {
        let there = |backend| (positions.there)(backend).unwrap_or(LEFT);
        let completion = Completion {
            backend: self.completion.backend.map(there),
            ..*self.completion
        };
        let failed = positions.of_failed(self.failed);
        Completed {
            pools: self.pools,
            completion: &completion,
            failed: &failed,
        }
        .ask(handle, message)
    }
}
