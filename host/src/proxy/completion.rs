//! What became of requests: noted for the policies that were asked about them, and told to them
//! beside other requests. No client and no request waits for that.

use std::time::{Duration, Instant};

use tokio::task::yield_now;

use super::completions::{Ended, Waiting};
use super::context;
use super::refusal::{LocalReply, Refusal};
use super::worker::Worker;
use crate::upstream::RequestFailure;

/// So much time is taken for them before other tasks have their turn: some hundred calls.
const TURN: Duration = Duration::from_micros(500);
/// So much time is taken for those that wait when the worker ends.
const REST: Duration = Duration::from_secs(1);

impl Worker {
    /// Tells policies what became of requests, for as long as it is polled.
    pub async fn complete(&self) {
        loop {
            // First: after a panic some may be left, of which nothing is said again.
            while self.complete_for(TURN) {
                yield_now().await;
            }
            self.completions.begun().await;
        }
    }

    /// Tells them what waits when the worker ends.
    pub fn complete_rest(&self) {
        if self.complete_for(REST) {
            let left = self.completions.take_all();
            left.iter().for_each(|waiting| waiting.drop(self));
            tracing::warn!(
                worker = self.index,
                requests = left.len(),
                "policies did not hear in time what became of their last requests"
            );
        }
    }

    /// Whether some are left after this time.
    fn complete_for(&self, time: Duration) -> bool {
        let began = Instant::now();
        while let Some(next) = self.completions.next() {
            next.tell(self);
            if began.elapsed() >= time {
                return !self.completions.is_empty();
            }
        }
        false
    }

    /// Takes a request that has ended, of which policies are to hear.
    #[cold]
    pub(super) fn ended(&self, ended: Ended<'_>) {
        let Some(left) = self.completions.add(ended) else {
            return;
        };
        let route = (left.rule, left.pool);
        context::chain(self, left.view, route, &left.state).drop_completion();
        let recorder = left.view.recorder.as_ref();
        left.state.end(recorder, &self.shard, left.status);
    }
}

impl Waiting {
    /// Tells the policies that were asked.
    fn tell(self, worker: &Worker) {
        let Self {
            view,
            route,
            pool,
            mut head,
            state,
            completion,
            failed,
            status,
            ..
        } = self;
        if let Some(rule) = view.snapshot.routes.of_number(route) {
            let chain = context::chain(worker, &view, (rule, pool), &state);
            chain.complete(&mut head, &completion, &failed);
        }
        state.end(view.recorder.as_ref(), &worker.shard, status);
        worker.completions.give_back(head);
    }

    fn drop(&self, worker: &Worker) {
        if let Some(rule) = self.view.snapshot.routes.of_number(self.route) {
            let route = (rule, self.pool);
            context::chain(worker, &self.view, route, &self.state).drop_completion();
        }
    }
}

/// Why a request to which this is the answer has not ended with a backend's response.
pub(super) fn failure(local: &LocalReply) -> RequestFailure {
    match local {
        LocalReply::Reply { .. } => RequestFailure::Policy,
        LocalReply::Refusal(refusal) => failure_of(refusal),
        LocalReply::Options
        | LocalReply::Redirect { .. }
        | LocalReply::Fixed(..)
        | LocalReply::Preflight
        | LocalReply::Page { .. } => RequestFailure::Refused,
    }
}

/// The same of a refusal.
pub(super) fn failure_of(refusal: &Refusal) -> RequestFailure {
    match refusal {
        Refusal::PolicyAbsent { .. }
        | Refusal::PolicyFailed { .. }
        | Refusal::PolicyNotAsked { .. } => RequestFailure::Policy,
        Refusal::ConnectTimeout | Refusal::ResponseTimeout | Refusal::CallDeadline => {
            RequestFailure::Timeout
        }
        Refusal::Unreachable
        | Refusal::UnfitBackend { .. }
        | Refusal::ClosedEarly
        | Refusal::BadResponse(_)
        | Refusal::UnaskedUpgrade
        | Refusal::NotSwitched
        | Refusal::NoWebSocket => RequestFailure::Backend,
        Refusal::Malformed(_)
        | Refusal::RequestTimeout
        | Refusal::SlowClient
        | Refusal::HiddenClient
        | Refusal::BodyTooLarge => RequestFailure::Client,
        Refusal::Method
        | Refusal::Path(_)
        | Refusal::AmbiguousPath
        | Refusal::Contradiction
        | Refusal::Loop
        | Refusal::NoRoute { .. }
        | Refusal::NoBackend
        | Refusal::Busy
        | Refusal::AtLimit
        | Refusal::OutOfConnections
        | Refusal::StreamLimit
        | Refusal::Protocol
        | Refusal::Misdirected
        | Refusal::TooManyConnections
        | Refusal::TooManyOfClient
        | Refusal::Forward(_)
        | Refusal::RangeNotSatisfiable { .. } => RequestFailure::Refused,
    }
}
