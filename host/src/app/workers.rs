//! The threads of the data plane, and the task that gives them connections.

use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::{Instant, timeout_at};

use super::control::ControlPlane;
use super::data_plane::{self, End, Start};
use super::forward::look_up;
use super::worker_listeners::CopiesWanted;
use crate::admin::{self, StatsView};
use crate::ground;
use crate::proxy::{Admission, Handed, Shared};

/// Where an acceptor hands connections to the workers.
pub(super) type Hands = Vec<mpsc::UnboundedSender<Handed>>;

/// How long workers may take to copy their sockets.
const COPIED: Duration = Duration::from_secs(2);

/// The threads of the data plane as the control side reaches them.
pub(super) struct Workers {
    pub hands: Hands,
    copying: Vec<mpsc::UnboundedSender<CopiesWanted>>,
    /// Closed when no worker accepts connections any more.
    accepting: mpsc::Receiver<()>,
    /// The end of each.
    pub ends: mpsc::UnboundedReceiver<End>,
}

impl Workers {
    /// Waits until none accepts connections any more.
    pub(super) async fn closed(&mut self) {
        // Nothing is ever sent.
        let _ = self.accepting.recv().await;
    }

    /// Copies of the sockets that they accept from, by the number of their listener. A worker that
    /// hangs gives none.
    pub(super) async fn copies(&self) -> Vec<(usize, OwnedFd)> {
        let mut answers = Vec::with_capacity(self.copying.len());
        for worker in &self.copying {
            let (wanted, copies) = oneshot::channel();
            // A worker is gone only at the very end.
            let _ = worker.send(wanted);
            answers.push(copies);
        }
        let mut all = Vec::new();
        let until = Instant::now() + COPIED;
        for copies in answers {
            let copies = timeout_at(until, copies).await;
            all.extend(copies.into_iter().flatten().flatten());
        }
        all
    }
}

/// Starts them all, with the listeners of the first snapshot.
pub(super) fn start_workers(
    workers: usize,
    control: &Arc<ControlPlane>,
    admission: &Arc<Admission>,
    stopping: &watch::Receiver<bool>,
) -> Result<Workers> {
    let shared = shared(control);
    let (ended, ends) = mpsc::unbounded_channel();
    let (accepts, accepting) = mpsc::channel(1);
    let (mut hands, mut copying) = (Vec::with_capacity(workers), Vec::with_capacity(workers));
    for index in 0..workers {
        let (hand, handed) = mpsc::unbounded_channel();
        let (asking, asked) = mpsc::unbounded_channel();
        hands.push(hand);
        copying.push(asking);
        let start = Start {
            index,
            shared: shared.clone(),
            handed,
            copying: asked,
            accepts: accepts.clone(),
            admission: Arc::clone(admission),
            snapshots: control.subscribe(),
            adoption: control.adoption(),
            stop: stopping.clone(),
        };
        data_plane::spawn(start, ended.clone())?;
    }
    Ok(Workers {
        hands,
        copying,
        accepting,
        ends,
    })
}

/// Hands out what comes by this listener, with its number, for as long as it is polled.
pub(super) async fn hand_out_all(
    number: usize,
    listener: std::net::TcpListener,
    hands: Hands,
    stopping: watch::Receiver<bool>,
) {
    let listener = match tokio::net::TcpListener::from_std(listener) {
        Ok(listener) => Arc::new(listener),
        Err(e) => return tracing::error!("a listener can't be watched: {e}"),
    };
    ground::stays("the task that hands out connections", || {
        let listener = (number, Arc::clone(&listener));
        hand_out(listener, hands.clone(), stopping.clone())
    })
    .await;
}

/// The settings that all workers share.
fn shared(control: &Arc<ControlPlane>) -> Shared {
    let (registry, door) = (control.registry.clone(), Arc::clone(&control.door));
    let look_up = look_up(&control.names);
    let (stats, explain) = (control.stats().clone(), control.explain_tokens());
    let tap = control.tap.clone();
    let control = Arc::clone(control);
    let page = move |accept: Option<&[u8]>| {
        let view = StatsView {
            stats: control.stats(),
            policies: &control.policies(),
            certificates: &control.certificates(),
            names: &control.name_status(),
            reload: &control.reload_status(),
            pools: &control.pools(),
        };
        admin::stats_page(&view, accept)
    };
    Shared {
        stats,
        explain,
        tap,
        stats_page: Arc::new(page),
        registry,
        look_up,
        door,
        tunnels: Arc::default(),
    }
}

/// Where the kernel does not spread connections, one task accepts all and hands them to the workers
/// in turn.
async fn hand_out(
    (number, listener): (usize, Arc<tokio::net::TcpListener>),
    hands: Vec<mpsc::UnboundedSender<Handed>>,
    mut stopping: watch::Receiver<bool>,
) {
    for hand in hands.iter().cycle() {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            _ = stopping.wait_for(|stop| *stop) => return,
        };
        match accepted.and_then(|(stream, peer)| Ok((number, stream.into_std()?, peer))) {
            // A worker is gone only at the very end.
            Ok(connection) => drop(hand.send(connection)),
            Err(e) => {
                tracing::warn!("connections can't be accepted: {e}");
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};

    use super::*;

    #[tokio::test]
    async fn connections_are_dealt_out_in_turn() {
        ground::limit_this_test();
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let address = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let (hands, mut handed): (Vec<_>, Vec<_>) =
            (0..2).map(|_| mpsc::unbounded_channel()).unzip();
        let (stop, stopping) = watch::channel(false);
        let dealing = tokio::spawn(hand_out(
            (
                3,
                Arc::new(tokio::net::TcpListener::from_std(listener).unwrap()),
            ),
            hands,
            stopping,
        ));
        let clients: Vec<_> = (0..4)
            .map(|_| TcpStream::connect(address).unwrap())
            .collect();
        let mut seen = Vec::new();
        for turn in 0..4 {
            let (number, _, peer) = handed[turn % 2].recv().await.unwrap();
            assert_eq!(number, 3);
            seen.push(peer);
        }
        let expected: Vec<_> = clients.iter().map(|c| c.local_addr().unwrap()).collect();
        assert_eq!(seen, expected);
        stop.send(true).unwrap();
        dealing.await.unwrap();
    }
}
