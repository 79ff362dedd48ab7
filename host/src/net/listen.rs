//! What listens for clients, and what it has accepted.

use std::io;
use std::net::SocketAddr;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use socket2::SockRef;
use tokio::net::{TcpListener, TcpStream, UnixListener};

use super::{ConnectionInfo, Stream};

/// Connections that may wait to be accepted; the kernel may allow fewer (`net.core.somaxconn`).
pub const BACKLOG: i32 = 4096;

/// A socket that listens. One of TCP belongs to one worker, a Unix socket to all of them.
#[derive(Debug)]
pub enum Listener {
    /// Of TCP.
    Tcp(TcpListener),
    /// Of this machine.
    Unix(UnixListener),
}

/// The same without a runtime, as the process opens it.
#[derive(Debug)]
pub enum StdListener {
    /// Of TCP.
    Tcp(std::net::TcpListener),
    /// Of this machine.
    Unix(std::os::unix::net::UnixListener),
}

impl StdListener {
    /// Another descriptor of the same socket.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn try_clone(&self) -> io::Result<Self> {
        Ok(match self {
            Self::Tcp(listener) => Self::Tcp(listener.try_clone()?),
            Self::Unix(listener) => Self::Unix(listener.try_clone()?),
        })
    }
}

impl AsFd for StdListener {
    fn as_fd(&self) -> BorrowedFd<'_> {
        match self {
            Self::Tcp(listener) => listener.as_fd(),
            Self::Unix(listener) => listener.as_fd(),
        }
    }
}

impl Listener {
    /// Registers a socket with the runtime of this thread. One of TCP that was only bound listens
    /// from now on.
    ///
    /// # Errors
    ///
    /// The runtime can't watch it.
    pub fn new(listener: StdListener) -> io::Result<Self> {
        Ok(match listener {
            StdListener::Tcp(listener) => {
                let socket = SockRef::from(&listener);
                if !socket.is_listener()? {
                    socket.listen(BACKLOG)?;
                }
                listener.set_nonblocking(true)?;
                Self::Tcp(TcpListener::from_std(listener)?)
            }
            StdListener::Unix(listener) => {
                listener.set_nonblocking(true)?;
                Self::Unix(UnixListener::from_std(listener)?)
            }
        })
    }

    /// Another descriptor of the same socket, for another process.
    ///
    /// # Errors
    ///
    /// There are no more descriptors.
    pub fn copy(&self) -> io::Result<OwnedFd> {
        match self {
            Self::Tcp(listener) => listener.as_fd().try_clone_to_owned(),
            Self::Unix(listener) => listener.as_fd().try_clone_to_owned(),
        }
    }

    /// The next connection; `None` if it has ended in the meantime.
    ///
    /// # Errors
    ///
    /// Of the listener, unless it [is one of the connection](is_of_one_connection).
    pub async fn accept(&self) -> io::Result<Option<(Stream, ConnectionInfo)>> {
        Ok(match self {
            Self::Tcp(listener) => {
                let (stream, peer) = listener.accept().await?;
                accepted(stream, peer).ok()
            }
            Self::Unix(listener) => {
                let (stream, _) = listener.accept().await?;
                Some((Stream::Unix(stream), ConnectionInfo::of_unix_socket()))
            }
        })
    }

    /// Closes it, and returns the connections that have waited in its queue: for those clients they
    /// are established.
    pub fn into_rest(self) -> Vec<(Stream, ConnectionInfo)> {
        let mut rest = Vec::new();
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return rest;
                };
                while let Ok((stream, peer)) = listener.accept() {
                    rest.extend(handed_in(stream, peer).ok());
                }
            }
            Self::Unix(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return rest;
                };
                while let Ok((stream, _)) = listener.accept() {
                    let stream = stream
                        .set_nonblocking(true)
                        .and_then(|()| tokio::net::UnixStream::from_std(stream));
                    rest.extend(
                        stream
                            .ok()
                            .map(|s| (Stream::Unix(s), ConnectionInfo::of_unix_socket())),
                    );
                }
            }
        }
        rest
    }
}

/// A connection that another thread has accepted.
///
/// # Errors
///
/// It has ended in the meantime.
pub fn handed_in(
    stream: std::net::TcpStream,
    peer: SocketAddr,
) -> io::Result<(Stream, ConnectionInfo)> {
    stream.set_nonblocking(true)?;
    accepted(TcpStream::from_std(stream)?, peer)
}

/// A connection that a listener has accepted, and the facts about it.
///
/// # Errors
///
/// It has ended in the meantime.
fn accepted(stream: TcpStream, peer: SocketAddr) -> io::Result<(Stream, ConnectionInfo)> {
    let info = ConnectionInfo::new(peer, stream.local_addr()?);
    // Heads and small bodies are written whole: waiting for more to send only costs time.
    stream.set_nodelay(true)?;
    Ok((Stream::Tcp(stream), info))
}

/// Whether an error of accepting is one of the connection that was to be accepted, not of the
/// listener.
pub fn is_of_one_connection(e: &io::Error) -> bool {
    matches!(
        e.kind(),
        io::ErrorKind::ConnectionAborted
            | io::ErrorKind::ConnectionReset
            | io::ErrorKind::ConnectionRefused
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Only an error of the listener itself is a reason to pause: a client must not be able to
    /// delay the others.
    #[test]
    fn a_client_that_left_the_accept_queue_does_not_pause_the_listener() {
        use io::ErrorKind::{
            ConnectionAborted, ConnectionRefused, ConnectionReset, Other, OutOfMemory, WouldBlock,
        };
        for kind in [ConnectionAborted, ConnectionReset, ConnectionRefused] {
            assert!(is_of_one_connection(&kind.into()), "{kind:?}");
        }
        for kind in [Other, OutOfMemory, WouldBlock] {
            assert!(!is_of_one_connection(&kind.into()), "{kind:?}");
        }
        for errno in [rustix::io::Errno::MFILE, rustix::io::Errno::NFILE] {
            assert!(!is_of_one_connection(&errno.into()), "{errno}");
        }
    }
}
