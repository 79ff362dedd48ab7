//! The bytes of a connection on their way to and from the engine: counted, limited, and given back
//! at the end.

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

/// A connection as the engine reads and writes it.
#[derive(Debug)]
pub(super) struct Wire {
    /// Always there until the wire is dropped.
    stream: Option<net::Stream>,
    /// Bytes that were read before the protocol was known.
    read_before: Vec<u8>,
    shard: Arc<WorkerShard>,
    notes: Rc<Notes>,
    from_client: Frames,
    to_client: Frames,
}

/// What the connection's task sees of the wire.
#[derive(Debug)]
pub(super) struct Notes {
    /// Frames that bring nothing, and those that pay for them.
    pub(super) account: Account,
    /// Whether the socket took nothing when it was written to last.
    pub(super) is_stuck: Cell<bool>,
    /// Grows with each write that the socket takes.
    pub(super) written: Cell<u64>,
    /// The connection, after the engine has let go of it.
    back: RefCell<Option<net::Stream>>,
}

impl Notes {
    pub(super) fn new(account: Account) -> Rc<Self> {
        Rc::new(Self {
            account,
            is_stuck: Cell::new(false),
            written: Cell::new(0),
            back: RefCell::new(None),
        })
    }

    /// The connection, after the engine has let go of it.
    pub(super) fn take_back(&self) -> Option<net::Stream> {
        self.back.take()
    }
}

impl Wire {
    pub(super) fn new(
        stream: net::Stream,
        read_before: Vec<u8>,
        shard: &Arc<WorkerShard>,
        notes: &Rc<Notes>,
    ) -> Self {
        Self {
            stream: Some(stream),
            read_before,
            shard: Arc::clone(shard),
            notes: Rc::clone(notes),
            from_client: Frames::after_preface(),
            to_client: Frames::default(),
        }
    }

    fn stream(&mut self) -> io::Result<Pin<&mut net::Stream>> {
        let stream = self.stream.as_mut().map(Pin::new);
        stream.ok_or_else(|| io::ErrorKind::NotConnected.into())
    }

    fn note_written(&mut self, written: &Poll<io::Result<usize>>) {
        self.notes.is_stuck.set(written.is_pending());
        if let Poll::Ready(Ok(n)) = written {
            self.shard.bytes_to_clients.add(*n as u64);
            self.notes.written.set(self.notes.written.get() + 1);
        }
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.notes.account.is_overdrawn() {
            // The connection's task, which is polling this, ends it.
            return Poll::Pending;
        }
        let before = into.filled().len();
        if this.read_before.is_empty() {
            ready!(this.stream()?.poll_read(cx, into))?;
            let n = into.filled().len() - before;
            this.shard.bytes_from_clients.add(n as u64);
        } else {
            let n = this.read_before.len().min(into.remaining());
            into.put_slice(&this.read_before[..n]);
            this.read_before.drain(..n);
        }
        let account = &this.notes.account;
        let read = &into.filled()[before..];
        this.from_client.each(read, |frame| account.received(frame));
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
        let written = this.stream()?.poll_write(cx, bytes);
        this.note_written(&written);
        if let Poll::Ready(Ok(n)) = written {
            let account = &this.notes.account;
            this.to_client
                .each(&bytes[..n], |frame| account.sent(frame));
        }
        written
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = this.stream()?.poll_write_vectored(cx, pieces);
        this.note_written(&written);
        if let Poll::Ready(Ok(mut n)) = written {
            let account = &this.notes.account;
            for piece in pieces {
                let part = &piece[..piece.len().min(n)];
                n -= part.len();
                this.to_client.each(part, |frame| account.sent(frame));
            }
        }
        written
    }

    fn is_write_vectored(&self) -> bool {
        self.stream
            .as_ref()
            .is_some_and(AsyncWrite::is_write_vectored)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.get_mut().stream()?.poll_shutdown(cx)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.notes.back.replace(self.stream.take());
    }
}
