//! What the end of an exchange means for the request and for its client's connection.

use super::body::TransferEnd;
use super::connection::Disposition;
use super::end::ExchangeEnd;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::upstream::AttemptOutcome;

/// What an attempt came to.
pub(super) enum Attempted {
    /// The client has its answer, or never will.
    Ended(Disposition),
    /// It failed before the backend answered.
    Failed(AttemptOutcome),
    /// The client gets this answer.
    Local(Box<LocalReply>, AttemptOutcome),
}

impl Exchange<'_> {
    /// What the end of an exchange means for the request.
    pub(super) fn ended(
        &mut self,
        end: ExchangeEnd,
        status: u16,
        uploaded: bool,
        outcome: AttemptOutcome,
    ) -> Attempted {
        self.record.status = status;
        match self.broken_off(end, status) {
            ExchangeEnd::Complete { keep_alive, .. } => {
                Attempted::Ended(self.completed(keep_alive, uploaded))
            }
            ExchangeEnd::Closed => Attempted::Failed(outcome),
            ExchangeEnd::Local(local) => Attempted::Local(local, outcome),
            ExchangeEnd::Broken {
                reason, delimited, ..
            } => {
                self.record.broken = true;
                let disposition = match delimited {
                    true => Disposition::Finish,
                    false => Disposition::Abort,
                };
                self.unfinished(reason, disposition)
            }
            ExchangeEnd::ClientGone(reason) => self.unfinished(reason, Disposition::Abort),
            ExchangeEnd::Upload(end) => match upload_refusal(end) {
                None => {
                    let reason = "the client closed the connection within its request";
                    self.unfinished(reason, Disposition::Abort)
                }
                Some(refusal) if status == 0 => Attempted::Local(refusal.into(), outcome),
                // The answer has begun: all that is left is to show that it is not whole.
                Some(refusal) => self.unfinished(&refusal.reason(), Disposition::Abort),
            },
        }
    }

    /// What becomes of the connection of a client that has the whole response.
    fn completed(&self, keep_alive: bool, uploaded: bool) -> Disposition {
        if keep_alive {
            Disposition::Next
        } else if uploaded && !self.connection.has_unread() {
            // Nothing is unread if the request's end was seen and nothing came after it.
            Disposition::Finish
        } else {
            Disposition::Close
        }
    }

    fn unfinished(&mut self, reason: &str, disposition: Disposition) -> Attempted {
        self.record.reason = Some(reason.to_owned());
        Attempted::Ended(disposition)
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
