//! A fault of a candidate: its log line, and whether it counts against the candidate.

use std::sync::atomic::{Ordering, fence};

use super::environment::Environment;
use super::faults::fault_line;
use super::link::Answered;
use super::slot::TrialSlot;
use crate::policy::{Fault, FaultKind};

/// Held while it is not known whether a fault of the candidate is one of the active generation too:
/// the verdict waits for that.
pub(super) struct InQuestion<'a>(&'a TrialSlot);

impl<'a> InQuestion<'a> {
    pub(super) fn of(on_trial: &'a TrialSlot) -> Self {
        on_trial.shard.in_question.increment();
        fence(Ordering::Release);
        Self(on_trial)
    }
}

impl Drop for InQuestion<'_> {
    fn drop(&mut self) {
        fence(Ordering::Release);
        self.0.shard.in_question.decrement();
    }
}

/// Notes that the active generation failed on the same question, took too long for it as well, or
/// was not asked it because of what came before: then the request is at fault, or its client, and
/// not the candidate.
pub(super) fn note_shared_fault<A>(
    on_trial: &TrialSlot,
    fault: &Fault,
    active: Option<&Answered<'_, A>>,
) {
    let is_own = matches!(
        fault.kind,
        FaultKind::Trap | FaultKind::Deadline | FaultKind::Invalid
    );
    let Some(Answered { handle, answer }) = active.filter(|_| is_own) else {
        return;
    };
    if answer.is_err() || (fault.kind == FaultKind::Deadline && handle.borrow().was_late()) {
        on_trial.shard.shared_faults.increment();
    }
}

/// Logs a fault of the candidate, which is a `role`.
pub(super) fn log_candidate(
    environment: impl Environment,
    role: &str,
    on_trial: &TrialSlot,
    fault: &Fault,
) {
    let generation = &on_trial.trial.generation;
    let (name, number) = (generation.name(), generation.number());
    environment.log_fault((name, number), || {
        fault_line(&format!("{name} ({role}, generation {number})"), fault)
    });
}
