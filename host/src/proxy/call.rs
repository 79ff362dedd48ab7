//! Calls of gRPC, which are requests of HTTP/2: how long their caller waits, and how it learns that
//! one was refused.

use std::time::Duration;

use http::Method;

use super::refusal::{LocalReply, Refusal};
use crate::message::grpc::{self, GrpcStatus};
use crate::message::{RequestHead, Version};

/// Whether the request is a call, whose caller reads no HTTP status.
#[inline]
pub(super) fn is_call(head: &RequestHead) -> bool {
    head.version == Version::Http2
        && head.method == Method::POST
        && !head.upgrade.is_connect()
        && grpc::is_call(&head.fields)
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
