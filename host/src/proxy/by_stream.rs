//! An attempt by HTTP/2: the request and its response on a stream.

use super::context::Target;
use super::end::{ExchangeEnd, refused};
use super::exchange::{Attempted, Exchange};
use super::forward::{Plan, upstream_length};
use super::h2::BackendStream;
use super::refusal::Refusal;
use super::switched::Backend;
use super::upward::Upward;
use crate::h2::{self, RequestExtras};
use crate::message::BodyLength;
use crate::net::Buffer;
use crate::proxy::body::Stage;
use crate::upstream::{Lease, Slot};

impl Exchange<'_> {
    /// Sends the request on a stream and the response back.
    pub(super) async fn forward_by_stream(
        &mut self,
        to: Target<'_>,
        mut lease: Lease<'_>,
        slot: Slot,
    ) -> Attempted {
        lease.begin();
        let (waited, reused) = (self.client.timer().moved.waited.get(), slot.reused);
        let (plan, duplex) = self.plan(to);
        if plan.in_hand.is_none() {
            lease.is_paced();
        }
        let end = match self.open_to_backend(to, slot, &plan) {
            Ok(mut stream) => {
                let upward = Upward::Stream(&mut stream);
                let end = self.converse(to, upward, &plan, &duplex).await;
                if matches!(end, ExchangeEnd::Switched) {
                    self.settle(to.endpoint, &plan, &duplex);
                    return self.switched(lease, Backend::Stream(stream), Buffer::default());
                }
                end
            }
            Err(end) => end,
        };
        let known = self.circumstances(to.context.worker, reused, &duplex, waited);
        let outcome = self.outcome(to, &end, known);
        let reported = self.reported(to, outcome);
        lease.finish(reported, &mut self.doubt, self.scratch.head.client);
        self.settle(to.endpoint, &plan, &duplex);
        let uploaded = duplex.stage() == Stage::Whole;
        self.ended(end, duplex.status(), uploaded, outcome)
    }

    /// Opens a stream with the request's head.
    fn open_to_backend(
        &mut self,
        to: Target<'_>,
        slot: Slot,
        plan: &Plan,
    ) -> Result<BackendStream, ExchangeEnd> {
        let upgrade = &mut self.scratch.head.upgrade;
        upgrade.ask_by_stream(slot.takes_connect());
        let connects = upgrade.asks_by_connect();
        if upgrade.is_connect() && !connects {
            return Err(refused(Refusal::NoWebSocket));
        }
        let head = &self.scratch.head;
        let extras = RequestExtras {
            length: match upstream_length(self.facts.body, &head.method) {
                BodyLength::Known(n) => Some(n),
                BodyLength::None | BodyLength::Unknown => None,
            },
            host: &to.endpoint.name,
            is_secure: to.endpoint.is_secure(),
        };
        let head = h2::request(head, extras).map_err(|e| refused(Refusal::Malformed(e)))?;
        let opened = match connects {
            true => BackendStream::connect(slot, head),
            false => BackendStream::open(slot, head, plan.in_hand == Some(0)),
        };
        opened.map_err(|_| ExchangeEnd::Unprocessed)
    }
}
