//! How much of what was written to a client it has not acknowledged.

use tokio::net::TcpStream;

/// Bytes; 0 where the system does not tell.
///
/// The socket says that it takes more only when a third of it is empty, which may be seconds after it was full, though
/// the client takes one byte after the other. Asked only while others wait for what a slow client holds.
#[cfg(target_os = "linux")]
pub fn unacknowledged(stream: &TcpStream) -> u64 {
    use std::ffi::c_int;

    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// The same number as `SIOCOUTQ` of `linux/sockios.h`.
    const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;
    #[allow(
        unsafe_code,
        reason = "invariant: for a TCP socket this request writes one `int` and nothing else (tcp(7))"
    )]
    // SAFETY: the descriptor is open for as long as it is borrowed; `Getter` hands the kernel room for a `c_int`.
    let bytes = unsafe { ioctl(stream, Getter::<SIOCOUTQ, c_int>::new()) };
    bytes.ok().and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or(0)
}

/// Bytes; 0, as the system does not tell.
#[cfg(not(target_os = "linux"))]
pub fn unacknowledged(_: &TcpStream) -> u64 {
    0
}
