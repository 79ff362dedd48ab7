//! One attempt at one backend: a connection, the request up, the response down, and what their ends
//! mean.

use std::cell::Cell;
use std::time::{Duration, Instant};

use http::Method;

use super::blame::{self, Circumstances};
use super::connection::{Connection, Scratch, Then, client_read, client_write};
use super::context::RequestContext;
use super::download::{Download, End, LEFT};
use super::exchange::Exchange;
use super::interim::SILENCE;
use super::join::join;
use super::presence::Presence;
use super::refusal::{LocalReply, Refusal};
use super::slow::Holding;
use super::upload::{Progress, Sent, Stage, Upload, UploadEnd};
use super::worker::Worker;
use crate::h1::{Framing, write_expectation, write_request_head};
use crate::message::{RequestHead, Version};
use crate::net::{IoEnd, TimedIo, Timer, Wait};
use crate::policy::ByteRange;
use crate::stats::Counter;
use crate::upstream::{
    AttemptOutcome, Connection as Upstream, FailedAttempt, Failure, Lease, WorkerEndpoint,
};

/// What an attempt came to.
pub(super) enum Attempted {
    /// The client has its answer, or never will.
    Ended(Then),
    /// It failed before the backend answered.
    Failed(AttemptOutcome),
    /// The client gets this answer.
    Local(LocalReply, AttemptOutcome),
}

