//! The hooks that are asked about a request: one list of them, and one question for each.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::answer::{Attempt, Edited, Fault, RangeVerdict, Selected};
use super::seat::Seat;
use crate::message::{Fields, RequestHead};
use crate::stats::HOOKS;

/// A hook of the contract, in the order in which a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// `range.check`
    Range,
    /// `request-headers.edit-request`
    RequestHeaders,
    /// `selection.select`
    Selection,
    /// `response-headers.edit-response`
    ResponseHeaders,
}

impl Hook {
    /// All of them. Statistics count by this order.
    pub const ALL: [Self; HOOKS] = [
        Self::Range,
        Self::RequestHeaders,
        Self::Selection,
        Self::ResponseHeaders,
    ];

    /// The name of its interface in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Range => "range",
            Self::RequestHeaders => "request-headers",
            Self::Selection => "selection",
            Self::ResponseHeaders => "response-headers",
        }
    }

    /// Its position in [`Hook::ALL`].
    pub const fn index(self) -> usize {
        self as usize
    }
}

impl fmt::Display for Hook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Hook {
    type Err = String;

    fn from_str(written: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|hook| hook.name() == written)
            .ok_or_else(|| {
                format!(
                    "{written:?} is not a hook; write one of: {}",
                    Self::ALL.map(Self::name).join(", ")
                )
            })
    }
}

/// What a hook is asked about, and may edit.
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

/// A question of one hook: what it is asked beside the message.
pub trait Ask {
    /// What the hook answers.
    type Answer;
    /// The hook.
    const HOOK: Hook;

    /// Calls the hook.
    fn ask(&self, seat: &mut Seat, message: &mut Message<'_>) -> Result<Self::Answer, Fault>;
}

/// Which range is wanted?
#[derive(Debug, Clone, Copy)]
pub struct CheckRange {
    /// The pool of the route.
    pub pool: u32,
}

/// Which fields of the request change?
#[derive(Debug, Clone, Copy)]
pub struct EditRequest {
    /// The pool of the route.
    pub pool: u32,
}

/// Which backend takes the request?
#[derive(Debug, Clone, Copy)]
pub struct Select<'a> {
    /// The pool of the route.
    pub pool: u32,
    /// Which attempt it is.
    pub attempt: Attempt<'a>,
}

/// Which fields of the response change?
#[derive(Debug, Clone, Copy)]
pub struct EditResponse {
    /// The pool of the route.
    pub pool: u32,
    /// The response's status.
    pub status: u16,
    /// The backend that answered, by its index in the pool.
    pub backend: u32,
}

impl Ask for CheckRange {
    type Answer = RangeVerdict;
    const HOOK: Hook = Hook::Range;

    fn ask(&self, seat: &mut Seat, message: &mut Message<'_>) -> Result<RangeVerdict, Fault> {
        seat.check_range(message.head, self.pool)
    }
}

impl Ask for EditRequest {
    type Answer = Edited;
    const HOOK: Hook = Hook::RequestHeaders;

    fn ask(&self, seat: &mut Seat, message: &mut Message<'_>) -> Result<Edited, Fault> {
        seat.edit_request(message.head, self.pool)
    }
}

impl Ask for Select<'_> {
    type Answer = Selected;
    const HOOK: Hook = Hook::Selection;

    fn ask(&self, seat: &mut Seat, message: &mut Message<'_>) -> Result<Selected, Fault> {
        seat.select(message.head, self.pool, self.attempt)
    }
}

impl Ask for EditResponse {
    type Answer = Edited;
    const HOOK: Hook = Hook::ResponseHeaders;

    fn ask(&self, seat: &mut Seat, message: &mut Message<'_>) -> Result<Edited, Fault> {
        // Without a response there is nothing to edit.
        let Some(fields) = message.response.as_deref_mut() else {
            return Ok(Edited::Done);
        };
        seat.edit_response(message.head, self.pool, self.status, self.backend, fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hook_has_one_name_and_one_position() {
        for (at, hook) in Hook::ALL.into_iter().enumerate() {
            assert_eq!((hook.index(), hook.name().parse()), (at, Ok(hook)));
            assert_eq!(
                serde_json::to_value(hook).unwrap(),
                hook.name(),
                "in recordings"
            );
        }
        assert_eq!(
            "topology".parse::<Hook>().unwrap_err(),
            "\"topology\" is not a hook; write one of: range, request-headers, selection, response-headers"
        );
    }
}
