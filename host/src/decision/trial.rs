//! A request while a generation is on trial: whether the candidate decides it, and where it is
//! counted.

use std::cell::RefCell;
use std::net::IpAddr;
use std::rc::Rc;
use std::time::Instant;

use super::environment::Environment;
use super::link::{Answer, Answered, Link};
use super::shadow;
use super::slot::TrialSlot;
use super::trial_fault::{InQuestion, log_candidate, note_shared_fault};
use crate::observe::Outcome;
use crate::policy::{Ask, Message, Mode, PolicyHandle, Stickiness};
use crate::recording::Role;
use crate::stats::JudgedArm;

/// Chooses whether the candidate of this policy decides the request, or sees it as a shadow.
pub(super) fn choose<E: Environment>(link: Link<'_, E>, client: IpAddr) {
    let Some(on_trial) = &link.slot.trial else {
        return;
    };
    // A sample is 32 bits wide; the upper half of the 64 is the better one of a small generator.
    let sampled = || (link.environment.random() >> 32) as u32;
    if !on_trial.trial.takes(client, sampled) {
        return;
    }
    let bits = match on_trial.trial.mode {
        Mode::Canary(_) => &link.state.chosen,
        Mode::Shadow => {
            on_trial.shard.shadowed.increment();
            &link.state.shadowed
        }
    };
    bits.set(bits.get() | link.bit);
}

/// Asks a policy with a generation on trial.
#[cold]
pub(super) fn ask<'a, E: Environment, Q: Ask<Answer: Answer>>(
    link: Link<'a, E>,
    active: &'a Rc<RefCell<PolicyHandle>>,
    on_trial: &'a TrialSlot,
    question: &Q,
    message: &mut Message<'_>,
) -> Option<Answered<'a, Q::Answer>> {
    let state = link.state;
    if state.chosen.get() & !state.given_up.get() & link.bit != 0 {
        let _question = InQuestion::of(on_trial);
        // A call that fails leaves the fields as they were, so the active generation finds them
        // untouched.
        match link.put(&on_trial.handle, Role::Canary, question, message) {
            Some(Answered {
                answer: Err(fault), ..
            }) => {
                state.given_up.set(state.given_up.get() | link.bit);
                log_candidate(link.environment, "canary", on_trial, &fault);
                let answered = link.put(active, Role::Active, question, message);
                note_shared_fault(on_trial, &fault, answered.as_ref());
                return answered;
            }
            answered => return answered,
        }
    }
    if state.shadowed.get() & link.bit == 0 {
        return link.put(active, Role::Active, question, message);
    }
    shadow::compare(link, (active, on_trial), question, message)
}

/// Counts a request on this route for the generation that was chosen for it.
pub(super) fn count<E: Environment>(link: Link<'_, E>, route: u32, outcome: &Outcome) {
    if let Some(on_trial) = &link.slot.trial
        && let Mode::Canary(by) = on_trial.trial.mode
    {
        let counted = Counted {
            on_trial,
            canary: link.state.chosen.get() & link.bit != 0,
            given_up: link.state.given_up.get() & link.bit != 0,
            answered: link.state.answered.get().map(|(at, _)| at),
            outcome,
        };
        let weighed = counted.in_all();
        counted.on_route(route, by, weighed);
    }
}

/// A request as one canary counts it.
struct Counted<'a> {
    on_trial: &'a TrialSlot,
    canary: bool,
    given_up: bool,
    answered: Option<Instant>,
    outcome: &'a Outcome,
}

impl Counted<'_> {
    /// Counts it for all routes together. Returns whether it counts there.
    fn in_all(&self) -> bool {
        let arm = match self.canary {
            true => &self.on_trial.shard.canary,
            false => &self.on_trial.shard.control,
        };
        let outcome = self.outcome;
        arm.requests.increment();
        arm.microseconds.record(outcome.microseconds());
        if outcome.has_failed() {
            arm.failed.increment();
        }
        if outcome.has_failed() && outcome.of_policy {
            arm.own_failures.increment();
        }
        if self.given_up {
            arm.given_up.increment();
        }
        let trial = &self.on_trial.trial;
        let weighed = trial.counts(outcome.client, self.canary, None, arm.weighed.value());
        if weighed {
            arm.weighed.increment();
            if outcome.has_failed() {
                arm.weighed_failed.increment();
            }
        }
        weighed
    }

    /// Counts it for its route. Requests that are sampled one by one are the same mixture on both
    /// sides, whichever client sends most of them. A client that stays on one side would make that
    /// side better or worse than the other.
    fn on_route(&self, route: u32, by: Stickiness, weighed: bool) {
        let arms = self.on_trial.shard.judged.route(route);
        let judged = match self.canary {
            true => &arms.canary,
            false => &arms.control,
        };
        let outcome = self.outcome;
        let counts = match by {
            Stickiness::Request => true,
            Stickiness::Client => {
                let (trial, counted) = (&self.on_trial.trial, judged.requests.value());
                weighed && trial.counts(outcome.client, self.canary, Some(route), counted)
            }
        };
        if counts {
            // A question that both generations were asked takes the time of both, and its fault is
            // counted as one.
            let answered = |at| microseconds(outcome.began, at);
            let took = || self.answered.map_or(outcome.microseconds(), answered);
            judge(judged, outcome.has_failed(), (!self.given_up).then(took));
        }
    }
}

fn judge(arm: &JudgedArm, failed: bool, microseconds: Option<u64>) {
    arm.requests.increment();
    if let Some(microseconds) = microseconds {
        arm.microseconds.record(microseconds);
    }
    if failed {
        arm.failed.increment();
    }
}

fn microseconds(began: Instant, ended: Instant) -> u64 {
    u64::try_from(ended.saturating_duration_since(began).as_micros()).unwrap_or(u64::MAX)
}
