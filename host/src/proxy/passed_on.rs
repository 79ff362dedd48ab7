//! Connections that are passed on as they are: a backend is chosen as for a request, and the rest
//! is a tunnel.

use std::rc::Rc;

use http::Method;

use super::boxed::boxed;
use super::client::Client;
use super::completion::failure;
use super::connection::{Connection, Disposition};
use super::context::{RequestContext, Target};
use super::exchange::{Attempted, Exchange};
use super::layer4::Layer4;
use super::linger::part;
use super::refusal::{LocalReply, Refusal};
use super::run::Awaited;
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::switched::Backend;
use crate::message::{BodyLength, Notes, RequestFacts, RequestHead, Scheme, Version};
use crate::net::{Buffer, ConnectionInfo, proxy_protocol};
use crate::observe::Outcome;
use crate::observe::access_log::Moved;
use crate::route::Rule;
use crate::upstream::{AttemptOutcome, Carrier, Lease};

/// The alerts of TLS for a client that is not passed on (RFC 8446 section 6.2).
const ACCESS_DENIED: u8 = 49;
const INTERNAL_ERROR: u8 = 80;

/// A connection that is to be passed on.
pub(super) struct PassedOn {
    /// The snapshot that has said so.
    pub view: Rc<WorkerSnapshot>,
    pub as_what: Layer4,
    /// The server that the client asks for.
    pub name: Option<Box<str>>,
}

impl PassedOn {
    fn rule(&self, connection: &Connection) -> Option<&Rule> {
        let routes = &self.view.snapshot.routes;
        match (self.as_what, &connection.entry.tcp) {
            (Layer4::Tcp, Some(tcp)) => routes.of_listener(tcp),
            (Layer4::Tcp, None) => None,
            (Layer4::Passthrough, _) => routes.passthrough(self.name.as_deref()),
        }
    }
}

/// Writes what policies see in place of a request.
fn write_head(head: &mut RequestHead, as_what: Layer4, name: Option<&str>, of: &ConnectionInfo) {
    head.clear();
    head.method = Method::CONNECT;
    head.version = Version::Http11;
    let session = of.session();
    let asked = session.and_then(|session| session.server_name.as_deref());
    let name = name.or(asked).unwrap_or_default();
    head.host.push_str(name);
    head.authority.push_str(name);
    head.scheme = match as_what {
        Layer4::Passthrough => Scheme::Https,
        Layer4::Tcp => of.scheme(),
    };
    head.client = of.peer.ip();
    head.tls = session.cloned();
}

impl Connection {
    /// Serves it as one that is passed on, to its end.
    pub(super) async fn pass_on(&mut self, passed: PassedOn) {
        let worker = Rc::clone(&self.worker);
        let mut scratch = worker.scratch();
        let as_what = passed.as_what;
        let refused = boxed(|| self.reach(passed, &mut scratch)).await;
        let tunnel = scratch.tunnel.take();
        worker.take_back(scratch);
        let ended = match (tunnel, refused) {
            (Some(tunnel), _) => Box::pin(self.tunnel(tunnel)).await,
            (None, alert) => {
                Box::pin(self.turn_away(as_what, alert.unwrap_or(INTERNAL_ERROR))).await
            }
        };
        match ended {
            Disposition::Abort => self.stream.reset_when_dropped(),
            Disposition::Close => self.linger().await,
            Disposition::Next | Disposition::Tunnel | Disposition::Finish => {}
        }
        let input = std::mem::take(&mut self.input);
        self.worker.buffers.take_back(input);
    }

    /// Finds a backend for it, whose connection is in `scratch` then; else why the client is turned
    /// away, as an alert of TLS.
    async fn reach(&mut self, passed: PassedOn, scratch: &mut Scratch) -> Option<u8> {
        let name = passed.name.as_deref();
        write_head(&mut scratch.head, passed.as_what, name, &self.info);
        let rule = passed.rule(self);
        let facts = RequestFacts {
            body: BodyLength::None,
            persists: false,
            notes: Notes::default(),
        };
        let (client, outcome) = (Client::H1(self), Outcome::begin());
        let mut exchange = Exchange::new(client, &passed.view, scratch, facts, outcome);
        exchange.layer4 = Some(passed.as_what);
        // What lies in the pool has carried requests.
        exchange.fresh = true;
        let local = match rule {
            Some(rule) => exchange.reach(rule).await?,
            None => Refusal::NoBackend.into(),
        };
        exchange.not_passed(&local);
        Some(match *local {
            LocalReply::Reply { .. } => ACCESS_DENIED,
            _ => INTERNAL_ERROR,
        })
    }

