//! An attempt at a request, and what became of those before it.

use crate::{contract, facts};

/// The attempt that [`Select`](crate::Select) is asked about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attempt {
    /// The pool to choose from.
    pub pool: u32,
    /// 1 for the first.
    pub number: u32,
    failed: Vec<FailedAttempt>,
}

impl Attempt {
    #[doc(hidden)]
    pub fn of(pool: u32, number: u32) -> Self {
        // The first attempt is nearly every request: it costs no call and no allocation.
        let failed = if number > 1 { past() } else { Vec::new() };
        Attempt { pool, number, failed }
    }

    /// The attempts at this request that failed, oldest first; empty on the first.
    pub fn failed(&self) -> &[FailedAttempt] {
        &self.failed
    }

    /// Whether an attempt at this request went to this backend and failed.
    pub fn has_failed(&self, backend: u32) -> bool {
        self.failed.iter().any(|past| past.backend == backend)
    }

    /// Whether this backend is healthy and has not failed this request.
    pub fn is_usable(&self, backend: u32) -> bool {
        !self.has_failed(backend) && facts::healthy(backend)
    }
}

#[cold]
fn past() -> Vec<FailedAttempt> {
    let failed = contract::attempts::failed().into_iter();
    failed.map(|past| FailedAttempt { backend: past.backend, failure: past.failure.into() }).collect()
}

/// An attempt that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The backend's index.
    pub backend: u32,
    /// What happened.
    pub failure: Failure,
}

/// Why an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Refused, reset or unreachable before the request was sent.
    Connect,
    /// No connection within the time allowed.
    ConnectTimeout,
    /// The connection ended before the response began.
    Closed,
    /// Anything else.
    Other,
}
