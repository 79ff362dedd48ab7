//! A body on its way in by HTTP/1.1.

use super::waits::Source;
use super::{Duplex, MessageSink, Progress, Ready, TransferEnd, Waits};
use crate::h1::HeadLimits;
use crate::message::{Edited, Fields};
use crate::net::{Buffer, Buffers, IoEnd, ReadHalf, TimedIo, Timer, Timers};

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

impl Source for Reader<'_> {
    #[inline]
    fn clock(&self) -> (&Timers, &Timer) {
        (self.read.timers, self.read.timer)
    }

    #[inline]
    async fn more(&mut self) -> Result<usize, IoEnd> {
        self.read.read(self.buffer).await
    }

    async fn more_watched(&mut self) -> Result<usize, IoEnd> {
        self.read.read_watched(self.buffer).await
    }
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
        let was_whole = self.progress.is_whole();
        self.progress.consume(self.from.buffer, n);
        if was_whole && !self.progress.is_whole() {
            self.duplex.forget();
        }
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
            buffer, buffers, ..
        } = &mut *self.from;
        buffers.enlarge(buffer, self.progress.extent());
        match self.waits.read(self.from, self.duplex, sink).await? {
            0 if !self.progress.sender_ended() => Err(TransferEnd::SourceEnded),
            _ => Ok(()),
        }
    }

    pub(super) fn rest(&mut self) {
        let Reader {
            buffer, buffers, ..
        } = &mut *self.from;
        if buffer.is_empty() {
            buffers.take_back(std::mem::take(buffer));
        }
    }

    /// Reads on and discards: a client that sends its whole upload before it reads would otherwise
    /// never read the backend's answer. A short rest is kept for another attempt. What comes behind
    /// a body that was taken to its end is the next request.
    pub(super) async fn read_on(&mut self) {
        while !self.progress.is_at_end() {
            let buffer = &mut *self.from.buffer;
            if !self.progress.is_whole() || buffer.len() >= self.progress.spare() {
                self.progress.forget();
                self.duplex.forget();
                buffer.consume(buffer.len());
            }
            if !matches!(self.from.read.read(buffer).await, Ok(1..)) {
                return;
            }
            let (timers, timer) = self.from.clock();
            self.waits.sends_still(timers, timer, self.duplex);
        }
    }
}
