//! What becomes of a route's requests.

use std::sync::Arc;

use super::rule::Rule;
use crate::config::{RouteAnswer, RouteEdits};
use crate::stats::RouteSlot;

/// What becomes of a route's requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// They go to a pool.
    Forward(Rule),
    /// The proxy answers them.
    Answer(Arc<Answer>),
}

/// What a route answers itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Its place in the table.
    pub index: usize,
    /// Its place in the configuration.
    pub number: u32,
    /// Where it is counted.
    pub slot: RouteSlot,
    /// The answer.
    pub answer: RouteAnswer,
    /// What it changes; `None` for nothing.
    pub edits: Option<Box<RouteEdits>>,
}

impl Action {
    /// The place of the route in the configuration, and where it is counted.
    #[inline]
    pub fn route(&self) -> (u32, RouteSlot) {
        match self {
            Self::Forward(rule) => (rule.number, rule.slot),
            Self::Answer(answer) => (answer.number, answer.slot),
        }
    }

    /// What the route changes of requests and responses; `None` for nothing.
    #[inline]
    pub fn edits(&self) -> Option<&RouteEdits> {
        match self {
            Self::Forward(rule) => rule.edits.as_deref(),
            Self::Answer(answer) => answer.edits.as_deref(),
        }
    }
}
