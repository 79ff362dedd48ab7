//! Where messages come from, over each protocol.

use super::h1::{H1Body, Reader};
use super::h2::{H2Body, H2Reader};
use super::{BodySource, Duplex, Progress, Waits};
use crate::h1::Framing;
use crate::message::{Edited, Fields};
use crate::net::Timer;

/// The reading side of a client or a backend, over each protocol.
#[derive(Debug)]
pub(in crate::proxy) enum MessageReader<'a> {
    /// By HTTP/1.1.
    H1(Reader<'a>),
    /// By HTTP/2.
    H2(H2Reader<'a>),
}

/// What a body needs beside where it comes from.
#[derive(Debug)]
pub(in crate::proxy) struct BodyParts<'a> {
    /// How far it has come.
    pub progress: &'a mut Progress,
    /// Its trailers, once it has ended.
    pub trailers: &'a mut Fields,
    /// What policies have edited in the head, which trailers must not bring back.
    pub edited: &'a Edited,
    /// The other direction.
    pub duplex: &'a Duplex,
    /// What goes on while more is waited for.
    pub waits: Waits<'a>,
}

impl<'r> MessageReader<'r> {
    /// The body that is read here.
    pub(in crate::proxy) fn body<'a>(&'a mut self, parts: BodyParts<'a>) -> BodySource<'a, 'r> {
        let BodyParts {
            progress,
            trailers,
            edited,
            duplex,
            waits,
        } = parts;
        match self {
            Self::H1(from) => BodySource::H1(H1Body {
                from,
                progress,
                trailers,
                edited,
                duplex,
                waits,
            }),
            Self::H2(from) => BodySource::H2(H2Body {
                from,
                progress,
                trailers,
                edited,
                duplex,
                waits,
            }),
        }
    }

    /// The beginning of a response's body that is framed in this way.
    #[inline]
    pub(in crate::proxy) fn progress_of_response(&self, framing: Framing) -> Progress {
        match (self, framing) {
            (Self::H2(_), Framing::Length(n)) => Progress::of_announced(n),
            (Self::H2(_), Framing::Chunked | Framing::UntilClose) => Progress::of_stream(None, 0),
            _ => Progress::of_response(framing),
        }
    }

    /// The deadlines of its exchange.
    #[inline]
    pub(in crate::proxy) fn timer(&self) -> &'r Timer {
        match self {
            Self::H1(reader) => reader.read.timer,
            Self::H2(reader) => reader.timer,
        }
    }

    /// The bytes of the body that were read and not yet consumed.
    #[inline]
    pub(in crate::proxy) fn filled(&self) -> &[u8] {
        match self {
            Self::H1(reader) => reader.buffer.filled(),
            Self::H2(reader) => reader.from.filled(),
        }
    }
}
