//! The request up on a connection to a backend, the response down, and what their ends mean.

use std::pin::pin;
use std::time::Duration;

use http::Method;

use super::body::{
    BodyParts, BodySource, Duplex, MessageReader, MessageSink, Pace, Progress, SILENCE, Stage,
    TransferEnd, Waits, join, upload,
};
use super::boxed::boxed;
use super::context::{RequestContext, Target};
use super::download::Download;
use super::end::{ExchangeEnd, LEFT, refused};
use super::exchange::{Attempted, Exchange};
use super::refusal::Refusal;
use super::slow::{Holder, Holding};
use super::switched::Backend;
use super::upward::Upward;
use crate::config::Timeouts;
use crate::message::{BodyLength, Edited, Fields, Version, announce};
use crate::net::{Buffer, IoEnd};
use crate::upstream::{Connection as Upstream, Lease, WorkerEndpoint};

/// What is decided about an exchange before its first byte is sent.
pub(super) struct Plan {
    /// The length of the body, if all of it is there and none of it was sent before.
    pub in_hand: Option<usize>,
    /// Whether the client's connection may carry another request.
    keep_alive: bool,
    /// Whether the backend is passed the client's expectation.
    expects: bool,
}

/// A request on its way up.
struct Request<'a> {
    /// Where its body comes from.
    client: MessageReader<'a>,
    /// Where it goes.
    sink: MessageSink<'a>,
    /// How far its body has come, unless all of it is in hand.
    progress: Option<&'a mut Progress>,
    trailers: &'a mut Fields,
    /// What policies have edited in its head.
    edited: &'a Edited,
    pace: &'a Pace,
}

impl<'a> Request<'a> {
    /// The rest of its body, and where it goes.
    fn with_body<'b>(
        &'b mut self,
        progress: &'b mut Progress,
        duplex: &'b Duplex,
        timeouts: &'b Timeouts,
    ) -> (BodySource<'b, 'a>, &'b mut MessageSink<'a>) {
        if matches!(self.client, MessageReader::H2(_)) {
            self.sink.collect();
        }
        let body = self.client.body(BodyParts {
            progress,
            trailers: self.trailers,
            edited: self.edited,
            duplex,
            waits: Waits::ForClient {
                pace: self.pace,
                timeouts,
                reads_by: None,
            },
        });
        (body, &mut self.sink)
    }
}

