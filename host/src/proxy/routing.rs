//! From a head to its route: what is refused whatever the routes are, which rule is the request's,
//! and which fields policies and backends see.

use std::sync::Arc;

use http::Method;
use rand::{Rng, RngExt};

use super::declared::check_length;
use super::exchange::Exchange;
use super::forwarding::Contradiction;
use super::hops;
use super::refusal::{LocalReply, Refusal};
use super::target::target;
use super::worker::Worker;
use crate::decision::{EXPLAIN, RecordedRequest, RequestPolicyState};
use crate::message::{RequestHead, Version, websocket};
use crate::policy::{PolicyId, RoutePools};
use crate::recording::Sampling;
use crate::route::{Action, Rule, RuleTarget, Sureness};
use crate::stats::RouteSlot;

impl<'a> Exchange<'a> {
    /// Finds the route, and settles what is captured of the request.
    pub(super) fn begin(
        &mut self,
        worker: &Worker,
        state: &mut RequestPolicyState,
    ) -> Result<(&'a Rule, &'a RuleTarget), Box<LocalReply>> {
        if let Some(marks) = &self.view.settings.marks {
            self.mark(marks, state);
        }
        self.before_routes()?;
        self.stats_page(worker)?;
        if self.facts.notes.explain {
            self.explain(worker, state);
        }
        let rule = self.route()?;
        if let Some(timeouts) = &rule.timeouts {
            self.timeouts = timeouts;
        }
        let Some(target) = target(worker, self.view, rule) else {
            return Err(Refusal::NoBackend.into());
        };
        if let Some(edits) = self.edits.filter(|edits| edits.says_pool) {
            self.name(edits, Some(target.pool));
        }
        self.normalise(rule)?;
        if self.view.settings.times_policies {
            state.keep_times();
        }
        self.sample(worker, (rule, target), state);
        Ok((rule, target))
    }

    /// Has what the policies see and decide recorded, if this request is one of those.
    #[inline]
    pub(super) fn sample(
        &self,
        worker: &Worker,
        (rule, target): (&Rule, &RuleTarget),
        state: &mut RequestPolicyState,
    ) {
        if let Some(sampling) = &self.view.settings.sampling
            && samples(sampling, worker, &rule.policies)
        {
            let pools = RoutePools {
                chosen: target.pool.number(),
                all: &rule.pools,
            };
            self.keep_record(sampling, pools, state);
        }
    }

    /// From now on what the policies see and decide is recorded.
    #[cold]
    pub(super) fn keep_record(
        &self,
        sampling: &Sampling,
        pools: RoutePools<'_>,
        state: &mut RequestPolicyState,
    ) {
        let worker = self.client.worker();
        let Some(recorder) = &self.view.recorder else {
            return;
        };
        let lineup = Arc::clone(self.view.lineup(sampling));
        let head = &self.scratch.head;
        let record = RecordedRequest::begin(recorder, lineup, worker.index, pools, head);
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
        let routes = &self.view.snapshot.routes;
        let action = routes.find(&self.scratch.head);
        let action = action.ok_or_else(|| Refusal::NoRoute {
            host: self.scratch.head.host.clone(),
        })?;
        self.edits = action.edits();
        self.takes(action.route());
        if let Some(edits) = self.edits.filter(|edits| edits.says_id) {
            self.name(edits, None);
        }
        let cors = self.edits.and_then(|edits| edits.cors.as_ref());
        let is_preflight = cors.is_some_and(|cors| self.begin_cors(cors));
        if self.scratch.head.path_notes.is_ambiguous() {
            self.scratch.head.forward_normal = self.sends_normal_form(action)?;
        }
        if is_preflight {
            return Err(self.preflight());
        }
        let rule = match action {
            Action::Forward(rule) => rule,
            Action::Answer(answer) => {
                check_length(self.facts.body, None, self.view.settings.limits.body_bytes)?;
                return Err(self.of_route(answer));
            }
        };
        let head = &mut self.scratch.head;
        head.fields.write_spelling(rule.preserve_case);
        if self.facts.notes.max_forwards && head.method == Method::OPTIONS {
            hops::count_down(&mut head.fields)?;
        }
        Ok(rule)
    }

    /// The request takes this route.
    #[inline]
    pub(super) fn takes(&mut self, route: (u32, RouteSlot)) {
        let worker = self.client.worker();
        worker.shard.routes.hit(route.1, worker.second());
        self.route = Some(route);
    }

    /// Whether an ambiguous path is sent in normal form, so that no server reads it as one of
    /// another route.
    fn sends_normal_form(&self, action: &Action) -> Result<bool, Refusal> {
        let (head, view) = (&self.scratch.head, self.view);
        // What is rewritten is the normal form.
        let rewrites = self.edits.is_some_and(|edits| edits.rewrite.is_some());
        let seen = if view.settings.paths.forward_normalised || rewrites {
            head.path()
        } else {
            head.raw_path()
        };
        let routes = &view.snapshot.routes;
        let sureness = |sent| routes.sureness(action, head, sent, head.path_notes);
        match sureness(seen) {
            Sureness::AsMeant => Ok(false),
            Sureness::NormalForm if sureness(head.path()) == Sureness::AsMeant => Ok(true),
            _ => Err(Refusal::AmbiguousPath),
        }
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
        set.map_err(|Contradiction| Refusal::Contradiction)?;
        match &rule.edits {
            None => Ok(()),
            Some(edits) => Ok(self.change_request(edits)?),
        }
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
pub(super) fn samples(sampling: &Sampling, worker: &Worker, policies: &[PolicyId]) -> bool {
    sampling.takes(worker.rng.borrow_mut().next_u32())
        && policies.iter().any(|policy| sampling.wants(*policy))
}
