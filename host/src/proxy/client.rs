//! The client's side of one exchange, over each protocol.

use std::rc::Rc;
use std::time::Duration;

use super::body::{Duplex, MessageReader, MessageSink, Progress};
use super::connection::{Connection, Disposition};
use super::entry::Entry;
use super::h2::Stream;
use super::presence::Presence;
use super::reply::{Answer, ReplyTo};
use super::settings::Settings;
use super::terms::Terms;
use super::worker::Worker;
use crate::config::HalfClose;
use crate::message::BodyLength;
use crate::net::{ConnectionInfo, Timer};

/// What one exchange has of its client: the whole connection, or one stream of it.
#[derive(Debug)]
pub(super) enum Client<'a> {
    /// By HTTP/1.1, one exchange at a time.
    H1(&'a mut Connection),
    /// By HTTP/2, as many as the limit allows.
    H2(&'a mut Stream),
}

impl Client<'_> {
    #[inline]
    pub(super) fn worker(&self) -> &Rc<Worker> {
        match self {
            Self::H1(connection) => &connection.worker,
            Self::H2(stream) => stream.worker(),
        }
    }

    /// The facts about its connection.
    #[inline]
    pub(super) fn info(&self) -> &ConnectionInfo {
        match self {
            Self::H1(connection) => &connection.info,
            Self::H2(stream) => stream.info(),
        }
    }

    /// The listener that its connection came by.
    #[inline]
    pub(super) fn entry(&self) -> &Rc<Entry> {
        match self {
            Self::H1(connection) => &connection.entry,
            Self::H2(stream) => stream.entry(),
        }
    }

    /// The deadlines of the exchange.
    #[inline]
    pub(super) fn timer(&self) -> &Rc<Timer> {
        match self {
            Self::H1(connection) => &connection.timer,
            Self::H2(stream) => &stream.timer,
        }
    }

    /// Whether the client is still there.
    #[inline]
    pub(super) fn presence(&self, half_close: HalfClose, read_whole: bool) -> Presence<'_> {
        match self {
            Self::H1(connection) => connection.presence(half_close, read_whole),
            Self::H2(stream) => stream.presence(half_close, read_whole),
        }
    }

    /// Both directions, as they are read and written for one attempt.
    #[inline]
    pub(super) fn open<'a>(
        &'a mut self,
        terms: Terms<'a>,
        out: &'a mut Vec<u8>,
        duplex: &'a Duplex,
    ) -> (MessageReader<'a>, MessageSink<'a>) {
        match self {
            Self::H1(connection) => connection.open(terms, out, duplex),
            Self::H2(stream) => stream.open(terms, duplex),
        }
    }

    /// Where the client stands in a request's body of this length, of which nothing was passed on.
    /// So much of it is kept.
    pub(super) fn progress(&self, length: BodyLength, room: Option<usize>, most: u64) -> Progress {
        match self {
            Self::H1(_) => Progress::of_request(length, room, most),
            Self::H2(_) => Progress::of_stream(room, most),
        }
    }

    /// So many bytes of the body, if they are all there and nothing follows.
    #[inline]
    pub(super) fn in_hand(&self, length: u64) -> Option<usize> {
        match self {
            Self::H1(connection) => connection.in_hand(length),
            Self::H2(stream) => stream.in_hand(length),
        }
    }

    /// The first bytes of what is in hand.
    pub(super) fn in_hand_bytes(&self, length: usize) -> &[u8] {
        let held = match self {
            Self::H1(connection) => connection.held(),
            Self::H2(stream) => stream.held(),
        };
        &held[..length]
    }

    /// Whether nothing of what comes after the head is there yet.
    #[inline]
    pub(super) fn awaits_body(&self) -> bool {
        match self {
            Self::H1(connection) => connection.awaits_body(),
            Self::H2(stream) => stream.awaits_body(),
        }
    }

    /// Takes so many bytes out of what is in hand.
    #[inline]
    pub(super) fn consume(&mut self, length: usize) {
        match self {
            Self::H1(connection) => connection.consume(length),
            Self::H2(stream) => stream.consume(length),
        }
    }

    /// Waits so long for the beginning of a body, a buffer full or all of it. Returns whether it
    /// came in time.
    pub(super) async fn gather(
        &mut self,
        settings: &Settings,
        length: BodyLength,
        patience: Duration,
    ) -> bool {
        match self {
            Self::H1(connection) => connection.gather(settings, length, patience).await,
            Self::H2(stream) => stream.gather(settings, patience).await,
        }
    }

    /// Whether the connection may carry another request after those that it has. A connection of
    /// HTTP/2 decides that by itself.
    #[inline]
    pub(super) fn may_continue(&self) -> bool {
        match self {
            Self::H1(connection) => connection.may_continue(),
            Self::H2(_) => true,
        }
    }

    /// Whether the client has sent more than was read, which a close would throw back at it.
    #[inline]
    pub(super) fn has_unread(&self) -> bool {
        match self {
            Self::H1(connection) => connection.has_unread(),
            Self::H2(_) => false,
        }
    }

    /// Sends an answer that is not a backend's. `Close` if the client has taken it: the caller
    /// knows whether another request may follow.
    pub(super) async fn answer(
        &mut self,
        settings: &Settings,
        answer: &Answer<'_>,
        to: ReplyTo<'_>,
        out: &mut Vec<u8>,
    ) -> Disposition {
        match self {
            Self::H1(connection) => {
                out.clear();
                answer.write(to, out);
                connection.send(settings, out).await
            }
            // In a box: it would be the largest part of every exchange.
            Self::H2(stream) => Box::pin(stream.answer(settings, answer, to)).await,
        }
    }
}
