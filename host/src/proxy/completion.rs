//! What became of requests: noted for the policies that were asked about them, and told to them
//! beside other requests. No client and no request waits for that.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;
use std::time::{Duration, Instant};

use tokio::sync::Notify;
use tokio::task::yield_now;

use super::context;
use super::refusal::{LocalReply, Refusal};
use super::snapshot::WorkerSnapshot;
use super::spares::Spares;
use super::worker::Worker;
use crate::decision::RequestPolicyState;
use crate::message::RequestHead;
use crate::route::Rule;
use crate::upstream::{Completion, FailedAttempt, RequestFailure};

/// Completions of a worker that may wait.
const MOST: usize = 4_096;
/// Bytes of their requests' heads.
const MOST_BYTES: usize = 4 << 20;
/// So much time is taken for them before other tasks have their turn: some hundred calls.
const TURN: Duration = Duration::from_micros(500);
/// So much time is taken for those that wait when the worker ends.
const REST: Duration = Duration::from_secs(1);

/// Completions that wait for their policies.
#[derive(Default)]
pub(super) struct Completions {
    waiting: RefCell<VecDeque<Waiting>>,
    /// Bytes of their heads.
    bytes: Cell<usize>,
    /// Heads that are not in use.
    heads: Spares<Box<RequestHead>>,
    begun: Notify,
}

/// A request that has ended.
pub(super) struct Ended<'a> {
    pub view: &'a Rc<WorkerSnapshot>,
    pub rule: &'a Rule,
    /// It is taken, and another one is put in its place.
    pub head: &'a mut RequestHead,
    pub state: RequestPolicyState,
    pub completion: Completion,
    pub failed: Vec<FailedAttempt>,
    /// For the record of the request.
    pub status: u16,
}

/// The same while it waits.
struct Waiting {
    view: Rc<WorkerSnapshot>,
    /// The number of the route.
    route: u32,
    head: Box<RequestHead>,
    weight: usize,
    state: RequestPolicyState,
    completion: Completion,
    failed: Vec<FailedAttempt>,
    status: u16,
}

impl Worker {
    /// Tells policies what became of requests, for as long as it is polled.
    pub async fn complete(&self) {
        loop {
            self.completions.begun.notified().await;
            while self.complete_for(TURN) {
                yield_now().await;
            }
        }
    }

    /// Tells them what waits when the worker ends.
    pub fn complete_rest(&self) {
        if self.complete_for(REST) {
            let left = self.completions.waiting.take();
            let chains = left.iter().map(|waiting| waiting.drop(self));
            tracing::warn!(
                worker = self.index,
                requests = chains.count(),
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
                return !self.completions.waiting.borrow().is_empty();
            }
        }
        false
    }

    /// Takes a request that has ended, of which policies are to hear.
    #[cold]
    pub(super) fn ended(&self, ended: Ended<'_>) {
        let Ended {
            view,
            rule,
            head,
            state,
            completion,
            failed,
            status,
        } = ended;
        let queue = &self.completions;
        let weight = head.fields.capacity() + head.target.capacity();
        let bytes = queue.bytes.get() + weight;
        let mut waiting = queue.waiting.borrow_mut();
        if waiting.len() >= MOST || bytes > MOST_BYTES {
            drop(waiting);
            context::chain(self, view, rule, &state).drop_completion();
            state.end(view.recorder.as_ref(), &self.shard, status);
            return;
        }
        if waiting.is_empty() {
            queue.begun.notify_one();
        }
        queue.bytes.set(bytes);
        let mut own = queue.heads.take().unwrap_or_default();
        std::mem::swap(&mut *own, head);
        waiting.push_back(Waiting {
            view: Rc::clone(view),
            route: rule.number,
            head: own,
            weight,
            state,
            completion,
            failed,
            status,
        });
    }
}

impl Completions {
    fn next(&self) -> Option<Waiting> {
        let next = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - next.weight);
        Some(next)
    }

    /// Lets go of heads that were not needed for a while.
    pub(super) fn trim(&self) {
        self.heads.trim();
    }
}

impl Waiting {
    /// Tells the policies that were asked.
    fn tell(self, worker: &Worker) {
        let Self {
            view,
            route,
            mut head,
            state,
            completion,
            failed,
            status,
            ..
        } = self;
        if let Some(rule) = view.snapshot.routes.of_number(route) {
            let chain = context::chain(worker, &view, rule, &state);
            chain.complete(&mut head, &completion, &failed);
        }
        state.end(view.recorder.as_ref(), &worker.shard, status);
        head.clear();
        // Those beyond what is kept are dropped.
        let _ = worker.completions.heads.keep(head);
    }

    fn drop(&self, worker: &Worker) {
        if let Some(rule) = self.view.snapshot.routes.of_number(self.route) {
            context::chain(worker, &self.view, rule, &self.state).drop_completion();
        }
    }
}

/// Why a request to which this is the answer has not ended with a backend's response.
pub(super) fn failure(local: &LocalReply) -> RequestFailure {
    match local {
        LocalReply::Reply { .. } => RequestFailure::Policy,
        LocalReply::Refusal(refusal) => failure_of(refusal),
        LocalReply::Options | LocalReply::Redirect { .. } | LocalReply::Page { .. } => {
            RequestFailure::Refused
        }
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
        | Refusal::RangeNotSatisfiable { .. } => RequestFailure::Refused,
    }
}
