//! What policies say of a destination, before anything is looked up.

use std::sync::Arc;

use http::Method;

use super::destination::Destination;
use super::rules::ForwardRules;
use crate::config::TargetRights;
use crate::decision::{ChainRoute, PolicyChain, RequestPolicyState, Stop};
use crate::observe::Asked;
use crate::policy::{NO_POOL, RoutePools};
use crate::proxy::context::WorkerEnvironment;
use crate::proxy::exchange::Exchange;
use crate::proxy::refusal::{ForwardRefusal, LocalReply};
use crate::proxy::routing::samples;
use crate::proxy::snapshot::WorkerSnapshot;
use crate::proxy::worker::Worker;
use crate::route::RuleTarget;

impl ForwardRules {
    /// The policies, as they are asked about one request.
    pub(super) fn chain<'a>(
        &'a self,
        worker: &'a Worker,
        view: &'a WorkerSnapshot,
        state: &'a RequestPolicyState,
    ) -> PolicyChain<'a, WorkerEnvironment<'a>> {
        PolicyChain {
            route: ChainRoute {
                number: self.asked.number,
                pools: self.pools(),
                rights: TargetRights::default(),
                policies: &self.asked.policies,
            },
            policies: &view.policies,
            state,
            environment: WorkerEnvironment::without_pool(worker, view),
        }
    }

    fn pools(&self) -> RoutePools<'_> {
        RoutePools {
            chosen: NO_POOL,
            all: &self.asked.pools,
        }
    }
}

impl Exchange<'_> {
    /// Asks the policies whether the destination may be reached. Returns the pool that takes its
    /// place, if one is to.
    pub(super) fn ask_policies<'r>(
        &mut self,
        worker: &Worker,
        rules: &'r ForwardRules,
        state: &mut RequestPolicyState,
        destination: Destination,
    ) -> Result<Option<&'r RuleTarget>, Box<LocalReply>> {
        let asked = &rules.asked;
        if let Some(sampling) = &self.view.settings.sampling
            && samples(sampling, worker, &asked.policies)
        {
            self.keep_record(sampling, rules.pools(), state);
        }
        let user = self.outcome.asked.as_deref();
        let user = user.and_then(|Asked { user, .. }| user.as_deref());
        let user: Option<Arc<str>> = user.map(Into::into);
        let head = &mut self.scratch.head;
        let chain = rules.chain(worker, self.view, state);
        chain.begin(head);
        let decided = chain.decide(head, (destination.port, user.as_ref()));
        chain.end();
        match decided {
            Ok(chosen) => {
                let chosen = chosen.and_then(|position| asked.targets.get(position as usize));
                Ok(chosen)
            }
            // A client would take it for the tunnel.
            Err(Stop::Reply { reply, .. })
                if head.method == Method::CONNECT && matches!(reply.status, 200..300) =>
            {
                Err(ForwardRefusal::Success(reply.status).into())
            }
            Err(stop) => Err(stop.into()),
        }
    }
}
