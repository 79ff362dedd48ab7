//! The two ends of one stream of HTTP/2, whichever side opened it.

use std::cell::RefCell;
use std::fmt;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use h2::client::ResponseFuture;
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Response, response};

use crate::h2::Traffic;
use crate::net::IoEnd;

/// What arrives on a stream.
#[derive(Debug)]
pub(in crate::proxy) struct Incoming {
    stream: In,
    /// The content that has arrived and was not consumed. The peer may send as many bytes more as
    /// are consumed.
    data: Bytes,
    /// What passes on its connection.
    traffic: Rc<Traffic>,
    /// Whether its trailers had a pseudo-field.
    is_malformed: bool,
}

#[derive(Debug)]
enum In {
    /// The head of a response is to come.
    Response(ResponseFuture),
    /// The head has come.
    Stream(RecvStream),
    /// Nothing comes any more.
    Ended,
}

/// What goes out on a stream. Shared by those that write to it and those that watch whether its
/// receiver is still there; none of them holds on to it while it waits.
pub(in crate::proxy) struct Outgoing(RefCell<Out>);

enum Out {
    /// A response of which nothing but interim ones were sent.
    Response(SendResponse<Bytes>),
    /// A message whose head was sent.
    Stream(SendStream<Bytes>),
    /// A CONNECT, which is all of a request, and has no end before the tunnel's.
    Held(SendStream<Bytes>),
    /// It has ended on our side.
    Ended,
}

impl Incoming {
    /// Of which nothing was read.
    pub(in crate::proxy) fn new(stream: RecvStream, traffic: &Rc<Traffic>) -> Self {
        Self::of(In::Stream(stream), traffic)
    }

    /// The response of a backend.
    pub(super) fn response(response: ResponseFuture, traffic: &Rc<Traffic>) -> Self {
        Self::of(In::Response(response), traffic)
    }

    fn of(stream: In, traffic: &Rc<Traffic>) -> Self {
        Self {
            stream,
            data: Bytes::new(),
            traffic: Rc::clone(traffic),
            is_malformed: false,
        }
    }

    /// Gives up what is to come.
    pub(super) fn take(&mut self) -> Self {
        let ended = Self::of(In::Ended, &self.traffic);
        std::mem::replace(self, ended)
    }

