//! A client connection: what one exchange may do with it.

use std::rc::Rc;

use super::body::{Duplex, MessageReader, MessageSink, Reader, Stage};
use super::entry::Entry;
use super::halves::{client_read, client_write};
use super::presence::{Presence, Watched};
use super::settings::Settings;
use super::terms::Terms;
use super::worker::Worker;
use crate::config::HalfClose;
use crate::net::{Buffer, ConnectionInfo, Stream, Timer};

/// A client connection.
#[derive(Debug)]
pub(super) struct Connection {
    pub(super) worker: Rc<Worker>,
    pub(super) stream: Stream,
    pub(super) info: ConnectionInfo,
    /// The listener that it came by.
    pub(super) entry: Rc<Entry>,
    pub(super) timer: Rc<Timer>,
    pub(super) input: Buffer,
    /// Requests that have begun on it.
    pub(super) served: u64,
}

/// What becomes of the connection after a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Disposition {
    /// The next request may come.
    Next,
    /// It carries another protocol from here on: the scratch space holds the backend's side.
    Tunnel,
    /// It is closed: the request was read to its end and the client has all of the response.
    Finish,
    /// It is closed, but the client may be sending still and must be given the time to see the
    /// answer.
    Close,
    /// It is reset: the client must not take what it has for the whole.
    Abort,
}

impl Connection {
    /// A connection that has been admitted.
    pub(super) fn new(
        worker: Rc<Worker>,
        entry: Rc<Entry>,
        stream: Stream,
        info: ConnectionInfo,
    ) -> Self {
        let timer = worker.timers.register();
        Self {
            worker,
            stream,
            info,
            entry,
            timer,
            input: Buffer::default(),
            served: 0,
        }
    }

    /// The connection as it is read and written for one exchange.
    pub(super) fn open<'a>(
        &'a mut self,
        terms: Terms<'a>,
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
    ) -> (MessageReader<'a>, MessageSink<'a>) {
        if self.input.is_empty() && duplex.stage() == Stage::Whole {
            // Nothing is read until the answer is there: a thousand clients that wait hold no room.
            terms
                .worker
                .buffers
                .take_back(std::mem::take(&mut self.input));
        }
        let (read, write) = self.stream.split();
        let reader = Reader {
            read: client_read(terms.worker, terms.timeouts, &self.timer, read),
            buffer: &mut self.input,
            buffers: &terms.worker.buffers,
            limits: terms.head_limits,
        };
        let write = client_write(terms.worker, terms.timeouts, &self.timer, write);
        let sink = MessageSink::to_client(write, out, duplex);
        (MessageReader::H1(reader), sink)
    }

    /// Whether the client is still there.
    pub(super) fn presence(&self, half_close: HalfClose, read_whole: bool) -> Presence<'_> {
        Presence {
            client: Watched::Socket(self.stream.socket()),
            timers: &self.worker.timers,
            timer: &self.timer,
            half_close,
            read_whole,
        }
    }

    /// Whether the connection may carry another request after those that it has.
    pub(super) fn may_continue(&self) -> bool {
        let limit = self.worker.latest(|s| s.limits.requests_per_connection);
        !self.worker.ends(&self.entry) && (limit == 0 || self.served < limit)
    }

    /// Sends what was written. `Close` if the client has taken it: the caller knows whether another
    /// request may follow.
    pub(super) async fn send(&mut self, settings: &Settings, out: &mut Vec<u8>) -> Disposition {
        let Self {
            worker,
            stream,
            timer,
            ..
        } = self;
        let mut write = client_write(worker, &settings.timeouts, timer, stream.split().1);
        match write.flush(out).await {
            Ok(()) => Disposition::Close,
            Err(_) => Disposition::Abort,
        }
    }

    /// So many bytes of the body, if they are all there.
    pub(super) fn in_hand(&self, length: u64) -> Option<usize> {
        let length = usize::try_from(length).ok();
        length.filter(|length| *length <= self.input.len())
    }

    /// Takes bytes up that were read of it before.
    pub(super) fn hold(&mut self, bytes: &[u8]) {
        self.worker.shard.bytes_from_clients.add(bytes.len() as u64);
        let mut input = self.worker.buffers.small();
        input.put(bytes);
        self.input = input;
    }

    /// What has arrived after the head.
    pub(super) fn held(&self) -> &[u8] {
        self.input.filled()
    }

    /// Whether nothing of what comes after the head is there yet.
    pub(super) fn awaits_body(&self) -> bool {
        self.input.is_empty()
    }

    /// Takes so many bytes out of what is in hand.
    pub(super) fn consume(&mut self, length: usize) {
        self.input.consume(length);
    }

    /// Whether the client has sent more than was read, as far as the last poll saw. For a
    /// connection that is to end: a byte of it is gone.
    pub(super) fn has_unread(&self) -> bool {
        !self.input.is_empty() || self.stream.took_unread()
    }
}
