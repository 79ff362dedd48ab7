//! A TLS session over a socket, of either role: what [`super::super::Stream::Tls`] holds.
//!
//! rustls keeps the records; here they are read from the socket and written to it. The reading and
//! the writing half of one stream are used at the same time, by one task, and each waits for its
//! own direction of the socket alone: what a read makes the session send (an alert, the answer to
//! a change of keys) is sent as far as the socket takes it, and else with the next write.

use std::cell::RefCell;
use std::io::{self, BufRead, IoSlice, Write as _};
use std::task::{Context, Poll, ready};

use rustls::Connection;
use tokio::io::ReadBuf;

use super::super::socket::Socket;
use super::below::{Below, Out};

/// What one read takes off the socket: for short buffers, and at most.
const SHORT_READ: usize = 16 * 1024;
const LONG_READ: usize = 64 * 1024;
/// The most plaintext that the session holds in records: what one write hands to the kernel.
const WRITE: usize = 64 * 1024;
/// How much a peer may send on an idle connection before it counts as more than tickets.
const IDLE_TALK: usize = 16 * 1024;

thread_local! {
    /// Records on their way from the socket into a session. One for each worker: between two polls
    /// nothing is in it.
    static RECORDS: RefCell<Box<[u8]>> = RefCell::new(vec![0; LONG_READ].into());
}

/// Ends our side of a socket, and reads what has arrived: a close over unread bytes would cost the
/// peer what was sent last.
pub(super) fn end(socket: Socket<'_>) {
    let _ = socket.shutdown();
    RECORDS.with_borrow_mut(|records| {
        let _ = socket.read_now(records);
    });
}

/// A session and the socket that carries its records.
#[derive(Debug)]
pub struct TlsStream {
    below: Below,
    session: RefCell<Session>,
}

#[derive(Debug)]
struct Session {
    connection: Connection,
    /// Plaintext that is in records already, and that was not reported as written: the next write
    /// begins with it.
    owed: usize,
    /// No more is written: our side has ended, or the peer must see that it is cut off.
    ended: bool,
    /// The peer broke the protocol.
    failed: bool,
    /// The peer's side of the socket has ended.
    eof: bool,
    /// Records that were read beside more plaintext than there was room for.
    left: Vec<u8>,
}

impl TlsStream {
    pub(super) fn new(below: Below, connection: Connection) -> Self {
        let mut connection = connection;
        connection.set_buffer_limit(Some(WRITE));
        let session = Session {
            connection,
            owed: 0,
            ended: false,
            failed: false,
            eof: false,
            left: Vec::new(),
        };
        Self {
            below,
            session: RefCell::new(session),
        }
    }