impl Exchange<'_> {
    /// Tries one backend. A pooled connection that had ended in the meantime costs the request
    /// nothing, once: what is sent after that goes over new connections.
    pub(super) async fn attempt(
        &mut self,
        context: RequestContext<'_>,
        mut lease: Lease<'_>,
        ranges: &[ByteRange],
        failed: &[FailedAttempt],
    ) -> Attempted {
        let worker = context.worker;
        let (pool, backend) = (lease.pool(), lease.position());
        let mut _slow_place = None;
        self.slow_place = self.waits_slowly(&lease, failed);
        if self.slow_place {
            let place = self.presence().during(self.slow_place(worker, &lease));
            match Box::pin(place).await {
                Some(Ok(place)) => _slow_place = place,
                Some(Err(outcome)) => return self.no_connection(lease, outcome),
                None => return self.client_left(lease),
            }
        }
        loop {
            let upstream = match self.pooled(worker, &lease) {
                Some(upstream) => upstream,
                // In a box, because most requests find a connection and should not hold the room
                // for making one.
                None => match Box::pin(self.presence().during(self.open(worker, &lease, failed)))
                    .await
                {
                    Some(Ok(upstream)) => upstream,
                    Some(Err(outcome)) => return self.no_connection(lease, outcome),
                    None => return self.client_left(lease),
                },
            };
            let reused = upstream.reused;
            match self.forward(context, lease, upstream, ranges).await {
                Attempted::Failed(outcome)
                    if outcome.failure() == Failure::Closed && reused && self.may_repeat() =>
                {
                    self.fresh = true;
                    lease = pool.lease(backend);
                }
                attempted => return attempted,
            }
        }
    }

    /// The attempt ends before the request is sent.
    fn no_connection(&mut self, lease: Lease<'_>, outcome: AttemptOutcome) -> Attempted {
        lease.finish(outcome, &mut self.doubt, self.scratch.head.client);
        Attempted::Failed(outcome)
    }

    /// The client leaves before there is a response.
    fn client_left(&mut self, lease: Lease<'_>) -> Attempted {
        let outcome = AttemptOutcome::ClientFailed;
        lease.finish(outcome, &mut self.doubt, self.scratch.head.client);
        self.ended(Ok(LEFT), 0, false, outcome)
    }

    pub(super) fn presence(&self) -> Presence<'_> {
        let read_whole = self.body_in_hand().is_some();
        let Connection {
            worker,
            stream,
            timer,
            ..
        } = &*self.connection;
        let half_close = worker.settings.limits.half_close;
        Presence {
            socket: stream.socket(),
            timers: &worker.timers,
            timer,
            half_close,
            read_whole,
        }
    }

    /// Sends the request on a connection and the response back.
    async fn forward(
        &mut self,
        context: RequestContext<'_>,
        mut lease: Lease<'_>,
        mut connection: Upstream,
        ranges: &[ByteRange],
    ) -> Attempted {
        let worker = context.worker;
        let (pool, backend) = (lease.pool(), lease.endpoint());
        lease.begin();
        let _hold = Holding::begin(self, worker, pool, backend);
        let in_hand = self.body_in_hand().filter(|_| self.progress.is_none());
        let keep_alive = self.keep_alive();
        let framing = self.meta.framing;
        if in_hand.is_none() && self.progress.is_none() {
            let edited = self.scratch.head.fields.edited();
            self.progress = Some(Progress::new(framing, self.may_repeat(), edited));
        }
        let expects = self.meta.notes.expect_continue;
        let progress = &mut self.progress;
        let Scratch {
            head,
            response,
            out,
            up,
            request_trailers,
            response_trailers,
        } = &mut *self.scratch;
        let Connection {
            stream,
            timer,
            input,
            ..
        } = &mut *self.connection;
        out.clear();
        up.clear();
        for fields in [&mut response.fields, request_trailers, response_trailers] {
            fields.keep_spelling(context.rule.preserve_case);
        }
        write_request_head(
            head,
            upstream_framing(framing, &head.method),
            &backend.name,
            up,
        );
        let passed_on = expects && expect(framing, backend, head, up);
        if let Some(progress) = progress {
            up.extend_from_slice(progress.sent());
        }
        let mut buffer = worker.buffers.small();
        let stage = match in_hand {
            Some(_) => Stage::Whole,
            None if expects && input.is_empty() => Stage::Awaited,
            None => Stage::Partly,
        };
        let (uploaded, status, pace) = (
            Cell::new(Sent::new(stage, passed_on)),
            Cell::new(0),
            &self.pace,
        );
        let (client_in, client_out) = stream.split();
        let (upstream_in, upstream_out) = connection.stream.split();
        let client = client_write(worker, timer, client_out);
        let mut upstream = upstream_write(worker, timer, upstream_out);
        let (sent, waited) = (Instant::now(), timer.moved.waited.get());

        let mut early = None;
        if let Some(n) = in_hand {
            up.extend_from_slice(&input.filled()[..n]);
            let presence = Presence::of(worker, &client, true);
            let Some(flushed) = presence.during(upstream.flush(up)).await else {
                return self.client_left(lease);
            };
            // A backend that takes no more may have said why: its answer is read all the same.
            early = flushed.err().filter(|end| matches!(end, IoEnd::TimedOut));
            worker
                .timers
                .arm(timer, Wait::UpstreamRead, worker.settings.timeouts.response);
        } else if stage == Stage::Awaited {
            // A backend that knows no expectations is not waited for.
            worker.timers.arm(
                timer,
                Wait::UpstreamRead,
                if passed_on { SILENCE } else { Duration::ZERO },
            );
        }
        let download = Download {
            upstream: upstream_read(worker, timer, upstream_in),
            buffer: &mut buffer,
            client,
            out,
            head,
            response,
            trailers: response_trailers,
            context,
            backend,
            index: lease.position(),
            ranges,
            keep_alive,
            uploaded: &uploaded,
            status: &status,
            sent,
            announced: 0,
            to: Framing::None,
        };
        let end = match (early, progress) {
            (Some(_), _) => Ok(End::Local(LocalReply::Refusal(Refusal::ResponseTimeout))),
            (None, None) => Ok(download.run().await),
            (None, Some(progress)) => {
                let upload = Upload {
                    progress,
                    pace,
                    client: client_read(worker, timer, client_in),
                    input,
                    upstream,
                    up,
                    buffers: &worker.buffers,
                    trailers: request_trailers,
                    limits: worker.head_limits,
                    body_limit: worker.settings.limits.body_bytes,
                    timeouts: &worker.settings.timeouts,
                    sent: &uploaded,
                    answered: &status,
                    reads_by: None,
                };
                // In a box: most requests have no body on its way and should not hold the room for
                // one.
                Box::pin(join(upload.run(), download.run())).await
            }
        };
        timer.disarm(Wait::UpstreamRead);
        worker.buffers.take_back(buffer);
        let uploaded = uploaded.get();
        let slow_to_send = uploaded.stage == Stage::Partly && pace.is_slow(worker.timers.now());
        let slow_client = slow_to_send || blame::is_slow_reader(timer.moved.waited.get() - waited);
        pace.go_on(worker.timers.now());
        let known = Circumstances {
            reused: connection.reused,
            answered: status.get() != 0,
            slow_client,
        };
        let outcome = blame::outcome(&end, known);
        lease.finish(outcome, &mut self.doubt, self.scratch.head.client);
        if matches!(end, Ok(End::Complete { reusable: true, .. })) {
            connection.keep(worker.timers.now(), pool.topology.max_idle);
        }
        if status.get() != 0
            && let Some(n) = in_hand
        {
            self.connection.input.consume(n);
        }
        if expects {
            backend
                .ignores_expectations
                .set(status.get() != 0 && self.scratch.response.version == Version::Http10);
            // A client is asked for its body once.
            self.meta.notes.expect_continue = in_hand.is_some() || uploaded.stage == Stage::Awaited;
        }
        self.ended(end, status.get(), uploaded.stage == Stage::Whole, outcome)
    }

    /// What the end of both directions means for the request.
    fn ended(
        &mut self,
        end: Result<End, UploadEnd>,
        status: u16,
        uploaded: bool,
        outcome: AttemptOutcome,
    ) -> Attempted {
        self.record.status = status;
        let refusal = match self.broken_off(end, status) {
            Ok(End::Complete {
                keep_alive: true, ..
            }) => return Attempted::Ended(Then::Next),
            // Nothing is unread if the request's end was seen and nothing came after it.
            Ok(End::Complete { .. }) if uploaded && !self.connection.has_unread() => {
                return Attempted::Ended(Then::Finish);
            }
            Ok(End::Complete { .. }) => return Attempted::Ended(Then::Close),
            Ok(End::Closed) => return Attempted::Failed(outcome),
            Ok(End::Local(local)) => return Attempted::Local(local, outcome),
            Ok(End::Broken {
                reason, delimited, ..
            }) => {
                self.record.broken = true;
                return self.unfinished(reason, if delimited { Then::Finish } else { Then::Abort });
            }
            Ok(End::ClientGone(reason)) => return self.unfinished(reason, Then::Abort),
            Err(UploadEnd::ClientGone) => {
                return self.unfinished(
                    "the client closed the connection within its request",
                    Then::Abort,
                );
            }
            Err(UploadEnd::ClientTimedOut) => Refusal::RequestTimeout,
            Err(UploadEnd::ClientBrokenOff) => Refusal::SlowClient,
            Err(UploadEnd::Malformed(reason)) => Refusal::Malformed(reason),
            Err(UploadEnd::TooLarge) => Refusal::BodyTooLarge,
            Err(UploadEnd::BackendTimedOut | UploadEnd::BackendGone | UploadEnd::Complete) => {
                Refusal::ResponseTimeout
            }
        };
        if status != 0 {
            // The answer has begun: all that is left is to show that it is not whole.
            return self.unfinished(&refusal.reason(), Then::Abort);
        }
        Attempted::Local(LocalReply::Refusal(refusal), outcome)
    }

    fn unfinished(&mut self, reason: &str, then: Then) -> Attempted {
        self.record.reason = Some(reason.to_owned());
        Attempted::Ended(then)
    }
}

