//! The bytes of a connection on their way to and from the engine: counted, limited, gathered, and
//! given back at the end.
//!
//! The engine flushes after each frame that has content. What it writes is gathered here and goes
//! out when the engine has nothing more to say, so that the frames of many streams, and the many
//! frames of one, take one system call.

use std::cell::{Cell, RefCell};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::frames::{Account, Frames};
use crate::net;
use crate::stats::WorkerShard;

/// Bytes that are gathered at most.
const MOST: usize = 128 * 1024;
/// Room for the answers of a few streams.
const FIRST: usize = 4 * 1024;

/// A connection as the engine reads and writes it.
#[derive(Debug)]
pub(super) struct Wire {
    line: Rc<Line>,
    /// Bytes that were read before the protocol was known.
    read_before: Vec<u8>,
    from_client: Frames,
    to_client: Frames,
}

/// The connection under a [`Wire`], which its task has in its hands as well.
#[derive(Debug)]
pub(super) struct Line {
    /// Frames that bring nothing, and those that pay for them.
    pub(super) account: Account,
    /// Whether the socket took nothing when it was written to last.
    pub(super) is_stuck: Cell<bool>,
    /// Whether the engine waits for room.
    is_full: Cell<bool>,
    /// Grows with each write that the socket takes.
    pub(super) written: Cell<u64>,
    shard: Arc<WorkerShard>,
    ends: RefCell<Ends>,
}

#[derive(Debug)]
struct Ends {
    stream: net::Stream,
    /// What is to be written, from `done` on.
    out: Vec<u8>,
    done: usize,
}

impl Line {
    pub(super) fn new(stream: net::Stream, shard: &Arc<WorkerShard>, account: Account) -> Rc<Self> {
        Rc::new(Self {
            account,
            is_stuck: Cell::new(false),
            is_full: Cell::new(false),
            written: Cell::new(0),
            shard: Arc::clone(shard),
            ends: RefCell::new(Ends {
                stream,
                out: Vec::new(),
                done: 0,
            }),
        })
    }

    /// Writes what was gathered.
    pub(super) fn poll_drain(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Ends { stream, out, done } = &mut *self.ends.borrow_mut();
        if out.is_empty() {
            return Poll::Ready(Ok(()));
        }
        while *done < out.len() {
            let written = Pin::new(&mut *stream).poll_write(cx, &out[*done..]);
            self.is_stuck.set(written.is_pending());
            let n = ready!(written)?;
            if n == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            *done += n;
            self.shard.bytes_to_clients.add(n as u64);
            self.written.set(self.written.get() + 1);
        }
        let flushed = Pin::new(&mut *stream).poll_flush(cx);
        self.is_stuck.set(flushed.is_pending());
        ready!(flushed)?;
        // An idle connection holds no room for it.
        (*out, *done) = (Vec::new(), 0);
        Poll::Ready(Ok(()))
    }

    /// Waits until there is room for more.
    fn poll_room(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let gathered = self.ends.borrow().out.len();
        if gathered < MOST {
            return Poll::Ready(Ok(()));
        }
        let drained = self.poll_drain(cx);
        self.is_full.set(drained.is_pending());
        drained
    }

    /// Whether the engine has waited for room since it was asked last.
    pub(super) fn was_full(&self) -> bool {
        self.is_full.take()
    }

    fn gather(&self, bytes: &[u8]) {
        let out = &mut self.ends.borrow_mut().out;
        if out.capacity() == 0 {
            out.reserve(FIRST);
        }
        out.extend_from_slice(bytes);
    }

    /// The connection, after the engine has let go of it.
    pub(super) fn into_stream(self: Rc<Self>) -> Option<net::Stream> {
        let line = Rc::into_inner(self)?;
        Some(line.ends.into_inner().stream)
    }
}

impl Wire {
    pub(super) fn new(line: &Rc<Line>, read_before: Vec<u8>) -> Self {
        Self {
            line: Rc::clone(line),
            read_before,
            from_client: Frames::after_preface(),
            to_client: Frames::default(),
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        let account = &self.line.account;
        self.to_client.each(bytes, |frame| account.sent(frame));
        self.line.gather(bytes);
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self {
            line,
            read_before,
            from_client,
            ..
        } = self.get_mut();
        if line.account.is_overdrawn() {
            // The connection's task, which is polling this, ends it.
            return Poll::Pending;
        }
        let before = into.filled().len();
        if read_before.is_empty() {
            let stream = &mut line.ends.borrow_mut().stream;
            ready!(Pin::new(stream).poll_read(cx, into))?;
            let n = into.filled().len() - before;
            line.shard.bytes_from_clients.add(n as u64);
        } else {
            let n = read_before.len().min(into.remaining());
            into.put_slice(&read_before[..n]);
            read_before.drain(..n);
        }
        let read = &into.filled()[before..];
        from_client.each(read, |frame| line.account.received(frame));
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.line.poll_room(cx))?;
        this.gather(bytes);
        Poll::Ready(Ok(bytes.len()))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        ready!(this.line.poll_room(cx))?;
        pieces.iter().for_each(|piece| this.gather(piece));
        Poll::Ready(Ok(pieces.iter().map(|piece| piece.len()).sum()))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// What was gathered goes out when the connection's task has polled the engine to its end.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        ready!(this.line.poll_drain(cx))?;
        let stream = &mut this.line.ends.borrow_mut().stream;
        Pin::new(stream).poll_shutdown(cx)
    }
}
