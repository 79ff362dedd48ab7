//! The bytes written to a client that it has not acknowledged.

use tokio::net::TcpStream;

/// In bytes; 0 where the system does not report it.
///
/// The socket becomes writable only when a third of it is empty, which may be seconds after it was
/// full, though the client reads all the time. This is called only while other requests wait for
/// the connection that a slow client holds.
#[cfg(target_os = "linux")]
pub(super) fn unacknowledged(stream: &TcpStream) -> u64 {
    use std::ffi::c_int;

    use rustix::ioctl::{Getter, Opcode, ioctl};

    /// The same number as `SIOCOUTQ` of `linux/sockios.h`.
    const SIOCOUTQ: Opcode = libc::TIOCOUTQ as Opcode;
    #[allow(
        unsafe_code,
        reason = "invariant: for a TCP socket this request writes one `int` and nothing else \
            (tcp(7))"
    )]
    // SAFETY: the descriptor is open for as long as it is borrowed; `Getter` hands the kernel room
    // for a `c_int`.
    let bytes = unsafe { ioctl(stream, Getter::<SIOCOUTQ, c_int>::new()) };
    bytes
        .ok()
        .and_then(|bytes| u64::try_from(bytes).ok())
        .unwrap_or(0)
}

/// In bytes; 0, because the system does not report it.
#[cfg(not(target_os = "linux"))]
pub(super) fn unacknowledged(_: &TcpStream) -> u64 {
    0
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::io::Read;

    use tokio::net::TcpListener;

    use super::*;

    #[tokio::test]
    async fn what_a_client_does_not_read_is_unacknowledged_until_it_does() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let (ours, theirs) = tokio::join!(
            TcpStream::connect(listener.local_addr().unwrap()),
            listener.accept()
        );
        let (ours, theirs) = (ours.unwrap(), theirs.unwrap().0);
        assert_eq!(unacknowledged(&ours), 0);
        let mut written = 0;
        ours.writable().await.unwrap();
        while let Ok(n) = ours.try_write(&[0; 64 * 1024]) {
            written += n as u64;
        }
        let held = unacknowledged(&ours);
        assert!((2..=written).contains(&held), "{held} of {written}");
        let mut theirs = theirs.into_std().unwrap();
        theirs.set_nonblocking(false).unwrap();
        let all = tokio::task::spawn_blocking(move || {
            theirs
                .read_exact(&mut vec![0; usize::try_from(written).unwrap()])
                .unwrap();
            theirs
        });
        let _open = all.await.unwrap();
        // The last acknowledgement may be on its way; the limit is that of the test's patience.
        for _ in 0..2_000 {
            if unacknowledged(&ours) == 0 {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!(
            "{} bytes of {written} are still not acknowledged",
            unacknowledged(&ours)
        );
    }
}
