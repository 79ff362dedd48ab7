//! A stream to a backend: what carries one attempt.

use bytes::Bytes;
use http::Request;

use super::{Incoming, Outgoing};
use crate::net::{Timer, Wait};
use crate::proxy::body::{Duplex, H2Reader, H2Sink, MessageSink};
use crate::proxy::settings::RESPONSE_LIMITS;
use crate::proxy::terms::Terms;
use crate::upstream::Slot;

/// A stream to a backend. Dropped before it has ended on both sides, it is reset, and the backend
/// may stop its work.
#[derive(Debug)]
pub(in crate::proxy) struct BackendStream {
    slot: Option<Slot>,
    incoming: Incoming,
    outgoing: Outgoing,
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

    /// Both directions, as they are read and written for the attempt.
    pub(in crate::proxy) fn split<'a>(
        &'a mut self,
        terms: Terms<'a>,
        timer: &'a Timer,
        duplex: &'a Duplex,
    ) -> (H2Reader<'a>, MessageSink<'a>) {
        let (timers, patience) = (&terms.worker.timers, terms.timeouts.response);
        let reader = H2Reader {
            from: &mut self.incoming,
            timers,
            timer,
            wait: Wait::UpstreamRead,
            patience,
            limits: RESPONSE_LIMITS,
        };
        let sink = H2Sink {
            to: &self.outgoing,
            timers,
            timer,
            wait: Wait::UpstreamWrite,
            patience,
            duplex,
            head: None,
            held: Bytes::new(),
        };
        (reader, MessageSink::H2(sink))
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
