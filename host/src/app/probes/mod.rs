//! Probes of backends: one for each endpoint of a pool that is probed, whatever the number of
//! workers. What they show is kept in the endpoint's health; their connections are their own. And
//! connections to endpoints that nobody could connect to (`sought`).

mod bounded;
mod by_h1;
mod by_h2;
mod grpc;
mod row;
mod searched;
mod sought;
mod target;

use std::collections::HashMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, oneshot};
use tokio::task::{AbortHandle, JoinSet, LocalSet};
use tokio::time::{sleep, timeout};

use super::control::ControlPlane;
use crate::ground;
use crate::proxy::Snapshot;
use crate::upstream::{EndpointId, Topology, some_are_sought};
use row::Row;
use sought::{seek, sought};
use target::{Target, Unwell};

/// Probes under way at once. Each has its time-out, which begins with its turn.
const AT_ONCE: usize = 256;
/// The part of an interval by which it is longer or shorter, so that probes of several proxies and
/// backends don't stay together.
const JITTER: f64 = 0.1;

/// Probes for as long as it is polled. Their thread begins when there is something to be probed:
/// TLS sessions stay on one thread, and hundreds of handshakes should hold up nobody else.
pub(super) async fn probe(control: Arc<ControlPlane>) {
    let mut snapshots = control.subscribe();
    let is_wanted = |snapshot: &Arc<Snapshot>| {
        let topology = &snapshot.topology;
        !targets(topology).is_empty() || !sought(topology).is_empty()
    };
    while !is_wanted(&snapshots.borrow_and_update()) {
        tokio::select! {
            changed = snapshots.changed() => if changed.is_err() {
                return;
            },
            () = some_are_sought() => {}
        }
    }
    drop(snapshots);
    // Dropped with this future, it ends the thread.
    let (_going, ends) = oneshot::channel();
    match start(control, ends) {
        Ok(()) => pending().await,
        Err(e) => tracing::error!("backends are not probed: their thread can't be started: {e}"),
    }
}

fn start(control: Arc<ControlPlane>, ends: oneshot::Receiver<()>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let probing = async move {
        let follow = ground::stays("the probes of backends", || {
            Probes::default().follow(Arc::clone(&control))
        });
        tokio::select! {
            () = follow => {}
            _ = ends => {}
        }
    };
    std::thread::Builder::new()
        .name("probes".to_owned())
        .spawn(move || LocalSet::new().block_on(&runtime, probing))?;
    Ok(())
}

/// What is probed. The probes end when this is dropped.
struct Probes {
    tasks: JoinSet<()>,
    running: HashMap<EndpointId, (Arc<Target>, AbortHandle)>,
    seeking: HashMap<EndpointId, (Arc<Target>, AbortHandle)>,
    turns: Arc<Semaphore>,
}

impl Default for Probes {
    fn default() -> Self {
        Self {
            tasks: JoinSet::default(),
            running: HashMap::default(),
            seeking: HashMap::default(),
            turns: Arc::new(Semaphore::new(AT_ONCE)),
        }
    }
}

impl Probes {
    async fn follow(mut self, control: Arc<ControlPlane>) {
        let mut snapshots = control.subscribe();
        loop {
            let topology = Arc::clone(&snapshots.borrow_and_update().topology);
            self.adopt(&topology);
            self.seek(&topology);
            drop(topology);
            tokio::select! {
                changed = snapshots.changed() => if changed.is_err() {
                    return;
                },
                // Those that were ended.
                Some(_) = self.tasks.join_next() => {}
                () = some_are_sought() => {}
            }
        }
    }

    /// Begins the probes that this topology has and ends those that it has not. What was known of
    /// an endpoint that is probed in another way from now on stays.
    fn adopt(&mut self, topology: &Topology) {
        let mut wanted = targets(topology);
        self.running.retain(|id, (target, task)| {
            let stays = wanted.get(id).is_some_and(|next| *next == **target);
            if stays {
                wanted.remove(id);
            } else {
                task.abort();
                if !wanted.contains_key(id) {
                    target.health.is_not_probed();
                }
            }
            stays
        });
        for (id, target) in wanted {
            let (target, turns) = (Arc::new(target), Arc::clone(&self.turns));
            let probed = Arc::clone(&target);
            let task = self.tasks.spawn_local(async move {
                ground::stays("the probes of a backend", || {
                    keep_probing(Arc::clone(&probed), Arc::clone(&turns))
                })
                .await;
            });
            self.running.insert(id, (target, task));
        }
    }
}

impl Probes {
    /// Begins to look for the endpoints that are ejected since they can't be reached, and no more
    /// for those that are gone or that have probes now.
    fn seek(&mut self, topology: &Topology) {
        let mut wanted = sought(topology);
        wanted.retain(|id, target| {
            let is_probed = self.running.contains_key(id);
            if is_probed {
                target.health.is_not_sought();
            }
            !is_probed
        });
        self.seeking.retain(|id, (target, task)| {
            let stays = !task.is_finished() && wanted.get(id).is_some_and(|next| *next == **target);
            match stays {
                true => drop(wanted.remove(id)),
                false => task.abort(),
            }
            stays
        });
        for (id, target) in wanted {
            let (target, turns) = (Arc::new(target), Arc::clone(&self.turns));
            let task = seek(Arc::clone(&target), turns);
            self.seeking
                .insert(id, (target, self.tasks.spawn_local(task)));
        }
    }
}

/// What is to be probed. Where several pools reach an endpoint in the same way, the first that has
/// probes says how.
fn targets(topology: &Topology) -> HashMap<EndpointId, Target> {
    let mut all = HashMap::new();
    for pool in &topology.pools {
        let Some(probe) = &pool.health.probe else {
            continue;
        };
        for endpoint in &pool.endpoints {
            all.entry(endpoint.id)
                .or_insert_with(|| Target::new(endpoint, probe));
        }
    }
    all
}

async fn keep_probing(target: Arc<Target>, turns: Arc<Semaphore>) {
    let mut row = Row::default();
    loop {
        // It is never closed.
        let turn = turns.acquire().await;
        row.begins(target.health.last_ejection());
        let patience = target.probe.timeout;
        let result = timeout(patience, target.ask()).await;
        drop(turn);
        let late = |_| Err(Unwell::Theirs(format!("no answer within {patience:?}")));
        match result.unwrap_or_else(late) {
            Ok(()) => target.note(row.note(Ok(()), &target.probe)),
            Err(Unwell::Theirs(reason)) => target.note(row.note(Err(reason), &target.probe)),
            Err(Unwell::Ours(reason)) => target.was_not_probed(&reason),
        }
        sleep(jittered(target.probe.interval)).await;
    }
}

fn jittered(interval: Duration) -> Duration {
    interval.mul_f64(rand::random_range(1.0 - JITTER..=1.0 + JITTER))
}
