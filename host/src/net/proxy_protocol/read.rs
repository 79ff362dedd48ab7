//! Reading a header off a socket, and nothing that follows it.

use std::io;
use std::os::fd::AsFd;

use tokio::io::Interest;

use super::{Announced, HeaderError, parse};
use crate::net::Stream;

/// Bytes that are looked at with one call.
const LOOK: usize = 512;

/// Reads the header with which the connection begins. What follows it stays in the socket, for the
/// layer that comes next. The caller limits the time.
///
/// # Errors
///
/// There is no header that is taken.
pub async fn read(stream: &Stream) -> Result<Announced, HeaderError> {
    let (mut header, mut bytes) = (Vec::new(), [0; LOOK]);
    loop {
        let n = peek(stream, &mut bytes).await?;
        let taken = header.len();
        header.extend_from_slice(&bytes[..n]);
        match parse(&header)? {
            Some((announced, end)) => {
                take(stream, &mut bytes[..end.saturating_sub(taken)])?;
                return Ok(announced);
            }
            // All of it is the header's. Else the socket would stay readable, and the next look
            // would not wait.
            None => take(stream, &mut bytes[..n])?,
        }
    }
}

/// Looks at what has arrived and leaves it in the socket; waits if there is nothing.
async fn peek(stream: &Stream, bytes: &mut [u8]) -> Result<usize, HeaderError> {
    let looked = match stream {
        Stream::Tcp(socket) => socket.peek(bytes).await,
        Stream::Unix(socket) => {
            // Only this type of the standard library looks without taking, at any kind of socket.
            let looking = socket.as_fd().try_clone_to_owned();
            let looking = looking.map(std::net::TcpStream::from);
            let looking = looking.map_err(|_| HeaderError::Socket)?;
            let look = || looking.peek(bytes);
            socket.async_io(Interest::READABLE, look).await
        }
        // A header comes before a handshake.
        Stream::Tls(_) => return Err(HeaderError::Socket),
    };
    match looked {
        Ok(0) => Err(HeaderError::Left),
        Ok(n) => Ok(n),
        Err(_) => Err(HeaderError::Socket),
    }
}

/// Takes bytes out of the socket that are there.
fn take(stream: &Stream, mut bytes: &mut [u8]) -> Result<(), HeaderError> {
    while !bytes.is_empty() {
        let read: io::Result<usize> = match stream {
            Stream::Tcp(socket) => socket.try_read(bytes),
            Stream::Unix(socket) => socket.try_read(bytes),
            Stream::Tls(_) => return Err(HeaderError::Socket),
        };
        let Ok(n @ 1..) = read else {
            return Err(HeaderError::Socket);
        };
        bytes = &mut bytes[n..];
    }
    Ok(())
}
