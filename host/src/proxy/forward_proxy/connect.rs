//! `CONNECT`: a tunnel to the first address that takes a connection.

use std::rc::Rc;

use super::rules::ForwardRules;
use super::tunnels::TunnelPlace;
use crate::h1::{Framing, write_response_end, write_status_line};
use crate::message::BodyLength;
use crate::net::Buffer;
use crate::proxy::client::Client;
use crate::proxy::connection::Disposition;
use crate::proxy::exchange::{Attempted, Exchange};
use crate::proxy::refusal::{ForwardRefusal, LocalReply, Refusal};
use crate::proxy::switched::Backend;
use crate::proxy::tries::Tries;
use crate::proxy::worker::Worker;
use crate::upstream::{AttemptOutcome, Carrier, Connection, FailedAttempt, Lease, WorkerPool};

impl Exchange<'_> {
    /// Connects to a destination, and says so. What the client has sent behind its head is the
    /// tunnel's.
    pub(super) async fn open_tunnel(
        &mut self,
        worker: &Rc<Worker>,
        rules: &ForwardRules,
        pool: &WorkerPool,
    ) -> Result<Disposition, Box<LocalReply>> {
        self.take_no_body()?;
        let client = self.scratch.head.client;
        let tunnels = &worker.shared.tunnels;
        let place = tunnels.take(client, &rules.config, &worker.shard)?;
        let mut failed: Vec<FailedAttempt> = Vec::new();
        let mut last = AttemptOutcome::ConnectFailed;
        for (number, endpoint) in (1..).zip(&pool.endpoints) {
            let lease = pool.lease(number - 1);
            self.outcome.attempts = number;
            self.outcome.backend = Some(Rc::clone(endpoint));
            let tries = Tries::new(&rules.target.retry, pool, &failed, number);
            let Some(opened) = self.opened_anew(worker, &lease, &tries).await else {
                let left = AttemptOutcome::ClientFailed;
                lease.finish(left, &mut self.doubt, client);
                return Ok(self.client_left());
            };
            last = match opened {
                Ok(Carrier::H1(connection)) => {
                    return self.opened_tunnel(lease, connection, place).await;
                }
                Ok(Carrier::H2(_)) => AttemptOutcome::Unfit,
                Err(outcome) => outcome,
            };
            lease.finish(last, &mut self.doubt, client);
            failed.push(FailedAttempt {
                backend: number - 1,
                failure: last.failure(),
            });
        }
        Err(unreached(last).into())
    }

    /// A connection of its own; `None` if the client leaves while it is waited for.
    async fn opened_anew(
        &self,
        worker: &Rc<Worker>,
        lease: &Lease<'_>,
        tries: &Tries<'_>,
    ) -> Option<Result<Carrier, AttemptOutcome>> {
        if !self.may_connect(lease.endpoint()) {
            return Some(Err(AttemptOutcome::NoShare));
        }
        // In a box, as everywhere.
        let opened = Box::pin(self.open(worker, lease, tries));
        self.presence().during(opened).await
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
fn unreached(last: AttemptOutcome) -> Refusal {
    match last {
        AttemptOutcome::ConnectTimedOut => Refusal::ConnectTimeout,
        AttemptOutcome::OutOfResources => Refusal::OutOfConnections,
        AttemptOutcome::NoShare => Refusal::StreamLimit,
        _ => Refusal::Unreachable,
    }
}
