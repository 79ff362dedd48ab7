//! The one loop that moves a body, and how that ends.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::{MessageSink, Pieces, Ready};
use crate::message::Malformed;
use crate::net::IoEnd;

/// Why a body was not moved to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TransferEnd {
    /// The sender ended its side within the body.
    SourceEnded,
    /// The sender's connection failed.
    SourceFailed,
    /// The sender sent no byte for too long.
    SourceTimedOut,
    /// The same, while others waited for its connection.
    SourceBrokenOff,
    /// The sender's bytes are not a valid body.
    Malformed(Malformed),
    /// The body is larger than the limit.
    TooLarge,
    /// The client left while its backend was waited for.
    ClientLeft,
    /// The receiver's connection failed: it takes no more.
    SinkFailed,
    /// The receiver took no byte for too long.
    SinkTimedOut,
}

/// Moves a body from where it comes from to where it goes, trailers and all.
///
/// Available bytes are passed on before the loop waits for more, because a sender may wait for an
/// answer to them. A piece is consumed only when it has been taken, so that one that was not sent
/// is still there for another attempt.
#[inline]
pub async fn copy<S: Pieces>(
    source: &mut S,
    sink: &mut MessageSink<'_>,
) -> Result<(), TransferEnd> {
    loop {
        match source.ready()? {
            Ready::Content(n) => {
                sink.piece(source.content(n)).await?;
                source.consume(n);
                if sink.is_full() {
                    sink.flush().await?;
                }
            }
            Ready::Nothing => {
                sink.flush().await?;
                source.fill(sink).await?;
            }
            Ready::End => {
                sink.end(source).await?;
                return Ok(());
            }
        }
    }
}

/// Runs an upload beside a download: until the download has ended, or until the upload has ended in
/// a way that ends the exchange.
pub async fn join<D>(
    upload: impl Future<Output = Result<(), TransferEnd>>,
    download: impl Future<Output = D>,
) -> Result<D, TransferEnd> {
    let (mut upload, mut download) = (pin!(upload), pin!(download));
    let mut uploading = true;
    poll_fn(|cx| {
        if uploading && let Poll::Ready(end) = upload.as_mut().poll(cx) {
            uploading = false;
            // A backend that reads no more may have answered already: the download finds out.
            if let Err(end) = end
                && end != TransferEnd::SinkFailed
            {
                return Poll::Ready(Err(end));
            }
        }
        download.as_mut().poll(cx).map(Ok)
    })
    .await
}

impl From<IoEnd> for TransferEnd {
    fn from(end: IoEnd) -> Self {
        match end {
            IoEnd::TimedOut => Self::SinkTimedOut,
            IoEnd::Failed => Self::SinkFailed,
        }
    }
}
