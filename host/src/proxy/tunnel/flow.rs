//! One direction of a tunnel.

use std::io;
use std::task::{Context, Poll, ready};

use bytes::Bytes;

use crate::net::{Buffer, Buffers, IoEnd, ReadHalf, SMALL, WriteHalf};
use crate::proxy::h2::{Incoming, Outgoing};

/// Pieces that are moved before the other direction and other connections have their turn, and
/// bytes after which no further piece is.
const ROUNDS: usize = 8;
const TURN: u64 = 256 * 1024;

/// The side of a tunnel that is read, over each protocol that may carry it.
#[derive(Debug)]
pub(super) enum Reader<'a> {
    /// A whole connection.
    Stream(ReadHalf<'a>),
    /// A stream of one.
    H2(&'a mut Incoming),
}

/// The side of a tunnel that is written, over each protocol that may carry it.
#[derive(Debug)]
pub(super) enum Writer<'a> {
    /// A whole connection.
    Stream(WriteHalf<'a>),
    /// A stream of one.
    H2(&'a Outgoing),
}

/// The bytes of one direction.
#[derive(Debug, Default)]
pub(super) struct Flow {
    /// Bytes that were read and not yet written. Borrowed only while there are some.
    buffer: Option<Buffer>,
    /// As much comes at once as fills a small buffer: a frame of 16 KiB is just longer, with its
    /// head, and would go in two writes each time.
    is_wide: bool,
    stage: Stage,
    /// Bytes read so far, and bytes written.
    read: u64,
    written: u64,
}

/// How far a direction has come.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    /// More may come.
    #[default]
    Open,
    /// The reading side has ended, and the written one is to be ended.
    Ending,
    /// Both have ended.
    Ended,
}

/// Which side of a direction has failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Broken {
    /// The one that is read.
    Reader,
    /// The one that is written.
    Writer,
}

impl Flow {
    /// A direction in which these bytes were read before the tunnel began.
    pub(super) fn new(read: Buffer, buffers: &Buffers) -> Self {
        let mut flow = Self {
            read: read.len() as u64,
            buffer: Some(read),
            ..Self::default()
        };
        flow.give_back(buffers);
        flow
    }

    /// Moves what there is. Ready when the direction has ended, or has failed.
    pub(super) fn poll(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Reader<'_>,
        to: &mut Writer<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<(), Broken>> {
        let turn = self.read + TURN;
        for _ in 0..ROUNDS {
            // Nothing is read before all that was read is written.
            ready!(self.write(cx, to))?;
            if self.stage == Stage::Open {
                if self.read >= turn {
                    break;
                }
                ready!(self.read(cx, from, buffers))?;
            }
            if self.stage == Stage::Ending {
                self.give_back(buffers);
                // A side that is gone can't be ended, and need not be.
                let _ = ready!(to.poll_shutdown(cx));
                self.stage = Stage::Ended;
            }
            if self.stage == Stage::Ended {
                return Poll::Ready(Ok(()));
            }
        }
        cx.waker().wake_by_ref();
        Poll::Pending
    }

    /// Reads once.
    fn read(
        &mut self,
        cx: &mut Context<'_>,
        from: &mut Reader<'_>,
        buffers: &Buffers,
    ) -> Poll<Result<(), Broken>> {
        let (is_first, is_wide) = (self.buffer.is_none(), self.is_wide);
        let kept = &mut self.buffer;
        match from.poll_read(cx, move || lent(kept, buffers, is_wide)) {
            Poll::Ready(Ok(0)) => self.stage = Stage::Ending,
            Poll::Ready(Ok(n)) => {
                self.read += n as u64;
                // The end of a frame that was read in pieces says nothing.
                self.is_wide = n >= SMALL || (is_wide && !is_first);
            }
            Poll::Ready(Err(_)) => return Poll::Ready(Err(Broken::Reader)),
            Poll::Pending => {
                self.give_back(buffers);
                return Poll::Pending;
            }
        }
        Poll::Ready(Ok(()))
    }

    fn write(&mut self, cx: &mut Context<'_>, to: &mut Writer<'_>) -> Poll<Result<(), Broken>> {
        while let Some(buffer) = self.buffer.as_mut().filter(|buffer| !buffer.is_empty()) {
            match ready!(to.poll_write(cx, buffer.filled())) {
                Ok(n) if n > 0 => {
                    buffer.consume(n);
                    self.written += n as u64;
                }
                _ => return Poll::Ready(Err(Broken::Writer)),
            }
        }
        Poll::Ready(Ok(()))
    }

    /// Gives the buffer back if nothing is in it.
    fn give_back(&mut self, buffers: &Buffers) {
        if let Some(buffer) = self.buffer.take_if(|buffer| buffer.is_empty()) {
            buffers.take_back(buffer);
        }
    }

    /// Lets go of bytes that no side takes any more.
    pub(super) fn discard(&mut self, buffers: &Buffers) {
        if let Some(buffer) = self.buffer.take() {
            buffers.take_back(buffer);
        }
    }

    /// Whether the side that is read has ended.
    pub(super) fn has_ended(&self) -> bool {
        self.stage != Stage::Open
    }

    /// Whether bytes wait until the other side takes them.
    pub(super) fn is_blocked(&self) -> bool {
        self.buffer
            .as_ref()
            .is_some_and(|buffer| !buffer.is_empty())
    }

    /// Bytes that were read, and bytes that were written.
    pub(super) fn moved(&self) -> (u64, u64) {
        (self.read, self.written)
    }
}

/// A buffer to read into, large if there is one and as much as that may come.
fn lent<'a>(kept: &'a mut Option<Buffer>, buffers: &Buffers, is_wide: bool) -> &'a mut Buffer {
    let buffer = kept.get_or_insert_with(|| buffers.small());
    if is_wide {
        buffers.enlarge(buffer, u64::MAX);
    }
    buffer
}

