//! What one worker counts of a generation on trial.

use std::sync::{Arc, OnceLock};

use super::{Counter, Gauge, HOOKS, Histogram, PolicyShard};

/// Counters of one worker for one trial. They begin and end with it.
#[derive(Debug, Default)]
pub struct TrialShard {
    /// The candidate's calls, faults and memory: apart from those of the policy's name.
    pub candidate: Arc<PolicyShard>,
    /// Requests that the candidate decided.
    pub canary: ArmShard,
    /// Requests that could have been the candidate's and were decided by the active generation.
    pub control: ArmShard,
    /// What a shadow was asked, by hook in the order of [`crate::policy::Hook`].
    pub compared: [Compared; HOOKS],
    /// Requests that a shadow saw.
    pub shadowed: Counter,
    /// Calls on which both generations failed: that is the request's doing, and not held against
    /// the candidate.
    pub shared_faults: Counter,
    /// 1 from before the candidate is asked until it is known whether a fault of it is shared: it
    /// may be counted already.
    pub in_question: Gauge,
    /// What the verdict compares.
    pub judged: ByRoute,
}

/// Routes whose requests are compared each by itself; beyond that some share their counts.
pub const JUDGED_ROUTES: usize = 256;

/// What is compared of both generations, by route; room for a route is made by its first request.
#[derive(Debug)]
pub struct ByRoute(Box<[OnceLock<Box<RouteArms>>; JUDGED_ROUTES]>);

/// What is compared of one route's requests.
#[derive(Debug, Default)]
pub struct RouteArms {
    /// Those that the candidate decided.
    pub canary: JudgedArm,
    /// Those that the active generation decided.
    pub control: JudgedArm,
}

/// Requests that count in the verdict.
#[derive(Debug, Default)]
pub struct JudgedArm {
    /// How many.
    pub requests: Counter,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: Counter,
    /// From the head to the head of the response, in microseconds: how fast a client reads is not
    /// the policy's doing.
    pub microseconds: Histogram,
}

impl Default for ByRoute {
    fn default() -> Self {
        Self(Box::new([const { OnceLock::new() }; JUDGED_ROUTES]))
    }
}

impl ByRoute {
    /// Those of the route with this number.
    pub fn route(&self, number: u32) -> &RouteArms {
        self.0[number as usize % JUDGED_ROUTES].get_or_init(Box::default)
    }

    /// Those that were counted, with the number of the (first) route that they are of.
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
    /// Requests that were answered, by whomever.
    pub requests: Counter,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: Counter,
    /// Of these, those that the candidate began and the active generation finished.
    pub given_up: Counter,
    /// Of the failed ones, those that the candidate failed or answered itself.
    pub own_failures: Counter,
    /// Of the requests, those that count where there is nothing to compare with: of each client
    /// only so many.
    pub weighed: Counter,
    /// Of these, those that failed.
    pub weighed_failed: Counter,
    /// From the head to the end of the response, in microseconds.
    pub microseconds: Histogram,
}

/// How often a shadow was asked by one hook, and what both calls took.
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
