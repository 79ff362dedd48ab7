//! What is asked of a resolver, whichever it is.

use std::time::Duration;

#[cfg(feature = "dns")]
pub(super) use super::dns::Resolver;
#[cfg(not(feature = "dns"))]
pub(super) use super::system::Resolver;
use crate::upstream::Outcome;

/// What came of a look-up.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) outcome: Outcome,
    /// For how long a server says that there is no such record.
    pub(super) absent_for: Option<Duration>,
}

impl Answer {
    pub(super) fn failed(reason: String) -> Self {
        Self {
            outcome: Outcome::Failed(reason),
            absent_for: None,
        }
    }
}
