//! What carries a request to its backend: a connection, or a stream of one.

use super::body::{Duplex, MessageReader, MessageSink};
use super::h2::BackendStream;
use super::lease;
use super::terms::Terms;
use crate::net::{Buffer, Timer};
use crate::upstream::Connection as Upstream;

/// What carries a request to its backend, and the response back.
pub(super) enum Upward<'a> {
    /// A connection, and the buffer for what it brings.
    Connection(&'a mut Upstream, &'a mut Buffer),
    /// A stream that was opened with the request's head.
    Stream(&'a mut BackendStream),
}

impl<'a> Upward<'a> {
    /// Whether the backend can keep a request's body here, and answer meanwhile.
    pub(super) fn may_hold_back(&self) -> bool {
        matches!(self, Self::Stream(_))
    }

    /// Both directions, as they are read and written for the attempt.
    #[inline]
    pub(super) fn open(
        self,
        terms: Terms<'a>,
        timer: &'a Timer,
        up: &'a mut Vec<u8>,
        duplex: &'a Duplex,
    ) -> (MessageReader<'a>, MessageSink<'a>) {
        match self {
            Self::Connection(connection, buffer) => {
                let (reader, sink) = lease::open(terms, timer, connection, buffer, up, duplex);
                (MessageReader::H1(reader), sink)
            }
            Self::Stream(stream) => {
                let (reader, sink) = stream.split(terms, timer, duplex);
                (MessageReader::H2(reader), sink)
            }
        }
    }
}
