//! A request to a forward proxy, from its head to its end.

use std::net::SocketAddr;
use std::rc::Rc;

use http::Method;

use super::super::connection::Disposition;
use super::super::context::RequestContext;
use super::super::declared::check_length;
use super::super::entry::Entry;
use super::super::exchange::Exchange;
use super::super::hops;
use super::super::refusal::{ForwardRefusal, LocalReply, Refusal};
use super::super::run::{ActiveRequest, report};
use super::super::worker::Worker;
use super::destination::Destination;
use super::rules::ForwardRules;
use crate::decision::{EXPLAIN, RequestPolicyState};
use crate::message::{TargetForm, ToProxy};
use crate::observe::Asked;
use crate::route::RuleTarget;
use crate::stats::ForwardRefused;

impl From<ForwardRefusal> for Box<LocalReply> {
    #[cold]
    fn from(refusal: ForwardRefusal) -> Self {
        Refusal::Forward(refusal).into()
    }
}

impl<'a> Exchange<'a> {
    /// Has a request forwarded to where it says, or answered.
    pub(in crate::proxy) async fn run_forward(&mut self, to_proxy: ToProxy<'_>) -> Disposition {
        let worker = Rc::clone(self.client.worker());
        let entry = Rc::clone(self.client.entry());
        let view = self.view;
        worker.shard.requests.increment();
        worker.shard.forward.requests.increment();
        let active = ActiveRequest::new(&worker.shard);
        let mut state = RequestPolicyState::default();
        let ended = self
            .forwarded((&worker, &entry), &mut state, to_proxy)
            .await;
        let disposition = match ended {
            Ok(disposition) => {
                self.count_bytes(&worker);
                disposition
            }
            Err(local) => {
                count(&worker, &local);
                self.answer(&worker, (&state, None), local).await
            }
        };
        drop(active);
        self.outcome.end(self.scratch.head.client);
        if let Some(rules) = view.settings.forward.as_deref() {
            let chain = rules.chain(&worker, view, &state);
            chain.conclude(&self.outcome);
        }
        report(&self.client, view, self.scratch, &self.outcome);
        state.end(view.recorder.as_ref(), &worker.shard, self.outcome.status);
        disposition
    }

    /// Counts what a request has carried that is not a tunnel.
    fn count_bytes(&mut self, worker: &Worker) {
        if self.scratch.tunnel.is_some() || self.scratch.head.method == Method::CONNECT {
            return;
        }
        let (from, to) = (self.request_bytes(), self.outcome.response_bytes);
        let counters = &worker.shard.forward;
        counters.request_bytes_from_clients.add(from);
        counters.request_bytes_to_clients.add(to);
        self.outcome.asked.get_or_insert_default().bytes = Some((from, to));
    }

    async fn forwarded(
        &mut self,
        (worker, entry): (&Rc<Worker>, &Entry),
        state: &mut RequestPolicyState,
        to_proxy: ToProxy<'_>,
    ) -> Result<Disposition, Box<LocalReply>> {
        let view = self.view;
        let (head, settings) = (&mut self.scratch.head, &view.settings);
        settings.forwarding.mark(head, self.client.info());
        let is_connect = to_proxy.form == TargetForm::Authority;
        if is_connect {
            head.target.clone_from(&head.authority);
            head.path_len = head.target.len();
        }
        // It was published with the listener.
        let rules = settings.forward.as_deref().ok_or(Refusal::NoBackend)?;
        let user = self.enter(worker, rules, to_proxy.authorization).await?;
        self.outcome.asked = user.map(Asked::by).map(Box::new);
        let head = &mut self.scratch.head;
        // A token; the field goes no further.
        if self.facts.notes.explain {
            head.fields.remove(EXPLAIN.as_bytes());
        }
        if head.method == Method::TRACE {
            return Err(Refusal::Method.into());
        }
        let destination = Destination::read(head, to_proxy.form)?;
        self.outcome.asked.get_or_insert_default().port = destination.port;
        let chosen = match rules.asked.policies.is_empty() {
            true => None,
            false => self.ask_policies(worker, rules, state, destination)?,
        };
        let side = (worker, entry);
        self.go_on(side, rules, state, (destination, chosen), is_connect)
            .await
    }

    /// Sends a request to its destination, or to the pool that a policy has chosen in its place.
    async fn go_on(
        &mut self,
        (worker, entry): (&Rc<Worker>, &Entry),
        rules: &ForwardRules,
        state: &RequestPolicyState,
        (destination, chosen): (Destination, Option<&RuleTarget>),
        is_connect: bool,
    ) -> Result<Disposition, Box<LocalReply>> {
        let view = self.view;
        let route = (&rules.rule, chosen.unwrap_or(rules.target(1)));
        let context = RequestContext::new(worker, entry, view, route, state);
        if chosen.is_some() {
            let pool = context.pool().ok_or(Refusal::NoBackend)?;
            return match is_connect {
                true => self.open_tunnel(context, rules, pool).await,
                false => self.pass_on(context).await,
            };
        }
        let host = self.scratch.head.host.clone();
        let addresses = self.reachable(worker, rules, destination, &host).await?;
        let pool = worker
            .destinations
            .pool(&host, &addresses, worker.timers.now());
        let context = RequestContext {
            destination: Some(&pool),
            target: rules.target(addresses.len()),
            ..context
        };
        match is_connect {
            true => self.open_tunnel(context, rules, &pool).await,
            false => self.pass_on(context).await,
        }
    }

    /// The addresses at which the destination may be reached.
    async fn reachable(
        &self,
        worker: &Worker,
        rules: &ForwardRules,
        destination: Destination,
        host: &str,
    ) -> Result<Vec<SocketAddr>, Box<LocalReply>> {
        rules.check(host, destination.port)?;
        let allowed = match destination.address {
            Some(address) => rules.allowed(host, destination, &[address])?,
            None => {
                let found = worker.shared.look_up.addresses(host).await?;
                rules.allowed(host, destination, &found)?
            }
        };
        Ok(allowed)
    }

    /// Sends a request on by HTTP, as one with a route is.
    async fn pass_on(
        &mut self,
        context: RequestContext<'_>,
    ) -> Result<Disposition, Box<LocalReply>> {
        let settings = &context.view.settings;
        check_length(self.facts.body, None, settings.limits.body_bytes)?;
        let (head, notes) = (&mut self.scratch.head, self.facts.notes);
        if settings.forwarding.has_passed(head, notes) {
            return Err(Refusal::Loop.into());
        }
        settings.forwarding.write_mark(head);
        head.fields.write_spelling(context.rule.preserve_case);
        if notes.max_forwards && head.method == Method::OPTIONS {
            hops::count_down(&mut head.fields)?;
        }
        self.write_hop(context.rule)?;
        self.attempts(context, &[]).await
    }
}

/// Counts why a request was not served.
#[cold]
fn count(worker: &Worker, local: &LocalReply) {
    let reason = match local {
        LocalReply::Refusal(Refusal::Forward(refusal)) => refusal.counted(),
        local if local.is_of_policy() => ForwardRefused::Policy,
        // What a client may have of connections is what its tunnels share.
        LocalReply::Refusal(Refusal::StreamLimit) => ForwardRefused::Tunnels,
        LocalReply::Refusal(refusal) if refusal.status() >= 500 => ForwardRefused::Unreachable,
        LocalReply::Refusal(_) => ForwardRefused::Request,
        _ => return,
    };
    worker.shard.forward.refused(reason).increment();
}
