//! One connection of the admin listener.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::HttpService;
use hyper_util::rt::{TokioIo, TokioTimer};
use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{Sleep, sleep, timeout};

use super::reply::ReplyBody;
use super::shared::Limits;

/// The largest head: many times a bearer token and a browser's fields.
const MAX_HEAD: usize = 16 * 1024;

/// Bytes that may wait in the kernel for a client that reads slowly. A page that is open and reads
/// nothing would hold its place for hours with what the kernel takes otherwise.
const UNREAD: usize = 128 * 1024;

/// How much of an unread upload is discarded, and for how long, so that the client can read the
/// answer.
const LINGER_BYTES: u64 = 128 << 20;
const LINGER: Duration = Duration::from_secs(5);

/// Serves requests until the client is done or exceeds a limit, or until `stopping` turns true and
/// the current request is answered. `asked` is true from the first request on, and a
/// client that connected before the stop has that one answered. Errors are not reported: the client
/// caused them.
pub(super) async fn serve<S>(
    stream: TcpStream,
    service: S,
    limits: &Limits,
    mut stopping: watch::Receiver<bool>,
    mut asked: watch::Receiver<bool>,
) where
    S: HttpService<Incoming, ResBody = ReplyBody> + Unpin,
    S::Future: Unpin,
    S::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    limit_unread(&stream);
    let io = TokioIo::new(Patience {
        stream,
        limit: limits.write,
        expires: None,
    });
    let mut connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(limits.header_read)
        .max_header_size(MAX_HEAD)
        .half_close(true)
        .serve_connection(io, service);
    let mut may_end = pin!(async {
        let _ = stopping.wait_for(|stop| *stop).await;
        let _ = timeout(limits.first_head, asked.wait_for(|asked| *asked)).await;
    });
    let mut stopped = false;
    let ended = loop {
        tokio::select! {
            ended = poll_fn(|cx| connection.poll_without_shutdown(cx)) => break ended,
            () = &mut may_end, if !stopped => {
                stopped = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
        }
    };
    if ended.is_ok() {
        linger(connection.into_parts().io.into_inner()).await;
    }
}

/// If that fails, `Patience` only takes longer.
fn limit_unread(stream: &TcpStream) {
    if let Err(error) = SockRef::from(stream).set_send_buffer_size(UNREAD) {
        tracing::debug!(%error, "the send buffer of an admin connection stays as it is");
    }
}

/// Closing a socket with unread bytes resets the connection, and the client may lose the answer
/// that explains why its upload was refused.
async fn linger(mut io: Patience) {
    if io.shutdown().await.is_ok() {
        let _ = timeout(
            LINGER,
            tokio::io::copy(&mut io.take(LINGER_BYTES), &mut tokio::io::sink()),
        )
        .await;
    }
}

/// A stream whose writes fail when the peer reads nothing for too long.
struct Patience {
    stream: TcpStream,
    limit: Duration,
    expires: Option<Pin<Box<Sleep>>>,
}

impl Patience {
    fn bounded<T>(
        &mut self,
        cx: &mut Context<'_>,
        progress: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if progress.is_ready() {
            self.expires = None;
            return progress;
        }
        let limit = self.limit;
        ready!(
            self.expires
                .get_or_insert_with(|| Box::pin(sleep(limit)))
                .as_mut()
                .poll(cx)
        );
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Patience {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Patience {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.bounded(cx, progress)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let progress = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.bounded(cx, progress)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_client_does_not_read_is_bounded_in_the_kernel() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let _client = TcpStream::connect(address).await.unwrap();
        let (stream, _) = listener.accept().await.unwrap();
        limit_unread(&stream);
        // The kernel counts its own bookkeeping too.
        let bytes = SockRef::from(&stream).send_buffer_size().unwrap();
        assert!(bytes <= 2 * UNREAD, "{bytes}");
    }
}
