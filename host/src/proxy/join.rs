//! Running an upload beside a download.

use std::future::{Future, poll_fn};
use std::pin::pin;
use std::task::Poll;

use super::upload::UploadEnd;

/// Runs both until the download has ended, or until the upload has ended in a way that ends the
/// exchange.
pub async fn join<D>(
    upload: impl Future<Output = UploadEnd>,
    download: impl Future<Output = D>,
) -> Result<D, UploadEnd> {
    let (mut upload, mut download) = (pin!(upload), pin!(download));
    let mut uploading = true;
    poll_fn(|cx| {
        if uploading && let Poll::Ready(end) = upload.as_mut().poll(cx) {
            uploading = false;
            // A backend that reads no more may have answered already: the download will tell.
            if !matches!(end, UploadEnd::Complete | UploadEnd::BackendGone) {
                return Poll::Ready(Err(end));
            }
        }
        download.as_mut().poll(cx).map(Ok)
    })
    .await
}
