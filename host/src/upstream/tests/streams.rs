//! Connections of HTTP/2, with a backend that is the other end of the same engine.

use h2::server;
use http::Request;
use tokio::sync::oneshot;
use tokio::task::{LocalSet, spawn_local};

use super::*;

/// A backend of HTTP/2 that answers nothing, and that reads nothing more once it is stopped.
struct Mute {
    endpoint: Rc<WorkerEndpoint>,
    stop: oneshot::Sender<()>,
    /// Its connection has ended.
    ended: oneshot::Receiver<()>,
}

async fn mute() -> Mute {
    let (listener, address) = listener().await;
    let (stop, mut stopped) = oneshot::channel();
    let (ends, ended) = oneshot::channel();
    spawn_local(async move {
        let (stream, _) = listener.accept().await.unwrap();
        let mut connection = server::handshake(stream).await.unwrap();
        let mut requests = Vec::new();
        loop {
            tokio::select! {
                biased;
                Ok(()) = &mut stopped => std::future::pending().await,
                accepted = connection.accept() => match accepted {
                    Some(Ok(request)) => requests.push(request),
                    _ => break,
                },
            }
        }
        ends.send(()).unwrap();
    });
    Mute {
        endpoint: speaking_h2(address),
        stop,
        ended,
    }
}

fn speaking_h2(address: SocketAddr) -> Rc<WorkerEndpoint> {
    let name = "a.test".into();
    let endpoint = Endpoint::with(address, &name, Protocol::H2, None, &Registry::new(1));
    Rc::new(WorkerEndpoint::new(&endpoint, &Stats::new(1), 0))
}

async fn slot(endpoint: &Rc<WorkerEndpoint>) -> Slot {
    match Box::pin(endpoint.connect((None, None), PATIENCE))
        .await
        .unwrap()
    {
        Carrier::H2(slot) => slot,
        Carrier::H1(connection) => panic!("{connection:?}"),
    }
}

fn request() -> Request<()> {
    Request::get("http://a.test/").body(()).unwrap()
}

/// Lets the other tasks run until there are so many connections.
async fn until_open(endpoint: &WorkerEndpoint, count: u64) {
    while endpoint.shard.connections.value() != count {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_connection_that_is_silent_and_does_not_answer_is_cut_with_its_streams() {
    let test = async {
        let Mute { endpoint, stop, .. } = mute().await;
        let slot = slot(&endpoint).await;
        let (response, _stream) = slot.open(request(), true).unwrap();
        stop.send(()).unwrap();
        tokio::task::yield_now().await;
        let look = |now| endpoint.look_after(now, 0);
        for now in [0, 29_999, 30_001, 40_000] {
            look(now);
            assert!(endpoint.streams.take().is_ok(), "{now}");
        }
        look(40_001);
        assert!(endpoint.streams.take().is_err(), "10 s after it was asked");
        assert!(response.await.is_err());
        until_open(&endpoint, 0).await;
    };
    Box::pin(LocalSet::new().run_until(test)).await;
}

#[tokio::test]
async fn a_connection_without_streams_is_closed_when_it_is_idle_and_one_with_streams_is_not() {
    let test = async {
        let Mute {
            endpoint,
            ended,
            stop: _stop,
        } = mute().await;
        let slot = slot(&endpoint).await;
        endpoint.look_after(1_000, 900);
        endpoint.look_after(2_000, 1_900);
        drop(slot);
        endpoint.look_after(3_000, 2_900);
        assert!(endpoint.streams.take().is_ok(), "idle from now on");
        endpoint.look_after(4_000, 3_900);
        endpoint.look_after(4_100, 4_001);
        ended.await.unwrap();
        until_open(&endpoint, 0).await;
    };
    Box::pin(LocalSet::new().run_until(test)).await;
}

#[tokio::test]
async fn an_endpoint_that_has_left_keeps_its_streams_to_their_end() {
    let test = async {
        let Mute {
            endpoint,
            mut ended,
            stop: _stop,
        } = mute().await;
        let slot = slot(&endpoint).await;
        let opened = slot.open(request(), true).unwrap();
        endpoint.retire();
        assert!(endpoint.streams.take().is_err(), "no new ones");
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        assert!(ended.try_recv().is_err(), "its stream goes on");
        drop((opened, slot));
        ended.await.unwrap();
    };
    Box::pin(LocalSet::new().run_until(test)).await;
}

#[tokio::test]
async fn all_that_wait_for_a_connection_share_one_and_its_failure() {
    let test = async {
        let Mute {
            endpoint,
            stop: _stop,
            ..
        } = mute().await;
        let (one, two, three) = tokio::join!(slot(&endpoint), slot(&endpoint), slot(&endpoint));
        assert_eq!([one.reused, two.reused, three.reused], [false, true, true]);
        assert_eq!(endpoint.worker.upstream_connections.value(), 1);
        let (held, refusing) = listener().await;
        drop(held);
        let refusing = speaking_h2(refusing);
        let (one, two) = tokio::join!(
            Box::pin(refusing.connect((None, None), PATIENCE)),
            Box::pin(refusing.connect((None, None), PATIENCE))
        );
        for failed in [one, two] {
            assert_eq!(failed.unwrap_err(), AttemptOutcome::ConnectFailed);
        }
        assert_eq!(refusing.worker.upstream_connections.value(), 1);
    };
    Box::pin(LocalSet::new().run_until(test)).await;
}