/// Passes an expectation on to the backend, in the head that was written, and tells whether it did.
#[cold]
fn expect(
    framing: Framing,
    backend: &WorkerEndpoint,
    head: &RequestHead,
    up: &mut Vec<u8>,
) -> bool {
    let passes = !backend.ignores_expectations.get()
        && !matches!(framing, Framing::None | Framing::Length(0));
    if passes {
        write_expectation(head.fields.writes_spelling(), up);
    }
    passes
}

/// A request that could have a body says that it has none (RFC 9110 section 8.6).
fn upstream_framing(framing: Framing, method: &Method) -> Framing {
    match framing {
        Framing::None if matches!(*method, Method::POST | Method::PUT | Method::PATCH) => {
            Framing::Length(0)
        }
        framing => framing,
    }
}

fn upstream_read<'a, H>(worker: &'a Worker, timer: &'a Timer, half: H) -> TimedIo<'a, H> {
    upstream_half(
        worker,
        timer,
        half,
        Wait::UpstreamRead,
        &worker.shard.bytes_from_backends,
    )
}

fn upstream_write<'a, H>(worker: &'a Worker, timer: &'a Timer, half: H) -> TimedIo<'a, H> {
    upstream_half(
        worker,
        timer,
        half,
        Wait::UpstreamWrite,
        &worker.shard.bytes_to_backends,
    )
}

fn upstream_half<'a, H>(
    worker: &'a Worker,
    timer: &'a Timer,
    half: H,
    wait: Wait,
    bytes: &'a Counter,
) -> TimedIo<'a, H> {
    TimedIo {
        half,
        timers: &worker.timers,
        timer,
        wait,
        patience: worker.settings.timeouts.response,
        bytes,
    }
}
