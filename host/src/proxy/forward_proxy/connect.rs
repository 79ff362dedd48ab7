//! `CONNECT`: a tunnel to the first address that takes a connection.

use std::rc::Rc;

use super::rules::ForwardRules;
use super::tunnels::TunnelPlace;
use crate::h1::{Framing, write_response_end, write_status_line};
use crate::message::BodyLength;
use crate::net::Buffer;
use crate::policy::Attempt;
use crate::proxy::client::Client;
use crate::proxy::conditions::no_place;
use crate::proxy::connection::Disposition;
use crate::proxy::context::RequestContext;
use crate::proxy::exchange::{Attempted, Exchange};
use crate::proxy::refusal::{ForwardRefusal, LocalReply, Refusal};
use crate::proxy::switched::Backend;
use crate::proxy::tries::Tries;
use crate::upstream::{
    AttemptOutcome, Carrier, Connection, FailedAttempt, Lease, RequestPlace, WorkerPool,
};

impl Exchange<'_> {
    /// Connects to a destination, and says so. What the client has sent behind its head is the
    /// tunnel's.
    pub(super) async fn open_tunnel(
        &mut self,
        context: RequestContext<'_>,
        rules: &ForwardRules,
        pool: &WorkerPool,
    ) -> Result<Disposition, Box<LocalReply>> {
        self.take_no_body()?;
        let (worker, client) = (context.worker, self.scratch.head.client);
        let tunnels = &worker.shared.tunnels;
        let place = tunnels.take(client, &rules.config, &worker.shard)?;
        // What lies in a pool has carried requests of others, and may be closed by now.
        self.fresh = true;
        let mut request = None;
        if pool.topology.requests.is_some() {
            match Box::pin(self.admitted(context, pool)).await {
                Ok(admitted) => request = admitted,
                Err(ended) => return ended,
            }
        }
        self.try_tunnels(context, pool, (request, place)).await
    }

    async fn try_tunnels(
        &mut self,
        context: RequestContext<'_>,
        pool: &WorkerPool,
        (request, place): (Option<RequestPlace>, TunnelPlace),
    ) -> Result<Disposition, Box<LocalReply>> {
        let mut failed: Vec<FailedAttempt> = Vec::new();
        let mut last = AttemptOutcome::ConnectFailed;
        let most = context.target.retry.attempts.max(1) as usize;
        for _ in 0..most.min(pool.endpoints.len()) {
            let attempt = Attempt {
                number: failed.len() as u32 + 1,
                failed: &failed,
            };
            let lease = pool.lease(context.select(&mut self.scratch.head, attempt)?);
            let position = lease.position();
            match self.tunnel_by(context, lease, pool, attempt).await {
                Some(Ok((lease, connection))) => {
                    // A client that reads that its tunnel is open may count on that.
                    drop(request);
                    return self.opened_tunnel(lease, connection, place).await;
                }
                Some(Err(outcome)) => last = outcome,
                None => return Ok(self.client_left()),
            }
            failed.push(FailedAttempt {
                backend: position,
                failure: last.failure(),
            });
        }
        Err(unreached(pool, last).into())
    }

    /// A connection for a tunnel, or why there is none; `None` if the client has left meanwhile.
    async fn tunnel_by<'l>(
        &mut self,
        context: RequestContext<'_>,
        lease: Lease<'l>,
        pool: &WorkerPool,
        attempt: Attempt<'_>,
    ) -> Option<Result<(Lease<'l>, Connection), AttemptOutcome>> {
        self.outcome.attempts = attempt.number;
        self.outcome.backend = Some(Rc::clone(lease.endpoint()));
        let retry = &context.target.retry;
        let tries = Tries::new(retry, pool, attempt.failed, attempt.number);
        let mut _place = None;
        if pool.limits_requests {
            match Box::pin(self.places(context.worker, &lease, &tries)).await {
                Some(Ok((place, _))) => _place = place,
                Some(Err(outcome)) => return self.no_tunnel(lease, outcome),
                None => return self.no_tunnel(lease, AttemptOutcome::ClientFailed),
            }
        }
        let outcome = match self.opened(context.worker, &lease, &tries).await {
            Some(Ok(Carrier::H1(connection))) => return Some(Ok((lease, connection))),
            Some(Ok(Carrier::H2(_))) => AttemptOutcome::Unfit,
            Some(Err(outcome)) => outcome,
            None => AttemptOutcome::ClientFailed,
        };
        self.no_tunnel(lease, outcome)
    }

    /// What [`Exchange::tunnel_by`] returns without a connection.
    fn no_tunnel<'l>(
        &mut self,
        lease: Lease<'l>,
        outcome: AttemptOutcome,
    ) -> Option<Result<(Lease<'l>, Connection), AttemptOutcome>> {
        lease.finish(outcome, &mut self.doubt, self.scratch.head.client);
        (outcome != AttemptOutcome::ClientFailed).then_some(Err(outcome))
    }

    /// RFC 9110 section 9.3.6 gives a body no meaning, and others would read it as the tunnel's
    /// first bytes. Some clients say that they have none.
    fn take_no_body(&mut self) -> Result<(), ForwardRefusal> {
        match self.facts.body {
            BodyLength::None | BodyLength::Known(0) => {
                self.facts.body = BodyLength::None;
                Ok(())
            }
            _ => Err(ForwardRefusal::Body),
        }
    }

    /// Tells the client that its tunnel is open.
    async fn opened_tunnel(
        &mut self,
        lease: Lease<'_>,
        connection: Connection,
        mut place: TunnelPlace,
    ) -> Result<Disposition, Box<LocalReply>> {
        if self.say_that_it_is_open().await == Disposition::Abort {
            let left = AttemptOutcome::ClientFailed;
            lease.finish(left, &mut self.doubt, self.scratch.head.client);
            return Ok(self.client_left());
        }
        let backend = Backend::Connection(connection);
        let Attempted::Ended(disposition) = self.switched(lease, backend, Buffer::default()) else {
            return Err(Refusal::NoBackend.into());
        };
        self.outcome.status = 200;
        place.open();
        if let Some(tunnel) = &mut self.scratch.tunnel {
            tunnel.place = Some(place);
        }
        Ok(disposition)
    }

    /// Without a length, and without `connection`: what follows is not HTTP.
    async fn say_that_it_is_open(&mut self) -> Disposition {
        match &mut self.client {
            Client::H1(connection) => {
                let out = &mut self.scratch.out;
                out.clear();
                write_status_line(200, b"Connection established", out);
                write_response_end(Framing::None, None, false, out);
                connection.send(&self.view.settings, out).await
            }
            Client::H2(stream) => stream.begin_tunnel(),
        }
    }
}

/// Why there is no tunnel, after the last attempt.
fn unreached(pool: &WorkerPool, last: AttemptOutcome) -> Refusal {
    match last {
        AttemptOutcome::NoPlace => no_place(pool),
        AttemptOutcome::ConnectTimedOut => Refusal::ConnectTimeout,
        AttemptOutcome::OutOfResources => Refusal::OutOfConnections,
        AttemptOutcome::NoShare => Refusal::StreamLimit,
        _ => Refusal::Unreachable,
    }
}
