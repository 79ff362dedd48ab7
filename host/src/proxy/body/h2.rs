//! A body on its way in by HTTP/2.

use std::future::poll_fn;
use std::task::{Context, Poll, Waker};

use super::waits::Source;
use super::{Duplex, MessageSink, Progress, Ready, TransferEnd, Waits};
use crate::h2::read_trailers;
use crate::message::{Edited, Fields, HeadLimits, Malformed};
use crate::net::{IoEnd, Timer, Timers, Wait};
use crate::proxy::h2::Incoming;

/// The receiving end of a stream, with what limits it.
#[derive(Debug)]
pub(in crate::proxy) struct H2Reader<'a> {
    /// Where content comes from.
    pub from: &'a mut Incoming,
    /// The worker's clock.
    pub timers: &'a Timers,
    /// The exchange's deadlines.
    pub timer: &'a Timer,
    /// Which deadline.
    pub wait: Wait,
    /// How long a wait may take.
    pub patience: std::time::Duration,
    /// Bounds of trailers.
    pub limits: HeadLimits,
}

/// A body as HTTP/2 frames it: it ends with its stream.
#[derive(Debug)]
pub(in crate::proxy) struct H2Body<'a, 'r> {
    /// Where it comes from.
    pub from: &'a mut H2Reader<'r>,
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

impl H2Reader<'_> {
    /// Waits for more content under the deadline; 0 is its end. The time during which the peer may
    /// not send because of its other streams does not count.
    pub(in crate::proxy) async fn read(&mut self) -> Result<usize, IoEnd> {
        let (timers, from) = (self.timers, &mut *self.from);
        let (mut patience, mut held) = (self.patience, from.held_for());
        loop {
            let read = poll_fn(|cx| from.poll_fill(cx));
            let read = timers.limit(self.timer, self.wait, patience, read);
            if let Ok(read) = read.await {
                return self.count(read);
            }
            let before = std::mem::replace(&mut held, from.held_for());
            patience = held.saturating_sub(before);
            if patience.is_zero() || self.timer.is_broken_off() {
                return Err(IoEnd::TimedOut);
            }
        }
    }

    /// Like [`H2Reader::read`], under a deadline that others arm.
    pub(in crate::proxy) async fn read_watched(&mut self) -> Result<usize, IoEnd> {
        let (timers, from) = (self.timers, &mut *self.from);
        let read = poll_fn(|cx| from.poll_fill(cx));
        let read = timers.watch(self.timer, self.wait, read).await;
        self.count(read.unwrap_or(Err(IoEnd::TimedOut)))
    }

    fn count(&self, read: Result<usize, IoEnd>) -> Result<usize, IoEnd> {
        let n = read?;
        if matches!(self.wait, Wait::ClientRead) {
            let read = &self.timer.moved.read;
            read.set(read.get().wrapping_add(n as u64));
        }
        Ok(n)
    }

    async fn read_trailers(&mut self, trailers: &mut Fields) -> Result<(), TransferEnd> {
        let (timers, from) = (self.timers, &mut *self.from);
        let read = poll_fn(|cx| from.poll_trailers(cx));
        let read = timers.limit(self.timer, self.wait, self.patience, read);
        let read = read.await.unwrap_or(Err(IoEnd::TimedOut));
        let Some(map) = read.map_err(source_end)? else {
            return Ok(());
        };
        if self.from.had_pseudo() {
            return Err(TransferEnd::Malformed(Malformed::PseudoTrailer));
        }
        let read = read_trailers(&map, trailers, self.limits, self.from.whole_below());
        read.map_err(TransferEnd::Malformed)
    }
}

impl Source for H2Reader<'_> {
    fn clock(&self) -> (&Timers, &Timer) {
        (self.timers, self.timer)
    }

    async fn more(&mut self) -> Result<usize, IoEnd> {
        self.read().await
    }

    async fn more_watched(&mut self) -> Result<usize, IoEnd> {
        self.read_watched().await
    }
}

impl H2Body<'_, '_> {
    pub(super) fn ready(&mut self) -> Result<Ready, TransferEnd> {
        if self.progress.is_at_end() {
            return Ok(Ready::End);
        }
        if self.from.from.filled().is_empty() {
            // What has arrived goes on together; a wait asks to be woken by itself.
            let mut cx = Context::from_waker(Waker::noop());
            if let Poll::Ready(Ok(n @ 1..)) = self.from.from.poll_fill(&mut cx) {
                self.sends_still();
                let _ = self.from.count(Ok(n));
            }
        }
        let n = self.from.from.filled().len();
        match self.progress.may_take(n) {
            true => Ok(Ready::of(n)),
            false => Err(TransferEnd::TooLarge),
        }
    }

    pub(super) fn content(&self, n: usize) -> &[u8] {
        &self.from.from.filled()[..n]
    }

    pub(super) fn consume(&mut self, n: usize) {
        let was_whole = self.progress.is_whole();
        self.progress.passed(&self.from.from.filled()[..n]);
        if was_whole && !self.progress.is_whole() {
            self.duplex.forget();
        }
        self.from.from.consume(n);
    }

    pub(super) fn trailers(&mut self) -> &Fields {
        self.edited.keep_out_of(self.trailers);
        self.trailers
    }

    pub(super) fn owes(&self) -> bool {
        self.progress.owes()
    }

    /// A stream ends with its message.
    pub(super) fn is_drained(&self) -> bool {
        true
    }

    pub(super) async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        if self.waits.read(self.from, self.duplex, sink).await? == 0 {
            self.from.read_trailers(self.trailers).await?;
            self.progress.sender_ended();
        }
        Ok(())
    }

    /// Reads on and discards, as in HTTP/1.1.
    pub(super) async fn read_on(&mut self) {
        loop {
            let n = self.from.from.filled().len();
            if !self.progress.is_whole() || n >= self.progress.spare() {
                self.progress.forget();
                self.duplex.forget();
                self.from.from.consume(n);
            }
            if !matches!(self.from.read().await, Ok(1..)) {
                return;
            }
            self.sends_still();
        }
    }

    fn sends_still(&mut self) {
        let (timers, timer) = (self.from.timers, self.from.timer);
        self.waits.sends_still(timers, timer, self.duplex);
    }
}

fn source_end(end: IoEnd) -> TransferEnd {
    match end {
        IoEnd::Failed => TransferEnd::SourceFailed,
        IoEnd::TimedOut => TransferEnd::SourceTimedOut,
    }
}
