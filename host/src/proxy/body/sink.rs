//! Where a message goes: a request's to a backend, a response's to a client.

use std::time::Duration;

use super::Duplex;
use super::ResponseLines;
use super::h2_sink::H2Sink;
use crate::config::HalfClose;
use crate::h1::{
    Framing, write_chunk_size, write_expectation, write_last_chunk, write_name, write_request_head,
    write_response_end, write_status_line,
};
use crate::message::{BodyLength, Fields, RequestHead, ResponseHead};
use crate::net::{IoEnd, TimedIo, Timer, Timers, Wait, WriteHalf};
use crate::proxy::presence::{Presence, Watched};
use crate::proxy::reply::write_date;

/// Bytes collected before they are sent.
const BATCH: usize = 64 * 1024;

/// A client that sends and does not read, and a backend that answers and does not read, wait for
/// each other for so long.
const STUCK: Duration = Duration::from_secs(2);

/// A message on its way out, over each protocol.
#[derive(Debug)]
pub(in crate::proxy) enum MessageSink<'a> {
    /// By HTTP/1.1.
    H1(H1Sink<'a>),
    /// By HTTP/2.
    H2(H2Sink<'a>),
}

/// A message as HTTP/1.1 frames it.
#[derive(Debug)]
pub(in crate::proxy) struct H1Sink<'a> {
    write: TimedIo<'a, WriteHalf<'a>>,
    /// What goes out next.
    out: &'a mut Vec<u8>,
    /// How the receiver can tell where the body ends.
    framing: Framing,
    /// Pieces are small, and go out several at a time.
    collects: bool,
    duplex: &'a Duplex,
    to: To,
}

#[derive(Debug)]
enum To {
    /// A client. The status of the head that waits in `out`, if one does.
    Client { announced: Option<u16> },
    /// A backend, and how long its client may take to take a piece of the response.
    Backend { send: Duration },
}

impl<'a> MessageSink<'a> {
    /// A response's.
    pub(in crate::proxy) fn to_client(
        write: TimedIo<'a, WriteHalf<'a>>,
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
    ) -> Self {
        Self::new(write, out, duplex, To::Client { announced: None })
    }

    /// A request's. `send` is how long its client may take to take a piece of the response.
    pub(in crate::proxy) fn to_backend(
        write: TimedIo<'a, WriteHalf<'a>>,
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
        send: Duration,
    ) -> Self {
        Self::new(write, out, duplex, To::Backend { send })
    }

    fn new(
        write: TimedIo<'a, WriteHalf<'a>>,
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
        to: To,
    ) -> Self {
        out.clear();
        Self::H1(H1Sink {
            write,
            out,
            framing: Framing::None,
            collects: false,
            duplex,
            to,
        })
    }

    /// Takes the head of a request. `host` is for clients that sent none; `expects` if the backend
    /// decides whether it wants the body. A stream to a backend was opened with its head.
    pub(in crate::proxy) fn request(
        &mut self,
        head: &RequestHead,
        length: BodyLength,
        host: &str,
        expects: bool,
    ) {
        match self {
            Self::H1(sink) => sink.request(head, length, host, expects),
            Self::H2(_) => {}
        }
    }

    /// Takes the head of a response whose body is framed in this way.
    #[inline]
    pub(in crate::proxy) fn response(
        &mut self,
        head: &ResponseHead,
        framing: Framing,
        lines: ResponseLines<'_>,
    ) {
        match self {
            Self::H1(sink) => sink.response(head, framing, lines),
            Self::H2(sink) => sink.response(head, framing, lines),
        }
    }

    /// Takes an interim response, with what `head` says beside the status, if it is the backend's.
    pub(in crate::proxy) fn interim(&mut self, status: u16, head: Option<&ResponseHead>) {
        match self {
            Self::H1(sink) => sink.interim(status, head),
            Self::H2(sink) => sink.interim(status, head),
        }
    }

    /// Takes content that need not go out before what follows: once, after the head of a request.
    pub(in crate::proxy) fn add(&mut self, content: &[u8]) {
        match self {
            Self::H1(sink) => sink.add(content),
            Self::H2(sink) => sink.add(content),
        }
    }

    /// Takes a piece of content, and sends it unless it is to be sent with what follows.
    #[inline]
    pub(in crate::proxy) async fn piece(&mut self, content: &[u8]) -> Result<(), IoEnd> {
        match self {
            Self::H1(sink) => sink.piece(content).await,
            Self::H2(sink) => sink.piece(content).await,
        }
    }

    /// Whether enough has been taken that it should be sent.
    #[inline]
    pub(in crate::proxy) fn is_full(&self) -> bool {
        match self {
            Self::H1(sink) => sink.out.len() >= BATCH,
            // Its pieces go out one by one.
            Self::H2(_) => false,
        }
    }

    /// Sends the bytes that were taken.
    #[inline]
    pub(in crate::proxy) async fn flush(&mut self) -> Result<(), IoEnd> {
        match self {
            Self::H1(sink) => sink.flush().await,
            Self::H2(sink) => sink.flush().await,
        }
    }

    /// Sends a message all of which was taken: its body is of known length, or empty.
    #[inline]
    pub(in crate::proxy) async fn finish(&mut self) -> Result<(), IoEnd> {
        match self {
            Self::H1(sink) => sink.flush().await,
            Self::H2(sink) => sink.finish().await,
        }
    }

