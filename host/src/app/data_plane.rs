//! A worker's thread: a current-thread runtime that serves connections and nothing else.

use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::runtime::Runtime;
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::control::Adoption;
use super::worker_listeners::{CopiesWanted, WorkerListeners};
use crate::ground;
use crate::net::SWEEP;
use crate::observe::access_log::AccessLog;
use crate::proxy::{Admission, Handed, Shared, Snapshot, Worker, WorkerSnapshot};

/// The inputs of a worker.
pub(super) struct Start {
    pub index: usize,
    pub shared: Shared,
    /// Connections from an acceptor, where the kernel does not spread them.
    pub handed: mpsc::UnboundedReceiver<Handed>,
    /// Requests for copies of its sockets.
    pub copying: mpsc::UnboundedReceiver<CopiesWanted>,
    /// Dropped when it accepts no connections any more.
    pub accepts: mpsc::Sender<()>,
    /// Limits of all workers together.
    pub admission: Arc<Admission>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Learns which snapshot this worker has adopted.
    pub adoption: Arc<Adoption>,
    /// Becomes true when the worker must finish.
    pub stop: watch::Receiver<bool>,
}

/// The end of a worker's thread.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct End {
    pub index: usize,
    /// It did not end by request.
    pub panicked: bool,
}

/// Starts a worker; `ends` receives its end.
pub(super) fn spawn(start: Start, ends: mpsc::UnboundedSender<End>) -> Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a worker's runtime can't be created")?;
    std::thread::Builder::new()
        .name(format!("worker-{}", start.index))
        // Policies run on this stack; the engine limits how much of it they use.
        .stack_size(4 * 1024 * 1024)
        .spawn(move || {
            let index = start.index;
            let panicked = ground::goes_on(|| serve(&runtime, start)).is_none();
            // Without a receiver, the process no longer waits.
            let _ = ends.send(End { index, panicked });
        })
        .context("a worker's thread can't be started")?;
    Ok(())
}

/// Serves to the end of the worker.
fn serve(runtime: &Runtime, start: Start) {
    let tasks = LocalSet::new();
    let worker = tasks.block_on(runtime, run(start));
    // Requests that are still open end here, and policies hear of that as well.
    drop(tasks);
    if let Some(worker) = worker {
        worker.complete_rest();
    }
}

async fn run(start: Start) -> Option<Rc<Worker>> {
    let Start {
        index,
        shared,
        handed,
        copying,
        accepts,
        admission,
        mut snapshots,
        adoption,
        stop,
    } = start;
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    let (version, equipment) = (snapshot.version, Arc::clone(&snapshot.equipment));
    let view = WorkerSnapshot::new(snapshot, &shared.stats, index);
    let shard = Arc::clone(&shared.stats.workers()[index]);
    let access_log = AccessLog::new(shard, equipment.log.clone());
    let worker = Rc::new(Worker::new(index, shared, access_log, view));
    let sweeping = Rc::clone(&worker);
    spawn_local(
        async move { ground::stays("a worker's clock", || sweep(Rc::clone(&sweeping))).await },
    );
    let completing = Rc::clone(&worker);
    spawn_local(async move {
        ground::stays("the task of completed requests", || completing.complete()).await
    });
    let mut listeners = WorkerListeners::new(&worker, admission, handed);
    listeners.adopt(&equipment).await;
    adoption.adopted(index, version);
    // A separate task: the main future is polled whenever any task of the worker is woken, so
    // waiting in it would cost each request something.
    let following = Following {
        worker: Rc::clone(&worker),
        snapshots,
        copying,
        adoption,
        listeners,
    };
    let listeners = match spawn_local(following.follow(stop)).await {
        Ok(listeners) => listeners,
        Err(end) => match end.try_into_panic() {
            // The worker ends as if this had happened here.
            Ok(panic) => resume_unwind(panic),
            Err(_) => return None,
        },
    };
    listeners.close_all().await;
    drop(accepts);
    drain(&worker).await;
    worker.access_log.flush();
    worker.traces.flush();
    Some(worker)
}

/// What follows the snapshots on a worker.
struct Following {
    worker: Rc<Worker>,
    snapshots: watch::Receiver<Arc<Snapshot>>,
    copying: mpsc::UnboundedReceiver<CopiesWanted>,
    adoption: Arc<Adoption>,
    listeners: WorkerListeners,
}

impl Following {
    /// Adopts each snapshot, until the process stops.
    async fn follow(mut self, mut stop: watch::Receiver<bool>) -> WorkerListeners {
        loop {
            tokio::select! {
                changed = self.snapshots.changed() => {
                    if changed.is_err() {
                        break;
                    }
                    self.adopt().await;
                }
                Some(wanted) = self.copying.recv() => {
                    // One that has left needs none.
                    let _ = wanted.send(self.listeners.copies());
                }
                // A dropped sender means the same as `true`.
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        self.listeners
    }

    async fn adopt(&mut self) {
        ground::fault_point("worker");
        let worker = &self.worker;
        let snapshot = Arc::clone(&self.snapshots.borrow_and_update());
        let (version, equipment) = (snapshot.version, Arc::clone(&snapshot.equipment));
        let stats = &worker.shared.stats;
        let next = worker.view().next(snapshot, stats, worker.index);
        worker.adopt(next);
        worker.access_log.follow(&equipment.log);
        worker.traces.follow(equipment.traces.as_ref());
        self.listeners.adopt(&equipment).await;
        self.adoption.adopted(self.worker.index, version);
    }
}

/// Waits until the last connection has ended, for `timeouts.drain` at most.
async fn drain(worker: &Worker) {
    let timeout = worker.latest(|settings| settings.timeouts.drain);
    worker.drain();
    let deadline = Instant::now() + timeout;
    while worker.shard.connections_active.value() > 0 && Instant::now() < deadline {
        // Requests that end leave idle connections, which must be drained too.
        sleep(SWEEP / 2).await;
        worker.drain();
    }
    let left = worker.shard.connections_active.value();
    if left > 0 {
        tracing::warn!(
            worker = worker.index,
            connections = left,
            "the drain time is over; closing the open connections"
        );
    }
}

async fn sweep(worker: Rc<Worker>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ground::fault_point("sweep");
        tokio::select! {
            _ = ticks.tick() => worker.sweep(),
            () = worker.make_room() => {}
        }
    }
}
