//! What the end of an exchange says of the backend: which [`AttemptOutcome`] it is. Whose doing that was
//! is decided there.

use std::cell::Cell;

use super::download::End;
use super::refusal::{LocalReply, Refusal};
use super::upload::UploadEnd;
use crate::message::Malformed;
use crate::upstream::AttemptOutcome;

/// A client that made its backends wait for this long in all, in milliseconds, may have been too
/// slow for them.
const SLOW: u64 = 1_000;

/// How long the attempts of a request have waited for its client's body, in milliseconds of the
/// worker's clock.
#[derive(Debug, Default)]
pub struct Pace {
    waited: Cell<u64>,
    since: Cell<Option<u64>>,
}

/// What is known of an exchange beside its end.
#[derive(Debug, Clone, Copy)]
pub struct Circumstances {
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
pub fn is_slow_reader(waited: u64) -> bool {
    waited >= SLOW
}

impl Pace {
    /// From now on the client is waited for.
    pub fn wait(&self, now: u64) {
        self.since.set(Some(now));
    }

    /// The client has sent something.
    pub fn go_on(&self, now: u64) {
        self.waited.set(self.total(now));
        self.since.set(None);
    }

    /// Whether the backend may have lost its patience with the client: it is the client that is
    /// waited for, or was for long.
    pub fn is_slow(&self, now: u64) -> bool {
        self.since.get().is_some() || self.total(now) >= SLOW
    }

