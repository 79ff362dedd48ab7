//! What the end of an exchange means for the backend: which [`AttemptOutcome`] it is. That type
//! decides whether the outcome counts against the backend.

use super::body::{SLOW, TransferEnd};
use super::end::ExchangeEnd;
use super::refusal::{LocalReply, Refusal};
use crate::message::Malformed;
use crate::upstream::AttemptOutcome;

/// The facts about an exchange beside its end.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// The connection had carried a request before.
    pub reused: bool,
    /// The client has been sent some of the response.
    pub answered: bool,
    /// The backend did not have the whole request because the client was slow to send it, or could
    /// not send its response because the client was slow to read it.
    pub slow_client: bool,
}

/// Whether the backend may have lost its patience with a client for which writes have waited so
/// long, in milliseconds.
pub(super) fn is_slow_reader(waited: u64) -> bool {
    waited >= SLOW
}

/// The outcome for the backend.
pub(super) fn outcome(end: &ExchangeEnd, known: Circumstances) -> AttemptOutcome {
    match end {
        ExchangeEnd::Complete { .. } | ExchangeEnd::Switched => AttemptOutcome::Answered,
        ExchangeEnd::Retried { .. } => AttemptOutcome::Unavailable,
        ExchangeEnd::Closed if known.reused => AttemptOutcome::Stale,
        ExchangeEnd::Closed if known.slow_client => AttemptOutcome::ClosedOnSlowClient,
        ExchangeEnd::Reset if known.slow_client => AttemptOutcome::ClosedOnSlowClient,
        ExchangeEnd::Closed | ExchangeEnd::Reset => AttemptOutcome::Closed,
        ExchangeEnd::Unprocessed => AttemptOutcome::Unprocessed,
        ExchangeEnd::Refused => AttemptOutcome::Refused,
        ExchangeEnd::BadHead(reason) => refused(&Refusal::BadResponse(*reason)),
        ExchangeEnd::Local(local) => match &**local {
            LocalReply::Reply { .. }
            | LocalReply::Options
            | LocalReply::Redirect(..)
            | LocalReply::Fixed(..)
            | LocalReply::Preflight
            | LocalReply::Page { .. } => AttemptOutcome::Replaced,
            LocalReply::Refusal(Refusal::ClosedEarly) if known.slow_client => {
                AttemptOutcome::ClosedOnSlowClient
            }
            LocalReply::Refusal(refusal) => refused(refusal),
        },
        // The backend may have been waiting for the rest of the request, or for room for the rest
        // of its response.
        ExchangeEnd::Broken { .. } if known.slow_client => AttemptOutcome::ClosedOnSlowClient,
        ExchangeEnd::Broken { outcome, .. } => *outcome,
        ExchangeEnd::ClientGone(_) if known.answered => AttemptOutcome::ClientLeft,
        ExchangeEnd::ClientGone(_) => AttemptOutcome::ClientFailed,
        // A backend that has answered need not read the rest.
        ExchangeEnd::Upload(TransferEnd::SinkTimedOut | TransferEnd::SinkFailed)
            if known.answered =>
        {
            AttemptOutcome::Quiet
        }
        ExchangeEnd::Upload(TransferEnd::SinkTimedOut) => AttemptOutcome::TookNothing,
        ExchangeEnd::Upload(TransferEnd::SinkFailed) => AttemptOutcome::NoResponse,
        ExchangeEnd::Upload(_) if known.answered => AttemptOutcome::ClientLeft,
        ExchangeEnd::Upload(_) => AttemptOutcome::ClientFailed,
    }
}

