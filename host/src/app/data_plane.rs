//! A worker's thread: a current-thread runtime that serves connections and nothing else.

use std::cell::RefCell;
use std::panic::resume_unwind;
use std::rc::Rc;
use std::sync::Arc;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::{JoinHandle, LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::control::Adoption;
use crate::ground;
use crate::net::{Listener, SWEEP, StdListener};
use crate::observe::access_log::AccessLog;
use crate::proxy::{
    Admission, Entry, Handed, Shared, Snapshot, Worker, WorkerSnapshot, accept, accept_rest,
    hand_in,
};

/// The inputs of a worker.
pub(super) struct Start {
    pub index: usize,
    pub shared: Shared,
    pub access_log: AccessLog,
    /// What listeners do with their connections, in the order of the configuration.
    pub entries: Vec<Entry>,
    /// The worker's sockets, with their numbers among the entries.
    pub listeners: Vec<(usize, StdListener)>,
    /// Connections from an acceptor, where the kernel does not spread them.
    pub handed: mpsc::UnboundedReceiver<Handed>,
    /// Limits of all workers together.
    pub admission: Arc<Admission>,
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Learns which snapshot this worker has adopted.
    pub adoption: Arc<Adoption>,
    /// Becomes true when the worker must finish.
    pub stop: watch::Receiver<bool>,
}

/// A socket of this worker, and what becomes of its connections.
type Listening = (Rc<Listener>, Rc<Entry>);

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
            let panicked =
                ground::goes_on(|| LocalSet::new().block_on(&runtime, run(start))).is_none();
            // Without a receiver, the process no longer waits.
            let _ = ends.send(End { index, panicked });
        })
        .context("a worker's thread can't be started")?;
    Ok(())
}

async fn run(start: Start) {
    let Start {
        index,
        shared,
        access_log,
        entries,
        listeners,
        handed,
        admission,
        mut snapshots,
        adoption,
        stop,
    } = start;
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    let version = snapshot.version;
    let view = WorkerSnapshot::new(snapshot, &shared.stats, index);
    let worker = Rc::new(Worker::new(index, shared, access_log, view));
    adoption.adopted(index, version);
    let sweeping = Rc::clone(&worker);
    spawn_local(
        async move { ground::stays("a worker's clock", || sweep(Rc::clone(&sweeping))).await },
    );
    let entries: Rc<[Rc<Entry>]> = entries.into_iter().map(Rc::new).collect();
    let listeners: Vec<Listening> = listeners
        .into_iter()
        .filter_map(|(number, listener)| {
            let listener = Listener::new(listener).ok()?;
            Some((Rc::new(listener), Rc::clone(entries.get(number)?)))
        })
        .collect();
    let accepting = start_accepting(&worker, &listeners, (entries, handed), &admission);
    // A separate task: the main future is polled whenever any task of the worker is woken, so
    // waiting in it would cost each request something.
    let following = spawn_local(follow(Rc::clone(&worker), snapshots, adoption, stop));
    if let Err(end) = following.await
        && let Ok(panic) = end.try_into_panic()
    {
        // The worker ends as if this had happened here.
        resume_unwind(panic);
    }
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    for (listener, entry) in listeners {
        if let Some(listener) = Rc::into_inner(listener) {
            accept_rest(&worker, listener, &entry, &admission);
        }
    }
    drain(&worker).await;
    worker.access_log.flush();
}

/// Adopts each snapshot, until the process stops.
async fn follow(
    worker: Rc<Worker>,
    mut snapshots: watch::Receiver<Arc<Snapshot>>,
    adoption: Arc<Adoption>,
    mut stop: watch::Receiver<bool>,
) {
    loop {
        tokio::select! {
            changed = snapshots.changed() => {
                if changed.is_err() {
                    break;
                }
                ground::fault_point("worker");
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                let version = snapshot.version;
                let stats = &worker.shared.stats;
                let next = worker.view().next(snapshot, stats, worker.index);
                worker.adopt(next);
                adoption.adopted(worker.index, version);
            }
            // A dropped sender means the same as `true`.
            _ = stop.wait_for(|stop| *stop) => break,
        }
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

/// Accepts connections. A task that panics is restarted on the same listener, so that the worker
/// stays reachable.
fn start_accepting(
    worker: &Rc<Worker>,
    listeners: &[Listening],
    (entries, handed): (Rc<[Rc<Entry>]>, mpsc::UnboundedReceiver<Handed>),
    admission: &Arc<Admission>,
) -> Vec<JoinHandle<()>> {
    let mut accepting = Vec::with_capacity(listeners.len() + 1);
    for listener in listeners {
        let (worker, admission) = (Rc::clone(worker), Arc::clone(admission));
        let (listener, entry) = listener.clone();
        let task = move || {
            let listening = (Rc::clone(&listener), Rc::clone(&entry));
            accept(Rc::clone(&worker), listening, Arc::clone(&admission))
        };
        accepting.push(spawn_local(async move {
            ground::stays("a worker's listener", task).await
        }));
    }
    let (worker, admission) = (Rc::clone(worker), Arc::clone(admission));
    let handed = Rc::new(RefCell::new(handed));
    let task = move || {
        hand_in(
            Rc::clone(&worker),
            Rc::clone(&entries),
            Rc::clone(&handed),
            Arc::clone(&admission),
        )
    };
    accepting.push(spawn_local(async move {
        ground::stays("a worker's intake", task).await
    }));
    accepting
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