    /// The pieces come from a stream of HTTP/2, in frames of 16 KiB: sends several at a time.
    pub(in crate::proxy) fn collect(&mut self) {
        if let Self::H1(sink) = self {
            sink.collects = true;
        }
    }

    /// Whether it goes out as a stream of HTTP/2: its two sides are independent, and either may be
    /// silent for long.
    pub(in crate::proxy) fn is_stream(&self) -> bool {
        matches!(self, Self::H2(_))
    }

    /// Takes the end of the body and its trailers, and sends them.
    #[inline]
    pub(in crate::proxy) async fn end(&mut self, trailers: &Fields) -> Result<(), IoEnd> {
        match self {
            Self::H1(sink) => {
                if sink.framing == Framing::Chunked {
                    write_last_chunk(trailers, sink.out);
                }
                sink.flush().await
            }
            Self::H2(sink) => sink.end(trailers).await,
        }
    }

    /// Whether the receiver can tell by itself that the message is incomplete, when nothing more
    /// comes. A stream of HTTP/2 has to be reset for that.
    pub(in crate::proxy) fn is_delimited(&self) -> bool {
        match self {
            Self::H1(sink) => sink.framing != Framing::UntilClose,
            Self::H2(_) => false,
        }
    }

    /// The clock and the deadlines by which it goes out.
    #[inline]
    pub(in crate::proxy) fn clock(&self) -> (&'a Timers, &'a Timer) {
        match self {
            Self::H1(sink) => (sink.write.timers, sink.write.timer),
            Self::H2(sink) => (sink.timers, sink.timer),
        }
    }

    /// Whether its receiver, a client, is still there.
    #[inline]
    pub(in crate::proxy) fn presence(
        &self,
        half_close: HalfClose,
        read_whole: bool,
    ) -> Presence<'_> {
        let (timers, timer) = self.clock();
        Presence {
            client: match self {
                Self::H1(sink) => Watched::Socket(sink.write.half.socket()),
                Self::H2(sink) => Watched::Stream(sink.to),
            },
            timers,
            timer,
            half_close,
            read_whole,
        }
    }
}

impl H1Sink<'_> {
    fn request(&mut self, head: &RequestHead, length: BodyLength, host: &str, expects: bool) {
        let framing = Framing::from(length);
        write_request_head(head, framing, host, self.out);
        if expects {
            write_expectation(head.fields.writes_spelling(), self.out);
        }
        self.framing = framing;
    }

    fn interim(&mut self, status: u16, head: Option<&ResponseHead>) {
        write_status_line(status, head.map_or(b"", |head| &head.reason), self.out);
        if let Some(head) = head {
            head.fields.write_to(self.out);
        }
        self.out.extend_from_slice(b"\r\n");
    }

    #[inline]
    fn response(&mut self, head: &ResponseHead, framing: Framing, lines: ResponseLines<'_>) {
        let capitals = head.fields.writes_spelling();
        write_status_line(head.status, &head.reason, self.out);
        head.fields.write_to(self.out);
        write_name(b"via", capitals, self.out);
        self.out.extend_from_slice(lines.via);
        if let Some(date) = lines.date {
            write_date(date, capitals, self.out);
        }
        write_response_end(framing, lines.connection, capitals, self.out);
        self.framing = framing;
        if let To::Client { announced } = &mut self.to {
            *announced = Some(head.status);
        }
    }

    fn add(&mut self, content: &[u8]) {
        if content.is_empty() {
            return;
        }
        if self.framing == Framing::Chunked {
            write_chunk_size(content.len(), self.out);
            self.out.extend_from_slice(content);
            self.out.extend_from_slice(b"\r\n");
        } else {
            self.out.extend_from_slice(content);
        }
    }

    #[inline]
    async fn piece(&mut self, content: &[u8]) -> Result<(), IoEnd> {
        // A head is sent together with the first piece. After that the pieces of a body of known
        // length are sent as they were read.
        let is_direct = matches!(self.framing, Framing::Length(_)) && !self.collects;
        if !is_direct || !self.out.is_empty() {
            self.add(content);
            return Ok(());
        }
        match self.to {
            To::Client { .. } => self.write.write_all(content).await,
            To::Backend { send } => to_backend(&mut self.write, send, self.duplex, content).await,
        }
    }

    async fn flush(&mut self) -> Result<(), IoEnd> {
        let sent = match self.to {
            To::Client { announced } => {
                if let Some(status) = announced {
                    self.duplex.answer(status);
                }
                self.write.write_all(self.out).await
            }
            To::Backend { send } => to_backend(&mut self.write, send, self.duplex, self.out).await,
        };
        self.out.clear();
        sent
    }
}

async fn to_backend(
    write: &mut TimedIo<'_, WriteHalf<'_>>,
    send: Duration,
    duplex: &Duplex,
    bytes: &[u8],
) -> Result<(), IoEnd> {
    let (timers, timer) = (write.timers, write.timer);
    // Not worth waiting for if the answer, which the client does not take, waits as well.
    let go_on = |waited| {
        !duplex.is_answered()
            || waited < STUCK
            || timers.waited(timer, Wait::ClientWrite, send) < STUCK
    };
    write.write_while(bytes, go_on).await
}
