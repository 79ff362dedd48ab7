//! A stream to a backend: what carries one attempt.

use http::Request;

use super::{Incoming, Outgoing};
use crate::upstream::Slot;

/// A stream to a backend. Dropped before it has ended on both sides, it is reset, and the backend
/// may stop its work.
#[derive(Debug)]
pub(in crate::proxy) struct BackendStream {
    slot: Option<Slot>,
    pub(super) incoming: Incoming,
    pub(super) outgoing: Outgoing,
}

impl BackendStream {
    /// Opens a stream with the head of a request, which may be all of it.
    ///
    /// # Errors
    ///
    /// The connection takes no more requests: the backend has seen nothing of this one.
    pub(in crate::proxy) fn open(
        slot: Slot,
        head: Request<()>,
        is_end: bool,
    ) -> Result<Self, h2::Error> {
        let (response, stream) = slot.open(head, is_end)?;
        Ok(Self {
            incoming: Incoming::response(response, slot.traffic()),
            slot: Some(slot),
            outgoing: Outgoing::request(stream, is_end),
        })
    }

    /// Opens a stream with an extended CONNECT: it stays open beyond its response.
    ///
    /// # Errors
    ///
    /// As of [`Self::open`].
    pub(in crate::proxy) fn connect(slot: Slot, head: Request<()>) -> Result<Self, h2::Error> {
        let (response, stream) = slot.open(head, false)?;
        Ok(Self {
            incoming: Incoming::response(response, slot.traffic()),
            slot: Some(slot),
            outgoing: Outgoing::held(stream),
        })
    }

    /// Its two ends, after the change of protocol.
    pub(in crate::proxy) fn ends(&mut self) -> (&mut Incoming, &Outgoing) {
        self.outgoing.go_on();
        (&mut self.incoming, &self.outgoing)
    }
}

impl Drop for BackendStream {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        self.outgoing.go_on();
        if !self.incoming.is_at_end() || !self.outgoing.is_ended() {
            let left = (self.incoming.take(), self.outgoing.take());
            slot.abandon(Box::new(left));
        }
    }
}
