//! What is settled for one request alone: which generations decide it, which shadows see it, and
//! what is captured of it.

use std::cell::{Cell, Ref, RefCell};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use super::capture::Capture;
use super::explain::Trace;
use super::record::RecordedRequest;
use crate::message::{TlsSession, Version};
use crate::observe::PolicyTime;
use crate::observe::spans::{AttemptNote, SpanNotes};
use crate::recording::Recorder;
use crate::stats::WorkerShard;

/// What is settled for one request alone. In the sets, bit n is the policy at place n of the route.
#[derive(Debug, Default)]
pub struct RequestPolicyState {
    /// Policies whose candidate was to decide this request.
    pub(super) chosen: Cell<u64>,
    /// Those of them whose candidate has failed: the active generation decides the rest.
    pub(super) given_up: Cell<u64>,
    /// Policies whose shadow sees this request.
    pub(super) shadowed: Cell<u64>,
    /// Policies whose active generation was asked, and wants to hear what became of the request.
    pub(super) asked: Cell<u64>,
    /// The same of generations on trial.
    pub(super) tried: Cell<u64>,
    /// Whether generations were chosen, because some policy has one on trial.
    pub(super) begun: Cell<bool>,
    /// The position of the pool that a policy has chosen, among those of the route.
    pub(super) routed: Cell<Option<u32>>,
    /// When a backend's answer began, and how long the backend took for it; noted only while
    /// something is on trial, or wants to hear of it.
    pub(super) answered: Cell<Option<(Instant, Option<Duration>)>>,
    /// How long the backend took for the answer that came last.
    pub(super) took: Cell<Option<Duration>>,
    /// What is noted of the request: nothing for most.
    pub(super) capture: Option<Box<Capture>>,
}

impl RequestPolicyState {
    /// Has a trace kept, from now on. It begins with by what the request has come.
    pub fn keep_trace(&mut self, version: Version, session: Option<&TlsSession>) {
        let trace = Trace::received(version, session);
        self.capture.get_or_insert_default().trace = Some(RefCell::new(trace));
    }

    /// Has a record kept, from now on.
    pub fn keep_record(&mut self, record: RecordedRequest) {
        self.capture.get_or_insert_default().record = Some(RefCell::new(record));
    }

    /// Has the request's spans noted, from now on. It is a part of this one.
    pub fn keep_spans(&mut self, parent: Option<u64>) {
        let notes = SpanNotes::of(parent);
        self.capture.get_or_insert_default().spans = Some(RefCell::new(notes));
    }

    /// Has what policies take noted, from now on.
    pub fn keep_times(&mut self) {
        self.capture.get_or_insert_default().times = Some(RefCell::default());
    }

    /// Takes what the policies took that were asked so far, if that is noted.
    pub fn take_times(&self) -> Vec<PolicyTime> {
        let times = self.capture.as_ref().and_then(|c| c.times.as_ref());
        times.map(RefCell::take).unwrap_or_default()
    }

    /// How long the backend took for the answer that came last.
    pub fn took(&self) -> Option<Duration> {
        self.took.get()
    }

    /// Has what watchers may get noted, from now on.
    pub fn keep_sample(&mut self) {
        let spans = &mut self.capture.get_or_insert_default().spans;
        spans.get_or_insert_default().get_mut().tapped = true;
    }

    /// Whether attempts and calls are noted.
    #[inline]
    pub fn keeps_spans(&self) -> bool {
        let capture = self.capture.as_ref();
        capture.is_some_and(|capture| capture.spans.is_some())
    }

    /// The request has ended: nothing more is noted of its spans. `None` if nothing was.
    #[inline]
    pub fn take_spans(&mut self) -> Option<SpanNotes> {
        let capture = self.capture.as_mut()?;
        capture.spans.take().map(RefCell::into_inner)
    }

    /// An attempt at a backend begins; `None` if its span is not noted.
    #[inline]
    pub fn begin_attempt(&self, attempt: impl FnOnce() -> AttemptNote) -> Option<usize> {
        let spans = self.capture.as_ref()?.spans.as_ref()?;
        spans.borrow_mut().begin(attempt())
    }

    /// Notes something of the request's spans, if they are noted.
    pub fn note_spans(&self, note: impl FnOnce(&mut SpanNotes)) {
        if let Some(capture) = &self.capture
            && let Some(spans) = &capture.spans
        {
            note(&mut spans.borrow_mut());
        }
    }

    /// The trace so far, if one is kept.
    pub fn trace(&self) -> Option<Ref<'_, str>> {
        let trace = self.capture.as_ref()?.trace.as_ref()?;
        Some(Ref::map(trace.borrow(), Trace::text))
    }

    /// Notes something in the record, if one is kept.
    #[inline]
    pub(super) fn record(&self, note: impl FnOnce(&mut RecordedRequest)) {
        if let Some(capture) = &self.capture
            && let Some(record) = &capture.record
        {
            note(&mut record.borrow_mut());
        }
    }

    /// Notes for the trace what became of an attempt, the first of which is number 1.
    #[inline]
    pub fn attempted(&self, number: u32, backend: SocketAddr, outcome: impl FnOnce() -> String) {
        if let Some(capture) = &self.capture
            && let Some(trace) = &capture.trace
        {
            trace.borrow_mut().attempted(number, backend, &outcome());
        }
    }

    /// Whether a policy is to hear what becomes of the request.
    #[inline]
    pub fn is_awaited(&self) -> bool {
        (self.asked.get() | self.tried.get()) != 0
    }

    /// The position of the pool that a policy has chosen, among those of the route.
    #[inline]
    pub fn routed(&self) -> Option<u32> {
        self.routed.get()
    }

    /// When a backend's answer began, and how long the backend took for it, if it was noted.
    pub fn answered(&self) -> Option<(Instant, Option<Duration>)> {
        self.answered.get()
    }

    /// The request has ended with this status: what is recorded of it is handed over.
    #[inline]
    pub fn end(self, recorder: Option<&Recorder>, shard: &WorkerShard, status: u16) {
        if let Some(capture) = self.capture
            && let (Some(record), Some(recorder)) = (capture.record, recorder)
        {
            record.into_inner().end(recorder, shard, status);
        }
    }
}
