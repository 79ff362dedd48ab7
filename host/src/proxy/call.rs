//! Calls of gRPC, which are requests of HTTP/2: their deadline, and how their caller learns that one
//! was refused.

use std::time::Duration;

use super::connection::Disposition;
use super::context::RequestContext;
use super::exchange::Exchange;
use super::refusal::{LocalReply, Refusal};
use crate::message::grpc::{self, GrpcStatus};
use crate::message::{RequestHead, Version};
use crate::policy::ByteRange;

/// Whether the request is a call, whose caller reads no HTTP status.
#[inline]
pub(super) fn is_call(head: &RequestHead) -> bool {
    head.version == Version::Http2 && grpc::is_call(&head.fields)
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

/// The status of a refused call, where the HTTP status does not tell it.
pub(super) fn status(local: &LocalReply) -> Option<GrpcStatus> {
    let late = matches!(local, LocalReply::Refusal(Refusal::CallDeadline));
    late.then_some(GrpcStatus::DeadlineExceeded)
}

impl Exchange<'_> {
    /// Tries backends until the caller waits no longer. What is under way then is cancelled, and
    /// held against no backend: the caller chose the time.
    #[cold]
    pub(super) async fn attempts_until(
        &mut self,
        deadline: Duration,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        // In a box, because most requests are no calls. One timer for each call is what tokio's
        // are made for.
        let attempts = Box::pin(self.attempts(context, ranges));
        let ended = tokio::time::timeout(deadline, attempts).await;
        ended.unwrap_or_else(|_| Err(Refusal::CallDeadline.into()))
    }
}
