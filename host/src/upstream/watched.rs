//! The socket under a connection of HTTP/2: its bytes are counted, its frames are looked at, and it
//! is noted that some came.

use std::cell::{Cell, RefCell};
use std::io;
use std::net::SocketAddr;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll, Waker, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::allowance::Allowance;
use super::seldom::Seldom;
use crate::h2::{Frames, GOAWAY, Inbound, Traffic};
use crate::net::Stream;
use crate::stats::WorkerShard;

/// What an endpoint is sent that has used its allowance up: ENHANCE_YOUR_CALM (RFC 9113 section
/// 6.8).
const CALM: [u8; 17] = [0, 0, 8, GOAWAY, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 11];

/// What fails the streams of such an endpoint.
const CUT_OFF: io::ErrorKind = io::ErrorKind::QuotaExceeded;

/// Whether a stream has failed because its endpoint has sent too many frames that bring nothing.
pub fn is_cut_off(error: &h2::Error) -> bool {
    error.get_io().is_some_and(|e| e.kind() == CUT_OFF)
}

/// What the connection's task and its socket note.
#[derive(Debug, Default)]
pub(super) struct Liveness {
    /// Bytes have come since the last look.
    pub heard: Cell<bool>,
    /// The connection has ended.
    pub ended: Cell<bool>,
    /// Why it has.
    pub error: RefCell<Option<h2::Error>>,
    /// It is to end at once: it is dead.
    pub cut: Cell<bool>,
    /// Of the connection's task.
    pub waker: RefCell<Option<Waker>>,
}

/// A socket whose bytes are counted.
pub(super) struct Watched {
    stream: Stream,
    alive: Rc<Liveness>,
    traffic: Rc<Traffic>,
    worker: Arc<WorkerShard>,
    inbound: Inbound,
    outbound: Frames,
    allowance: Allowance,
    endpoint: Named,
}

/// What the log calls an endpoint.
pub(super) struct Named {
    /// The host that the operator wrote.
    pub name: Arc<str>,
    pub address: SocketAddr,
    /// Of all its connections: the endpoint chooses how often it is cut off.
    pub says_cut_off: Rc<Seldom>,
}

impl Liveness {
    pub(super) fn remember(&self, waker: &Waker) {
        let mut remembered = self.waker.borrow_mut();
        if !remembered.as_ref().is_some_and(|w| w.will_wake(waker)) {
            *remembered = Some(waker.clone());
        }
    }

    pub(super) fn wake(&self) {
        if let Some(waker) = &*self.waker.borrow() {
            waker.wake_by_ref();
        }
    }
}

impl Watched {
    pub(super) fn new(
        stream: Stream,
        alive: &Rc<Liveness>,
        traffic: &Rc<Traffic>,
        worker: &Arc<WorkerShard>,
        endpoint: Named,
    ) -> Self {
        Self {
            stream,
            alive: Rc::clone(alive),
            traffic: Rc::clone(traffic),
            worker: Arc::clone(worker),
            inbound: Inbound::default(),
            outbound: Frames::after_preface(),
            allowance: Allowance::new(),
            endpoint,
        }
    }

    /// Says that the endpoint has sent more than it may, to both sides: to the endpoint as far as
    /// its socket takes it. All streams fail with the error.
    #[cold]
    fn cut_off(&mut self, cx: &mut Context<'_>) -> io::Error {
        let Named { name, address, .. } = &self.endpoint;
        if self.endpoint.says_cut_off.is_due() {
            tracing::warn!(
                target: "upstream",
                "a connection to {name} ({address}) is cut off: the backend sends too many frames \
                 that bring nothing (HTTP/2)"
            );
        }
        if self.outbound.is_between() {
            let mut stream = Pin::new(&mut self.stream);
            if stream.as_mut().poll_write(cx, &CALM).is_ready() {
                let _ = stream.poll_flush(cx);
            }
        }
        io::Error::new(CUT_OFF, "it sends too many frames that bring nothing")
    }

    /// Notes what was written of these bytes.
    fn wrote(&mut self, n: usize, pieces: &[io::IoSlice<'_>]) {
        self.worker.bytes_to_backends.add(n as u64);
        let (mut left, traffic) = (n, &self.traffic);
        let allowance = &mut self.allowance;
        for piece in pieces {
            let part = left.min(piece.len());
            self.outbound.each(&piece[..part], |frame, payload| {
                allowance.sent(frame);
                traffic.sent(frame, payload);
            });
            left -= part;
        }
    }
}

impl AsyncRead for Watched {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.allowance.is_used_up() {
            return Poll::Ready(Err(this.cut_off(cx)));
        }
        let Self {
            stream,
            alive,
            traffic,
            worker,
            inbound,
            allowance,
            ..
        } = this;
        let go_on = |frame| {
            allowance.received(frame);
            !allowance.is_used_up()
        };
        let read = |into: &mut ReadBuf<'_>| {
            let before = into.filled().len();
            ready!(Pin::new(&mut *stream).poll_read(cx, into))?;
            alive.heard.set(true);
            let n = into.filled().len() - before;
            worker.bytes_from_backends.add(n as u64);
            Poll::Ready(Ok(()))
        };
        inbound.poll(into, traffic, go_on, read)
    }
}

impl AsyncWrite for Watched {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.wrote(n, &[io::IoSlice::new(bytes)]);
        Poll::Ready(Ok(n))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let n = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, pieces))?;
        this.wrote(n, pieces);
        Poll::Ready(Ok(n))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
