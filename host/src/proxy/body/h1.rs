//! A body on its way in by HTTP/1.1.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use super::progress::KEPT;
use super::{Duplex, MessageSink, Pace, Progress, Ready, SILENCE, Stage, TransferEnd};
use crate::config::{HalfClose, Timeouts};
use crate::h1::HeadLimits;
use crate::message::{Edited, Fields};
use crate::net::{Buffer, Buffers, IoEnd, ReadHalf, TimedIo, Timer, Timers, Wait};

/// The reading side of a connection, and the bytes that were read.
#[derive(Debug)]
pub(in crate::proxy) struct Reader<'a> {
    /// Where bytes come from.
    pub read: TimedIo<'a, ReadHalf<'a>>,
    /// The bytes that were read and not yet consumed.
    pub buffer: &'a mut Buffer,
    /// For larger buffers.
    pub buffers: &'a Buffers,
    /// Bounds of heads and trailers.
    pub limits: HeadLimits,
}

/// A body as HTTP/1.1 frames it.
#[derive(Debug)]
pub(in crate::proxy) struct H1Body<'a, 'r> {
    /// Where it comes from.
    pub from: &'a mut Reader<'r>,
    /// How far it has come.
    pub progress: &'a mut Progress,
    /// Its trailers, once it has ended.
    pub trailers: &'a mut Fields,
    /// What policies have edited in the head, which trailers must not bring back.
    pub edited: &'a Edited,
    /// The other direction.
    pub duplex: &'a Duplex,
    /// What goes on while more is waited for.
    pub waits: Waits<'a>,
}

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

impl H1Body<'_, '_> {
    #[inline]
    pub(super) fn ready(&mut self) -> Result<Ready, TransferEnd> {
        let Reader { buffer, limits, .. } = &mut *self.from;
        self.progress.ready(buffer, *limits, self.trailers)
    }

    #[inline]
    pub(super) fn content(&self, n: usize) -> &[u8] {
        &self.from.buffer.filled()[..n]
    }

    #[inline]
    pub(super) fn consume(&mut self, n: usize) {
        self.progress.consume(self.from.buffer, n);
    }

    pub(super) fn trailers(&mut self) -> &Fields {
        self.edited.keep_out_of(self.trailers);
        self.trailers
    }

    pub(super) fn owes(&self) -> bool {
        self.progress.owes()
    }

    pub(super) fn is_drained(&self) -> bool {
        self.from.buffer.is_empty()
    }

    #[inline]
    pub(super) async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        let Reader {
            read,
            buffer,
            buffers,
            ..
        } = &mut *self.from;
        buffers.enlarge(buffer, self.progress.extent());
        let read = match self.waits {
            Waits::ForBackend(half_close) => {
                let read_whole = self.duplex.stage() == Stage::Whole;
                let presence = sink.presence(half_close, read_whole);
                let read = presence.during(pin!(read.read(buffer))).await;
                read.ok_or(TransferEnd::ClientLeft)?
            }
            Waits::ForClient { pace, .. } => self.read_client(pace).await,
        };
        match read {
            Ok(0) if self.progress.sender_ended() => Ok(()),
            Ok(0) => Err(TransferEnd::SourceEnded),
            Ok(_) => {
                self.sends_still();
                Ok(())
            }
            Err(IoEnd::Failed) => Err(TransferEnd::SourceFailed),
            Err(IoEnd::TimedOut) => Err(TransferEnd::SourceTimedOut),
        }
    }

    async fn read_client(&mut self, pace: &Pace) -> Result<usize, IoEnd> {
        let timers = self.from.read.timers;
        let read = if self.duplex.stage() == Stage::Awaited {
            // What passes before the client is asked is not its doing.
            let silence = u64::try_from(SILENCE.as_millis()).unwrap_or(u64::MAX);
            pace.wait(timers.now() + silence);
            self.first().await
        } else {
            pace.wait(timers.now());
            self.from.read.read(self.from.buffer).await
        };
        pace.go_on(timers.now());
        read
    }

    /// Reads the beginning of a body that the client holds back until it gets a 100. A client need
    /// not wait for that, as long as there is no answer. After an answer its bytes are no longer
    /// for the backend.
    async fn first(&mut self) -> Result<usize, IoEnd> {
        let (duplex, timer) = (self.duplex, self.from.read.timer);
        // Without a deadline until the client is asked.
        let mut read = pin!(self.from.read.read_watched(self.from.buffer));
        let awaited = || duplex.stage() == Stage::Awaited;
        let read = poll_fn(|cx| match awaited() && duplex.is_answered() {
            true => Poll::Pending,
            false => read.as_mut().poll(cx),
        });
        let read = read.await;
        timer.disarm(Wait::ClientRead);
        if awaited() {
            timer.disarm(Wait::UpstreamRead);
            duplex.reach(Stage::Partly);
        }
        read
    }

    /// Reads on and discards: a client that sends its whole upload before it reads would otherwise
    /// never read the backend's answer. A short rest is kept for another attempt.
    pub(super) async fn read_on(&mut self) {
        loop {
            let buffer = &mut *self.from.buffer;
            if !self.progress.is_whole() || buffer.len() >= KEPT {
                self.progress.forget();
                buffer.consume(buffer.len());
            }
            if !matches!(self.from.read.read(buffer).await, Ok(1..)) {
                return;
            }
            self.sends_still();
        }
    }

    #[inline]
    fn sends_still(&mut self) {
        let (timers, timer) = (self.from.read.timers, self.from.read.timer);
        self.waits.sends_still(timers, timer, self.duplex);
    }
}

impl Waits<'_> {
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

fn extend(timers: &Timers, timer: &Timer, timeouts: &Timeouts, reads_by: &mut Option<u64>) {
    let linger = u64::try_from(timeouts.linger.as_millis()).unwrap_or(u64::MAX);
    let by = *reads_by.get_or_insert(timers.now().saturating_add(linger));
    if timers.now() < by {
        timers.extend(timer, Wait::ClientWrite, timeouts.send);
    }
}
