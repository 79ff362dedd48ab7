//! The counters of one worker for a generation on trial.

use std::sync::{Arc, OnceLock};

use super::{Counter, Gauge, HOOKS, Histogram, PolicyShard};

/// Counters of one worker for one trial. They begin and end with it.
#[derive(Debug, Default)]
pub struct TrialShard {
    /// The candidate's calls, faults and memory, separate from the policy's own.
    pub candidate: Arc<PolicyShard>,
    /// Requests that the candidate decided.
    pub canary: ArmShard,
    /// Requests that could have gone to the candidate, but the active generation decided them.
    pub control: ArmShard,
    /// A shadow's comparisons, by hook in the order of [`crate::policy::Hook`].
    pub compared: [Compared; HOOKS],
    /// Requests that a shadow saw.
    pub shadowed: Counter,
    /// Calls on which both generations failed. The request caused them, so they don't count against
    /// the candidate.
    pub shared_faults: Counter,
    /// 1 from before a call of the candidate until it is clear whether its fault, which may be
    /// counted already, is shared.
    pub in_question: Gauge,
    /// The counts that the verdict compares.
    pub judged: ByRoute,
}

/// The most routes that are compared one by one; beyond it, routes share counts.
pub const JUDGED_ROUTES: usize = 256;

/// The counts of both generations by route, allocated by a route's first request.
#[derive(Debug)]
pub struct ByRoute(Box<[OnceLock<Box<RouteArms>>; JUDGED_ROUTES]>);

/// The counts of one route.
#[derive(Debug, Default)]
pub struct RouteArms {
    /// Requests that the candidate decided.
    pub canary: JudgedArm,
    /// Requests that the active generation decided.
    pub control: JudgedArm,
}

/// Requests that count in the verdict.
#[derive(Debug, Default)]
pub struct JudgedArm {
    /// Number of requests.
    pub requests: Counter,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: Counter,
    /// From the request's head to the response's head, in microseconds: the policy does not
    /// determine how fast a client reads.
    pub microseconds: Histogram,
}

impl Default for ByRoute {
    fn default() -> Self {
        Self(Box::new([const { OnceLock::new() }; JUDGED_ROUTES]))
    }
}

impl ByRoute {
    /// The counts of the route with this number.
    pub fn route(&self, number: u32) -> &RouteArms {
        self.0[number as usize % JUDGED_ROUTES].get_or_init(Box::default)
    }

    /// The counts so far, with the number of their (first) route.
    pub fn counted(&self) -> impl Iterator<Item = (usize, &RouteArms)> {
        self.0
            .iter()
            .enumerate()
            .filter_map(|(number, arms)| Some((number, &**arms.get()?)))
    }
}

/// Requests decided by one of two generations.
#[derive(Debug, Default)]
pub struct ArmShard {
    /// Requests that were answered.
    pub requests: Counter,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: Counter,
    /// Of these, those that the candidate began and the active generation finished.
    pub given_up: Counter,
    /// Of the failed ones, those that the candidate failed or answered itself.
    pub own_failures: Counter,
    /// Requests that count without a control group: a limited number per client.
    pub weighed: Counter,
    /// Of these, those that failed.
    pub weighed_failed: Counter,
    /// From the head to the end of the response, in microseconds.
    pub microseconds: Histogram,
}

/// A shadow's comparisons for one hook.
#[derive(Debug, Default)]
pub struct Compared {
    /// Decisions that were compared.
    pub decisions: Counter,
    /// Decisions that were the same.
    pub agreed: Counter,
    /// The active generation's calls, in nanoseconds.
    pub active_nanoseconds: Histogram,
    /// The candidate's calls, in nanoseconds.
    pub shadow_nanoseconds: Histogram,
}
