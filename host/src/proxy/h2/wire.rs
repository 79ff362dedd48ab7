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

use bytes::Bytes;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::h2::{
    ANSWER, Account, Frame, Frames, HEADERS, Inbound, Traffic, is_refusal, is_reset_for_an_error,
};
use crate::net;
use crate::stats::WorkerShard;

/// Bytes that are gathered at most.
const MOST: usize = 128 * 1024;
/// Room for the answers of a few streams.
const FIRST: usize = 4 * 1024;
/// The engine gets so many heads before those that it has are taken in, and what its client does
/// too often is looked at.
const HEADS: u32 = 32;

/// The engine of a connection.
pub(super) type Engine = h2::server::Connection<Wire, Bytes>;

/// A connection as the engine reads and writes it.
#[derive(Debug)]
pub(super) struct Wire {
    line: Rc<Line>,
    from_client: Inbound,
    to_client: Frames,
}

/// The connection under a [`Wire`], which its task has in its hands as well.
#[derive(Debug)]
pub(super) struct Line {
    /// Frames that bring nothing, and those that pay for them.
    pub(super) account: Account,
    /// Streams that were reset because of what the client has sent on them.
    pub(super) errors: Account,
    pub(super) traffic: Rc<Traffic>,
    /// Heads that the engine has got since those before were taken in.
    heads: Cell<u32>,
    /// Whether nothing is read, because too many small frames wait for their streams.
    is_crowded: Cell<bool>,
    /// Whether the client has had its time to answer the farewell.
    is_over: Cell<bool>,
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
    pub(super) fn new(
        stream: net::Stream,
        shard: &Arc<WorkerShard>,
        (account, errors): (Account, Account),
        traffic: &Rc<Traffic>,
    ) -> Rc<Self> {
        Rc::new(Self {
            account,
            errors,
            traffic: Rc::clone(traffic),
            heads: Cell::new(0),
            is_crowded: Cell::new(false),
            is_over: Cell::new(false),
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

    /// The heads that the engine had are taken in. Whether it has to be asked for more.
    pub(super) fn go_on(&self) -> bool {
        self.heads.replace(0) >= HEADS
    }

    /// Whether nothing was read because of small frames: nothing else asks for it again.
    pub(super) fn was_crowded(&self) -> bool {
        self.is_crowded.take()
    }

    /// Ends the wait for the answer to the farewell.
    pub(super) fn end_farewell(&self) {
        self.is_over.set(true);
    }

    /// Notes a frame of the client; whether another may follow now.
    fn received(&self, frame: Frame) -> bool {
        self.account.received(frame);
        let heads = self.heads.get() + u32::from(frame.kind == HEADERS);
        self.heads.set(heads);
        heads < HEADS
    }

    fn sent(&self, frame: Frame, payload: &[u8]) {
        self.account.sent(frame);
        self.traffic.sent(frame, payload);
        if is_reset_for_an_error(frame, payload) {
            self.errors.take();
        } else if is_refusal(frame, payload) {
            self.account.take();
        }
    }

    /// Whether the engine may get nothing now.
    fn is_held(&self) -> bool {
        let (account, errors) = (&self.account, &self.errors);
        // The connection's task, which is polling the engine, ends it or goes on.
        if account.is_overdrawn() || errors.is_overdrawn() || self.heads.get() >= HEADS {
            return true;
        }
        let is_crowded = self.traffic.is_crowded();
        self.is_crowded.set(is_crowded);
        is_crowded
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
            from_client: Inbound::of_client(read_before),
            to_client: Frames::default(),
        }
    }

    fn gather(&mut self, bytes: &[u8]) {
        let line = &self.line;
        let sent = |frame: Frame, payload: &[u8]| line.sent(frame, payload);
        self.to_client.each(bytes, sent);
        line.gather(bytes);
    }

    /// Answers the farewell in the place of a client that does not, so that the engine says where
    /// the connection ends. Whether it did.
    fn answer_farewell(&self, into: &mut ReadBuf<'_>) -> bool {
        let (is_over, has_room) = (self.line.is_over.get(), into.remaining() >= ANSWER);
        if !is_over || !has_room || !self.from_client.is_between() {
            return false;
        }
        let answer = self.line.traffic.answer();
        answer.inspect(|answer| into.put_slice(answer)).is_some()
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.line.is_held() {
            return Poll::Pending;
        }
        if this.answer_farewell(into) {
            return Poll::Ready(Ok(()));
        }
        let (line, from_client) = (&*this.line, &mut this.from_client);
        let read = |into: &mut ReadBuf<'_>| {
            let before = into.filled().len();
            let stream = &mut line.ends.borrow_mut().stream;
            ready!(Pin::new(stream).poll_read(cx, into))?;
            let n = into.filled().len() - before;
            line.shard.bytes_from_clients.add(n as u64);
            Poll::Ready(Ok(()))
        };
        from_client.poll(into, &line.traffic, |frame| line.received(frame), read)
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
