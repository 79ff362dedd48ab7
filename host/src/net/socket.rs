//! The sockets under connections, and questions about a socket and not about the bytes it carries.

use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::os::fd::{AsFd, BorrowedFd};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::Interest;
use tokio::net::{TcpStream, UnixStream};

use super::unacknowledged::unacknowledged;
use crate::config::HalfClose;

/// The socket under a [`super::Stream`], for questions about the socket and not about the bytes it
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
        self.poll_read(cx, &mut [0; DROPPED])
    }

    /// Whether there may be something to read: bytes, the end, or an error.
    pub(super) fn poll_read_ready(self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(stream) => stream.poll_read_ready(cx),
            Self::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Reads the available bytes; 0 is the end.
    pub(super) fn poll_read(
        self,
        cx: &mut Context<'_>,
        bytes: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.poll_read_ready(cx))?;
            match self.read_available(bytes) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                read => return Poll::Ready(read),
            }
        }
    }

    /// Writes as much of the pieces as is taken at once.
    pub(super) fn poll_write(
        self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(match self {
                Self::Tcp(stream) => stream.poll_write_ready(cx),
                Self::Unix(stream) => stream.poll_write_ready(cx),
            })?;
            match self.try_write(pieces) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                written => return Poll::Ready(written),
            }
        }
    }

    /// Ends our side.
    pub(super) fn shutdown(self) -> io::Result<()> {
        SockRef::from(&self).shutdown(Shutdown::Write)
    }

    pub(super) async fn ready(self, interest: Interest) -> io::Result<tokio::io::Ready> {
        match self {
            Self::Tcp(stream) => stream.ready(interest).await,
            Self::Unix(stream) => stream.ready(interest).await,
        }
    }

    /// Reads the bytes that are there, as far as the last poll saw.
    pub(super) fn try_read(self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_read(bytes),
            Self::Unix(stream) => stream.try_read(bytes),
        }
    }

    /// Reads the bytes that are there, whatever the last poll saw.
    pub(super) fn read_now(self, bytes: &mut [u8]) -> io::Result<usize> {
        Ok(rustix::io::read(self, bytes)?)
    }

    /// Like [`Socket::try_read`]; a read that does not fill the room has emptied the socket, so
    /// that the next one waits for a new event and not for one more system call.
    fn read_available(self, bytes: &mut [u8]) -> io::Result<usize> {
        let mut n = 0;
        let read = || {
            n = rustix::io::read(self, &mut *bytes)?;
            match n > 0 && n < bytes.len() && cfg!(target_os = "linux") {
                true => Err(io::ErrorKind::WouldBlock.into()),
                false => Ok(()),
            }
        };
        let read = match self {
            Self::Tcp(stream) => stream.try_io(Interest::READABLE, read),
            Self::Unix(stream) => stream.try_io(Interest::READABLE, read),
        };
        match read {
            Err(_) if n > 0 => Ok(n),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {
                Err(io::ErrorKind::WouldBlock.into())
            }
            read => read.map(|()| n),
        }
    }

    /// Writes as much as the socket takes, as far as the last poll saw.
    pub(super) fn try_write(self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(stream) => stream.try_write_vectored(pieces),
            Self::Unix(stream) => stream.try_write_vectored(pieces),
        }
    }
}

impl<'a> Socket<'a> {
    pub(super) fn descriptor(self) -> BorrowedFd<'a> {
        match self {
            Self::Tcp(stream) => stream.as_fd(),
            Self::Unix(stream) => stream.as_fd(),
        }
    }
}

impl AsFd for Socket<'_> {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.descriptor()
    }
}
