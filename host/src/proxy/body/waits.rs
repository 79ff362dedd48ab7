//! What goes on while more of a body is waited for, over each protocol.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::{Duplex, MessageSink, Pace, SILENCE, Stage, TransferEnd};
use crate::config::{HalfClose, Timeouts};
use crate::net::{IoEnd, Timer, Timers, Wait};

/// What goes on while more of a body is waited for.
#[derive(Debug)]
pub(in crate::proxy) enum Waits<'a> {
    /// A backend is waited for: its client may leave meanwhile.
    ForBackend(HalfClose),
    /// A client is waited for.
    ForClient {
        /// Notes how long.
        pace: &'a Pace,
        /// How long each wait may take.
        timeouts: &'a Timeouts,
        /// Until when a client that is sending still need not read its response, in milliseconds of
        /// the worker's clock.
        reads_by: Option<u64>,
    },
}

/// Where the bytes of a body come from.
pub(super) trait Source {
    /// The worker's clock, and the deadlines of the exchange.
    fn clock(&self) -> (&Timers, &Timer);

    /// Waits for more under the deadline; 0 is the end.
    async fn more(&mut self) -> Result<usize, IoEnd>;

    /// The same, under a deadline that others arm.
    async fn more_watched(&mut self) -> Result<usize, IoEnd>;
}

impl Waits<'_> {
    /// Waits for more of the body.
    #[inline]
    pub(super) async fn read(
        &mut self,
        from: &mut impl Source,
        duplex: &Duplex,
        sink: &MessageSink<'_>,
    ) -> Result<usize, TransferEnd> {
        let read = match self {
            Self::ForBackend(half_close) => {
                let read_whole = duplex.stage() == Stage::Whole;
                let presence = sink.presence(*half_close, read_whole);
                let read = presence.during(pin!(from.more())).await;
                read.ok_or(TransferEnd::ClientLeft)?
            }
            Self::ForClient { pace, .. } => read_client(from, duplex, pace).await,
        };
        match read {
            Ok(n) => {
                if n > 0 {
                    let (timers, timer) = from.clock();
                    self.sends_still(timers, timer, duplex);
                }
                Ok(n)
            }
            Err(IoEnd::Failed) => Err(TransferEnd::SourceFailed),
            Err(IoEnd::TimedOut) => Err(TransferEnd::SourceTimedOut),
        }
    }

    /// Notes that the client sends: for as long as a connection may linger, it need not read its
    /// answer meanwhile.
    #[inline]
    pub(super) fn sends_still(&mut self, timers: &Timers, timer: &Timer, duplex: &Duplex) {
        let Self::ForClient {
            timeouts, reads_by, ..
        } = self
        else {
            return;
        };
        if duplex.is_answered() {
            extend(timers, timer, timeouts, reads_by);
        }
    }
}

async fn read_client(from: &mut impl Source, duplex: &Duplex, pace: &Pace) -> Result<usize, IoEnd> {
    let now = from.clock().0.now();
    let read = if duplex.stage() == Stage::Awaited {
        // What passes before the client is asked is not its doing.
        let silence = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
        pace.wait(now + silence);
        first(from, duplex).await
    } else {
        pace.wait(now);
        from.more().await
    };
    pace.go_on(from.clock().0.now());
    read
}

/// Reads the beginning of a body that the client holds back until it gets a 100. A client need not
/// wait for that, as long as there is no answer. After an answer its bytes are no longer for the
/// backend.
async fn first(from: &mut impl Source, duplex: &Duplex) -> Result<usize, IoEnd> {
    let awaited = || duplex.stage() == Stage::Awaited;
    let read = {
        // Without a deadline until the client is asked.
        let mut read = pin!(from.more_watched());
        poll_fn(|cx| match awaited() && duplex.is_answered() {
            true => Poll::Pending,
            false => read.as_mut().poll(cx),
        })
        .await
    };
    let (_, timer) = from.clock();
    timer.disarm(Wait::ClientRead);
    if awaited() {
        timer.disarm(Wait::UpstreamRead);
        duplex.reach(Stage::Partly);
    }
    read
}

fn extend(timers: &Timers, timer: &Timer, timeouts: &Timeouts, reads_by: &mut Option<u64>) {
    let linger = u64::try_from(timeouts.linger.as_millis()).unwrap_or(u64::MAX);
    let by = *reads_by.get_or_insert(timers.now().saturating_add(linger));
    if timers.now() < by {
        timers.extend(timer, Wait::ClientWrite, timeouts.send);
    }
}