impl Exchange<'_> {
    /// Sends the request on a connection and the response back.
    pub(super) async fn forward(
        &mut self,
        to: Target<'_>,
        mut lease: Lease<'_>,
        mut connection: Upstream,
    ) -> Attempted {
        let (worker, pool) = (to.context.worker, lease.pool());
        lease.begin();
        let _hold = Holding::begin(&worker.holds, self.holder(), pool, to.endpoint);
        let waited = self.client.timer().moved.waited.get();
        let (plan, duplex) = self.plan(to);
        if plan.in_hand.is_none() {
            lease.is_paced();
        }
        let mut buffer = Buffer::default();
        let upward = Upward::Connection(&mut connection, &mut buffer);
        let end = self.converse(to, upward, &plan, &duplex).await;
        if matches!(end, ExchangeEnd::Switched) {
            self.settle(to.endpoint, &plan, &duplex);
            return self.switched(lease, Backend::Connection(connection), buffer);
        }
        worker.buffers.take_back(buffer);
        let known = self.circumstances(worker, connection.is_reused(), &duplex, waited);
        let outcome = self.outcome(to, &end, known);
        let reported = self.reported(to, outcome);
        lease.finish(reported, &mut self.doubt, self.scratch.head.client);
        if end.is_reusable() {
            connection.keep(worker.timers.now(), pool.topology.max_idle);
        }
        self.settle(to.endpoint, &plan, &duplex);
        let uploaded = duplex.stage() == Stage::Whole;
        self.ended(end, duplex.status(), uploaded, outcome)
    }

    fn holder(&self) -> Holder<'_> {
        Holder {
            timer: self.client.timer(),
            client: self.scratch.head.client,
            timeouts: self.timeouts,
            slow_place: self.slow_place,
        }
    }

    /// Settles how the request is sent.
    pub(super) fn plan(&mut self, to: Target<'_>) -> (Plan, Duplex) {
        let in_hand = self.body_in_hand().filter(|_| self.progress.is_none());
        let length = self.facts.body;
        self.outcome.passed_whole |= in_hand.is_some();
        if in_hand.is_none() && self.progress.is_none() {
            let policy = to.tries.policy;
            // What a stream was sent may be refused unprocessed, whatever the method.
            let keep = self.may_repeat() || to.endpoint.has_streams();
            self.begin_body(to.context, keep.then_some(policy.buffer));
        }
        let awaits = self.facts.notes.expect_continue;
        let expects = awaits
            && !to.endpoint.ignores_expectations.get()
            // In HTTP/2 a backend that does not want a body ends the stream, which costs nothing.
            && !to.endpoint.has_streams()
            && !matches!(length, BodyLength::None | BodyLength::Known(0));
        let stage = match in_hand {
            Some(_) => Stage::Whole,
            None if awaits && self.client.awaits_body() => Stage::Awaited,
            None => Stage::Partly,
        };
        let plan = Plan {
            in_hand,
            keep_alive: self.keep_alive(),
            expects,
        };
        let duplex = Duplex::new(stage, expects);
        if !self.may_resend() {
            duplex.forget();
        }
        (plan, duplex)
    }

    /// From now on the body is read piece by piece, and so much of it kept, or
    /// more for a copy.
    pub(super) fn begin_body(&mut self, context: RequestContext<'_>, room: Option<usize>) {
        let global = context.view.settings.limits.body_bytes;
        let most = context.rule.body_bytes.unwrap_or(global);
        let room = room.max(self.copied_body.as_ref().map(|copied| copied.most));
        self.progress = Some(self.client.progress(self.facts.body, room, most));
        let fields = &mut self.scratch.head.fields;
        self.edited = fields.edited().clone();
        if !self.edited.is_empty() {
            announce(fields);
        }
        // Once: another attempt may be sent the trailers that have come by then.
        let spelling = context.rule.preserve_case;
        self.scratch.request_trailers.keep_spelling(spelling);
    }

    /// Sends the head, and the body while the response's head is awaited; then the response.
    #[inline]
    pub(super) async fn converse(
        &mut self,
        to: Target<'_>,
        upward: Upward<'_>,
        plan: &Plan,
        duplex: &Duplex,
    ) -> ExchangeEnd {
        let timeouts = to.context.timeouts;
        let patience = to.tries.patience(timeouts);
        let held_back = upward.may_hold_back() && plan.in_hand != Some(0);
        let (mut request, mut download) = self.directions(to, upward, plan, duplex);
        let Some(progress) = request.progress.take() else {
            if held_back {
                return boxed(|| at_once(&mut request.sink, &mut download, patience)).await;
            }
            let sent = {
                // Pinned here: a future that is handed on is stored again by each that holds it.
                let sent = pin!(request.sink.finish());
                download.while_there(sent).await
            };
            return match sent {
                Some(Err(IoEnd::TimedOut)) => refused(Refusal::ResponseTimeout),
                // A backend that takes no more may have sent a reason: its answer is still read.
                Some(_) => {
                    download.await_head(patience);
                    download.run().await
                }
                None => LEFT,
            };
        };
        if duplex.stage() == Stage::Awaited {
            // A backend that knows no expectations is not waited for.
            download.await_head(SILENCE * u32::from(plan.expects));
        }
        // In a box: most requests have no body on its way and should not hold the room for one.
        let both = boxed(|| async {
            let (body, sink) = request.with_body(progress, duplex, timeouts);
            join(upload(body, sink, duplex, patience), download.run()).await
        });
        both.await.unwrap_or_else(ExchangeEnd::Upload)
    }

    /// The way down for a response to a request that was sent already.
    pub(super) fn download<'a>(
        &'a mut self,
        to: Target<'a>,
        upward: Upward<'a>,
        plan: &Plan,
        duplex: &'a Duplex,
    ) -> Download<'a> {
        let (_, download) = self.directions(to, upward, plan, duplex);
        download
    }

    /// Opens both directions. The head and the buffered part of the body are sent first.
    fn directions<'a>(
        &'a mut self,
        to: Target<'a>,
        upward: Upward<'a>,
        plan: &Plan,
        duplex: &'a Duplex,
    ) -> (Request<'a>, Download<'a>) {
        let (terms, scratch) = (to.context.terms(), &mut *self.scratch);
        scratch.expect_response(to.context.rule.preserve_case);
        let (from_client, to_client) = self.client.open(terms, &mut scratch.out, duplex);
        let (timer, up) = (from_client.timer(), &mut scratch.up);
        let (upstream, mut sink) = upward.open(terms, timer, up, duplex);
        let length = upstream_length(self.facts.body, &scratch.head.method);
        sink.request(&scratch.head, length, &to.endpoint.name, plan.expects);
        sink.add(match &self.progress {
            Some(progress) => progress.kept(),
            None => &from_client.filled()[..plan.in_hand.unwrap_or_default()],
        });
        let request = Request {
            client: from_client,
            sink,
            progress: self.progress.as_mut(),
            trailers: &mut scratch.request_trailers,
            edited: &self.edited,
            pace: &self.pace,
        };
        let download = Download {
            upstream,
            client: to_client,
            head: &mut scratch.head,
            response: &mut scratch.response,
            trailers: &mut scratch.response_trailers,
            to,
            keep_alive: plan.keep_alive,
            duplex,
        };
        (request, download)
    }

    /// What an exchange leaves behind for the next attempt, or the next request.
    pub(super) fn settle(&mut self, endpoint: &WorkerEndpoint, plan: &Plan, duplex: &Duplex) {
        self.outcome.response_bytes = duplex.content.get();
        if duplex.is_answered()
            && let Some(n) = plan.in_hand
        {
            self.client.consume(n);
        }
        if self.facts.notes.expect_continue {
            if duplex.is_answered() {
                let version = self.scratch.response.version;
                endpoint
                    .ignores_expectations
                    .set(version == Version::Http10);
            }
            // A client is asked for its body once.
            self.facts.notes.expect_continue =
                plan.in_hand.is_some() || duplex.stage() == Stage::Awaited;
        }
    }
}

/// Sends a body that is all in hand, and reads the response meanwhile: the windows of a stream may
/// stay closed until the backend has answered.
async fn at_once(
    sink: &mut MessageSink<'_>,
    download: &mut Download<'_>,
    patience: Duration,
) -> ExchangeEnd {
    download.await_head(patience);
    let sent = async { sink.finish().await.map_err(TransferEnd::from) };
    let both = join(sent, download.run()).await;
    both.unwrap_or_else(ExchangeEnd::Upload)
}

/// A request that could have a body says that it has none (RFC 9110 section 8.6).
pub(super) fn upstream_length(length: BodyLength, method: &Method) -> BodyLength {
    match length {
        BodyLength::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            BodyLength::Known(0)
        }
        length => length,
    }
}
