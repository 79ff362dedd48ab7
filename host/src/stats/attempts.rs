//! What is counted of attempts after the first, and of those beside it.

use super::Counter;

/// Why a request was sent again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RetryReason {
    /// There was no connection.
    Connect,
    /// The connection or stream ended before the answer.
    Reset,
    /// The backend did not process the request, and said so.
    Refused,
    /// No answer came in time.
    Timeout,
    /// The answer was a status for which another backend is asked.
    Status,
    /// A pooled connection had ended.
    Stale,
}

impl RetryReason {
    /// All of them, in order.
    pub const ALL: [Self; 6] = [
        Self::Connect,
        Self::Reset,
        Self::Refused,
        Self::Timeout,
        Self::Status,
        Self::Stale,
    ];

    /// Its name in statistics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Reset => "reset",
            Self::Refused => "refused",
            Self::Timeout => "timeout",
            Self::Status => "status",
            Self::Stale => "stale",
        }
    }
}

/// One worker's counters of attempts.
#[derive(Debug, Default)]
pub struct AttemptShard {
    /// Attempts after the first of a request, by reason.
    retries: [Counter; RetryReason::ALL.len()],
    /// Attempts that were not made because the budget was used up.
    pub over_budget: Counter,
    /// Requests for which a second backend was asked beside the first.
    pub hedges: Counter,
    /// Those that the second one answered.
    pub hedges_won: Counter,
}

impl AttemptShard {
    /// Attempts for this reason.
    pub fn retries(&self, reason: RetryReason) -> &Counter {
        &self.retries[reason as usize]
    }
}
