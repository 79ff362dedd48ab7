//! Calls of gRPC, which are requests of HTTP/2: how long their caller waits, and how it learns that
//! one was refused.

use std::time::Duration;

use super::client::Client;
use super::connection::Disposition;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::h2;
use crate::message::grpc::{self, GrpcStatus};
use crate::message::{Fields, RequestHead, Version};

/// Whether the request is a call, whose caller reads no HTTP status.
#[inline]
pub(super) fn is_call(head: &RequestHead) -> bool {
    head.version == Version::Http2 && !head.upgrade.is_connect() && grpc::is_call(&head.fields)
}

/// For how long the caller waits, if the request is a call that says so.
#[inline]
pub(super) fn deadline(head: &RequestHead) -> Option<Duration> {
    if is_call(head) {
        grpc::timeout(&head.fields)
    } else {
        None
    }
}

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
        Ok(match sent {
            Ok(()) => Disposition::Finish,
            Err(_) => Disposition::Abort,
        })
    }
}

/// The status of a refused call, where the HTTP status does not tell it.
pub(super) fn status(local: &LocalReply) -> Option<GrpcStatus> {
    let late = matches!(local, LocalReply::Refusal(Refusal::CallDeadline));
    late.then_some(GrpcStatus::DeadlineExceeded)
}
