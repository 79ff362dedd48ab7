//! A body that is compressed on its way: pieces in, pieces out.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::Poll;

use super::{MessageSink, Pieces, Ready, TransferEnd};
use crate::message::Fields;
use crate::net::Wait;
use crate::stats::CompressionShard;

/// Bytes that are compressed at a time. What comes of them is at hand at once, so this bounds what
/// waits for the client.
const PIECE: usize = 16 * 1024;
/// Bytes after which the worker's other connections have their turn: one to three milliseconds.
const TURN: usize = 64 * 1024;

/// What makes one format of another.
pub(in crate::proxy) trait Encode {
    /// Takes content.
    fn write(&mut self, content: &[u8]) -> io::Result<()>;

    /// Puts out all that was taken, so that the receiver can decode it.
    fn flush(&mut self) -> io::Result<()>;

    /// Takes the end.
    fn finish(&mut self) -> io::Result<()>;

    /// What has come out.
    fn output(&self) -> &[u8];

    /// Forgets what has come out.
    fn clear(&mut self);
}

/// A body whose content goes through an encoder.
///
/// What the encoder holds is put out when the backend pauses: a client sees each event of a stream
/// at once, and a body that arrives without a pause is compressed as one.
pub(in crate::proxy) struct Compressed<'a, S> {
    whole: &'a mut S,
    encoder: Box<dyn Encode>,
    counted: &'a CompressionShard,
    /// Bytes of the encoder's output that were passed on.
    passed: usize,
    /// Bytes since the others had their turn.
    since_turn: usize,
    /// The encoder holds content that has not come out.
    holds: bool,
    /// The backend pauses.
    pauses: bool,
    ended: bool,
}

impl<'a, S: Pieces> Compressed<'a, S> {
    /// A body of which nothing was read.
    pub(in crate::proxy) fn new(
        whole: &'a mut S,
        encoder: Box<dyn Encode>,
        counted: &'a CompressionShard,
    ) -> Self {
        counted.responses.increment();
        counted.active.increment();
        Self {
            whole,
            encoder,
            counted,
            passed: 0,
            since_turn: 0,
            holds: false,
            pauses: false,
            ended: false,
        }
    }

    fn take(&mut self, n: usize) -> io::Result<()> {
        let n = n.min(PIECE);
        self.encoder.write(self.whole.content(n))?;
        self.whole.consume(n);
        self.counted.bytes_in.add(n as u64);
        self.since_turn += n;
        (self.holds, self.pauses) = (true, false);
        Ok(())
    }
}

impl<S> Drop for Compressed<'_, S> {
    fn drop(&mut self) {
        self.counted.active.decrement();
    }
}

/// An encoder that writes to memory does not fail. If one does, no peer is at fault, and a receiver
/// that takes no more is held against nobody.
fn broken(_: io::Error) -> TransferEnd {
    TransferEnd::SinkFailed
}

impl<S: Pieces> Pieces for Compressed<'_, S> {
    fn ready(&mut self) -> Result<Ready, TransferEnd> {
        loop {
            let left = self.encoder.output().len() - self.passed;
            if left > 0 {
                return Ok(Ready::Content(left));
            }
            if self.ended {
                return Ok(Ready::End);
            }
            if self.since_turn >= TURN {
                return Ok(Ready::Nothing);
            }
            match self.whole.ready()? {
                Ready::Content(n) => self.take(n).map_err(broken)?,
                Ready::Nothing if self.pauses => {
                    (self.holds, self.pauses) = (false, false);
                    self.encoder.flush().map_err(broken)?;
                }
                Ready::Nothing => return Ok(Ready::Nothing),
                Ready::End => {
                    self.ended = true;
                    self.encoder.finish().map_err(broken)?;
                }
            }
        }
    }

    fn content(&self, n: usize) -> &[u8] {
        &self.encoder.output()[self.passed..][..n]
    }

    fn consume(&mut self, n: usize) {
        self.counted.bytes_out.add(n as u64);
        self.passed += n;
        if self.passed == self.encoder.output().len() {
            self.encoder.clear();
            self.passed = 0;
        }
    }

    async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        if self.since_turn >= TURN {
            self.since_turn = 0;
            tokio::task::yield_now().await;
            return Ok(());
        }
        if !self.holds {
            return self.whole.fill(sink).await;
        }
        // Only a look: what was read is kept, and what was not will be waited for.
        let mut fill = pin!(self.whole.fill(sink));
        let filled = poll_fn(|cx| match fill.as_mut().poll(cx) {
            Poll::Ready(filled) => Poll::Ready(Some(filled)),
            Poll::Pending => Poll::Ready(None),
        });
        match filled.await {
            Some(filled) => filled,
            None => {
                // The look has begun to count, and the client may take its time now.
                let (_, timer) = sink.clock();
                for wait in [Wait::Presence, Wait::UpstreamRead] {
                    timer.disarm(wait);
                }
                self.pauses = true;
                Ok(())
            }
        }
    }

    fn trailers(&mut self) -> &Fields {
        self.whole.trailers()
    }
}
