//! One request, straight down: route, normalise, ask, attempt, answer.

use std::cell::Cell;
use std::rc::Rc;
use std::time::{Duration, Instant};

use super::body::{Pace, Progress};
use super::call;
use super::client::Client;
use super::connection::Disposition;
use super::context::RequestContext;
use super::declared::check_length;
use super::layer4::Layer4;
use super::refusal::{LocalReply, Refusal};
use super::scratch::Scratch;
use super::snapshot::WorkerSnapshot;
use super::under_way::CopiedBody;
use crate::config::{RouteEdits, Timeouts};
use crate::decision::Stop;
use crate::message::{BodyLength, Edited, RequestFacts};
use crate::observe::Outcome;
use crate::policy::ByteRange;
use crate::stats::RouteSlot;
use crate::upstream::{AttemptOutcome, Doubt};

/// A request on its way.
#[derive(Debug)]
pub(super) struct Exchange<'a> {
    /// The client's side.
    pub client: Client<'a>,
    /// The snapshot that was in force when its head had arrived, whatever the worker adopts
    /// meanwhile.
    pub view: &'a Rc<WorkerSnapshot>,
    /// Of its route, once that is known.
    pub timeouts: &'a Timeouts,
    /// The request's head and buffers.
    pub scratch: &'a mut Scratch,
    /// What the head said of body and connection.
    pub facts: RequestFacts,
    /// What becomes of it.
    pub outcome: Outcome,
    /// How far the body has come, once some of it may have been taken out of the connection's
    /// input.
    pub progress: Option<Progress>,
    /// The body is kept for a copy of the request that is sent after it.
    pub copied_body: Option<Box<CopiedBody>>,
    /// What policies have edited in the head, as of then.
    pub edited: Edited,
    /// Whether only new connections will do: a pooled one has ended under this request.
    pub fresh: bool,
    /// Whether the client sends the body slowly, as far as is known before a connection is needed.
    pub slow: bool,
    /// Whether the request has the right of a slow upload.
    pub slow_place: bool,
    /// For how long the request has waited for connections.
    pub queued: Cell<Duration>,
    /// How long the client was waited for, in all attempts.
    pub pace: Pace,
    /// What the attempts have said of backends.
    pub doubt: Doubt,
    /// What the route changes of every answer, once the route is known; `None` for nothing.
    pub edits: Option<&'a RouteEdits>,
    /// Its route, once that is known: the place in the configuration, and where it is counted.
    pub route: Option<(u32, RouteSlot)>,
    /// There is no request: the connection itself is passed on.
    pub layer4: Option<Layer4>,
}

/// What an attempt came to.
pub(super) enum Attempted {
    /// The client has its answer, or never will.
    Ended(Disposition),
    /// It failed before the backend answered.
    Failed(AttemptOutcome),
    /// What the backend sent in place of a head was none. Unless another attempt follows, the
    /// client gets this answer.
    Unread(Box<LocalReply>, AttemptOutcome),
    /// The client gets this answer.
    Local(Box<LocalReply>, AttemptOutcome),
}

impl Attempted {
    /// The same of a request that has not come to a backend.
    pub(super) fn before_a_backend(self) -> Result<Disposition, Box<LocalReply>> {
        match self {
            Self::Ended(disposition) => Ok(disposition),
            Self::Local(local, _) | Self::Unread(local, _) => Err(local),
            Self::Failed(_) => Err(Refusal::NoBackend.into()),
        }
    }
}

impl<'a> Exchange<'a> {
    /// A request whose head has arrived.
    pub(super) fn new(
        client: Client<'a>,
        view: &'a Rc<WorkerSnapshot>,
        scratch: &'a mut Scratch,
        facts: RequestFacts,
        outcome: Outcome,
    ) -> Self {
        let (progress, fresh, slow, slow_place, queued) =
            (None, false, false, false, Cell::default());
        let (pace, doubt, edited) = (Pace::default(), Doubt::default(), Edited::default());
        Self {
            client,
            view,
            timeouts: &view.settings.timeouts,
            scratch,
            facts,
            outcome,
            progress,
            copied_body: None,
            edited,
            fresh,
            slow,
            slow_place,
            queued,
            pace,
            doubt,
            edits: None,
            route: None,
            layer4: None,
        }
    }
}

impl Exchange<'_> {
    /// Has the policies of its route decide the request, and the request forwarded. What is to be
    /// answered in place of a backend is the error.
    pub(super) async fn decided(
        &mut self,
        mut context: RequestContext<'_>,
    ) -> Result<Disposition, Box<LocalReply>> {
        context.chain().begin(&self.scratch.head);
        let usual = self.view.settings.limits.body_bytes;
        check_length(self.facts.body, context.rule.body_bytes, usual)?;
        self.note_deadline();
        let ended = match self.prepared(&mut context) {
            // A policy may have set another deadline, and chosen the pool.
            Ok(ranges) => {
                let deadline = self.note_deadline();
                if let Some(mirror) = &context.rule.mirror {
                    self.begin_mirror(context, mirror);
                }
                match deadline {
                    None => self.attempts(context, &ranges).await,
                    Some(until) => Box::pin(self.attempts_until(until, context, &ranges)).await,
                }
            }
            Err(stop) => Err(stop.into()),
        };
        if let (Some(copied), Some(mirror)) = (self.copied_body.take(), &context.rule.mirror) {
            self.end_mirror(context, mirror, *copied);
        }
        ended
    }

    /// Has the policies see and edit the request, and choose its pool.
    #[inline]
    fn prepared(&mut self, context: &mut RequestContext<'_>) -> Result<Vec<ByteRange>, Stop> {
        let (head, has_range) = (&mut self.scratch.head, self.facts.notes.range);
        let ranges = context.chain().prepare(head, has_range)?;
        context.route(head)?;
        if let Some(edits) = self.edits.filter(|edits| edits.says_pool) {
            self.name(edits, Some(context.target.pool));
        }
        Ok(ranges)
    }

    /// Until when the caller waits, which policies may read.
    #[inline]
    fn note_deadline(&mut self) -> Option<Instant> {
        let left = call::deadline(&self.scratch.head);
        let deadline = left.and_then(|left| self.outcome.began.checked_add(left));
        self.scratch.head.deadline = deadline;
        deadline
    }

    /// Tries backends until the caller waits no longer. What is under way then is cancelled, and
    /// held against no backend: the caller chose the time.
    #[cold]
    async fn attempts_until(
        &mut self,
        deadline: Instant,
        context: RequestContext<'_>,
        ranges: &[ByteRange],
    ) -> Result<Disposition, Box<LocalReply>> {
        // In a box, because most requests are no calls. One timer for each call is what tokio's
        // are made for.
        let attempts = Box::pin(self.attempts(context, ranges));
        let ended = tokio::time::timeout_at(deadline.into(), attempts).await;
        ended.unwrap_or_else(|_| self.call_is_late())
    }

    /// The length of the body, if all of it (or none) is there.
    pub(super) fn body_in_hand(&self) -> Option<usize> {
        if let Some(progress) = &self.progress {
            return progress.is_at_end().then_some(0);
        }
        match self.facts.body {
            BodyLength::None => Some(0),
            BodyLength::Known(n) => self.client.in_hand(n),
            BodyLength::Unknown => None,
        }
    }

    /// Whether the client's connection may carry another request.
    pub(super) fn keep_alive(&self) -> bool {
        self.facts.persists && self.client.may_continue()
    }
}
