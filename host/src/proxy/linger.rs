//! The end of a connection whose client may be sending still (RFC 9112 section 9.6).
//!
//! A close over unread bytes resets the connection, and a client that has not read the answer yet
//! loses it. So the proxy ends its side first, and reads and discards what the client still sends:
//! for a limited time, not for a number of bytes, because an upload may have any length. This takes
//! no buffer, and the connection still counts.

use std::cell::Cell;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;
use std::time::Duration;

use super::worker::Worker;
use crate::net::{Stream, Timer, Wait};

/// How long a client may pause.
const PIECE: Duration = Duration::from_secs(5);
/// How long a worker that is to stop still waits for such a client.
const DRAINING: Duration = Duration::from_secs(1);
/// How long a client that has broken the rules may take to read why it is cut off.
pub(super) const BRIEFLY: Duration = Duration::from_secs(1);
/// How much such a client may send in that time.
const LITTLE: u64 = 1 << 20;
/// Such connections of a worker at a time. Beyond them a connection is closed over what its client
/// sends.
pub(super) const MOST: usize = 1_024;
/// The same for those that were turned away: they are not among the connections that are counted.
pub const MOST_TURNED_AWAY: usize = 64;

/// Counts a connection for as long as it lingers.
#[derive(Debug)]
pub(super) struct Place(Rc<Cell<usize>>);

impl Place {
    /// One more, if there are fewer than `most`.
    pub(super) fn take(count: &Rc<Cell<usize>>, most: usize) -> Option<Self> {
        (count.get() < most).then(|| {
            count.set(count.get() + 1);
            Self(Rc::clone(count))
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.set(self.0.get().saturating_sub(1));
    }
}

/// Ends our side, and reads on until the client has ended its own, pauses or has had its time.
pub(super) async fn linger(
    worker: &Worker,
    stream: &mut Stream,
    timer: &Timer,
    patience: Duration,
) {
    read_out(worker, stream, timer, patience, u64::MAX).await;
}

/// The same for a client whose TLS session has failed: the alert is on its way, and a close over
/// what it still sends would cost it that. Such a client gets little time, and not many bytes.
pub(super) async fn part(worker: &Worker, stream: &mut Stream, timer: &Timer) {
    if let Some(_place) = Place::take(&worker.lingering, MOST) {
        let patience = worker.latest(|settings| settings.timeouts.linger);
        read_out(worker, stream, timer, patience.min(BRIEFLY), LITTLE).await;
    }
}

async fn read_out(
    worker: &Worker,
    stream: &mut Stream,
    timer: &Timer,
    patience: Duration,
    most: u64,
) {
    let timers = &worker.timers;
    let end = timers.limit(timer, Wait::ClientWrite, patience, stream.shutdown());
    // The end of a TLS session is announced, which waits for a client that does not read.
    if patience.is_zero() || !matches!(end.await, Ok(Ok(()))) {
        return;
    }
    // Nothing is written any more: that deadline is free to be the one of all.
    timers.arm(timer, Wait::ClientWrite, patience);
    let (mut hurried, mut left) = (false, most);
    while left > 0 {
        let dropped = poll_fn(|cx| {
            if worker.is_draining() && !hurried {
                hurried = true;
                worker
                    .timers
                    .arm(timer, Wait::ClientWrite, patience.min(DRAINING));
            }
            match worker.timers.is_due(timer, Wait::ClientWrite) {
                true => Poll::Ready(Ok(0)),
                false => stream.socket().poll_drop(cx),
            }
        });
        let dropped = timers.limit(timer, Wait::ClientRead, PIECE, dropped);
        let Ok(Ok(n @ 1..)) = dropped.await else {
            break;
        };
        left = left.saturating_sub(n as u64);
        worker.shard.bytes_from_clients.add(n as u64);
    }
    timer.disarm(Wait::ClientWrite);
}
