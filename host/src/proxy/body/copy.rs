//! The one loop that moves a body.

use std::cell::Cell;
use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::{MessageSink, Pieces, Ready, TransferEnd};

/// Moves a body from where it comes from to where it goes, trailers and all.
///
/// Available bytes are passed on before the loop waits for more, because a sender may wait for an
/// answer to them. A piece is consumed only when it has been taken, so that one that was not sent
/// is still there for another attempt. `passed` counts the bytes.
#[inline]
pub(in crate::proxy) async fn copy<S: Pieces>(
    source: &mut S,
    sink: &mut MessageSink<'_>,
    passed: &Cell<u64>,
) -> Result<(), TransferEnd> {
    loop {
        match source.ready()? {
            Ready::Content(n) => {
                sink.piece(source.content(n)).await?;
                source.consume(n);
                passed.set(passed.get() + n as u64);
                if sink.is_full() {
                    sink.flush().await?;
                }
            }
            Ready::Nothing => {
                sink.flush().await?;
                source.fill(sink).await?;
            }
            Ready::End => {
                sink.end(source.trailers()).await?;
                return Ok(());
            }
        }
    }
}

/// Runs an upload beside a download: until the download has ended, or until the upload has ended in
/// a way that ends the exchange.
pub(in crate::proxy) async fn join<D>(
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
