//! From a head to its route: what is refused whatever the routes are, which rule is the request's,
//! and which fields policies and backends see.

use std::sync::Arc;

use http::Method;
use rand::{Rng, RngExt};

use super::exchange::Exchange;
use super::forwarding::Contradiction;
use super::hops;
use super::refusal::{LocalReply, Refusal};
use super::worker::Worker;
use crate::decision::{EXPLAIN, RecordedRequest, RequestPolicyState};
use crate::message::{BodyLength, RequestHead, Version, websocket};
use crate::recording::Sampling;
use crate::route::{Action, Rule, Sureness};

impl<'a> Exchange<'a> {
    /// Finds the route, and settles what is captured of the request.
    pub(super) fn begin(
        &mut self,
        worker: &Worker,
        state: &mut RequestPolicyState,
    ) -> Result<&'a Rule, Box<LocalReply>> {
        self.before_routes()?;
        self.stats_page(worker)?;
        if self.facts.notes.explain {
            self.explain(worker, state);
        }
        let rule = self.route()?;
        self.normalise(rule)?;
        if let Some(sampling) = &self.view.settings.sampling
            && samples(sampling, worker, rule)
        {
            self.keep_record(sampling, rule, state);
        }
        Ok(rule)
    }

    /// From now on what the policies see and decide is recorded.
    #[cold]
    fn keep_record(&self, sampling: &Sampling, rule: &Rule, state: &mut RequestPolicyState) {
        let worker = self.client.worker();
        let Some(recorder) = &self.view.recorder else {
            return;
        };
        let lineup = Arc::clone(self.view.lineup(sampling));
        let (pool, head) = (rule.pool.number(), &self.scratch.head);
        let record = RecordedRequest::begin(recorder, lineup, worker.index, pool, head);
        state.keep_record(record);
    }

    /// Begins a trace if the token is one of ours; the field goes no further in any case.
    #[cold]
    fn explain(&mut self, worker: &Worker, state: &mut RequestPolicyState) {
        let version = self.scratch.head.version;
        let fields = &mut self.scratch.head.fields;
        if fields
            .first(EXPLAIN)
            .is_some_and(|token| worker.shared.explain.accept(token))
        {
            let session = self.client.info().session();
            state.keep_trace(version, session.map(|session| &**session));
        }
        fields.remove(EXPLAIN.as_bytes());
    }

    fn route(&mut self) -> Result<&'a Rule, Box<LocalReply>> {
        self.check()?;
        let (head, view) = (&mut self.scratch.head, self.view);
        let routes = &view.snapshot.routes;
        let action = routes.find(head);
        let action = action.ok_or_else(|| Refusal::NoRoute {
            host: head.host.clone(),
        })?;
        if head.path_notes.is_ambiguous() {
            let seen = if view.settings.paths.forward_normalised {
                head.path()
            } else {
                head.raw_path()
            };
            let sureness = |sent| routes.sureness(action, head, sent, head.path_notes);
            let normal = match sureness(seen) {
                Sureness::AsMeant => false,
                Sureness::NormalForm if sureness(head.path()) == Sureness::AsMeant => true,
                _ => return Err(Refusal::AmbiguousPath.into()),
            };
            head.forward_normal = normal;
        }
        let rule = match action {
            Action::Forward(rule) => rule,
            Action::Answer(answer) => return Err(self.of_route(answer)),
        };
        head.fields.write_spelling(rule.preserve_case);
        if self.facts.notes.max_forwards && head.method == Method::OPTIONS {
            hops::count_down(&mut head.fields)?;
        }
        Ok(rule)
    }

    /// Refuses requests that this proxy serves on no route.
    #[inline]
    pub(super) fn check(&self) -> Result<(), Refusal> {
        let (head, settings) = (&self.scratch.head, &self.view.settings);
        // CONNECT is for forward proxies; TRACE would hand a script the fields that it must not see
        // (RFC 9110 section 9.3.8).
        if matches!(head.method, Method::CONNECT | Method::TRACE) {
            return Err(Refusal::Method);
        }
        // Browsers also send requests for other hosts whose address they find to be the same.
        if let Some(tls) = &self.client.info().tls
            && !tls.covers(&head.host)
        {
            return Err(Refusal::Misdirected);
        }
        let limit = settings.limits.body_bytes;
        if limit > 0 && matches!(self.facts.body, BodyLength::Known(n) if n > limit) {
            return Err(Refusal::BodyTooLarge);
        }
        if settings.forwarding.has_passed(head, self.facts.notes) {
            return Err(Refusal::Loop);
        }
        match settings.paths.strict.then(|| head.path_notes.fault()) {
            Some(Some(fault)) => Err(Refusal::Path(fault)),
            _ => Ok(()),
        }
    }

    /// Makes the fields those that policies and backends are to see.
    fn normalise(&mut self, rule: &Rule) -> Result<(), Box<LocalReply>> {
        self.write_hop(rule)?;
        let (head, settings) = (&mut self.scratch.head, &self.view.settings);
        head.forward_normal |= settings.paths.forward_normalised;
        let info = self.client.info();
        let set = settings.forwarding.set_fields(head, self.facts.notes, info);
        set.map_err(|Contradiction| Refusal::Contradiction.into())
    }

    /// Writes the fields that belong to the connection to the backend.
    #[inline]
    pub(super) fn write_hop(&mut self, rule: &Rule) -> Result<(), Box<LocalReply>> {
        let (head, notes) = (&mut self.scratch.head, self.facts.notes);
        let trailers = notes.te_trailers && head.version != Version::Http10;
        if trailers {
            head.fields.append(b"te", b"trailers");
        }
        // What belongs to this hop is named in Connection (RFC 9110 sections 7.8 and 10.1.4).
        if !head.upgrade.is_empty() && offers(head, rule, self.client.worker())? {
            let options: &[u8] = if trailers { b"te, upgrade" } else { b"upgrade" };
            head.fields.append(b"connection", options);
        } else if trailers {
            head.fields.append(b"connection", b"te");
        }
        Ok(())
    }
}

/// Offers the backend the protocols that the route allows; false if there is none.
#[cold]
fn offers(head: &mut RequestHead, rule: &Rule, worker: &Worker) -> Result<bool, Refusal> {
    head.upgrade.retain(&rule.upgrade);
    if head.upgrade.is_connect() {
        if !head.upgrade.has_websocket() {
            return Err(Refusal::Protocol);
        }
        // By HTTP/1.1 the handshake has a key, which is the proxy's then.
        let key = websocket::key(worker.rng.borrow_mut().random());
        head.fields.set(websocket::KEY.as_bytes(), key.as_bytes());
    }
    let offers = !head.upgrade.is_empty();
    if offers {
        head.fields.append(b"upgrade", head.upgrade.as_bytes());
    }
    Ok(offers)
}

/// Whether this request is one of those that are recorded.
fn samples(sampling: &Sampling, worker: &Worker, rule: &Rule) -> bool {
    sampling.takes(worker.rng.borrow_mut().next_u32())
        && rule.policies.iter().any(|policy| sampling.wants(*policy))
}
