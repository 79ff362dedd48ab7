//! An attempt at a request, and what became of those before it.

use crate::{contract, facts, random};

/// The attempt that [`Select`](crate::Select) is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Attempt<'a> {
    /// The pool to choose from.
    pub pool: u32,
    /// 1 for the first.
    pub number: u32,
    failed: &'a [FailedAttempt],
}

impl<'a> Attempt<'a> {
    #[doc(hidden)]
    #[inline]
    pub fn of(pool: u32, number: u32, failed: &'a [FailedAttempt]) -> Self {
        Attempt {
            pool,
            number,
            failed,
        }
    }

    /// The attempts at this request that failed, oldest first; empty on the first.
    #[inline]
    pub fn failed(&self) -> &'a [FailedAttempt] {
        self.failed
    }

    /// Whether an attempt at this request went to this backend and failed.
    #[inline]
    pub fn has_failed(&self, backend: u32) -> bool {
        self.failed.iter().any(|past| past.backend == backend)
    }

    /// Whether this backend is healthy and has not failed this request.
    #[inline]
    pub fn is_usable(&self, backend: u32) -> bool {
        !self.has_failed(backend) && facts::healthy(backend)
    }

    /// Of these backends the usable one with the fewest requests in flight; which of several, is
    /// drawn.
    pub fn least_busy(&self, candidates: &[u32]) -> Option<u32> {
        let mut best = None;
        let mut equals = 1;
        for &backend in candidates
            .iter()
            .filter(|backend| self.is_usable(**backend))
        {
            let busy = facts::in_flight(backend);
            match best {
                Some((least, _)) if busy > least => {}
                Some((least, _)) if busy == least => {
                    equals += 1;
                    if random::below(equals) == 0 {
                        best = Some((busy, backend));
                    }
                }
                _ => {
                    equals = 1;
                    best = Some((busy, backend));
                }
            }
        }
        best.map(|(_, backend)| backend)
    }
}

/// What the host says of the attempts before.
#[cold]
#[doc(hidden)]
pub fn past() -> Vec<FailedAttempt> {
    let failed = contract::attempts::failed().into_iter();
    failed
        .map(|past| FailedAttempt {
            backend: past.backend,
            failure: past.failure.into(),
        })
        .collect()
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
