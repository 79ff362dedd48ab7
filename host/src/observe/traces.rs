//! From workers to the exporter of traces: each collects what has ended, and hands it over at its
//! sweeps. Nothing waits: what there is no room for is dropped and counted.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use tokio::sync::mpsc;

use super::spans::RequestTrace;
use crate::stats::WorkerShard;

/// A worker hands its traces over when it has this many, and at each sweep.
const BATCH: usize = 64;

/// Where workers hand traces over. Cheap to clone.
#[derive(Debug, Clone)]
pub struct TraceHandle {
    sink: mpsc::UnboundedSender<Vec<HeldTrace>>,
    room: Arc<Room>,
}

/// How many spans there are room for.
#[derive(Debug)]
struct Room {
    held: AtomicUsize,
    most: usize,
}

/// A trace on its way to the collector. Its room is free again when it is dropped.
#[derive(Debug)]
pub struct HeldTrace {
    /// The trace.
    pub trace: RequestTrace,
    /// How many spans it has.
    pub spans: usize,
    room: Arc<Room>,
}

impl Drop for HeldTrace {
    fn drop(&mut self) {
        self.room.held.fetch_sub(self.spans, Relaxed);
    }
}

impl TraceHandle {
    /// A way for this many spans at most, and its other end.
    pub fn new(most: usize) -> (Self, mpsc::UnboundedReceiver<Vec<HeldTrace>>) {
        // What bounds it is the room for spans.
        let (sink, batches) = mpsc::unbounded_channel();
        let held = AtomicUsize::new(0);
        let room = Arc::new(Room { held, most });
        (Self { sink, room }, batches)
    }

    /// Returns the number of spans that there was no room for.
    fn hand_over(&self, traces: Vec<RequestTrace>) -> u64 {
        let mut dropped = 0;
        let mut batch = Vec::with_capacity(traces.len());
        for trace in traces {
            match self.hold(trace) {
                Ok(held) => batch.push(held),
                Err(spans) => dropped += spans as u64,
            }
        }
        if !batch.is_empty()
            && let Err(mpsc::error::SendError(refused)) = self.sink.send(batch)
        {
            dropped += refused.iter().map(|held| held.spans as u64).sum::<u64>();
        }
        dropped
    }

    /// The error is the number of spans that there is no room for.
    fn hold(&self, trace: RequestTrace) -> Result<HeldTrace, usize> {
        let spans = trace.spans();
        let before = self.room.held.fetch_add(spans, Relaxed);
        // Gives the room back in any case.
        let room = Arc::clone(&self.room);
        let held = HeldTrace { trace, spans, room };
        match before + spans <= self.room.most {
            true => Ok(held),
            false => Err(spans),
        }
    }

    fn is_same(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.room, &other.room)
    }
}

/// One worker's end.
#[derive(Debug)]
pub struct WorkerTraces {
    to: RefCell<Option<TraceHandle>>,
    pending: RefCell<Vec<RequestTrace>>,
    shard: Arc<WorkerShard>,
}

impl WorkerTraces {
    /// A worker's, which goes there.
    pub fn new(shard: Arc<WorkerShard>, to: Option<TraceHandle>) -> Self {
        Self {
            to: RefCell::new(to),
            pending: RefCell::default(),
            shard,
        }
    }

    /// Goes there from now on.
    pub fn follow(&self, to: Option<&TraceHandle>) {
        let is_same = match (&*self.to.borrow(), to) {
            (None, None) => true,
            (Some(former), Some(next)) => former.is_same(next),
            _ => false,
        };
        if !is_same {
            self.flush();
            self.to.replace(to.cloned());
        }
    }

    /// Takes a request that has ended.
    pub fn record(&self, trace: RequestTrace) {
        let mut pending = self.pending.borrow_mut();
        pending.push(trace);
        if pending.len() >= BATCH {
            drop(pending);
            self.flush();
        }
    }

    /// Hands over what there is.
    pub fn flush(&self) {
        let mut pending = self.pending.borrow_mut();
        if pending.is_empty() {
            return;
        }
        let traces = std::mem::take(&mut *pending);
        let dropped = match &*self.to.borrow() {
            Some(to) => to.hand_over(traces),
            None => traces.iter().map(|trace| trace.spans() as u64).sum(),
        };
        self.shard.spans_dropped.add(dropped);
    }
}

impl Drop for WorkerTraces {
    fn drop(&mut self) {
        self.flush();
    }
}
