//! A call of gRPC whose caller waits no longer.

use super::client::Client;
use super::connection::Disposition;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::h2;
use crate::message::Fields;
use crate::message::grpc::{self, GrpcStatus};
use crate::upstream::RequestFailure;

impl Exchange<'_> {
    /// Ends a call whose caller waits no longer: by trailers, if it has been sent the beginning of
    /// a response. Otherwise it gets the refusal.
    pub(super) fn call_is_late(&mut self) -> Result<Disposition, Box<LocalReply>> {
        let refusal = Refusal::CallDeadline;
        let Client::H2(stream) = &self.client else {
            return Err(refusal.into());
        };
        let response = stream.response();
        if !response.is_under_way() {
            return Err(refusal.into());
        }
        let message = grpc::message(refusal.sentence().as_bytes());
        let mut trailers = Fields::new();
        trailers.append(
            b"grpc-status",
            GrpcStatus::DeadlineExceeded.as_str().as_bytes(),
        );
        trailers.append(b"grpc-message", message.as_bytes());
        let sent = response.trailers(h2::trailers(&trailers));
        let status = self.scratch.response.status;
        self.outcome.answered(status, Some(refusal.reason()));
        self.outcome.broken = true;
        self.outcome.failure = Some(RequestFailure::Timeout);
        Ok(match sent {
            Ok(()) => Disposition::Finish,
            Err(_) => Disposition::Abort,
        })
    }
}
