//! How an exchange with a backend ends.

use h2::Reason;

use super::body::TransferEnd;
use super::refusal::{LocalReply, Refusal};
use crate::message::Malformed;
use crate::net::IoEnd;
use crate::upstream::{AttemptOutcome, is_cut_off};

/// How an exchange with a backend ended.
#[derive(Debug)]
pub(super) enum ExchangeEnd {
    /// The client has the whole response.
    Complete {
        /// The backend's connection may carry another request.
        reusable: bool,
        /// The client's connection may.
        keep_alive: bool,
    },
    /// The client has a 101: from here on its connection and the backend's carry another protocol.
    Switched,
    /// The backend's connection ended before the response began.
    Closed,
    /// The backend broke the request off before the response began, and kept its connection.
    Reset,
    /// The backend has said that it did not process the request, since its connection ends.
    Unprocessed,
    /// The backend has said that it did not process the request, and kept its connection.
    Refused,
    /// Another backend is asked, in place of the response that came.
    Retried {
        /// The backend's connection may carry another request.
        reusable: bool,
    },
    /// The head of the response is not HTTP.
    BadHead(Malformed),
    /// The client gets this in place of the response.
    Local(Box<LocalReply>),
    /// The response ended in the middle, after its head went out.
    Broken {
        /// What happened.
        reason: &'static str,
        /// Whether the client can see that the response is incomplete.
        delimited: bool,
        /// What it means for the backend.
        outcome: AttemptOutcome,
    },
    /// The client takes no more.
    ClientGone(&'static str),
    /// The request's body ended it.
    Upload(TransferEnd),
}

impl ExchangeEnd {
    /// Whether the backend was sent nothing.
    pub(super) fn is_before_the_request(&self) -> bool {
        let Self::Local(local) = self else {
            return false;
        };
        matches!(**local, LocalReply::Refusal(Refusal::NoWebSocket))
    }

    /// Whether the backend's connection may carry another request.
    #[inline]
    pub(super) fn is_reusable(&self) -> bool {
        matches!(
            self,
            Self::Complete { reusable: true, .. } | Self::Retried { reusable: true }
        )
    }
}

/// The client was not interested any more.
pub(super) const LEFT: ExchangeEnd =
    ExchangeEnd::ClientGone("the client left before the backend had answered");

/// The client gets this refusal.
pub(super) fn refused(refusal: Refusal) -> ExchangeEnd {
    ExchangeEnd::Local(refusal.into())
}

/// The backend's bytes are not HTTP, and the client can still get an error response.
pub(super) fn bad(reason: Malformed) -> ExchangeEnd {
    refused(Refusal::BadResponse(reason))
}

/// A backend ended a stream, or its connection, before the response's head.
pub(super) fn stream_end(error: &h2::Error) -> ExchangeEnd {
    let refused = error.reason() == Some(Reason::REFUSED_STREAM);
    match error {
        // What it announces it has processed waits on; this stream is beyond that.
        e if e.is_go_away() && e.is_remote() => ExchangeEnd::Unprocessed,
        e if refused && !e.is_library() => ExchangeEnd::Refused,
        e if e.is_reset() && e.is_remote() => ExchangeEnd::Reset,
        e if e.is_reset() => bad(Malformed::Stream),
        // No connection that was closed while it was idle.
        e if is_cut_off(e) => ExchangeEnd::Reset,
        _ => ExchangeEnd::Closed,
    }
}

/// The client did not read the response.
pub(super) fn client_end(end: IoEnd) -> ExchangeEnd {
    ExchangeEnd::ClientGone(match end {
        IoEnd::TimedOut => "the client took no byte of the response in time",
        IoEnd::Failed => "the client closed the connection before it had the response",
    })
}

/// The end of an exchange whose response body was not moved to its end. `told` means that some of
/// the response was sent to the client; `owes` means that the backend had announced more.
pub(super) fn body_end(end: TransferEnd, told: bool, owes: bool, delimited: bool) -> ExchangeEnd {
    match end {
        TransferEnd::Malformed(reason) if !told => return bad(reason),
        TransferEnd::SinkTimedOut => return client_end(IoEnd::TimedOut),
        TransferEnd::SinkFailed => return client_end(IoEnd::Failed),
        TransferEnd::ClientLeft => {
            return ExchangeEnd::ClientGone("the client left before it had the whole response");
        }
        _ => {}
    }
    let reason = match end {
        TransferEnd::Malformed(reason) if reason != Malformed::Chunk => {
            "the backend's trailers are malformed or beyond the limits"
        }
        TransferEnd::SourceEnded => "the backend's connection ended within the body",
        TransferEnd::SourceFailed => "the backend's connection failed within the body",
        TransferEnd::SourceTimedOut | TransferEnd::SourceBrokenOff if owes => {
            "the backend stopped within the body"
        }
        TransferEnd::SourceTimedOut | TransferEnd::SourceBrokenOff => {
            "the backend was silent for too long within the body"
        }
        _ => "the backend's body is not correctly chunked",
    };
    let outcome = match end {
        TransferEnd::SourceTimedOut | TransferEnd::SourceBrokenOff if owes => {
            AttemptOutcome::BodyStalled
        }
        TransferEnd::SourceTimedOut | TransferEnd::SourceBrokenOff => AttemptOutcome::Quiet,
        _ => AttemptOutcome::BodyCut,
    };
    ExchangeEnd::Broken {
        reason,
        delimited,
        outcome,
    }
}
