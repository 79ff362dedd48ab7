//! Where the pieces of a body come from.

use super::h1::H1Body;
use super::{MessageSink, TransferEnd};
use crate::message::Fields;

/// What of a body is there without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ready {
    /// This many bytes of content, at least 1.
    Content(usize),
    /// Nothing yet.
    Nothing,
    /// The body has ended.
    End,
}

/// A body that is shown piece by piece.
pub trait Pieces {
    /// The available part. It stays the same until it is consumed.
    fn ready(&mut self) -> Result<Ready, TransferEnd>;

    /// The first of the available bytes.
    fn content(&self, n: usize) -> &[u8];

    /// This many of the available bytes have been passed on.
    fn consume(&mut self, n: usize);

    /// Waits for more. `sink` is where the body goes.
    async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd>;

    /// The trailers of a body that has ended, as far as they may be passed on.
    fn trailers(&mut self) -> &Fields;
}

/// A body on its way in, over each protocol.
#[derive(Debug)]
pub enum BodySource<'a, 'r> {
    /// By HTTP/1.1.
    H1(H1Body<'a, 'r>),
}

impl Ready {
    #[inline]
    pub(super) fn of(n: usize) -> Self {
        match n {
            0 => Self::Nothing,
            n => Self::Content(n),
        }
    }
}

impl BodySource<'_, '_> {
    /// Whether the sender has announced more than has come.
    pub fn owes(&self) -> bool {
        match self {
            Self::H1(body) => body.owes(),
        }
    }

    /// Whether there are no more bytes from the sender after those that were read.
    pub fn is_drained(&self) -> bool {
        match self {
            Self::H1(body) => body.is_drained(),
        }
    }

    /// Reads on and discards, until the sender ends or is silent for too long.
    pub async fn read_on(&mut self) {
        match self {
            Self::H1(body) => body.read_on().await,
        }
    }
}

impl Pieces for BodySource<'_, '_> {
    #[inline]
    fn ready(&mut self) -> Result<Ready, TransferEnd> {
        match self {
            Self::H1(body) => body.ready(),
        }
    }

    #[inline]
    fn content(&self, n: usize) -> &[u8] {
        match self {
            Self::H1(body) => body.content(n),
        }
    }

    #[inline]
    fn consume(&mut self, n: usize) {
        match self {
            Self::H1(body) => body.consume(n),
        }
    }

    #[inline]
    async fn fill(&mut self, sink: &MessageSink<'_>) -> Result<(), TransferEnd> {
        match self {
            Self::H1(body) => body.fill(sink).await,
        }
    }

    fn trailers(&mut self) -> &Fields {
        match self {
            Self::H1(body) => body.trailers(),
        }
    }
}
