//! What carries bytes to a client or a backend. The only file that knows which kinds there are: a
//! further one is a variant of [`Stream`], of its halves and of what lies under it.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::{Shutdown, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, ReadBuf};
use tokio::net::{TcpSocket, TcpStream, UnixStream, tcp, unix};

use super::socket::Socket;
use super::tls::session::TlsStream;
use super::{Buffer, Buffers};

/// A connection to a client or a backend.
#[derive(Debug)]
pub enum Stream {
    /// TCP without encryption.
    Tcp(TcpStream),
    /// A socket of this machine.
    Unix(UnixStream),
    /// A TLS session over either, whose handshake is over. [`super::tls`] makes it.
    Tls(Box<TlsStream>),
}

/// The side of a [`Stream`] that is read.
#[derive(Debug)]
pub enum ReadHalf<'a> {
    /// Of [`Stream::Tcp`].
    Tcp(tcp::ReadHalf<'a>),
    /// Of [`Stream::Unix`].
    Unix(unix::ReadHalf<'a>),
    /// Of [`Stream::Tls`].
    Tls(&'a TlsStream),
}

/// The side of a [`Stream`] that is written.
#[derive(Debug)]
pub enum WriteHalf<'a> {
    /// Of [`Stream::Tcp`].
    Tcp(tcp::WriteHalf<'a>),
    /// Of [`Stream::Unix`].
    Unix(unix::WriteHalf<'a>),
    /// Of [`Stream::Tls`].
    Tls(&'a TlsStream),
}

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
            Self::Tls(stream) => (ReadHalf::Tls(stream), WriteHalf::Tls(stream)),
        }
    }

    /// The socket under it.
    #[inline]
    pub fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(stream) => Socket::Tcp(stream),
            Self::Unix(stream) => Socket::Unix(stream),
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Ends our side. The caller limits the time: the end of a TLS session is announced, and a peer
    /// that does not read makes that wait.
    pub async fn shutdown(&mut self) -> io::Result<()> {
        match self {
            Self::Tcp(stream) => stream.shutdown().await,
            Self::Unix(stream) => stream.shutdown().await,
            Self::Tls(stream) => poll_fn(|cx| stream.poll_shutdown(cx)).await,
        }
    }

    /// Sends as much of `last` as the socket takes at once, ends our side and reads the bytes that
    /// have already arrived. All of this is a courtesy: the connection is closed even if the client
    /// does not take it.
    pub fn send_off(&self, last: &[u8]) {
        if let Self::Tls(stream) = self {
            return stream.send_off(last);
        }
        let socket = SockRef::from(self);
        let _ = socket.send(last);
        let _ = socket.shutdown(Shutdown::Write);
        let _ = socket.recv(&mut [MaybeUninit::uninit(); 4096]);
    }

    /// Writes as much of the first bytes of a connection as its socket takes at once. Not for one
    /// that is encrypted.
    pub fn try_write(&self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tls(_) => Err(io::ErrorKind::Unsupported.into()),
            _ => self.socket().try_write(&[IoSlice::new(bytes)]),
        }
    }

    /// Resets the connection when it is dropped, so that the peer does not take an incomplete
    /// message for a whole one.
    pub fn reset_when_dropped(&self) {
        if let Self::Tls(stream) = self {
            stream.cut_off();
        }
        if let Socket::Tcp(stream) = self.socket() {
            // A failure here means that the connection is gone, which is the aim.
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Whether the peer has broken the protocol of its session: the alert that says so is written
    /// when this is shut down, and reaches the peer if what it still sends is read for a while.
    pub fn has_failed(&self) -> bool {
        matches!(self, Self::Tls(stream) if stream.has_failed())
    }

    /// Whether the peer has sent more than was read, as far as the last poll saw. For a connection
    /// that is to end: a byte of it is gone.
    pub fn took_unread(&self) -> bool {
        match self {
            Self::Tls(stream) => stream.took_unread(),
            _ => matches!(self.socket().try_read(&mut [0; 1]), Ok(1)),
        }
    }

    /// Whether nothing has happened on an idle connection: no end, no error, no byte for its user.
    ///
    /// `certain` looks at the socket itself rather than at what the last poll saw: one more system
    /// call.
    pub fn is_quiet(&self, certain: bool) -> bool {
        if let Self::Tls(stream) = self {
            return stream.is_quiet(certain);
        }
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
            Self::Tls(stream) => stream.socket().descriptor(),
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
            Self::Tls(stream) => stream.poll_read(cx, into).map_ok(|_| ()),
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
            Self::Tls(stream) => stream.poll_write(cx, bytes),
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
            Self::Tls(stream) => stream.poll_write_vectored(cx, pieces),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => stream.poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }
}

impl ReadHalf<'_> {
    /// The socket under it.
    #[inline]
    pub fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(half) => Socket::Tcp(half.as_ref()),
            Self::Unix(half) => Socket::Unix(half.as_ref()),
            Self::Tls(stream) => stream.socket(),
        }
    }

    /// Whether there may be something to read: bytes, the end, or an error.
    #[inline]
    pub fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => half.as_ref().poll_read_ready(cx),
            Self::Unix(half) => half.as_ref().poll_read_ready(cx),
            Self::Tls(stream) => stream.poll_ready(cx),
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
            Self::Tls(stream) => stream.poll_read(cx, &mut spare).map_ok(|_| ()),
        };
        ready!(read)?;
        let n = spare.filled().len();
        buffer.advance(n);
        Poll::Ready(Ok(n))
    }

    /// The same for a buffer that is borrowed when there is something to read, and not before: a
    /// thousand messages that are waited for cost no memory, and those that come one after the
    /// other share what is in the processor's cache.
    #[inline]
    pub fn poll_first(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut Buffer,
        buffers: &Buffers,
    ) -> Poll<io::Result<usize>> {
        if buffer.has_room() {
            return self.poll_read(cx, buffer);
        }
        ready!(self.poll_ready(cx))?;
        *buffer = buffers.small();
        let read = self.poll_read(cx, buffer);
        if read.is_pending() {
            // Readiness was a false alarm, and the read has asked to be woken.
            buffers.take_back(std::mem::take(buffer));
        }
        read
    }
}

impl WriteHalf<'_> {
    /// Writes as much as is taken at once.
    #[inline]
    pub fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Unix(half) => Pin::new(half).poll_write(cx, bytes),
            Self::Tls(stream) => stream.poll_write(cx, bytes),
        }
    }

    /// Ends our side, once the peer can have all that was written.
    pub fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(half) => Pin::new(half).poll_shutdown(cx),
            Self::Unix(half) => Pin::new(half).poll_shutdown(cx),
            Self::Tls(stream) => stream.poll_shutdown(cx),
        }
    }

    /// The socket under it.
    #[inline]
    pub fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(half) => Socket::Tcp(half.as_ref()),
            Self::Unix(half) => Socket::Unix(half.as_ref()),
            Self::Tls(stream) => stream.socket(),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
