//! The state of a request's policies for as long as it is under way, and what comes of it in the
//! end.

use std::mem;
use std::time::Duration;

use super::completion::Ended;
use super::exchange::Exchange;
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::message::BodyLength;
use crate::route::Rule;
use crate::upstream::{Completion, RequestFailure};

/// A request whose policies may hear what becomes of it, however it ends: also if its task is
/// dropped, or panics.
pub(super) struct Awaited<'e, 'a> {
    pub exchange: &'e mut Exchange<'a>,
    pub worker: &'e Worker,
    /// Its route, once it is known.
    pub rule: Option<&'a Rule>,
    pub state: RequestPolicyState,
}

impl Awaited<'_, '_> {
    /// The request has ended as its outcome says.
    #[inline]
    pub(super) fn end(mut self) {
        if self.state.is_awaited() {
            return self.pass_on();
        }
        let (recorder, status) = (&self.exchange.view.recorder, self.exchange.outcome.status);
        let state = mem::take(&mut self.state);
        state.end(recorder.as_ref(), &self.worker.shard, status);
    }

    #[cold]
    fn pass_on(&mut self) {
        let state = mem::take(&mut self.state);
        let Some(rule) = self.rule else { return };
        let exchange = &mut *self.exchange;
        let completion = exchange.completion(&state);
        self.worker.ended(Ended {
            view: exchange.view,
            rule,
            head: &mut exchange.scratch.head,
            state,
            completion,
            failed: mem::take(&mut exchange.outcome.failed),
            status: exchange.outcome.status,
        });
    }
}

impl Drop for Awaited<'_, '_> {
    fn drop(&mut self) {
        if self.state.is_awaited() {
            let outcome = &mut self.exchange.outcome;
            outcome.failure = Some(RequestFailure::Cancelled);
            outcome.end(self.exchange.scratch.head.client);
            self.pass_on();
        }
    }
}

impl Exchange<'_> {
    /// What became of the request.
    fn completion(&self, state: &RequestPolicyState) -> Completion {
        let outcome = &self.outcome;
        let failure = outcome.failure;
        let known = outcome.status != 0 && failure != Some(RequestFailure::Cancelled);
        let answered = state.answered();
        Completion {
            backend: outcome.backend.as_ref().map(|_| outcome.position),
            status: known.then_some(outcome.status),
            failure,
            attempts: outcome.attempts,
            first_byte_microseconds: answered
                .map(|(at, _)| microseconds(at.saturating_duration_since(outcome.began))),
            latency_microseconds: answered.and_then(|(_, took)| took).map(microseconds),
            duration_microseconds: outcome.microseconds(),
            request_bytes: self.request_bytes(),
            response_bytes: outcome.response_bytes,
        }
    }

    /// Bytes of the request's body that were passed on.
    fn request_bytes(&self) -> u64 {
        match (&self.progress, self.facts.body) {
            (Some(progress), length) => progress.passed_on(length),
            // It was all there.
            (None, BodyLength::Known(n)) if self.outcome.attempts > 0 => n,
            (None, _) => 0,
        }
    }
}

fn microseconds(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}
