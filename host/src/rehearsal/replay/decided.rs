//! What was decided in a call, recorded or replayed.

use super::log::RecordedCall;
use super::replayer::Played;
use crate::policy::Hook;
use crate::recording::{Answer, Field, Target, is_redacted};

/// A decision.
#[derive(Debug, Clone, Copy)]
pub(super) struct Decided<'a> {
    pub answer: &'a Answer,
    /// The fields as the hook left them; none for hooks that edit nothing.
    pub fields: &'a [Field],
    /// What the backend is asked for after it, if the hook may edit that.
    pub target: Option<&'a Target>,
}

impl<'a> From<&'a Played> for Decided<'a> {
    fn from(played: &'a Played) -> Self {
        Self {
            answer: &played.answer,
            fields: &played.fields,
            target: played.target.as_ref(),
        }
    }
}

impl<'a> Decided<'a> {
    /// As it was recorded.
    pub(super) fn recorded(recorded: &RecordedCall<'a>) -> Self {
        let call = recorded.call;
        let before: &[Field] = match (call.hook, &call.response) {
            (Hook::ResponseHeaders | Hook::LocalResponse, Some(response)) => &response.fields,
            (Hook::RequestHeaders, _) => recorded.fields,
            _ => &[],
        };
        Self {
            answer: &call.answer,
            fields: call.edited.as_deref().unwrap_or(before),
            target: call.edited_target.as_ref().or(call.target.as_ref()),
        }
    }
}

/// The names of the request's fields whose values the recording does not have: in a replay a
/// policy reads hashes in their place.
pub(super) fn hidden<'a>(recorded: &RecordedCall<'a>) -> impl Iterator<Item = &'a str> {
    let fields = recorded.fields.iter();
    fields
        .filter(|field| is_redacted(&field.1))
        .map(|field| field.0.as_str())
}
