//! A worker's thread: a current-thread runtime that serves connections and nothing else.

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::rc::Rc;
use std::sync::Arc;
use std::thread::JoinHandle;

use anyhow::{Context, Result};
use tokio::sync::{mpsc, watch};
use tokio::task::{LocalSet, spawn_local};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep};

use super::control::Adoption;
use crate::proxy::access_log::AccessLog;
use crate::proxy::{Admission, SWEEP, Settings, Snapshot, View, Worker, accept, accept_rest, hand_in};
use crate::stats::Stats;

/// What a worker is started with.
pub struct Start {
    /// Its number.
    pub index: usize,
    /// The operator's decisions.
    pub settings: Settings,
    /// All counters.
    pub stats: Stats,
    /// Its end of the access log.
    pub access_log: AccessLog,
    /// Its listeners.
    pub listeners: Vec<TcpListener>,
    /// Connections from an acceptor, where the kernel does not spread them.
    pub handed: mpsc::UnboundedReceiver<(TcpStream, SocketAddr)>,
    /// Limits of all workers together.
    pub admission: Arc<Admission>,
    /// What decides requests.
    pub snapshots: watch::Receiver<Arc<Snapshot>>,
    /// Told which snapshot this worker has adopted.
    pub adoption: Arc<Adoption>,
    /// Becomes true when the worker is to finish.
    pub stop: watch::Receiver<bool>,
}

/// Starts a worker.
pub fn spawn(start: Start) -> Result<JoinHandle<()>> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("a worker's runtime can't be made")?;
    std::thread::Builder::new()
        .name(format!("worker-{}", start.index))
        // Policies run inline on this stack, beside what the engine allows them.
        .stack_size(4 * 1024 * 1024)
        .spawn(move || LocalSet::new().block_on(&runtime, run(start)))
        .context("a worker's thread can't be started")
}

async fn run(start: Start) {
    let Start { index, settings, stats, access_log, listeners, handed, admission, mut snapshots, adoption, mut stop } =
        start;
    let drain = settings.timeouts.drain;
    let snapshot = Arc::clone(&snapshots.borrow_and_update());
    let version = snapshot.version;
    let view = View::new(snapshot, &stats, index);
    let worker = Rc::new(Worker::new(index, settings, stats.clone(), access_log, view));
    adoption.adopted(index, version);
    spawn_local(sweep(Rc::clone(&worker)));
    let listeners: Vec<_> =
        listeners.into_iter().filter_map(|l| tokio::net::TcpListener::from_std(l).ok()).map(Rc::new).collect();
    let mut accepting: Vec<_> = listeners
        .iter()
        .map(|l| spawn_local(accept(Rc::clone(&worker), Rc::clone(l), Arc::clone(&admission))))
        .collect();
    accepting.push(spawn_local(hand_in(Rc::clone(&worker), handed, Arc::clone(&admission))));
    loop {
        tokio::select! {
            changed = snapshots.changed() => {
                if changed.is_err() {
                    break;
                }
                let snapshot = Arc::clone(&snapshots.borrow_and_update());
                let version = snapshot.version;
                let next = worker.view().next(snapshot, &stats, index);
                worker.adopt(next);
                adoption.adopted(index, version);
            }
            // A sender that is gone means the same as one that says so.
            _ = stop.wait_for(|stop| *stop) => break,
        }
    }
    for task in accepting {
        task.abort();
        let _ = task.await;
    }
    for listener in listeners {
        if let Some(listener) = Rc::into_inner(listener) {
            accept_rest(&worker, listener, &admission);
        }
    }
    worker.drain();
    let deadline = Instant::now() + drain;
    while worker.shard.connections_active.value() > 0 && Instant::now() < deadline {
        // New idle connections appear as requests end: they are told again.
        sleep(SWEEP / 2).await;
        worker.drain();
    }
    let left = worker.shard.connections_active.value();
    if left > 0 {
        tracing::warn!(worker = index, connections = left, "the drain time is over; closing what is still open");
    }
    worker.access_log.flush();
}

async fn sweep(worker: Rc<Worker>) {
    let mut ticks = interval(SWEEP);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => worker.sweep(),
            () = worker.make_room() => {}
        }
    }
}
