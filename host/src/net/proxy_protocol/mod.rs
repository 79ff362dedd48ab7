//! The PROXY protocol: what a load balancer in front says of a connection, before the client's
//! first byte, and what this proxy says of one to a backend that wants to know.
//!
//! Read by the text that HAProxy publishes (`proxy-protocol.txt`), and refused where it leaves that
//! text: who may send a header may also name any client.

mod crc;
mod read;
mod v1;
mod v2;
mod write;

use std::net::SocketAddr;

pub use read::read;
pub use write::header;

/// The most bytes of a header of version 2. The text allows 64 KiB, which no sender needs: the
/// longest that is known carries a client's certificate.
pub const LONGEST: usize = 4096;

/// What a header says of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Announced {
    /// Nothing that this proxy could use: a check of the sender's own (`LOCAL`), or a client
    /// without an address (`UNKNOWN`, a Unix socket). The connection's own addresses hold.
    Nothing,
    /// The client and the address that it has reached.
    Addresses {
        /// The client's.
        source: SocketAddr,
        /// The one that it has reached.
        destination: SocketAddr,
    },
}

/// Why a header is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum HeaderError {
    /// The connection begins with something else.
    #[error("it does not begin with a PROXY header")]
    Missing,
    /// Of version 1: 107 bytes without an end of the line.
    #[error("its first line does not end within 107 bytes")]
    TooLong,
    /// Of version 1: the line is none of those that the protocol has.
    #[error("its line is malformed")]
    Line,
    /// Another version than 1 and 2.
    #[error("its version is not 1 or 2")]
    Version,
    /// A command that is not LOCAL or PROXY.
    #[error("its command is neither LOCAL nor PROXY")]
    Command,
    /// A family or a transport that version 2 does not have.
    #[error("its address family is not known")]
    Family,
    /// Of version 2: more than [`LONGEST`] bytes.
    #[error("it is longer than 4 KiB")]
    TooLarge,
    /// Of version 2: less than its addresses take.
    #[error("its length has no room for its addresses")]
    TooShort,
    /// An extension ends behind the header.
    #[error("an extension of it ends behind its end")]
    Extension,
    /// The checksum is wrong.
    #[error("its checksum is wrong")]
    Checksum,
    /// The peer has left in the middle of it.
    #[error("the peer has left before its end")]
    Left,
    /// The socket has failed.
    #[error("the connection has failed")]
    Socket,
}

/// What the header at the beginning of `bytes` says, and where it ends; `None` if it goes on behind
/// them.
///
/// # Errors
///
/// They can't become a header that is taken, whatever follows.
pub fn parse(bytes: &[u8]) -> Result<Option<(Announced, usize)>, HeaderError> {
    if begins(bytes, v1::BEGINNING) {
        v1::parse(bytes)
    } else if begins(bytes, v2::SIGNATURE) {
        v2::parse(bytes)
    } else {
        Err(HeaderError::Missing)
    }
}

/// Whether they may be the beginning of something that begins so.
fn begins(bytes: &[u8], with: &[u8]) -> bool {
    let n = bytes.len().min(with.len());
    bytes[..n] == with[..n]
}

/// A client without an address, and one that is unspecified, is not known.
fn announced(source: SocketAddr, destination: SocketAddr) -> Announced {
    match source.ip().to_canonical().is_unspecified() {
        true => Announced::Nothing,
        false => Announced::Addresses {
            source,
            destination,
        },
    }
}

#[cfg(test)]
mod tests;
