//! Upgrades under load.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Replaceable;
use crate::fixtures::http2::{Http2, get as get2, receive};
use crate::fixtures::{Client, LONG_PATIENCE, ReadError, TestProxy, TestUpstream, get, response};
use crate::upgrades::{asking, echo, taking};

const UPGRADES: usize = 20;

/// Ends the traffic, also when the test fails.
pub(super) struct Stops<'a>(pub &'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Answers each request by its path.
pub(super) fn mirror() -> TestUpstream {
    TestUpstream::replying(|request| response("200 OK", &[], request.target()))
}

/// One connection after the other, each used until the proxy wants it to end.
pub(super) fn kept(to: SocketAddr, stop: &AtomicBool, served: &AtomicU64) {
    let mut number = 0;
    while !stop.load(Relaxed) {
        let mut client = Client::connect(to);
        loop {
            number += 1;
            let path = format!("/{number}");
            let answer = client.ask(get("m.test", &path));
            assert_eq!((answer.status, answer.text()), (200, path.as_str().into()));
            served.fetch_add(1, Relaxed);
            if answer.closes() || stop.load(Relaxed) {
                break;
            }
        }
    }
}

/// One connection for each request, many of them at once.
fn fresh(to: SocketAddr, stop: &AtomicBool, served: &AtomicU64) {
    while !stop.load(Relaxed) {
        let mut clients: Vec<Client> = (0..16).map(|_| Client::connect(to)).collect();
        for client in &mut clients {
            client.send(get("m.test", "/fresh"));
        }
        for mut client in clients {
            let answer: Result<_, ReadError> = client.try_response_to("GET");
            assert_eq!(answer.expect("an answer").text(), "/fresh");
            served.fetch_add(1, Relaxed);
        }
    }
}

/// Runs a client's side for as long as it takes.
pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(future)
}

pub(super) async fn patiently<T>(future: impl Future<Output = T>) -> T {
    let limited = tokio::time::timeout(LONG_PATIENCE, future).await;
    limited.expect("the client's side hangs")
}

/// Requests of HTTP/2, on one connection until the proxy wants it to end.
pub(super) async fn streams(to: SocketAddr, stop: &AtomicBool, served: &AtomicU64) {
    let mut client = Http2::connect(to).await;
    while !stop.load(Relaxed) {
        // What could not be sent was not sent.
        if let Ok((answer, _)) = client.send(get2("m.test", "/h2"), true).await {
            match patiently(receive(answer)).await {
                Ok(answer) => {
                    assert_eq!(answer.body, b"/h2");
                    served.fetch_add(1, Relaxed);
                    continue;
                }
                // It was not processed, and the proxy has said so.
                Err(e) => assert!(e.is_go_away() && e.is_remote(), "{e}"),
            }
        }
        client = Http2::connect(to).await;
    }
}

/// A stream that lasts, as those of gRPC do: reports each piece.
async fn events(to: SocketAddr, heard: Sender<Vec<u8>>) {
    let client = Http2::connect(to).await;
    let (answer, _) = client.send(get2("events.test", "/"), true).await.unwrap();
    let mut body = patiently(answer).await.unwrap().into_body();
    heard.send(Vec::new()).unwrap();
    while let Some(piece) = body.data().await {
        let piece = piece.expect("the stream is not cut");
        body.flow_control().release_capacity(piece.len()).unwrap();
        heard.send(piece.to_vec()).unwrap();
    }
}

/// A backend of such streams: each message is a piece of one, until there are no more.
fn lasting(pieces: Receiver<()>) -> TestUpstream {
    let pieces = Mutex::new(pieces);
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
            let pieces = pieces.lock().unwrap();
            while pieces.recv().is_ok() && connection.send("1\r\n.\r\n") {}
            connection.send("0\r\n\r\n");
        }
    })
}

/// Without policies, which would have to be compiled each time.
fn tables(hosts: [(&str, &TestUpstream); 3]) -> String {
    let mut text = "[timeouts]\ndrain = \"10m\"\ndrain-idle = \"500ms\"\n".to_owned();
    for (at, (host, upstream)) in hosts.into_iter().enumerate() {
        let _ = write!(
            text,
            "[pools.p{at}]\nbackends = [\"{}\"]\n[[routes]]\nhost = \"{host}\"\n\
             pool = \"p{at}\"\npolicies = []\nupgrade = [\"websocket\"]\n",
            upstream.address()
        );
    }
    text
}

#[test]
fn twenty_upgrades_under_load_lose_no_request_and_cut_no_tunnel_and_no_stream() {
    let (piece, pieces) = channel();
    let (upstream, websocket, lasting) = (mirror(), taking(echo), lasting(pieces));
    let hosts = [
        ("*", &upstream),
        ("a.test", &websocket),
        ("events.test", &lasting),
    ];
    let builder = TestProxy::builder()
        .workers(2)
        .access_log("requests = \"none\"")
        .tables(&tables(hosts));
    let mut service = Replaceable::start(builder);
    let to = service.proxy.address();
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut tunnel = Client::connect(to);
    assert_eq!(tunnel.ask(asking().bytes()).status, 101);
    let (hears, heard) = channel();
    std::thread::spawn(move || block_on(events(to, hears)));
    let hear = || {
        heard
            .recv_timeout(LONG_PATIENCE)
            .expect("the stream goes on")
    };
    assert_eq!(hear(), b"", "its head is there");
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..2 {
            scope.spawn(|| kept(to, &stop, &served));
            scope.spawn(|| fresh(to, &stop, &served));
        }
        scope.spawn(|| block_on(streams(to, &stop, &served)));
        for _ in 0..UPGRADES {
            let before = served.load(Relaxed);
            service.upgrade();
            crate::fixtures::eventually("traffic after the upgrade", || {
                (served.load(Relaxed) > before + 50).then_some(())
            });
            tunnel.send(b"?");
            assert_eq!(tunnel.wire.length(1).unwrap(), b"?", "the tunnel is open");
            piece.send(()).unwrap();
            assert_eq!(hear(), b".", "the stream goes on");
        }
    });
    assert!(served.load(Relaxed) > 1_000);
    // Only the process with the tunnel and the stream is left, and the last one.
    let former = service.processes.clone();
    for former in &former[1..UPGRADES] {
        service.wait_for_end(*former);
    }
    assert!(!service.proxy.has_ended(), "it has the tunnel");
    drop((tunnel, piece));
    assert_eq!(service.proxy.exit_code(), 0);
    assert_eq!(service.proxy.get("m.test", "/last").text(), "/last");
}

#[test]
fn fewer_and_more_workers_accept_from_all_sockets() {
    let upstream = mirror();
    let builder = TestProxy::builder()
        .workers(4)
        .host("*", &[upstream.address()])
        .tables("[timeouts]\ndrain-idle = \"0s\"");
    let mut service = Replaceable::start(builder);
    let mut workers = 4;
    for next in [1, 2, 6, 3] {
        service.edit(
            &format!("workers = {workers}"),
            &format!("workers = {next}"),
        );
        workers = next;
        let former = service.upgrade();
        service.wait_for_end(former);
        // The kernel spreads them over all sockets of the address.
        let clients: Vec<Client> = (0..40).map(|_| service.proxy.client()).collect();
        for (number, mut client) in clients.into_iter().enumerate() {
            let path = format!("/{number}");
            assert_eq!(client.ask(get("m.test", &path)).text(), path);
        }
    }
}