    /// The socket under it.
    pub(in crate::net) fn socket(&self) -> Socket<'_> {
        self.below.socket()
    }

    /// Looks at the state of the session.
    pub(super) fn look<T>(&self, look: impl FnOnce(&Connection) -> T) -> T {
        look(&self.session.borrow().connection)
    }

    /// Takes part in the handshake until it is over.
    pub(super) fn poll_handshake(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            ready!(session.poll_send(self.socket(), cx))?;
            if !session.connection.is_handshaking() {
                return Poll::Ready(Ok(()));
            }
            if session.eof {
                return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
            }
            ready!(session.poll_fill(self.socket(), cx, &mut ReadBuf::new(&mut [])))?;
        }
    }

    /// Looks at the records that were read together with the client's hello.
    pub(super) fn look_behind_hello(&self) -> io::Result<()> {
        let session = &mut *self.session.borrow_mut();
        let Err(e) = session.connection.process_new_packets() else {
            return Ok(());
        };
        session.failed = true;
        let _ = session.send(self.socket(), None);
        Err(io::Error::new(io::ErrorKind::InvalidData, e))
    }

    /// Whether there may be something to read: bytes, the end, or an error.
    pub(in crate::net) fn poll_ready(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.session.borrow().waits_for_peer() {
            true => self.socket().poll_read_ready(cx),
            false => Poll::Ready(Ok(())),
        }
    }

    /// Reads the available plaintext; 0 is the end that the peer has announced. An end that it has
    /// not is an error: anyone on the way can make one.
    pub(in crate::net) fn poll_read(
        &self,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        loop {
            match session.take(into) {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
                taken => return Poll::Ready(taken),
            }
            let n = ready!(session.poll_fill(self.socket(), cx, into))?;
            if n > 0 {
                return Poll::Ready(Ok(n));
            }
        }
    }

    /// Writes as much as is taken at once. After `Pending`, and after less than everything, the
    /// next write has to begin with the bytes that are left, since records of them may be under
    /// way. What was reported as written is in the kernel's hands.
    pub(in crate::net) fn poll_write(
        &self,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    /// The same for several pieces.
    pub(in crate::net) fn poll_write_vectored(
        &self,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let session = &mut *self.session.borrow_mut();
        if session.ended || session.failed {
            return Poll::Ready(Err(io::ErrorKind::BrokenPipe.into()));
        }
        if session.owed == 0 {
            // What a read has left comes first: there must be room for more.
            ready!(session.poll_send(self.socket(), cx))?;
            session.owed = session.connection.writer().write_vectored(pieces)?;
        }
        let offered = pieces.iter().map(|piece| piece.len()).sum();
        let owed = session.owed.min(offered);
        let written = match session.send(self.socket(), Some(cx)) {
            Ok(()) => owed,
            // The last byte is reported when all records are out, the others as they go.
            Err((sent, e)) if e.kind() == io::ErrorKind::WouldBlock => {
                sent.min(owed.saturating_sub(1))
            }
            Err((_, e)) => return Poll::Ready(Err(e)),
        };
        session.owed -= written;
        match written {
            0 if owed > 0 => Poll::Pending,
            written => Poll::Ready(Ok(written)),
        }
    }

    /// Sends what the session has left.
    pub(in crate::net) fn poll_flush(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.session.borrow_mut().poll_send(self.socket(), cx)
    }

    /// Announces the end of our side, and ends the socket's.
    pub(in crate::net) fn poll_shutdown(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let session = &mut *self.session.borrow_mut();
        session.end();
        ready!(session.poll_send(self.socket(), cx))?;
        Poll::Ready(self.socket().shutdown())
    }

    /// What [`super::super::Stream::send_off`] promises.
    pub(in crate::net) fn send_off(&self, last: &[u8]) {
        let session = &mut *self.session.borrow_mut();
        if !session.ended && !session.failed {
            let _ = session.connection.writer().write_all(last);
            session.end();
        }
        let _ = session.send(self.socket(), None);
        end(self.socket());
    }

    /// The peer is not to see an end that was announced.
    pub(in crate::net) fn cut_off(&self) {
        self.session.borrow_mut().ended = true;
    }

    /// Whether the peer has broken the protocol, and is to read the alert that says so.
    pub(in crate::net) fn has_failed(&self) -> bool {
        self.session.borrow().failed
    }

    /// Whether the peer sends more than was read. What ends its side is no more.
    pub(in crate::net) fn took_unread(&self) -> bool {
        let session = &mut *self.session.borrow_mut();
        if session.waits_for_peer() {
            let read = session.fill(|records| self.socket().try_read(records));
            return matches!(read, Ok(n) if n > 0 && !session.has_ended());
        }
        session.holds_plaintext()
    }

    /// Whether nothing has happened on an idle connection that ends it: tickets and new keys come
    /// at any time.
    pub(in crate::net) fn is_quiet(&self, certain: bool) -> bool {
        let session = &mut *self.session.borrow_mut();
        let mut talk = 0;
        while session.waits_for_peer() && talk < IDLE_TALK {
            let read = session.fill(|records| match certain {
                true => self.socket().read_now(records),
                false => self.socket().try_read(records),
            });
            match read {
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return true,
                Ok(n) if n > 0 => talk += n,
                Ok(_) | Err(_) => return false,
            }
        }
        false
    }
}

impl Session {
    /// Whether there is nothing to report before the peer sends more.
    fn waits_for_peer(&self) -> bool {
        !self.failed && self.left.is_empty() && self.connection.wants_read()
    }

    fn holds_plaintext(&mut self) -> bool {
        matches!(self.connection.reader().fill_buf(), Ok(bytes) if !bytes.is_empty())
    }

    /// Whether the peer has announced its end, and nothing precedes it.
    fn has_ended(&mut self) -> bool {
        matches!(self.connection.reader().fill_buf(), Ok([]))
    }

