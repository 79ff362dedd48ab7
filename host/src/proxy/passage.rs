//! What becomes of a response's body on its way to the client.

use std::cell::Cell;

use super::body::{BodySource, Compressed, Cut, Encode, MessageSink, Sliced, TransferEnd, copy};
use crate::stats::CompressionShard;

/// What becomes of a body on its way.
pub(super) enum Passage {
    /// It is passed on as it comes.
    Whole,
    /// The client gets parts of it.
    Parts(Cut),
    /// It is compressed.
    Encoded(Box<dyn Encode>),
}

impl Passage {
    /// Whether all of it is read.
    pub(super) fn reads_all(&self) -> bool {
        !matches!(self, Self::Parts(_))
    }

    /// Moves a body in this way. `passed` counts the bytes that the client got.
    pub(super) async fn take(
        self,
        source: &mut BodySource<'_, '_>,
        client: &mut MessageSink<'_>,
        passed: &Cell<u64>,
        compressed: &CompressionShard,
    ) -> Result<(), TransferEnd> {
        match self {
            Self::Whole => copy(source, client, passed).await,
            Self::Parts(cut) => copy(&mut Sliced::new(source, cut), client, passed).await,
            Self::Encoded(encoder) => {
                let mut body = Compressed::new(source, encoder, compressed);
                copy(&mut body, client, passed).await
            }
        }
    }
}
