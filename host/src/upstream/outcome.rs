//! How attempts at backends end, and whose doing each end is: the one table of blame.

/// How an attempt at a backend ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// All connections that it may have are in use, and the queue was full or took too long.
    NoPlace,
    /// This machine has no descriptor, port or buffer left.
    OutOfResources,
    /// It refused the connection, or could not be reached.
    ConnectFailed,
    /// It did not accept the connection in time.
    ConnectTimedOut,
    /// A pooled connection turned out to have ended: backends close idle ones when they like.
    Stale,
    /// It closed the connection without a whole response head.
    Closed,
    /// The same, while it waited for a client that sends its request slowly.
    ClosedOnSlowClient,
    /// It took no byte of the request for too long.
    TookNothing,
    /// It had the whole request, and its response head did not come in time.
    NoResponse,
    /// Its response head was no HTTP, or an answer to something else.
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
    /// Its response arrived as a whole, whatever its status.
    Answered,
    /// Its body ended before its framing said so, or was not correctly chunked.
    BodyCut,
    /// It stopped within bytes that it had announced.
    BodyStalled,
    /// It was silent for too long, and owed nothing: an event stream without events, an end that
    /// only a close tells.
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

impl Outcome {
    /// Whose doing it was.
    pub fn verdict(self) -> Verdict {
        match self {
            Self::Answered | Self::Replaced => Verdict::Well,
            Self::ConnectFailed
            | Self::ConnectTimedOut
            | Self::Closed
            | Self::TookNothing
            | Self::NoResponse
            | Self::Malformed
            | Self::BodyCut
            | Self::BodyStalled => Verdict::Failed,
            Self::NoPlace
            | Self::OutOfResources
            | Self::Stale
            | Self::ClosedOnSlowClient
            | Self::BeyondLimits
            | Self::ClientFailed
            // Else one client that leaves after each head would keep a backend that cuts its
            // bodies.
            | Self::ClientLeft
            | Self::Quiet => Verdict::Unknown,
        }
    }

    /// Whether it is a failure to which a request can bring a backend that is well: any but one of
    /// the connection itself.
    pub fn may_be_of_request(self) -> bool {
        self.verdict() == Verdict::Failed
            && !matches!(self, Self::ConnectFailed | Self::ConnectTimedOut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_backend_is_blamed_for_its_own_doing_alone() {
        use Verdict::{Failed, Unknown, Well};
        let table = [
            (Outcome::NoPlace, Unknown),
            (Outcome::OutOfResources, Unknown),
            (Outcome::ConnectFailed, Failed),
            (Outcome::ConnectTimedOut, Failed),
            (Outcome::Stale, Unknown),
            (Outcome::Closed, Failed),
            (Outcome::ClosedOnSlowClient, Unknown),
            (Outcome::TookNothing, Failed),
            (Outcome::NoResponse, Failed),
            (Outcome::Malformed, Failed),
            (Outcome::BeyondLimits, Unknown),
            (Outcome::ClientFailed, Unknown),
            (Outcome::ClientLeft, Unknown),
            (Outcome::Replaced, Well),
            (Outcome::Answered, Well),
            (Outcome::BodyCut, Failed),
            (Outcome::BodyStalled, Failed),
            (Outcome::Quiet, Unknown),
        ];
        for (outcome, verdict) in table {
            assert_eq!(outcome.verdict(), verdict, "{outcome:?}");
            let connect = matches!(outcome, Outcome::ConnectFailed | Outcome::ConnectTimedOut);
            assert_eq!(
                outcome.may_be_of_request(),
                verdict == Failed && !connect,
                "{outcome:?}"
            );
        }
    }
}
