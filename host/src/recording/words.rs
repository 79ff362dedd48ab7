//! Translates the host's types to those of the format, and back.

use super::format::{Answer, FailedAttempt, Field, Reply};
use crate::message::Fields;
use crate::policy::{
    self, ByteRange, Edited, Fault, FaultKind, Heard, HookAnswer, Octets, RangeVerdict, Routed,
    Selected,
};
use crate::upstream::{self, Failure};

/// Answers of hooks, as they are recorded.
pub trait Recordable {
    /// The answer.
    fn answer(&self) -> Answer;
}

impl Recordable for Selected {
    fn answer(&self) -> Answer {
        match self {
            Self::Backend(index) => Answer::Backend(*index),
            Self::NoChoice => Answer::NoChoice,
            Self::Answer(reply) => Answer::Reply(reply.into()),
        }
    }
}

impl Recordable for Routed {
    fn answer(&self) -> Answer {
        match self {
            Self::Pool(index) => Answer::Pool(*index),
            Self::NoChoice => Answer::NoChoice,
            Self::Answer(reply) => Answer::Reply(reply.into()),
        }
    }
}

impl Recordable for Edited {
    fn answer(&self) -> Answer {
        match self {
            Self::Done => Answer::Done,
            Self::Answer(reply) => Answer::Reply(reply.into()),
        }
    }
}

impl Recordable for RangeVerdict {
    fn answer(&self) -> Answer {
        match self {
            Self::Untouched => Answer::Untouched,
            Self::Ignore => Answer::Ignore,
            Self::Ranges(ranges) => {
                Answer::Ranges(ranges.iter().map(ByteRange::to_string).collect())
            }
            Self::Answer(reply) => Answer::Reply(reply.into()),
        }
    }
}

impl Recordable for Heard {
    fn answer(&self) -> Answer {
        Answer::Done
    }
}

impl Recordable for HookAnswer {
    fn answer(&self) -> Answer {
        match self {
            Self::Range(verdict) => verdict.answer(),
            Self::Edited(edited) => edited.answer(),
            Self::Selected(selected) => selected.answer(),
            Self::Routed(routed) => routed.answer(),
            Self::Heard(heard) => heard.answer(),
        }
    }
}

impl Recordable for Fault {
    fn answer(&self) -> Answer {
        let kind = match self.kind {
            FaultKind::Trap => "trap",
            FaultKind::Deadline => "deadline",
            FaultKind::Invalid => "invalid",
            FaultKind::Rebuilding => "rebuilding",
            FaultKind::Unavailable => "unavailable",
            FaultKind::Suspended => "suspended",
            FaultKind::Paused => "paused",
        };
        Answer::Fault {
            kind: kind.to_owned(),
            message: self.message.clone(),
        }
    }
}

impl<A: Recordable> Recordable for Result<A, Fault> {
    fn answer(&self) -> Answer {
        match self {
            Ok(answer) => answer.answer(),
            Err(fault) => fault.answer(),
        }
    }
}

impl From<&policy::Reply> for Reply {
    fn from(reply: &policy::Reply) -> Self {
        let fields = reply
            .headers
            .iter()
            .map(|(name, value)| Field(name.clone(), Octets(value.clone())))
            .collect();
        Self {
            status: reply.status,
            fields,
            body: Octets(reply.body.clone()),
        }
    }
}

impl From<&upstream::FailedAttempt> for FailedAttempt {
    fn from(failed: &upstream::FailedAttempt) -> Self {
        Self {
            backend: failed.backend,
            failure: failed.failure.to_string(),
        }
    }
}

impl From<&FailedAttempt> for upstream::FailedAttempt {
    fn from(failed: &FailedAttempt) -> Self {
        let failure = match failed.failure.as_str() {
            "connect" => Failure::Connect,
            "connect-timeout" => Failure::ConnectTimeout,
            "closed" => Failure::Closed,
            _ => Failure::Other,
        };
        Self {
            backend: failed.backend,
            failure,
        }
    }
}

/// The fields of a message as they are recorded.
pub fn fields(fields: &Fields) -> Vec<Field> {
    fields
        .iter()
        .map(|(name, value)| Field(String::from_utf8_lossy(name).into_owned(), value.into()))
        .collect()
}
