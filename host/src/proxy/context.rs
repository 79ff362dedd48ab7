//! The shared context of one request: its worker, its snapshot, its route and its policies.

use std::rc::Rc;

use rand::Rng;

use super::entry::Entry;
use super::snapshot::WorkerSnapshot;
use super::terms::Terms;
use super::tries::Tries;
use super::worker::Worker;
use crate::config::Timeouts;
use crate::decision::{Caller, ChainRoute, Environment, PolicyChain, RequestPolicyState, Stop};
use crate::message::RequestHead;
use crate::observe::Outcome;
use crate::policy::{Ask, Attempt, ByteRange, Fault, Message, PolicyHandle, Positions, RoutePools};
use crate::route::{Rule, RuleTarget};
use crate::upstream::{
    BackendFacts, FailedAttempt, Lease, PoolId, WorkerEndpoint, WorkerPool, WorkerPools,
};

/// The shared context of one request.
#[derive(Debug, Clone, Copy)]
pub(super) struct RequestContext<'a> {
    pub worker: &'a Worker,
    /// The listener that its connection came by.
    pub entry: &'a Entry,
    /// The request's own snapshot, even if the worker adopts another meanwhile.
    pub view: &'a WorkerSnapshot,
    /// The request's route.
    pub rule: &'a Rule,
    /// The pool of the route that takes it.
    pub target: &'a RuleTarget,
    /// The route's time-outs.
    pub timeouts: &'a Timeouts,
    /// The request's state of its policies.
    pub state: &'a RequestPolicyState,
    /// Where the request goes, if its client says so and not its route.
    pub destination: Option<&'a WorkerPool>,
}

impl<'a> RequestContext<'a> {
    #[inline]
    pub(super) fn new(
        worker: &'a Worker,
        entry: &'a Entry,
        view: &'a WorkerSnapshot,
        (rule, target): (&'a Rule, &'a RuleTarget),
        state: &'a RequestPolicyState,
    ) -> Self {
        let timeouts = rule.timeouts.as_deref();
        Self {
            worker,
            entry,
            view,
            rule,
            target,
            timeouts: timeouts.unwrap_or(&view.settings.timeouts),
            state,
            destination: None,
        }
    }

    /// What the request's connections are read and written with.
    #[inline]
    pub(super) fn terms(self) -> Terms<'a> {
        Terms {
            worker: self.worker,
            timeouts: self.timeouts,
            head_limits: self.view.settings.head_limits,
        }
    }

    /// Where the request goes, unless nothing is there.
    #[inline]
    pub(super) fn pool(self) -> Option<&'a WorkerPool> {
        let pool = match self.destination {
            None => self.view.pools.pool(self.target.pool),
            destination => destination,
        };
        pool.filter(|pool| !pool.endpoints.is_empty())
    }

    /// The position of the endpoint that is tried next.
    #[inline]
    pub(super) fn select(self, head: &mut RequestHead, attempt: Attempt<'_>) -> Result<u32, Stop> {
        match self.destination {
            None => self.chain().select(head, attempt),
            Some(pool) => Ok(pool.first_untried(attempt.failed)),
        }
    }

    /// Has the policies asked which of its pools takes the request.
    #[inline]
    pub(super) fn route(&mut self, head: &mut RequestHead) -> Result<(), Stop> {
        self.chain().route(head)?;
        self.settle();
        Ok(())
    }

    /// Takes the pool that a policy has chosen, if one has.
    #[inline]
    pub(super) fn settle(&mut self) {
        self.target = settled(self.rule, self.target, self.state);
    }

    /// The request has ended: counts it for its policies, and for the pool that took it.
    #[inline]
    pub(super) fn end(self, outcome: &Outcome) {
        let chain = self.chain();
        chain.end();
        chain.conclude(outcome);
        if let Some(pool) = self.view.pools.pool(self.target.pool) {
            pool.shard.requests.count(outcome.status);
        }
    }

    /// The policies of the route.
    #[inline]
    pub(super) fn chain(self) -> PolicyChain<'a, WorkerEnvironment<'a>> {
        let route = (self.rule, self.target.pool);
        chain(self.worker, self.view, route, self.state)
    }
}

/// The pool that takes a request of a route: the one that its policies have chosen, if they have.
#[inline]
pub(super) fn settled<'a>(
    rule: &'a Rule,
    target: &'a RuleTarget,
    state: &RequestPolicyState,
) -> &'a RuleTarget {
    let chosen = state.routed();
    let chosen = chosen.and_then(|position| rule.targets.get(position as usize));
    chosen.unwrap_or(target)
}

