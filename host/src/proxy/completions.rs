//! The queue of requests that have ended, of which policies are to hear.

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use tokio::sync::Notify;

use super::snapshot::WorkerSnapshot;
use super::spares::Spares;
use crate::decision::RequestPolicyState;
use crate::message::RequestHead;
use crate::route::Rule;
use crate::upstream::{Completion, FailedAttempt, PoolId};

/// Completions of a worker that may wait.
const MOST: usize = 4_096;
/// Bytes of their requests' heads.
const MOST_BYTES: usize = 4 << 20;
/// The queue of one worker.
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
    /// The pool that took it.
    pub pool: PoolId,
    /// It is taken, and another one is put in its place.
    pub head: &'a mut RequestHead,
    pub state: RequestPolicyState,
    pub completion: Completion,
    pub failed: Vec<FailedAttempt>,
    /// For the record of the request.
    pub status: u16,
}

/// The same while it waits.
pub(super) struct Waiting {
    pub view: Rc<WorkerSnapshot>,
    /// The number of the route.
    pub route: u32,
    pub pool: PoolId,
    pub head: Box<RequestHead>,
    weight: usize,
    pub state: RequestPolicyState,
    pub completion: Completion,
    pub failed: Vec<FailedAttempt>,
    pub status: u16,
}

impl Completions {
    /// Adds one, unless there is no room: then it is given back.
    pub(super) fn add<'a>(&self, ended: Ended<'a>) -> Option<Ended<'a>> {
        let weight = ended.head.fields.capacity() + ended.head.target.capacity();
        let bytes = self.bytes.get() + weight;
        let mut waiting = self.waiting.borrow_mut();
        if waiting.len() >= MOST || bytes > MOST_BYTES {
            return Some(ended);
        }
        if waiting.is_empty() {
            self.begun.notify_one();
        }
        self.bytes.set(bytes);
        let mut head = self.heads.take().unwrap_or_default();
        std::mem::swap(&mut *head, ended.head);
        waiting.push_back(Waiting {
            view: Rc::clone(ended.view),
            route: ended.rule.number,
            pool: ended.pool,
            head,
            weight,
            state: ended.state,
            completion: ended.completion,
            failed: ended.failed,
            status: ended.status,
        });
        None
    }

    /// Takes the first one out.
    pub(super) fn next(&self) -> Option<Waiting> {
        let next = self.waiting.borrow_mut().pop_front()?;
        self.bytes.set(self.bytes.get() - next.weight);
        Some(next)
    }

    pub(super) fn take_all(&self) -> VecDeque<Waiting> {
        self.bytes.set(0);
        self.waiting.take()
    }

    pub(super) fn is_empty(&self) -> bool {
        self.waiting.borrow().is_empty()
    }

    /// Waits until the queue is no longer empty.
    pub(super) async fn begun(&self) {
        self.begun.notified().await;
    }

    /// Takes a head back, for the next one.
    pub(super) fn give_back(&self, mut head: Box<RequestHead>) {
        head.clear();
        // Those beyond what is kept are dropped.
        let _ = self.heads.keep(head);
    }

    /// Lets go of heads that were not needed for a while.
    pub(super) fn trim(&self) {
        self.heads.trim();
    }
}
