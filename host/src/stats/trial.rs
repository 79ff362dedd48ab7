//! What one worker counts of a generation on trial.

use std::sync::Arc;

use super::{Counter, HOOKS, Histogram, PolicyShard};

/// Counters of one worker for one trial. They begin and end with it.
#[derive(Debug, Default)]
pub struct TrialShard {
    /// The candidate's calls, faults and memory: apart from those of the policy's name.
    pub candidate: Arc<PolicyShard>,
    /// Requests that the candidate decided.
    pub canary: ArmShard,
    /// Requests that could have been the candidate's and were decided by the active generation.
    pub control: ArmShard,
    /// What a shadow was asked, by hook in the order of [`HOOKS`].
    pub compared: [Compared; HOOKS.len()],
    /// Requests that a shadow saw.
    pub shadowed: Counter,
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
