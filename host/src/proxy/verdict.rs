//! What an attempt that has ended says of the backend.

use super::blame::{self, Circumstances};
use super::body::{Duplex, Stage};
use super::context::Target;
use super::end::ExchangeEnd;
use super::exchange::Exchange;
use super::worker::Worker;
use crate::net::Wait;
use crate::upstream::AttemptOutcome;

impl Exchange<'_> {
    /// The facts about an attempt that has ended, from when on nothing is waited for.
    pub(super) fn circumstances(
        &self,
        worker: &Worker,
        reused: bool,
        duplex: &Duplex,
        waited: u64,
    ) -> Circumstances {
        let timer = self.client.timer();
        timer.disarm(Wait::UpstreamRead);
        let now = worker.timers.now();
        let slow_to_send = duplex.stage() == Stage::Partly && self.pace.is_slow(now);
        let slow_to_read = blame::is_slow_reader(timer.moved.waited.get() - waited);
        self.pace.go_on(now);
        Circumstances {
            reused,
            answered: duplex.is_answered(),
            slow_client: slow_to_send || slow_to_read,
        }
    }

    /// What is reported of an outcome to the health of the backend: a status for which another one
    /// is asked need not be a failure.
    #[inline]
    pub(super) fn reported(&self, to: Target<'_>, outcome: AttemptOutcome) -> AttemptOutcome {
        match outcome {
            AttemptOutcome::Unavailable if !to.is_failure(self.scratch.response.status) => {
                AttemptOutcome::Answered
            }
            outcome => outcome,
        }
    }

    /// What the end of an exchange means for the backend.
    #[inline]
    pub(super) fn outcome(
        &self,
        to: Target<'_>,
        end: &ExchangeEnd,
        known: Circumstances,
    ) -> AttemptOutcome {
        let outcome = blame::outcome(end, known);
        let has_answered = match outcome {
            AttemptOutcome::Answered => true,
            // In place of an answer, unless nothing was asked.
            AttemptOutcome::Replaced => !end.is_before_the_request(),
            _ => false,
        };
        match has_answered && to.is_failure(self.scratch.response.status) {
            true => AttemptOutcome::FailureStatus,
            false => outcome,
        }
    }
}
