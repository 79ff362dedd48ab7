//! A message on its way out by HTTP/2.

use std::future::poll_fn;
use std::time::Duration;

use bytes::Bytes;
use http::Response;

use super::{Duplex, ResponseLines};
use crate::h1::Framing;
use crate::h2::{self, ResponseExtras};
use crate::message::{Fields, ResponseHead};
use crate::net::{IoEnd, Timer, Timers, Wait};
use crate::proxy::h2::Outgoing;

/// Content is handed over in pieces of this size at most: together with what the engine holds for a
/// stream, that is the memory that a slow receiver costs.
const PIECE: usize = 64 * 1024;

/// A message as HTTP/2 frames it. Its head and its last piece wait for what follows, so that its
/// end needs no frame of its own.
#[derive(Debug)]
pub(in crate::proxy) struct H2Sink<'a> {
    /// Where it goes.
    pub to: &'a Outgoing,
    /// The worker's clock.
    pub timers: &'a Timers,
    /// The exchange's deadlines.
    pub timer: &'a Timer,
    /// Which deadline.
    pub wait: Wait,
    /// How long the receiver may take to take something.
    pub patience: Duration,
    /// The other direction.
    pub duplex: &'a Duplex,
    /// The head that waits.
    pub head: Option<Box<Response<()>>>,
    /// The content that waits.
    pub held: Bytes,
}

impl H2Sink<'_> {
    pub(super) fn response(
        &mut self,
        head: &ResponseHead,
        framing: Framing,
        lines: ResponseLines<'_>,
    ) {
        let extras = ResponseExtras {
            length: match framing {
                Framing::Length(n) => Some(n),
                Framing::None | Framing::Chunked | Framing::UntilClose => None,
            },
            via: lines.via.trim_ascii_end(),
            date: lines.date,
        };
        self.head = Some(Box::new(h2::response(head, extras)));
    }

    /// Takes the head of an answer that is not a backend's.
    pub(in crate::proxy) fn answer(&mut self, status: u16, fields: &Fields, length: Option<u64>) {
        self.head = Some(Box::new(h2::answer(status, fields, length)));
    }

    /// As [`MessageSink::add`](super::MessageSink::add).
    pub(super) fn add(&mut self, content: &[u8]) {
        self.held = Bytes::copy_from_slice(content);
    }

    /// Sends what was taken, which is all that there is.
    pub(super) async fn finish(&mut self) -> Result<(), IoEnd> {
        match self.to.is_ended() {
            true => Ok(()),
            false => self.end(&Fields::new()).await,
        }
    }

    pub(super) fn interim(&mut self, status: u16, head: Option<&ResponseHead>) {
        self.to.interim(h2::interim(status, head));
    }

    /// As [`MessageSink::piece`](super::MessageSink::piece).
    pub(in crate::proxy) async fn piece(&mut self, mut content: &[u8]) -> Result<(), IoEnd> {
        loop {
            self.send_held(0).await?;
            let n = content.len().min(PIECE);
            self.held = Bytes::copy_from_slice(&content[..n]);
            content = &content[n..];
            if content.is_empty() {
                return Ok(());
            }
        }
    }

    pub(super) async fn flush(&mut self) -> Result<(), IoEnd> {
        self.start(false)?;
        self.send_held(0).await
    }

    /// As [`MessageSink::end`](super::MessageSink::end).
    pub(in crate::proxy) async fn end(&mut self, trailers: &Fields) -> Result<(), IoEnd> {
        if self.held.is_empty() && trailers.is_empty() && self.head.is_some() {
            return self.start(true);
        }
        self.start(false)?;
        if !trailers.is_empty() {
            self.send_held(0).await?;
            return self.to.trailers(h2::trailers(trailers));
        }
        // All but the last part, for which there is room then.
        self.send_held(1).await?;
        self.to.send(std::mem::take(&mut self.held), true)
    }

    /// Sends the head, if it waits.
    fn start(&mut self, is_end: bool) -> Result<(), IoEnd> {
        let Some(head) = self.head.take() else {
            return Ok(());
        };
        self.duplex.answer(head.status().as_u16());
        self.to.start(*head, is_end)
    }

    /// Sends the head, and the content that waits, as the receiver takes it. With 1 to keep, the
    /// last part is left, and may be sent.
    async fn send_held(&mut self, keep: usize) -> Result<(), IoEnd> {
        if self.held.is_empty() {
            return Ok(());
        }
        self.start(false)?;
        while !self.held.is_empty() {
            let room = self.room(self.held.len()).await?;
            if keep > 0 && room >= self.held.len() {
                self.count(self.held.len());
                return Ok(());
            }
            let part = self.held.split_to(room.min(self.held.len()));
            self.count(part.len());
            self.to.send(part, false)?;
        }
        Ok(())
    }

    fn count(&self, n: usize) {
        if matches!(self.wait, Wait::ClientWrite) {
            let written = &self.timer.moved.written;
            written.set(written.get().wrapping_add(n as u64));
        }
    }

    /// Waits for room, and notes for how long, as for a socket.
    async fn room(&self, wanted: usize) -> Result<usize, IoEnd> {
        let (timers, moved) = (self.timers, &self.timer.moved);
        let is_client = matches!(self.wait, Wait::ClientWrite);
        let mut since = None;
        let room = poll_fn(|cx| {
            let room = self.to.poll_room(cx, wanted);
            if room.is_pending() && is_client {
                since = since.or(Some(timers.now()));
                if moved.asked.replace(false) {
                    // What the receiver's windows have room for counts as taken.
                    moved.unsent.set(Some(0));
                }
            }
            room
        });
        let limited = timers.limit(self.timer, self.wait, self.patience, room);
        let room = limited.await.unwrap_or(Err(IoEnd::TimedOut));
        if let Some(since) = since {
            let waited = timers.now().saturating_sub(since);
            moved.waited.set(moved.waited.get() + waited);
        }
        room
    }
}
