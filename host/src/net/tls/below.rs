//! What is below a session: a socket, and rustls' view of it.

use std::io::{self, IoSlice, Read, Write};
use std::task::{Context, Poll};

use tokio::net::{TcpStream, UnixStream};

use super::super::socket::Socket;

/// What carries the records.
#[derive(Debug)]
pub(in crate::net) enum Below {
    /// A connection over the network.
    Tcp(TcpStream),
    /// One of this machine.
    Unix(UnixStream),
}

impl Below {
    pub(super) fn socket(&self) -> Socket<'_> {
        match self {
            Self::Tcp(stream) => Socket::Tcp(stream),
            Self::Unix(stream) => Socket::Unix(stream),
        }
    }
}

/// A socket that rustls reads.
pub(super) struct In<'a, 'b, 'c> {
    pub socket: Socket<'a>,
    pub cx: &'b mut Context<'c>,
}

impl Read for In<'_, '_, '_> {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self.socket.poll_read(self.cx, bytes) {
            Poll::Ready(read) => read,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }
}

/// A socket that rustls writes to. With a context it is waited for, without one it is tried.
pub(super) struct Out<'a, 'b, 'c> {
    pub socket: Socket<'a>,
    pub cx: Option<&'b mut Context<'c>>,
}

impl Write for Out<'_, '_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, pieces: &[IoSlice<'_>]) -> io::Result<usize> {
        let Some(cx) = &mut self.cx else {
            return self.socket.try_write(pieces);
        };
        match self.socket.poll_write(cx, pieces) {
            Poll::Ready(written) => written,
            Poll::Pending => Err(io::ErrorKind::WouldBlock.into()),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