/// The policies of a route, as they are asked about one request.
#[inline]
pub(super) fn chain<'a>(
    worker: &'a Worker,
    view: &'a WorkerSnapshot,
    (rule, pool): (&'a Rule, PoolId),
    state: &'a RequestPolicyState,
) -> PolicyChain<'a, WorkerEnvironment<'a>> {
    PolicyChain {
        route: ChainRoute {
            number: rule.number,
            pools: RoutePools {
                chosen: pool.number(),
                all: &rule.pools,
            },
            rights: rule.rights,
            policies: &rule.policies,
        },
        policies: &view.policies,
        state,
        environment: WorkerEnvironment {
            worker,
            pools: &view.pools,
            pool,
        },
    }
}

impl<'a> WorkerEnvironment<'a> {
    /// For policies that are asked before there is a pool.
    pub(super) fn without_pool(worker: &'a Worker, view: &'a WorkerSnapshot) -> Self {
        Self {
            worker,
            pools: &view.pools,
            pool: PoolId::NOWHERE,
        }
    }
}

/// Where an attempt goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Target<'a> {
    /// The request's policies, which see the answer.
    pub context: RequestContext<'a>,
    /// Which attempt of the request it is, from 1.
    pub attempt: u32,
    /// The endpoint that was chosen.
    pub endpoint: &'a Rc<WorkerEndpoint>,
    /// Its position in the pool.
    pub position: u32,
    /// The ranges that the client asked for, if the proxy may cut the answer.
    pub ranges: &'a [ByteRange],
    /// What may follow it.
    pub tries: &'a Tries<'a>,
}

impl<'a> Target<'a> {
    #[inline]
    pub(super) fn new(
        context: RequestContext<'a>,
        lease: &Lease<'a>,
        ranges: &'a [ByteRange],
        tries: &'a Tries<'a>,
    ) -> Self {
        Self {
            context,
            attempt: tries.sent.get(),
            endpoint: lease.endpoint(),
            position: lease.position(),
            ranges,
            tries,
        }
    }
}

impl Target<'_> {
    /// Whether a response with this status is a failure of its backend.
    #[inline]
    pub(super) fn is_failure(&self, status: u16) -> bool {
        let context = self.context;
        let pool = context.view.pools.pool(context.target.pool);
        pool.is_some_and(|pool| pool.topology.health.counts(status))
    }
}

/// The parts of a worker that a chain of policies uses.
#[derive(Debug, Clone, Copy)]
pub(super) struct WorkerEnvironment<'a> {
    worker: &'a Worker,
    pools: &'a WorkerPools,
    /// The route's.
    pool: PoolId,
}

impl Caller for WorkerEnvironment<'_> {
    #[inline]
    fn call<Q: Ask>(
        self,
        handle: &mut PolicyHandle,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        if self.pools.generation == self.worker.topology() {
            question.ask(handle, message)
        } else {
            self.call_later(handle, question, message)
        }
    }
}

impl WorkerEnvironment<'_> {
    /// The worker has adopted another topology since the request began: the policies know the lists
    /// of that one.
    #[cold]
    fn call_later<Q: Ask>(
        self,
        handle: &mut PolicyHandle,
        question: &Q,
        message: &mut Message<'_>,
    ) -> Result<Q::Answer, Fault> {
        let now = self.worker.view();
        let positions = Positions {
            there: &|position| self.pools.translate(self.pool, position, &now.pools),
            back: &|position| now.pools.translate(self.pool, position, self.pools),
        };
        question.ask_by(handle, message, positions)
    }
}

impl Environment for WorkerEnvironment<'_> {
    fn random(self) -> u64 {
        self.worker.rng.borrow_mut().next_u64()
    }

    fn log_fault(self, of: (&str, u64), line: impl Fn() -> String) {
        self.worker.faults.log(self.worker.timers.now(), of, line);
    }

    fn facts(&self) -> &dyn BackendFacts {
        &*self.pools.facts
    }

    #[inline]
    fn takes_traffic(self, backend: u32) -> bool {
        self.pools.takes_traffic(self.pool, backend)
    }

    fn choose(self, failed: &[FailedAttempt]) -> Option<u32> {
        let mut rng = self.worker.rng.borrow_mut();
        self.pools.choose(self.pool, failed, &mut rng)
    }
}
