//! How attempts at backends end, and whose doing each end is: the one table of blame.

use std::fmt;

/// An attempt of this request that failed before there was a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FailedAttempt {
    /// The endpoint's position in its pool.
    pub backend: u32,
    /// What happened.
    pub failure: Failure,
}

/// Why an attempt failed, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// Refused, reset or unreachable before the request was sent.
    Connect,
    /// No connection in time.
    ConnectTimeout,
    /// The connection ended before the response began.
    Closed,
    /// Anything else.
    Other,
}

/// How an attempt at a backend ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// All connections that it may have are in use, and the queue was full or took too long.
    NoPlace,
    /// Its client may have no more connections to backends for now.
    NoShare,
    /// This machine has no descriptor, port or buffer left, or this process may have no more.
    OutOfResources,
    /// It refused the connection, or could not be reached.
    ConnectFailed,
    /// It did not accept the connection in time.
    ConnectTimedOut,
    /// It accepted the connection, and does not speak the protocol that it should.
    Unfit,
    /// A pooled connection turned out to have ended: backends close idle ones when they like.
    Stale,
    /// It closed the connection without a whole response head.
    Closed,
    /// The same, while it waited for a client that sends its request slowly.
    ClosedOnSlowClient,
    /// It has said that it did not process the request, because its connection ends.
    Unprocessed,
    /// It has said that it did not process the request, because it takes no more for now.
    Refused,
    /// It took no byte of the request for too long.
    TookNothing,
    /// It had the whole request, and its response head did not come in time.
    NoResponse,
    /// Its response head was not HTTP, or answered something else.
    Malformed,
    /// Its response head was larger than the proxy takes.
    BeyondLimits,
    /// The client left, or sent its request too slowly, malformed or too large, before there was a
    /// response.
    ClientFailed,
    /// The client left or stopped reading or sending within a response.
    ClientLeft,
    /// It answered, and a policy or the proxy put something in the answer's place.
    Replaced,
    /// Its response arrived completely, with a status that is no failure.
    Answered,
    /// It answered with a status that is a failure, as 503 is.
    FailureStatus,
    /// It answered by a status for which another backend is asked.
    Unavailable,
    /// Its body ended before its framing said so, or was not correctly chunked.
    BodyCut,
    /// It stopped within bytes that it had announced.
    BodyStalled,
    /// It was silent for too long, but owed nothing: an event stream without events, or a body
    /// whose end only a close marks.
    Quiet,
}

/// What an outcome says of the backend's health.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// It is well: failures before this one are forgotten.
    Well,
    /// It failed.
    Failed,
    /// Nothing: what happened was not its doing.
    Unknown,
}

impl AttemptOutcome {
    /// Whose doing it was.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Answered | Self::Replaced => Verdict::Well,
            Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::Unfit
            | Self::Closed
            | Self::TookNothing
            | Self::NoResponse
            | Self::Malformed
            | Self::FailureStatus
            | Self::Unavailable
            | Self::BodyCut
            | Self::BodyStalled => Verdict::Failed,
            Self::NoPlace
            | Self::NoShare
            | Self::OutOfResources
            | Self::Stale
            | Self::ClosedOnSlowClient
            | Self::Unprocessed
            | Self::Refused
            | Self::BeyondLimits
            | Self::ClientFailed
            // Else one client that leaves after each head would keep a backend that cuts its
            // bodies.
            | Self::ClientLeft
            | Self::Quiet => Verdict::Unknown,
        }
    }

    /// The failure that policies see of an attempt that ended without a response.
    pub fn failure(self) -> Failure {
        match self {
            Self::ConnectFailed => Failure::Connect,
            Self::ConnectTimedOut => Failure::ConnectTimeout,
            Self::Stale
            | Self::Closed
            | Self::ClosedOnSlowClient
            | Self::Unprocessed
            | Self::Refused => Failure::Closed,
            _ => Failure::Other,
        }
    }

    /// Whether the request was certainly not processed, although it was sent.
    pub fn is_unprocessed(self) -> bool {
        matches!(self, Self::Unprocessed | Self::Refused)
    }

    /// Whether it is the proxy that has no place or no means for the request, which was not sent.
    pub fn is_own_limit(self) -> bool {
        matches!(self, Self::NoPlace | Self::OutOfResources)
    }

    /// Whether it is a failure to which a request can bring a backend that is well: any but one of
    /// the connection itself.
    pub fn may_be_of_request(self) -> bool {
        self.verdict() == Verdict::Failed
            && !matches!(
                self,
                Self::ConnectFailed | Self::ConnectTimedOut | Self::Unfit
            )
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Connect => "connect",
            Self::ConnectTimeout => "connect-timeout",
            Self::Closed => "closed",
            Self::Other => "other",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_blamed_for_its_own_doing_alone() {
        use Verdict::{Failed, Unknown, Well};
        let table = [
            (AttemptOutcome::NoPlace, Unknown),
            (AttemptOutcome::NoShare, Unknown),
            (AttemptOutcome::OutOfResources, Unknown),
            (AttemptOutcome::ConnectFailed, Failed),
            (AttemptOutcome::ConnectTimedOut, Failed),
            (AttemptOutcome::Unfit, Failed),
            (AttemptOutcome::Stale, Unknown),
            (AttemptOutcome::Closed, Failed),
            (AttemptOutcome::ClosedOnSlowClient, Unknown),
            (AttemptOutcome::Unprocessed, Unknown),
            (AttemptOutcome::Refused, Unknown),
            (AttemptOutcome::TookNothing, Failed),
            (AttemptOutcome::NoResponse, Failed),
            (AttemptOutcome::Malformed, Failed),
            (AttemptOutcome::BeyondLimits, Unknown),
            (AttemptOutcome::ClientFailed, Unknown),
            (AttemptOutcome::ClientLeft, Unknown),
            (AttemptOutcome::Replaced, Well),
            (AttemptOutcome::Answered, Well),
            (AttemptOutcome::FailureStatus, Failed),
            (AttemptOutcome::Unavailable, Failed),
            (AttemptOutcome::BodyCut, Failed),
            (AttemptOutcome::BodyStalled, Failed),
            (AttemptOutcome::Quiet, Unknown),
        ];
        for (outcome, verdict) in table {
            assert_eq!(outcome.verdict(), verdict, "{outcome:?}");
            let connect = matches!(
                outcome,
                AttemptOutcome::ConnectFailed
                    | AttemptOutcome::ConnectTimedOut
                    | AttemptOutcome::Unfit
            );
            assert_eq!(
                outcome.may_be_of_request(),
                verdict == Failed && !connect,
                "{outcome:?}"
            );
        }
    }
}