impl Reader<'_> {
    /// Reads once, into a buffer that is asked for when there is something to read; 0 is the end.
    fn poll_read<'b>(
        &mut self,
        cx: &mut Context<'_>,
        buffer: impl FnOnce() -> &'b mut Buffer,
    ) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(half) => {
                ready!(half.poll_ready(cx))?;
                half.poll_read(cx, buffer())
            }
            Self::H2(incoming) => {
                // What is not read here is not acknowledged, so that the peer's window closes.
                if incoming.filled().is_empty()
                    && ready!(incoming.poll_fill(cx)).map_err(broken)? == 0
                {
                    // Trailers have no place in a tunnel (RFC 9113 section 8.5).
                    return match ready!(incoming.poll_trailers(cx)).map_err(broken)? {
                        None => Poll::Ready(Ok(0)),
                        Some(_) => Poll::Ready(Err(broken(IoEnd::Failed))),
                    };
                }
                let (buffer, filled) = (buffer(), incoming.filled());
                let spare = buffer.spare();
                let n = spare.len().min(filled.len());
                spare[..n].copy_from_slice(&filled[..n]);
                buffer.advance(n);
                incoming.consume(n);
                Poll::Ready(Ok(n))
            }
        }
    }
}

impl Writer<'_> {
    fn poll_write(&mut self, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self {
            Self::Stream(half) => half.poll_write(cx, bytes),
            Self::H2(outgoing) => {
                let room = ready!(outgoing.poll_room(cx, bytes.len())).map_err(broken)?;
                let n = room.min(bytes.len());
                let content = Bytes::copy_from_slice(&bytes[..n]);
                outgoing.send(content, false).map_err(broken)?;
                Poll::Ready(Ok(n))
            }
        }
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self {
            Self::Stream(half) => half.poll_shutdown(cx),
            Self::H2(outgoing) => Poll::Ready(outgoing.send(Bytes::new(), true).map_err(broken)),
        }
    }

    /// Whether it is a stream of HTTP/2.
    pub(super) fn is_stream(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    /// Waits until the peer has reset its stream. What becomes of a connection is seen by reading.
    pub(super) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        match self {
            Self::Stream(_) => Poll::Pending,
            Self::H2(outgoing) => outgoing.poll_left(cx),
        }
    }
}

/// The stream was reset, or its connection has ended.
fn broken(_: IoEnd) -> io::Error {
    io::ErrorKind::ConnectionReset.into()
}
