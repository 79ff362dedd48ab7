//! What the end of an exchange means for the request and for its client's connection.

use super::body::TransferEnd;
use super::completion::failure_of;
use super::connection::Disposition;
use super::end::{ExchangeEnd, refused};
use super::exchange::{Attempted, Exchange};
use super::refusal::{LocalReply, Refusal};
use crate::message::Malformed;
use crate::net::Slowness;
use crate::upstream::{AttemptOutcome, RequestFailure};

impl Exchange<'_> {
    /// What the end of an exchange means for the request.
    pub(super) fn ended(
        &mut self,
        end: ExchangeEnd,
        status: u16,
        uploaded: bool,
        outcome: AttemptOutcome,
    ) -> Attempted {
        self.outcome.status = status;
        match self.broken_off(end, status) {
            ExchangeEnd::Complete { keep_alive, .. } => {
                Attempted::Ended(self.completed(keep_alive, uploaded))
            }
            ExchangeEnd::Switched => Attempted::Ended(Disposition::Tunnel),
            ExchangeEnd::Closed
            | ExchangeEnd::Reset
            | ExchangeEnd::Unprocessed
            | ExchangeEnd::Refused
            | ExchangeEnd::Retried { .. } => Attempted::Failed(outcome),
            ExchangeEnd::BadHead(reason) => unread(reason, outcome),
            ExchangeEnd::Local(local) => answered_here(local, outcome),
            ExchangeEnd::Broken {
                reason, delimited, ..
            } => {
                self.outcome.broken = true;
                let disposition = match delimited {
                    true => Disposition::Finish,
                    false => Disposition::Abort,
                };
                self.unfinished(reason, broken(outcome), disposition)
            }
            ExchangeEnd::ClientGone(reason) => self.cut_off(reason, RequestFailure::Client),
            ExchangeEnd::Upload(end) => self.upload_ended(end, status, outcome),
        }
    }

    #[cold]
    fn upload_ended(
        &mut self,
        end: TransferEnd,
        status: u16,
        outcome: AttemptOutcome,
    ) -> Attempted {
        match upload_refusal(end) {
            None => {
                let reason = "the client closed the connection within its request";
                self.cut_off(reason, RequestFailure::Client)
            }
            Some(refusal) if status == 0 => Attempted::Local(refusal.into(), outcome),
            // The answer has begun: all that is left is to show that it is not whole.
            Some(refusal) => self.cut_off(&refusal.reason(), failure_of(&refusal)),
        }
    }

    /// How the exchange ended, if it was this that ended it.
    fn broken_off(&self, end: ExchangeEnd, status: u16) -> ExchangeEnd {
        match (self.client.timer().moved.broken_off.take(), end) {
            (Some(Slowness::Sends), ExchangeEnd::Upload(TransferEnd::SourceTimedOut)) => {
                ExchangeEnd::Upload(TransferEnd::SourceBrokenOff)
            }
            (Some(Slowness::Hides), ExchangeEnd::ClientGone(_)) if status == 0 => {
                refused(Refusal::HiddenClient)
            }
            (Some(_), ExchangeEnd::ClientGone(_)) => ExchangeEnd::ClientGone(
                "the client was slow while others waited for its connection",
            ),
            (_, end) => end,
        }
    }

    /// What becomes of the connection of a client that has the whole response.
    fn completed(&self, keep_alive: bool, uploaded: bool) -> Disposition {
        if keep_alive {
            Disposition::Next
        } else if uploaded && !self.client.has_unread() {
            // Nothing is unread if the request's end was seen and nothing came after it.
            Disposition::Finish
        } else {
            Disposition::Close
        }
    }

    /// The client left between two attempts.
    pub(super) fn client_left(&mut self) -> Disposition {
        let reason = "the client left before the backend had answered";
        self.outcome.reason = Some(reason.to_owned());
        self.outcome.failure = Some(RequestFailure::Client);
        Disposition::Abort
    }

    fn cut_off(&mut self, reason: &str, failure: RequestFailure) -> Attempted {
        self.unfinished(reason, failure, Disposition::Abort)
    }

    fn unfinished(
        &mut self,
        reason: &str,
        failure: RequestFailure,
        disposition: Disposition,
    ) -> Attempted {
        self.outcome.reason = Some(reason.to_owned());
        self.outcome.failure = Some(failure);
        Attempted::Ended(disposition)
    }
}

/// The head of the response is not HTTP.
#[cold]
fn unread(reason: Malformed, outcome: AttemptOutcome) -> Attempted {
    Attempted::Unread(Refusal::BadResponse(reason).into(), outcome)
}

/// The client gets this answer, or the connection has ended within the response's head.
#[cold]
fn answered_here(local: Box<LocalReply>, outcome: AttemptOutcome) -> Attempted {
    match *local {
        LocalReply::Refusal(Refusal::ClosedEarly) => Attempted::Unread(local, outcome),
        _ => Attempted::Local(local, outcome),
    }
}

/// Why the request failed whose response broke off.
fn broken(outcome: AttemptOutcome) -> RequestFailure {
    match outcome {
        AttemptOutcome::BodyStalled | AttemptOutcome::Quiet => RequestFailure::Timeout,
        AttemptOutcome::ClosedOnSlowClient => RequestFailure::Client,
        _ => RequestFailure::Backend,
    }
}

/// The answer to a client whose upload ended the exchange, unless it has left.
fn upload_refusal(end: TransferEnd) -> Option<Refusal> {
    match end {
        TransferEnd::SourceEnded | TransferEnd::SourceFailed => None,
        TransferEnd::SourceTimedOut => Some(Refusal::RequestTimeout),
        TransferEnd::SourceBrokenOff => Some(Refusal::SlowClient),
        TransferEnd::Malformed(reason) => Some(Refusal::Malformed(reason)),
        TransferEnd::TooLarge => Some(Refusal::BodyTooLarge),
        TransferEnd::ClientLeft | TransferEnd::SinkFailed | TransferEnd::SinkTimedOut => {
            Some(Refusal::ResponseTimeout)
        }
    }
}