    /// Waits for the next head of a response: interim ones, and the final one.
    pub(in crate::proxy) fn poll_head(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<response::Parts, h2::Error>> {
        let In::Response(response) = &mut self.stream else {
            return Poll::Ready(Err(Reason::INTERNAL_ERROR.into()));
        };
        if let Some(interim) = ready!(response.poll_informational(cx)) {
            return Poll::Ready(interim.map(|interim| interim.into_parts().0));
        }
        let (parts, body) = ready!(Pin::new(response).poll(cx))?.into_parts();
        self.stream = In::Stream(body);
        Poll::Ready(Ok(parts))
    }

    /// The content that has arrived and was not consumed.
    #[inline]
    pub(in crate::proxy) fn filled(&self) -> &[u8] {
        &self.data
    }

    /// Consumes this many bytes of it, and lets the peer send as many more.
    #[inline]
    pub(in crate::proxy) fn consume(&mut self, n: usize) {
        self.data.advance(n);
        if let In::Stream(stream) = &mut self.stream {
            // It fails only for more than has come.
            let _ = stream.flow_control().release_capacity(n);
        }
    }

    /// Whether nothing more will come: neither content nor trailers.
    pub(in crate::proxy) fn is_at_end(&self) -> bool {
        match &self.stream {
            In::Response(_) => false,
            In::Stream(stream) => stream.is_end_stream(),
            In::Ended => true,
        }
    }

    /// Waits for more content, and returns how much came; 0 is its end, and trailers may follow.
    pub(in crate::proxy) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<usize, IoEnd>> {
        loop {
            let In::Stream(stream) = &mut self.stream else {
                return Poll::Ready(Err(IoEnd::Failed));
            };
            let data = match ready!(stream.poll_data(cx)) {
                None => return Poll::Ready(Ok(0)),
                Some(data) => data.map_err(|_| IoEnd::Failed)?,
            };
            self.traffic.taken(data.len(), || !stream.is_end_stream());
            if !data.is_empty() {
                return Poll::Ready(Ok(self.append(data)));
            }
        }
    }

    fn append(&mut self, data: Bytes) -> usize {
        let n = data.len();
        if self.data.is_empty() {
            self.data = data;
        } else {
            let mut both = BytesMut::with_capacity(self.data.len() + n);
            both.extend_from_slice(&self.data);
            both.extend_from_slice(&data);
            self.data = both.freeze();
        }
        n
    }

    /// For how long in all the peer could send nothing because of its other streams.
    pub(in crate::proxy) fn held_for(&self) -> Duration {
        self.traffic.held_for()
    }

    /// The trailers are all that came if they are shorter than this, as the engine counts them.
    pub(in crate::proxy) fn whole_below(&self) -> usize {
        match &self.stream {
            In::Stream(stream) => self.traffic.whole_below(stream.stream_id().as_u32()),
            _ => 0,
        }
    }

    /// Whether the trailers, which have come, had a pseudo-field.
    pub(in crate::proxy) fn had_pseudo(&mut self) -> bool {
        if let In::Stream(stream) = &self.stream {
            self.is_malformed |= self.traffic.had_pseudo(stream.stream_id().as_u32());
        }
        self.is_malformed
    }

    /// Whether it was seen that they had.
    pub(super) fn is_malformed(&self) -> bool {
        self.is_malformed
    }

    /// Waits for the trailers behind the content.
    pub(in crate::proxy) fn poll_trailers(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Result<Option<HeaderMap>, IoEnd>> {
        match &mut self.stream {
            In::Stream(stream) => stream.poll_trailers(cx).map_err(|_| IoEnd::Failed),
            _ => Poll::Ready(Err(IoEnd::Failed)),
        }
    }
}

impl Outgoing {
    /// The response to a client's request.
    pub(in crate::proxy) fn response(response: SendResponse<Bytes>) -> Self {
        Self(RefCell::new(Out::Response(response)))
    }

    /// A request whose head was sent, and perhaps all of it.
    pub(super) fn request(stream: SendStream<Bytes>, is_end: bool) -> Self {
        Self(RefCell::new(match is_end {
            true => Out::Ended,
            false => Out::Stream(stream),
        }))
    }

    /// A CONNECT that was sent.
    pub(super) fn held(stream: SendStream<Bytes>) -> Self {
        Self(RefCell::new(Out::Held(stream)))
    }

    /// The CONNECT has its answer: more may be sent.
    pub(super) fn go_on(&mut self) {
        let out = self.0.get_mut();
        *out = match std::mem::replace(out, Out::Ended) {
            Out::Held(stream) => Out::Stream(stream),
            out => out,
        };
    }

    /// Gives up what was not sent.
    pub(super) fn take(&mut self) -> Self {
        Self(RefCell::new(self.0.replace(Out::Ended)))
    }

    /// Whether all of the message was sent.
    pub(in crate::proxy) fn is_ended(&self) -> bool {
        matches!(*self.0.borrow(), Out::Ended | Out::Held(_))
    }

    /// Whether its head was sent, and its end was not.
    pub(in crate::proxy) fn is_under_way(&self) -> bool {
        matches!(*self.0.borrow(), Out::Stream(_))
    }

    /// Waits until the peer has reset the stream, or its connection has ended.
    pub(in crate::proxy) fn poll_left(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &mut *self.0.borrow_mut() {
            Out::Response(response) => response.poll_reset(cx).map(|_| ()),
            Out::Stream(stream) | Out::Held(stream) => stream.poll_reset(cx).map(|_| ()),
            Out::Ended => Poll::Pending,
        }
    }

    /// Sends an interim response.
    pub(in crate::proxy) fn interim(&self, head: Response<()>) {
        if let Out::Response(response) = &mut *self.0.borrow_mut() {
            // Where it fails, so does what follows.
            let _ = response.send_informational(head);
        }
    }

    /// Sends the head of a response, which may be all of it.
    pub(in crate::proxy) fn start(&self, head: Response<()>, is_end: bool) -> Result<(), IoEnd> {
        let mut out = self.0.borrow_mut();
        let Out::Response(response) = &mut *out else {
            return Err(IoEnd::Failed);
        };
        let stream = response.send_response(head, is_end);
        let stream = stream.map_err(|_| IoEnd::Failed)?;
        *out = if is_end {
            Out::Ended
        } else {
            Out::Stream(stream)
        };
        Ok(())
    }

    /// Waits until at least one of so many bytes may be sent: the peer's windows and what the
    /// connection still has to write decide. Returns how many may be.
    pub(in crate::proxy) fn poll_room(
        &self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<Result<usize, IoEnd>> {
        let mut out = self.0.borrow_mut();
        let Out::Stream(stream) = &mut *out else {
            return Poll::Ready(Err(IoEnd::Failed));
        };
        stream.reserve_capacity(wanted);
        if stream.capacity() > 0 {
            return Poll::Ready(Ok(stream.capacity()));
        }
        match ready!(stream.poll_capacity(cx)) {
            Some(Ok(room)) => Poll::Ready(Ok(room)),
            Some(Err(_)) | None => Poll::Ready(Err(IoEnd::Failed)),
        }
    }

    /// Sends content, for which there is room.
    pub(in crate::proxy) fn send(&self, content: Bytes, is_end: bool) -> Result<(), IoEnd> {
        let mut out = self.0.borrow_mut();
        let Out::Stream(stream) = &mut *out else {
            return Err(IoEnd::Failed);
        };
        let sent = stream.send_data(content, is_end);
        sent.map_err(|_| IoEnd::Failed)?;
        if is_end {
            *out = Out::Ended;
        }
        Ok(())
    }

    /// Sends trailers, which end the message.
    pub(in crate::proxy) fn trailers(&self, trailers: HeaderMap) -> Result<(), IoEnd> {
        let mut out = self.0.borrow_mut();
        let Out::Stream(stream) = &mut *out else {
            return Err(IoEnd::Failed);
        };
        let sent = stream.send_trailers(trailers);
        *out = Out::Ended;
        sent.map_err(|_| IoEnd::Failed)
    }

    /// Breaks the stream off, unless it has ended on our side.
    pub(in crate::proxy) fn reset(&self, reason: Reason) {
        match self.0.replace(Out::Ended) {
            Out::Response(mut response) => response.send_reset(reason),
            Out::Stream(mut stream) | Out::Held(mut stream) => stream.send_reset(reason),
            Out::Ended => {}
        }
    }
}

impl fmt::Debug for Outgoing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let state = match &*self.0.borrow() {
            Out::Response(_) => "Response",
            Out::Stream(_) => "Stream",
            Out::Held(_) => "Held",
            Out::Ended => "Ended",
        };
        f.debug_tuple("Outgoing").field(&state).finish()
    }
}
