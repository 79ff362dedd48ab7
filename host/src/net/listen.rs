//! What a listener has accepted.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpStream;

use super::{ConnectionInfo, Stream};

/// A connection that a listener has accepted, and the facts about it.
///
/// # Errors
///
/// It has ended in the meantime.
pub fn accepted(stream: TcpStream, peer: SocketAddr) -> io::Result<(Stream, ConnectionInfo)> {
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
