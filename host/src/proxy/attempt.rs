//! One attempt at one backend: a connection for it, and what it means if there is none.

use super::boxed::boxed;
use super::context::{RequestContext, Target};
use super::end::LEFT;
use super::exchange::{Attempted, Exchange};
use super::layer4::Layer4;
use super::presence::Presence;
use super::tries::Tries;
use super::worker::Worker;
use crate::config::HalfClose;
use crate::policy::ByteRange;
use crate::stats::RetryReason;
use crate::upstream::{AttemptOutcome, Carrier, Failure, Lease};

impl Exchange<'_> {
    /// Tries one endpoint. If a pooled connection turns out to have ended, which is no failure of
    /// the backend, it is tried again, once, and with a new connection: that is an attempt too, but
    /// one that every request may have.
    pub(super) async fn attempt(
        &mut self,
        context: RequestContext<'_>,
        mut lease: Lease<'_>,
        ranges: &[ByteRange],
        tries: &Tries<'_>,
    ) -> Attempted {
        let (worker, pool) = (context.worker, lease.pool());
        let to = Target::new(context, &lease, ranges, tries);
        self.name_backend(&lease);
        let mut _places = None;
        self.slow_place = self.waits_slowly(&lease, tries);
        if self.slow_place || pool.limits_requests {
            match Box::pin(self.places(worker, &lease, tries)).await {
                Some(Ok(places)) => _places = Some(places),
                none => return self.no_connection(lease, none.and_then(Result::err)),
            }
        }
        loop {
            let span = self.begin_span(to);
            let (reused, attempted) = self.sent_once(to, lease).await;
            self.end_span(context.state, span, &attempted);
            match attempted {
                Attempted::Failed(outcome) if reused && self.may_start_anew(outcome) => {
                    self.start_anew(worker, tries);
                    lease = pool.lease(to.position);
                }
                attempted => return attempted,
            }
        }
    }

    /// Sends it by one connection, pooled or new. Returns whether that had carried others, and what
    /// it came to.
    async fn sent_once(&mut self, to: Target<'_>, lease: Lease<'_>) -> (bool, Attempted) {
        let opened = self.opened(to.context.worker, &lease, to.tries).await;
        let upstream = match opened {
            Some(Ok(upstream)) => upstream,
            none => return (false, self.no_connection(lease, none.and_then(Result::err))),
        };
        if self.layer4.is_some() {
            return (false, self.passed_on(to, lease, upstream));
        }
        let reused = upstream.is_reused();
        let attempted = match upstream {
            Carrier::H1(connection) => self.forward(to, lease, connection).await,
            // In a box: it would be the largest part of every exchange.
            Carrier::H2(slot) => boxed(|| self.forward_by_stream(to, lease, slot)).await,
        };
        (reused, attempted)
    }

    /// For routes that send the name of the backend as the request's host.
    fn name_backend(&mut self, lease: &Lease<'_>) {
        let name = || lease.pool().authority(lease.position());
        self.scratch.head.name_backend(name);
    }

    /// Whether a request whose connection had carried others, and that ended in this way, begins
    /// again with the same backend: once.
    fn may_start_anew(&self, outcome: AttemptOutcome) -> bool {
        let may = match outcome {
            AttemptOutcome::Unprocessed => self.may_resend(),
            AttemptOutcome::Refused => false,
            outcome => outcome.failure() == Failure::Closed && self.may_repeat(),
        };
        may && !self.fresh
    }

    #[cold]
    fn start_anew(&mut self, worker: &Worker, tries: &Tries<'_>) {
        self.fresh = true;
        tries.sent.set(tries.sent.get() + 1);
        self.outcome.attempts = tries.sent.get();
        worker.shard.retried(RetryReason::Stale);
    }

    /// A connection, pooled or new; `None` if the client leaves while it is waited for.
    pub(super) async fn opened(
        &self,
        worker: &Worker,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Option<Result<Carrier, AttemptOutcome>> {
        if !self.may_connect(lease.endpoint()) {
            return Some(Err(AttemptOutcome::NoShare));
        }
        match self.pooled(worker, lease) {
            Some(pooled) => Some(Ok(pooled)),
            // In a box, because most requests find a connection and should not hold the room for
            // making one.
            None => {
                let opened = boxed(|| self.open(worker, lease, tries));
                self.presence().during(opened).await
            }
        }
    }

    /// The attempt ends before the request is sent; without an outcome it is the client that left.
    fn no_connection(&mut self, lease: Lease<'_>, outcome: Option<AttemptOutcome>) -> Attempted {
        let reported = outcome.unwrap_or(AttemptOutcome::ClientFailed);
        lease.finish(reported, &mut self.doubt, self.scratch.head.client);
        match outcome {
            Some(outcome) => Attempted::Failed(outcome),
            None => self.ended(LEFT, 0, false, reported),
        }
    }

    pub(super) fn presence(&self) -> Presence<'_> {
        let half_close = match self.layer4 {
            // Of bytes that are not read nobody knows whether more have to follow.
            Some(Layer4::Tcp) => HalfClose::Allow,
            _ => self.view.settings.limits.half_close,
        };
        let read_whole = self.body_in_hand().is_some();
        self.client.presence(half_close, read_whole)
    }
}
