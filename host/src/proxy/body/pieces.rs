//! A body piece by piece, and why it may not get to its end.

use super::MessageSink;
use crate::message::{Fields, Malformed};
use crate::net::IoEnd;

/// What of a body is there without waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum Ready {
    /// This many bytes of content, at least 1.
    Content(usize),
    /// Nothing yet.
    Nothing,
    /// The body has ended.
    End,
}

/// A body that is shown piece by piece.
pub(in crate::proxy) trait Pieces {
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

/// Why a body was not moved to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::proxy) enum TransferEnd {
    /// The sender ended its side within the body.
    SourceEnded,
    /// The sender's connection failed.
    SourceFailed,
    /// The sender sent no byte for too long.
    SourceTimedOut,
    /// The same, while others waited for its connection.
    SourceBrokenOff,
    /// The sender's bytes are not a valid body.
    Malformed(Malformed),
    /// The body is larger than the limit.
    TooLarge,
    /// The client left while its backend was waited for.
    ClientLeft,
    /// The receiver's connection failed: it takes no more.
    SinkFailed,
    /// The receiver took no byte for too long.
    SinkTimedOut,
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

impl From<IoEnd> for TransferEnd {
    fn from(end: IoEnd) -> Self {
        match end {
            IoEnd::TimedOut => Self::SinkTimedOut,
            IoEnd::Failed => Self::SinkFailed,
        }
    }
}
