//! The two directions of a stream to a backend, as an attempt reads and writes them.

use bytes::Bytes;

use super::BackendStream;
use crate::net::{Timer, Wait};
use crate::proxy::body::{Duplex, H2Reader, H2Sink, MessageSink};
use crate::proxy::settings::RESPONSE_LIMITS;
use crate::proxy::terms::Terms;

impl BackendStream {
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