    /// Takes plaintext that is there; 0 is the end.
    fn take(&mut self, into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let mut taken = 0;
        while into.remaining() > 0 {
            let mut reader = self.connection.reader();
            match reader.fill_buf() {
                Ok(bytes) if !bytes.is_empty() => {
                    let n = bytes.len().min(into.remaining());
                    into.put_slice(&bytes[..n]);
                    reader.consume(n);
                    taken += n;
                }
                _ if taken > 0 => break,
                Err(_) if self.failed => return Err(io::ErrorKind::InvalidData.into()),
                end => return end.map(|_| 0),
            }
        }
        Ok(taken)
    }

    /// Reads records, and returns how much plaintext they have brought.
    fn poll_fill(
        &mut self,
        socket: Socket<'_>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<usize>> {
        if !self.left.is_empty() {
            let left = std::mem::take(&mut self.left);
            return Poll::Ready(self.feed(&left, into));
        }
        RECORDS.with_borrow_mut(|records| {
            let most = into.remaining().clamp(SHORT_READ, LONG_READ);
            let n = ready!(socket.poll_read(cx, &mut records[..most]))?;
            let fed = self.feed(&records[..n], into);
            if self.connection.wants_write() {
                let _ = self.send(socket, None);
            }
            Poll::Ready(fed)
        })
    }

    /// Reads records once; what is in them stays in the session.
    fn fill(&mut self, read: impl FnOnce(&mut [u8]) -> io::Result<usize>) -> io::Result<usize> {
        RECORDS.with_borrow_mut(|records| {
            let n = read(&mut records[..SHORT_READ])?;
            self.feed(&records[..n], &mut ReadBuf::new(&mut []))?;
            Ok(n)
        })
    }

    /// Gives records to the session, and takes out the plaintext that there is room for. No record
    /// is the end of the socket.
    fn feed(&mut self, records: &[u8], into: &mut ReadBuf<'_>) -> io::Result<usize> {
        let (mut left, mut taken) = (records, 0);
        loop {
            self.eof |= left.is_empty();
            if self.connection.read_tls(&mut left)? == 0 {
                return Ok(taken);
            }
            let processed = self.connection.process_new_packets();
            if into.remaining() > 0 {
                taken += self.take(into).unwrap_or(0);
            }
            if let Err(e) = processed {
                self.failed = true;
                // What came before it is whole.
                return match taken {
                    0 => Err(io::Error::new(io::ErrorKind::InvalidData, e)),
                    taken => Ok(taken),
                };
            }
            if left.is_empty() {
                return Ok(taken);
            }
            // The session refuses records while it holds much.
            if into.remaining() == 0 && self.holds_plaintext() {
                self.left = left.to_vec();
                return Ok(taken);
            }
        }
    }

    /// Ends our side. A session that has failed ends with an alert, or, where rustls has none for
    /// what went wrong, without a word: never as if everything had been said.
    fn end(&mut self) {
        if !std::mem::replace(&mut self.ended, true) && !self.failed {
            self.connection.send_close_notify();
        }
    }

    fn poll_send(&mut self, socket: Socket<'_>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.send(socket, Some(cx)) {
            Ok(_) => Poll::Ready(Ok(())),
            Err((_, e)) if e.kind() == io::ErrorKind::WouldBlock => Poll::Pending,
            Err((_, e)) => Poll::Ready(Err(e)),
        }
    }

    /// Sends the records that there are, and says how much of them was sent if that is not all.
    fn send(
        &mut self,
        socket: Socket<'_>,
        cx: Option<&mut Context<'_>>,
    ) -> Result<(), (usize, io::Error)> {
        let mut out = Out { socket, cx };
        let mut sent = 0;
        while self.connection.wants_write() {
            match self.connection.write_tls(&mut out) {
                Ok(0) => return Err((sent, io::ErrorKind::WriteZero.into())),
                Ok(n) => sent += n,
                Err(e) => return Err((sent, e)),
            }
        }
        Ok(())
    }
}

impl Drop for TlsStream {
    /// Announces the end, so that the peer knows that it has everything; or sends what is left of
    /// an alert.
    fn drop(&mut self) {
        let session = self.session.get_mut();
        let is_incomplete = session.owed > 0 || session.connection.is_handshaking();
        let is_to_end = !session.ended && !session.failed && !is_incomplete;
        if is_to_end {
            session.end();
        }
        if is_to_end || session.failed {
            let _ = session.send(self.below.socket(), None);
        }
    }
}
