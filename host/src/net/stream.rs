//! What carries bytes to a client or a backend. The only file that knows which kinds there are: a
//! further one is a variant of [`Stream`], of its halves and of what lies under it.

use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, tcp, unix};

use super::Buffer;
use super::unacknowledged::unacknowledged;
use crate::config::HalfClose;

/// A connection to a client or a backend.
#[derive(Debug)]
pub enum Stream {
    /// TCP without encryption.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
}

/// The side of a [`Stream`] that is read.
#[derive(Debug)]
pub enum ReadHalf<'a> {
    /// Of [`Stream::Tcp`].
    Tcp(tcp::ReadHalf<'a>),
    /// Of [`Stream::Unix`].
    Unix(unix::ReadHalf<'a>),
}

/// The side of a [`Stream`] that is written.
#[derive(Debug)]
pub enum WriteHalf<'a> {
    /// Of [`Stream::Tcp`].
    Tcp(tcp::WriteHalf<'a>),
    /// Of [`Stream::Unix`].
    Unix(unix::WriteHalf<'a>),
}

/// The socket under a [`Stream`], for questions about the socket and not about the bytes it
/// carries. It works while the halves are in use.
#[derive(Debug, Clone, Copy)]
pub enum Socket<'a> {
    /// Of TCP, encrypted or not.
    Tcp(&'a TcpStream),
    /// Of this machine.
    Unix(&'a UnixStream),
}

/// Bytes that are dropped with one read.
const DROPPED: usize = 16 * 1024;

/// Only the end of the reading side, even behind unread bytes: a client that has already sent its
/// next request must not keep its connection readable, and wake this wait again and again.
/// `PRIORITY` reports urgent data, which is not enabled, and the end.
#[cfg(any(target_os = "linux", target_os = "android"))]
const END: Interest = Interest::PRIORITY;
/// Other systems report the end only together with readable bytes.
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const END: Interest = Interest::READABLE;

impl Stream {
    /// A new connection. The caller limits the time.
    pub async fn connect(address: SocketAddr) -> io::Result<Self> {
        let socket = if address.is_ipv4() {
            TcpSocket::new_v4()?
        } else {
            TcpSocket::new_v6()?
        };
        // Heads and small bodies are written whole: waiting for more to send only costs time.
        socket.set_nodelay(true)?;
        Ok(Self::Tcp(socket.connect(address).await?))
    }

    /// Both sides, to be used at once.
    #[inline]
    pub fn split(&mut self) -> (ReadHalf<'_>, WriteHalf<'_>) {
        match self {
            Self::Tcp(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Tcp(read), WriteHalf::Tcp(write))
            }
            Self::Unix(stream) => {
                let (read, write) = stream.split();
                (ReadHalf::Unix(read), WriteHalf::Unix(write))
            }
        }
    }

    /// The socket under it.
    #[inline]
    pub fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(stream) => Socket::Tcp(stream),
            Self::Unix(stream) => Socket::Unix(stream),
        }
    }

    /// Ends our side.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
        }
    }

    /// Sends as much of `last` as the socket takes at once, ends our side and reads the bytes that
    /// have already arrived. All of this is a courtesy: the connection is closed even if the client
    /// does not take it.
    pub fn send_off(&self, last: &[u8]) {
        let socket = SockRef::from(self);
        let _ = socket.send(last);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.recv(&mut [MaybeUninit::uninit(); 4096]);
    }

    /// Resets the connection when it is dropped, so that the peer does not take an incomplete
    /// message for a whole one.
    pub fn reset_when_dropped(&self) {
        if let Self::Tcp(stream) = self {
            // A failure here means that the connection is gone, which is the aim.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether the peer has sent more than was read, as far as the last poll saw. For a connection
    /// that is to end: a byte of it is gone.
    pub fn took_unread(&self) -> bool {
        matches!(self.socket().try_read(&mut [0; 1]), Ok(1))
    }

    /// Whether nothing has happened on an idle connection: no end, no error, no byte.
    ///
    /// `certain` looks at the socket itself rather than at what the last poll saw: one more system
    /// call.
    pub fn is_quiet(&self, certain: bool) -> bool {
        let seen = if certain {
            SockRef::from(self).peek(&mut [MaybeUninit::uninit(); 1])
        } else {
            self.socket().try_read(&mut [0; 1])
        };
        seen.is_err_and(|e| e.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsFd for Stream {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, into),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, into),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}

impl ReadHalf<'_> {
    /// Whether there may be something to read: bytes, the end, or an error.
    #[inline]
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
        }
    }

    /// Reads the available bytes into the buffer; 0 is the end.
    #[inline]
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
    ) -> Poll<io::Result<usize>> {
        let mut spare = ReadBuf::new(buffer.spare());
        let read = match self {
            Self::Tcp(half) => Pin::new(half).poll_read(cx, &mut spare),
            Self::Unix(half) => Pin::new(half).poll_read(cx, &mut spare),
        };
        ready!(read)?;
        let n = spare.filled().len();
        buffer.advance(n);
        Poll::Ready(Ok(n))
    }
}

impl WriteHalf<'_> {
    /// Writes as much as is taken at once.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
        }
    }

    /// The socket under it.
    #[inline]
    pub fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(half) => Socket::Tcp(half.as_ref()),
            Self::Unix(half) => Socket::Unix(half.as_ref()),
        }
    }
}

impl Socket<'_> {
    /// Bytes that were written and not acknowledged; 0 where that is not known.
    pub fn unacknowledged(self) -> u64 {
        match self {
            Self::Tcp(stream) => unacknowledged(stream),
            // On a Unix socket, written bytes are already at the reader.
            Self::Unix(_) => 0,
        }
    }

    /// Bytes that have arrived and were not read; 0 where that is not known.
    pub fn unread(self) -> u64 {
        rustix::io::ioctl_fionread(self).unwrap_or(0)
    }

    /// Sets how many unread bytes the kernel keeps. Only a network holds bytes back when that space
    /// is full; without more space the end behind them is seen later.
    pub fn make_room(self, bytes: usize) {
        if let Self::Tcp(stream) = self {
            let _ = SockRef::from(stream).set_recv_buffer_size(bytes);
        }
    }

    /// Waits until the peer has reset the connection or, where that counts, ended its side.
    pub async fn left(self, half_close: HalfClose) {
        // A socket that can't be watched any more has no client.
        let interest = match half_close {
            HalfClose::Abort => END | Interest::ERROR,
            HalfClose::Allow => Interest::ERROR,
        };
        let Ok(ready) = self.ready(interest).await else {
            return;
        };
        let ended = ready.is_read_closed() && half_close == HalfClose::Abort;
        if !ended && !ready.is_error() {
            // Bytes that lie in front of the end: without a look at the end alone there is only the
            // reset to wait for.
            let _ = self.ready(Interest::ERROR).await;
        }
    }

    /// Reads the available bytes and discards them; 0 is the end.
    pub fn poll_drop(self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        loop {
            ready!(match self {
                Self::Tcp(stream) => stream.poll_read_ready(cx),
                Self::Unix(stream) => stream.poll_read_ready(cx),
            })?;
            match self.try_read(&mut [0; DROPPED]) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    async fn ready(self, interest: Interest) -> io::Result<tokio::io::Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
        }
    }

    fn try_read(self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(bytes),
            Self::Unix(stream) => stream.try_read(bytes),
        }
    }
}

impl AsFd for Socket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