    /// Closes a connection for which there is no backend so that its client does not take that for
    /// the end of what it has.
    async fn turn_away(&mut self, as_what: Layer4, alert: u8) -> Disposition {
        if as_what == Layer4::Tcp {
            return Disposition::Abort;
        }
        // Nothing was written before, so the socket takes it.
        let _ = self.stream.try_write(&[0x15, 3, 3, 0, 2, 2, alert]);
        part(&self.worker, &mut self.stream, &self.timer).await;
        Disposition::Finish
    }
}

impl<'a> Exchange<'a> {
    /// Has the policies choose backends until one is reached; else what they, or the proxy, say
    /// instead.
    async fn reach(&mut self, rule: &'a Rule) -> Option<Box<LocalReply>> {
        let worker = Rc::clone(self.client.worker());
        let entry = Rc::clone(self.client.entry());
        let view = self.view;
        let Some(target) = rule.targets.first() else {
            return Some(Refusal::NoBackend.into());
        };
        self.takes((rule.number, rule.slot));
        let mut awaited = Awaited::new(self, &worker);
        awaited.route = Some((rule, target));
        let Awaited {
            exchange, state, ..
        } = &mut awaited;
        exchange.sample(&worker, (rule, target), state);
        let context = RequestContext::new(&worker, &entry, view, (rule, target), state);
        let chain = context.chain();
        chain.begin(&exchange.scratch.head);
        let ended = match chain.all_present() {
            Ok(()) => exchange.attempts(context, &[]).await,
            Err(stop) => Err(stop.into()),
        };
        chain.end();
        exchange.note_route(rule.number, Some(target));
        let (head, outcome) = (&exchange.scratch.head, &mut exchange.outcome);
        outcome.end(head.client);
        let local = match (ended, &mut exchange.scratch.tunnel) {
            (Ok(_), Some(tunnel)) => {
                tunnel.keep(outcome.clone(), head);
                None
            }
            // The client has left.
            (Ok(_), None) => Some(Refusal::NoBackend.into()),
            (Err(local), _) => {
                outcome.failure = Some(failure(&local));
                Some(local)
            }
        };
        awaited.end();
        local
    }

    /// Passes the client on by a connection that is there.
    pub(super) fn passed_on(
        &mut self,
        to: Target<'_>,
        mut lease: Lease<'_>,
        carrier: Carrier,
    ) -> Attempted {
        let is_plain = lease.endpoint().is_plain();
        let client = self.scratch.head.client;
        let connection = match carrier {
            Carrier::H1(connection) if is_plain => connection,
            // A pool may have been given such a backend after it was checked.
            _ => {
                lease.finish(AttemptOutcome::Unfit, &mut self.doubt, client);
                return Attempted::Failed(AttemptOutcome::Unfit);
            }
        };
        if let Some(version) = to.context.rule.proxy_protocol {
            let header = proxy_protocol::header(version, self.client.info());
            // The first bytes of a connection, which are fewer than any socket takes.
            let written = connection.stream.try_write(&header);
            if written.ok() != Some(header.len()) {
                lease.finish(AttemptOutcome::ConnectFailed, &mut self.doubt, client);
                return Attempted::Failed(AttemptOutcome::ConnectFailed);
            }
        }
        lease.begin();
        let backend = Backend::Connection(connection);
        let attempted = self.switched(lease, backend, Buffer::default());
        self.outcome.status = 0;
        attempted
    }

    /// Counts and logs a connection that was not passed on.
    #[cold]
    fn not_passed(&mut self, local: &LocalReply) {
        let worker = self.client.worker();
        worker.shard.layer4.refused.increment();
        if let Some((_, slot)) = self.route {
            worker.shard.routes.failed(slot);
        }
        self.outcome.of_policy = local.is_of_policy();
        if self.outcome.reason.is_none() {
            self.outcome.reason = local.reason();
        }
        let moved = Moved {
            from_client: 0,
            to_client: 0,
            layer4: self.layer4.map(Layer4::as_str),
        };
        let (log, logged) = (&worker.access_log, self.view.settings.logged);
        let (head, info) = (&self.scratch.head, self.client.info());
        log.record_tunnel(logged, &self.outcome, head, info, moved);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_see_a_connect_to_the_name_and_nothing_of_the_request_before() {
        let of = ConnectionInfo::new(
            ([192, 0, 2, 1], 40_000).into(),
            ([127, 0, 0, 1], 443).into(),
        );
        let mut head = RequestHead::default();
        head.set_target("/before?a");
        head.host.push_str("before.test");
        head.fields.append(b"x-before", b"1");
        write_head(&mut head, Layer4::Passthrough, Some("a.test"), &of);
        assert_eq!((head.method.as_str(), &*head.host), ("CONNECT", "a.test"));
        assert_eq!((head.scheme, head.path()), (Scheme::Https, ""));
        assert_eq!((head.query(), head.fields.len()), (None, 0));
        assert_eq!(head.client, of.peer.ip());
        write_head(&mut head, Layer4::Tcp, None, &of);
        assert_eq!((&*head.host, head.scheme), ("", Scheme::Http));
    }
}