    fn total(&self, now: u64) -> u64 {
        self.waited.get()
            + self
                .since
                .get()
                .map_or(0, |since| now.saturating_sub(since))
    }
}

/// The outcome for the backend.
pub fn outcome(end: &Result<End, UploadEnd>, known: Circumstances) -> AttemptOutcome {
    match end {
        Ok(End::Complete { .. }) => AttemptOutcome::Answered,
        Ok(End::Closed) if known.reused => AttemptOutcome::Stale,
        Ok(End::Closed) if known.slow_client => AttemptOutcome::ClosedOnSlowClient,
        Ok(End::Closed) => AttemptOutcome::Closed,
        Ok(End::Local(LocalReply::Reply { .. } | LocalReply::Options)) => AttemptOutcome::Replaced,
        Ok(End::Local(LocalReply::Refusal(Refusal::ClosedEarly))) if known.slow_client => {
            AttemptOutcome::ClosedOnSlowClient
        }
        Ok(End::Local(LocalReply::Refusal(refusal))) => refused(refusal),
        // The backend may have been waiting for the rest of the request, or for room for the rest
        // of its response.
        Ok(End::Broken { .. }) if known.slow_client => AttemptOutcome::ClosedOnSlowClient,
        Ok(End::Broken { outcome, .. }) => *outcome,
        Ok(End::ClientGone(_)) if known.answered => AttemptOutcome::ClientLeft,
        Ok(End::ClientGone(_)) => AttemptOutcome::ClientFailed,
        // A backend that has answered need not read the rest.
        Err(UploadEnd::BackendTimedOut | UploadEnd::BackendGone) if known.answered => {
            AttemptOutcome::Quiet
        }
        Err(UploadEnd::BackendTimedOut) => AttemptOutcome::TookNothing,
        Err(UploadEnd::BackendGone | UploadEnd::Complete) => AttemptOutcome::NoResponse,
        Err(
            UploadEnd::ClientGone
            | UploadEnd::ClientTimedOut
            | UploadEnd::ClientBrokenOff
            | UploadEnd::Malformed(_)
            | UploadEnd::TooLarge,
        ) => {
            if known.answered {
                AttemptOutcome::ClientLeft
            } else {
                AttemptOutcome::ClientFailed
            }
        }
    }
}

fn refused(refusal: &Refusal) -> AttemptOutcome {
    match refusal {
        Refusal::ResponseTimeout => AttemptOutcome::NoResponse,
        Refusal::ClosedEarly => AttemptOutcome::Closed,
        Refusal::Unreachable => AttemptOutcome::ConnectFailed,
        Refusal::ConnectTimeout => AttemptOutcome::ConnectTimedOut,
        Refusal::BadResponse(
            Malformed::RequestLineTooLong | Malformed::HeadTooLarge | Malformed::TooManyFields,
        ) => AttemptOutcome::BeyondLimits,
        Refusal::BadResponse(_) | Refusal::UnaskedUpgrade => AttemptOutcome::Malformed,
        Refusal::RangeNotSatisfiable { .. }
        | Refusal::PolicyFailed { .. }
        | Refusal::PolicyAbsent { .. } => AttemptOutcome::Replaced,
        Refusal::NoBackend | Refusal::Busy | Refusal::TooManyConnections => AttemptOutcome::NoPlace,
        Refusal::Malformed(_)
        | Refusal::Method
        | Refusal::Path(_)
        | Refusal::AmbiguousPath
        | Refusal::Contradiction
        | Refusal::Loop
        | Refusal::RequestTimeout
        | Refusal::SlowClient
        | Refusal::HiddenClient
        | Refusal::BodyTooLarge
        | Refusal::NoRoute { .. }
        | Refusal::TooManyOfClient => AttemptOutcome::ClientFailed,
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

    fn local(refusal: Refusal) -> Result<End, UploadEnd> {
        Ok(End::Local(LocalReply::Refusal(refusal)))
    }

    fn broken(outcome: AttemptOutcome) -> Result<End, UploadEnd> {
        Ok(End::Broken {
            reason: "",
            delimited: true,
            outcome,
        })
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
                Ok(End::Complete {
                    reusable: true,
                    keep_alive: true,
                }),
                USUAL,
                AttemptOutcome::Answered,
            ),
            (
                Ok(End::Complete {
                    reusable: false,
                    keep_alive: false,
                }),
                SLOW_CLIENT,
                AttemptOutcome::Answered,
            ),
            (Ok(End::Closed), USUAL, AttemptOutcome::Closed),
            (Ok(End::Closed), REUSED, AttemptOutcome::Stale),
            (
                Ok(End::Closed),
                SLOW_CLIENT,
                AttemptOutcome::ClosedOnSlowClient,
            ),
            (
                Ok(End::Local(LocalReply::Reply {
                    reply: reply(),
                    policy: String::new(),
                })),
                USUAL,
                AttemptOutcome::Replaced,
            ),
            (Ok(End::ClientGone("")), USUAL, AttemptOutcome::ClientFailed),
            (
                Ok(End::ClientGone("")),
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
                Err(UploadEnd::BackendTimedOut),
                USUAL,
                AttemptOutcome::TookNothing,
            ),
            (
                Err(UploadEnd::BackendTimedOut),
                ANSWERED,
                AttemptOutcome::Quiet,
            ),
            (Err(UploadEnd::BackendGone), ANSWERED, AttemptOutcome::Quiet),
            (
                Err(UploadEnd::ClientGone),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                Err(UploadEnd::ClientTimedOut),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                Err(UploadEnd::ClientTimedOut),
                ANSWERED,
                AttemptOutcome::ClientLeft,
            ),
            (
                Err(UploadEnd::TooLarge),
                USUAL,
                AttemptOutcome::ClientFailed,
            ),
            (
                Err(UploadEnd::Malformed(Malformed::Chunk)),
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

    #[test]
    fn a_client_is_slow_while_it_is_waited_for_and_once_it_was_for_long_enough_in_all() {
        let pace = Pace::default();
        assert!(!pace.is_slow(10_000), "nobody waits");
        pace.wait(10_000);
        assert!(pace.is_slow(10_000), "it is waited for, however short");
        pace.go_on(10_600);
        assert!(!pace.is_slow(20_000), "600 ms, and nobody waits");
        pace.wait(20_000);
        pace.go_on(20_399);
        assert!(!pace.is_slow(20_399));
        pace.wait(20_399);
        pace.go_on(20_400);
        assert!(pace.is_slow(20_400), "what was waited stays waited");
    }
}
