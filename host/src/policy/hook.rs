//! The hooks that are asked about a request: one list of them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::stats::HOOKS;

/// A hook of the contract, in the order in which a request meets them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// `destination.decide`
    Destination,
    /// `range.check`
    Range,
    /// `request-headers.edit-request`
    RequestHeaders,
    /// `request-target.edit-target`
    RequestTarget,
    /// `routing.route`
    Routing,
    /// `selection.select`
    Selection,
    /// `response-headers.edit-response`
    ResponseHeaders,
    /// `local-response.edit-local-response`
    LocalResponse,
    /// `completion.completed`
    Completion,
}

impl Hook {
    /// All of them. Statistics count by this order.
    pub const ALL: [Self; HOOKS] = [
        Self::Destination,
        Self::Range,
        Self::RequestHeaders,
        Self::RequestTarget,
        Self::Routing,
        Self::Selection,
        Self::ResponseHeaders,
        Self::LocalResponse,
        Self::Completion,
    ];

    /// The name of its interface in the contract.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Destination => "destination",
            Self::Range => "range",
            Self::RequestHeaders => "request-headers",
            Self::RequestTarget => "request-target",
            Self::Routing => "routing",
            Self::Selection => "selection",
            Self::ResponseHeaders => "response-headers",
            Self::LocalResponse => "local-response",
            Self::Completion => "completion",
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
            "\"topology\" is not a hook; write one of: destination, range, request-headers, \
             request-target, routing, selection, response-headers, local-response, completion"
        );
    }
}