fn refused(refusal: &Refusal) -> AttemptOutcome {
    match refusal {
        Refusal::ResponseTimeout => AttemptOutcome::NoResponse,
        Refusal::ClosedEarly => AttemptOutcome::Closed,
        Refusal::Unreachable => AttemptOutcome::ConnectFailed,
        Refusal::ConnectTimeout => AttemptOutcome::ConnectTimedOut,
        Refusal::UnfitBackend { .. } => AttemptOutcome::Unfit,
        Refusal::StreamLimit => AttemptOutcome::NoShare,
        Refusal::OutOfConnections => AttemptOutcome::OutOfResources,
        Refusal::BadResponse(
            Malformed::RequestLineTooLong | Malformed::HeadTooLarge | Malformed::TooManyFields,
        ) => AttemptOutcome::BeyondLimits,
        Refusal::BadResponse(_) | Refusal::UnaskedUpgrade => AttemptOutcome::Malformed,
        Refusal::RangeNotSatisfiable { .. }
        | Refusal::NotSwitched
        | Refusal::NoWebSocket
        | Refusal::PolicyFailed { .. }
        | Refusal::PolicyNotAsked { .. }
        | Refusal::PolicyAbsent { .. } => AttemptOutcome::Replaced,
        Refusal::NoBackend | Refusal::Busy | Refusal::AtLimit | Refusal::TooManyConnections => {
            AttemptOutcome::NoPlace
        }
        Refusal::Malformed(_)
        | Refusal::Method
        | Refusal::Path(_)
        | Refusal::AmbiguousPath
        | Refusal::Contradiction
        | Refusal::Loop
        | Refusal::Misdirected
        | Refusal::Protocol
        | Refusal::RequestTimeout
        | Refusal::SlowClient
        | Refusal::HiddenClient
        | Refusal::BodyTooLarge
        | Refusal::NoRoute { .. }
        | Refusal::TooManyOfClient
        | Refusal::Forward(_)
        | Refusal::CallDeadline => AttemptOutcome::ClientFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::Reply;

    const USUAL: Circumstances = Circumstances {
        reused: false,
        answered: false,
        slow_client: false,
    };
    const REUSED: Circumstances = Circumstances {
        reused: true,
        ..USUAL
    };
    const ANSWERED: Circumstances = Circumstances {
        answered: true,
        ..USUAL
    };
    const SLOW_CLIENT: Circumstances = Circumstances {
        slow_client: true,
        ..USUAL
    };

    fn local(refusal: Refusal) -> ExchangeEnd {
        ExchangeEnd::Local(refusal.into())
    }

    fn broken(outcome: AttemptOutcome) -> ExchangeEnd {
        ExchangeEnd::Broken {
            reason: "",
            delimited: true,
            outcome,
        }
    }

    #[test]
    fn each_end_of_an_exchange_has_its_outcome() {
        let reply = || Reply {
            status: 200,
            headers: Vec::new(),
            body: Vec::new(),
        };
        let table = [
            (
                ExchangeEnd::Complete {
                    reusable: true,
                    keep_alive: true,
                },
                USUAL,
                AttemptOutcome::Answered,
            ),
            (
                ExchangeEnd::Complete {
                    reusable: false,
                    keep_alive: false,
                },
                SLOW_CLIENT,
                AttemptOutcome::Answered,
            ),
            (ExchangeEnd::Switched, ANSWERED, AttemptOutcome::Answered),
            (ExchangeEnd::Closed, USUAL, AttemptOutcome::Closed),
            (ExchangeEnd::Reset, REUSED, AttemptOutcome::Closed),
            (
                ExchangeEnd::Reset,
                SLOW_CLIENT,
                AttemptOutcome::ClosedOnSlowClient,
            ),
            (
                ExchangeEnd::Unprocessed,
                SLOW_CLIENT,
                AttemptOutcome::Unprocessed,
            ),
            (ExchangeEnd::Refused, REUSED, AttemptOutcome::Refused),
            (
                ExchangeEnd::Retried { reusable: true },
                SLOW_CLIENT,
                AttemptOutcome::Unavailable,
            ),
            (ExchangeEnd::Closed, REUSED, AttemptOutcome::Stale),
            (
                ExchangeEnd::Closed,
                SLOW_CLIENT,
                AttemptOutcome::ClosedOnSlowClient,
            ),
            (
                ExchangeEnd::Local(Box::new(LocalReply::Reply {
                    reply: reply(),
                    policy: String::new(),
                })),
                USUAL,
                AttemptOutcome::Replaced,
            ),
            (
                ExchangeEnd::ClientGone(""),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                ExchangeEnd::ClientGone(""),
                ANSWERED,
                AttemptOutcome::ClientLeft,
            ),
            (
                broken(AttemptOutcome::BodyCut),
                ANSWERED,
                AttemptOutcome::BodyCut,
            ),
            (
                broken(AttemptOutcome::BodyStalled),
                ANSWERED,
                AttemptOutcome::BodyStalled,
            ),
            (
                broken(AttemptOutcome::Quiet),
                ANSWERED,
                AttemptOutcome::Quiet,
            ),
            (
                broken(AttemptOutcome::BodyCut),
                SLOW_CLIENT,
                AttemptOutcome::ClosedOnSlowClient,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SinkTimedOut),
                USUAL,
                AttemptOutcome::TookNothing,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SinkTimedOut),
                ANSWERED,
                AttemptOutcome::Quiet,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SinkFailed),
                ANSWERED,
                AttemptOutcome::Quiet,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SourceEnded),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SourceTimedOut),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::SourceTimedOut),
                ANSWERED,
                AttemptOutcome::ClientLeft,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::TooLarge),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                ExchangeEnd::Upload(TransferEnd::Malformed(Malformed::Chunk)),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
        ];
        for (end, known, expected) in table {
            assert_eq!(outcome(&end, known), expected, "{end:?} {known:?}");
        }
    }

    #[test]
    fn each_refusal_has_its_outcome() {
        let table = [
            (
                Refusal::Malformed(Malformed::Host),
                AttemptOutcome::ClientFailed,
            ),
            (Refusal::Method, AttemptOutcome::ClientFailed),
            (Refusal::Path("a backslash"), AttemptOutcome::ClientFailed),
            (Refusal::AmbiguousPath, AttemptOutcome::ClientFailed),
            (Refusal::Contradiction, AttemptOutcome::ClientFailed),
            (Refusal::Loop, AttemptOutcome::ClientFailed),
            (Refusal::RequestTimeout, AttemptOutcome::ClientFailed),
            (Refusal::SlowClient, AttemptOutcome::ClientFailed),
            (Refusal::HiddenClient, AttemptOutcome::ClientFailed),
            (Refusal::BodyTooLarge, AttemptOutcome::ClientFailed),
            (
                Refusal::NoRoute {
                    host: String::new(),
                },
                AttemptOutcome::ClientFailed,
            ),
            (Refusal::TooManyOfClient, AttemptOutcome::ClientFailed),
            (Refusal::NoBackend, AttemptOutcome::NoPlace),
            (Refusal::Busy, AttemptOutcome::NoPlace),
            (Refusal::TooManyConnections, AttemptOutcome::NoPlace),
            (Refusal::Unreachable, AttemptOutcome::ConnectFailed),
            (Refusal::ConnectTimeout, AttemptOutcome::ConnectTimedOut),
            (
                Refusal::UnfitBackend {
                    reason: String::new(),
                },
                AttemptOutcome::Unfit,
            ),
            (Refusal::OutOfConnections, AttemptOutcome::OutOfResources),
            (Refusal::StreamLimit, AttemptOutcome::NoShare),
            (Refusal::ResponseTimeout, AttemptOutcome::NoResponse),
            (Refusal::ClosedEarly, AttemptOutcome::Closed),
            (
                Refusal::BadResponse(Malformed::StatusLine),
                AttemptOutcome::Malformed,
            ),
            (
                Refusal::BadResponse(Malformed::Chunk),
                AttemptOutcome::Malformed,
            ),
            (
                Refusal::BadResponse(Malformed::HeadTooLarge),
                AttemptOutcome::BeyondLimits,
            ),
            (
                Refusal::BadResponse(Malformed::TooManyFields),
                AttemptOutcome::BeyondLimits,
            ),
            (
                Refusal::BadResponse(Malformed::RequestLineTooLong),
                AttemptOutcome::BeyondLimits,
            ),
            (Refusal::UnaskedUpgrade, AttemptOutcome::Malformed),
            (
                Refusal::RangeNotSatisfiable { length: 1 },
                AttemptOutcome::Replaced,
            ),
            (
                Refusal::PolicyFailed {
                    policy: String::new(),
                    status: 500,
                },
                AttemptOutcome::Replaced,
            ),
            (
                Refusal::PolicyAbsent {
                    policy: String::new(),
                    status: 503,
                    reason: String::new(),
                },
                AttemptOutcome::Replaced,
            ),
        ];
        for (refusal, expected) in table {
            assert_eq!(
                outcome(&local(refusal.clone()), USUAL),
                expected,
                "{refusal:?}"
            );
        }
        assert_eq!(
            outcome(&local(Refusal::ClosedEarly), SLOW_CLIENT),
            AttemptOutcome::ClosedOnSlowClient
        );
    }
}
