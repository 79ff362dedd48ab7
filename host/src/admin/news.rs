//! Answers that go on.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use tokio::sync::{OwnedSemaphorePermit, mpsc};

use super::crowd::{Caller, Doing};

/// The body of an answer that goes on.
#[derive(Debug)]
pub(super) struct Events {
    pieces: mpsc::Receiver<Bytes>,
    _watches: Option<OwnedSemaphorePermit>,
    /// Told at the end that its connection waits for a request again.
    caller: Arc<Caller>,
}

impl Drop for Events {
    fn drop(&mut self) {
        self.caller.is(Doing::Idle);
    }
}

impl Body for Events {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        // What waits for a request only has to make room for others; this one is being answered.
        self.caller.is(Doing::Working);
        let piece = self.pieces.poll_recv(cx);
        piece.map(|piece| piece.map(|bytes| Ok(Frame::data(bytes))))
    }
}

impl Events {
    /// What comes here. What is held by right of a page is given back at the end.
    pub(super) fn new(
        pieces: mpsc::Receiver<Bytes>,
        watches: Option<OwnedSemaphorePermit>,
        caller: &Arc<Caller>,
    ) -> Self {
        Self {
            pieces,
            _watches: watches,
            caller: Arc::clone(caller),
        }
    }
}
