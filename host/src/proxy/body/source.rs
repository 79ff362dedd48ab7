//! Where a body comes from, over each protocol.

use super::h1::H1Body;
use super::h2::H2Body;
use super::{MessageSink, Pieces, Ready, TransferEnd};
use crate::message::Fields;

/// A body on its way in, over each protocol.
#[derive(Debug)]
pub(in crate::proxy) enum BodySource<'a, 'r> {
    /// By HTTP/1.1.
    H1(H1Body<'a, 'r>),
    /// By HTTP/2.
    H2(H2Body<'a, 'r>),
}

impl BodySource<'_, '_> {
    /// Whether the sender has announced more than has come.
    pub(in crate::proxy) fn owes(&self) -> bool {
        match self {
            Self::H1(body) => body.owes(),
            Self::H2(body) => body.owes(),
        }
    }

    /// Whether there are no more bytes from the sender after those that were read.
    pub(in crate::proxy) fn is_drained(&self) -> bool {
        match self {
            Self::H1(body) => body.is_drained(),
            Self::H2(body) => body.is_drained(),
        }
    }

    /// Gives back the room for what is read next, if nothing is there: the body was read whole.
    pub(in crate::proxy) fn rest(&mut self) {
        if let Self::H1(body) = self {
            body.rest();
        }
    }

    /// Reads on and discards, until the sender ends or is silent for too long.
    pub(in crate::proxy) async fn read_on(&mut self) {
        match self {
            Self::H1(body) => body.read_on().await,
            Self::H2(body) => body.read_on().await,
        }
    }
}

impl Pieces for BodySource<'_, '_> {
    #[inline]
    fn ready(&mut self) -> Result<Ready, TransferEnd> {
        match self {
            Self::H1(body) => body.ready(),
            Self::H2(body) => body.ready(),
        }
    }

    #[inline]
    fn content(&self, n: usize) -> &[u8] {
        match self {
            Self::H1(body) => body.content(n),
            Self::H2(body) => body.content(n),
        }
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        match self {
            Self::H1(body) => body.consume(n),
            Self::H2(body) => body.consume(n),
        }
    }

    #[inline]
    async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        match self {
            Self::H1(body) => body.fill(sink).await,
            Self::H2(body) => body.fill(sink).await,
        }
    }

    fn trailers(&mut self) -> &Fields {
        match self {
            Self::H1(body) => body.trailers(),
            Self::H2(body) => body.trailers(),
        }
    }
}
