//! A request while a generation is on trial: whether the candidate decides it, and what it counts
//! for.

use std::net::IpAddr;
use std::time::Instant;

use rand::Rng;

use super::ask::{Member, Panel};
use super::snapshot::OnTrial;
use crate::message::RequestHead;
use crate::policy::{Mode, Stickiness};
use crate::stats::JudgedArm;

/// What became of a request.
#[derive(Debug, Clone, Copy)]
pub struct Concluded {
    /// Whose it was.
    pub client: IpAddr,
    /// The status that was sent; 0 if none was.
    pub status: u16,
    /// The answer broke off.
    pub broken: bool,
    /// The answer is a policy's own, or that of its failure.
    pub of_policy: bool,
    /// When the request's head had arrived.
    pub began: Instant,
}

impl<'a> Panel<'a> {
    #[cold]
    pub(super) fn choose(self, head: &RequestHead) {
        for Member { place, bit, .. } in self.members() {
            let Some(on_trial) = &place.trial else {
                continue;
            };
            if !on_trial
                .trial
                .takes(head.client, || self.worker.rng.borrow_mut().next_u32())
            {
                continue;
            }
            let bits = match on_trial.trial.mode {
                Mode::Canary(_) => &self.turn.chosen,
                Mode::Shadow => {
                    on_trial.shard.shadowed.increment();
                    &self.turn.shadowed
                }
            };
            bits.set(bits.get() | bit);
        }
    }

    /// A backend's answer has begun.
    #[inline]
    pub fn answered(self) {
        if self.view.on_trial {
            self.turn.answered.set(Some(Instant::now()));
        }
    }

    /// The request has been answered, in full or not: counts it for the generation that was chosen
    /// for it.
    #[inline]
    pub fn conclude(self, concluded: Concluded) {
        // Without a status the client was gone, which says nothing of the policy.
        if self.view.on_trial && concluded.status != 0 {
            self.count(concluded);
        }
    }

    #[cold]
    fn count(self, concluded: Concluded) {
        for member in self.members() {
            if let Some(on_trial) = &member.place.trial
                && let Mode::Canary(by) = on_trial.trial.mode
            {
                self.count_canary(member, on_trial, by, concluded);
            }
        }
    }

    fn count_canary(
        self,
        member: Member<'a>,
        on_trial: &OnTrial,
        by: Stickiness,
        concluded: Concluded,
    ) {
        let Concluded {
            client,
            status,
            broken,
            of_policy,
            began,
        } = concluded;
        let (trial, route) = (&on_trial.trial, self.rule.number);
        let canary = self.turn.chosen.get() & member.bit != 0;
        let arms = on_trial.shard.judged.route(route);
        let (arm, judged) = match canary {
            true => (&on_trial.shard.canary, &arms.canary),
            false => (&on_trial.shard.control, &arms.control),
        };
        let failed = status >= 500 || broken;
        arm.requests.increment();
        arm.microseconds.record(microseconds(began, Instant::now()));
        if failed {
            arm.failed.increment();
        }
        if failed && of_policy {
            arm.own_failures.increment();
        }
        let given_up = self.turn.given_up.get() & member.bit != 0;
        if given_up {
            arm.given_up.increment();
        }
        let weighed = trial.counts(client, canary, None, arm.weighed.value());
        if weighed {
            arm.weighed.increment();
            if failed {
                arm.weighed_failed.increment();
            }
        }
        // Requests that are dealt out one by one are the same mixture on both sides, whoever sends
        // most of them. A client that stays on one side would make that side better or worse than
        // the other.
        let counts = match by {
            Stickiness::Request => true,
            Stickiness::Client => {
                weighed && trial.counts(client, canary, Some(route), judged.requests.value())
            }
        };
        if counts {
            // What both generations were asked takes the time of both, and the fault is counted as
            // one.
            let took =
                || microseconds(began, self.turn.answered.get().unwrap_or_else(Instant::now));
            judge(judged, failed, (!given_up).then(took));
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
