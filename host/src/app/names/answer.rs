//! What comes of a look-up, whichever resolver is asked.

use std::time::Duration;

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
