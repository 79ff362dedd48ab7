//! The threads of the data plane, and the task that gives them connections.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::{mpsc, watch};

use super::control::ControlPlane;
use super::data_plane::{self, End, Start};
use super::intake::Intake;
use crate::admin::{self, StatsView};
use crate::config::Config;
use crate::ground;
use crate::observe::access_log::LogWriter;
use crate::proxy::{Admission, Entry, Handed, Shared};
use crate::recording::Recorder;

/// Starts them all. The channel reports the end of each.
pub(super) fn start_workers(
    config: &Arc<Config>,
    control: &Arc<ControlPlane>,
    (intake, entries): (Intake, Vec<Entry>),
    (log, recorder): (&LogWriter, Option<Recorder>),
    admission: &Arc<Admission>,
    stopping: &watch::Receiver<bool>,
) -> Result<mpsc::UnboundedReceiver<End>> {
    let shared = shared(control, recorder);
    let (ended, ends) = mpsc::unbounded_channel();
    let mut hands = Vec::with_capacity(config.workers);
    for (index, listeners) in intake.by_worker.into_iter().enumerate() {
        let (hand, handed) = mpsc::unbounded_channel();
        hands.push(hand);
        let start = Start {
            index,
            shared: shared.clone(),
            access_log: log.handle(Arc::clone(&control.stats().workers()[index])),
            entries: entries.clone(),
            listeners,
            handed,
            admission: Arc::clone(admission),
            snapshots: control.subscribe(),
            adoption: control.adoption(),
            stop: stopping.clone(),
        };
        data_plane::spawn(start, ended.clone())?;
    }
    for (number, listener) in intake.shared {
        let listener = Arc::new(tokio::net::TcpListener::from_std(listener)?);
        let (hands, stopping) = (hands.clone(), stopping.clone());
        tokio::spawn(async move {
            ground::stays("the task that hands out connections", || {
                let listener = (number, Arc::clone(&listener));
                hand_out(listener, hands.clone(), stopping.clone())
            })
            .await;
        });
    }
    Ok(ends)
}

/// The settings that all workers share.
fn shared(control: &Arc<ControlPlane>, recorder: Option<Recorder>) -> Shared {
    let (stats, explain) = (control.stats().clone(), control.explain_tokens());
    let control = Arc::clone(control);
    let page = move |accept: Option<&[u8]>| {
        let view = StatsView {
            stats: control.stats(),
            policies: &control.policies(),
            certificates: &control.certificates(),
        };
        admin::stats_page(&view, accept)
    };
    Shared {
        stats,
        explain,
        stats_page: Arc::new(page),
        recorder,
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
