//! After a request: each generation that was asked about it hears what became of it.

use std::cell::RefCell;
use std::rc::Rc;

use super::chain::PolicyChain;
use super::environment::Environment;
use super::faults::fault_line;
use super::link::{Answered, Link};
use super::shadow;
use super::slot::TrialSlot;
use super::trial_fault::log_candidate;
use crate::message::RequestHead;
use crate::policy::{Completed, Fault, Heard, Message, Mode, PolicyHandle};
use crate::recording::Role;
use crate::stats::PolicyShard;
use crate::upstream::{Completion, FailedAttempt};

impl<E: Environment> PolicyChain<'_, E> {
    /// Tells each generation that was asked about the request what became of it. Nothing that comes
    /// of it is the request's business any more.
    pub fn complete(
        self,
        head: &mut RequestHead,
        completion: &Completion,
        failed: &[FailedAttempt],
    ) {
        self.state
            .record(|record| record.completion(completion, failed));
        let question = Completed {
            pools: self.route.pools,
            completion,
            failed,
        };
        let state = self.state;
        // What is asked now is not to hear of it once more.
        let (asked, tried) = (state.asked.take(), state.tried.take());
        for link in self.links() {
            let active = link.slot.active.as_ref();
            let active = active.filter(|_| asked & link.bit != 0);
            let trial = link.slot.trial.as_ref();
            let trial = trial.filter(|_| tried & link.bit != 0);
            link.complete((active, trial), &question, &mut Message::request(head));
        }
    }

    /// There is no room for what became of the request: each generation that was to hear of it has
    /// it counted.
    #[cold]
    pub fn drop_completion(self) {
        let (asked, tried) = (self.state.asked.take(), self.state.tried.take());
        for link in self.links() {
            if asked & link.bit != 0 {
                link.slot.shard.completions_dropped.increment();
            }
            if let Some(on_trial) = &link.slot.trial
                && tried & link.bit != 0
            {
                on_trial.shard.candidate.completions_dropped.increment();
            }
        }
    }
}

impl<'a, E: Environment> Link<'a, E> {
    fn complete(
        self,
        (active, trial): (Option<&'a Rc<RefCell<PolicyHandle>>>, Option<&'a TrialSlot>),
        question: &Completed<'_>,
        message: &mut Message<'_>,
    ) {
        let answered = match (active, trial) {
            (Some(active), Some(on_trial)) if on_trial.trial.mode == Mode::Shadow => {
                shadow::compare(self, (active, on_trial), question, message)
            }
            (active, trial) => {
                if let Some(on_trial) = trial {
                    self.complete_candidate(on_trial, question, message);
                }
                active.and_then(|active| self.put(active, Role::Active, question, message))
            }
        };
        if let Some(Answered {
            answer: Err(fault), ..
        }) = answered
        {
            let entry = &self.slot.entry;
            self.environment
                .log_fault(entry.fault_key(), || fault_line(&entry.name, &fault));
            note_dropped(&self.slot.shard, &fault);
        }
    }

    /// Tells the generation on trial, and not the active one.
    fn complete_candidate(
        self,
        on_trial: &'a TrialSlot,
        question: &Completed<'_>,
        message: &mut Message<'_>,
    ) {
        let (role, heard): (_, Result<Heard, Fault>) = match on_trial.trial.mode {
            Mode::Shadow => ("shadow", shadow::alone(self, on_trial, question, message)),
            Mode::Canary(_) => {
                let put = self.put(&on_trial.handle, Role::Canary, question, message);
                ("canary", put.map_or(Ok(Heard), |answered| answered.answer))
            }
        };
        if let Err(fault) = heard {
            log_candidate(self.environment, role, on_trial, &fault);
            note_dropped(&on_trial.shard.candidate, &fault);
        }
    }
}

/// Counts a call that was not made.
fn note_dropped(shard: &PolicyShard, fault: &Fault) {
    if fault.kind.is_absence() {
        shard.completions_dropped.increment();
    }
}
