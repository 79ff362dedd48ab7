//! Upgrades under load.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use super::Replaceable;
use crate::fixtures::http2::{Http2, block_on, get as get2};
use crate::fixtures::{Client, ReadError, TestProxy, TestUpstream, get, response};
use crate::upgrades::{asking, echo, taking};

const UPGRADES: usize = 20;

/// Ends the traffic, also when the test fails.
struct Stops<'a>(&'a AtomicBool);

impl Drop for Stops<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Answers each request by its path.
fn mirror() -> TestUpstream {
    TestUpstream::replying(|request| response("200 OK", &[], request.target()))
}

/// One connection after the other, each used until the proxy wants it to end.
fn kept(to: SocketAddr, stop: &AtomicBool, served: &AtomicU64) {
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

/// Requests of HTTP/2, on one connection until the proxy wants it to end.
fn streams(to: SocketAddr, stop: &AtomicBool, served: &AtomicU64) {
    block_on(async {
        let mut client = Http2::connect(to).await;
        while !stop.load(Relaxed) {
            match client.send(get2("m.test", "/h2"), true).await {
                Ok((answer, _)) => {
                    let answer = crate::fixtures::http2::receive(answer).await;
                    match answer {
                        Ok(answer) => {
                            assert_eq!(answer.body, b"/h2");
                            served.fetch_add(1, Relaxed);
                        }
                        // It was not processed, and the proxy has said so.
                        Err(e) => {
                            assert!(e.is_go_away() && e.is_remote(), "{e}");
                            client = Http2::connect(to).await;
                        }
                    }
                }
                // Nothing was sent.
                Err(_) => client = Http2::connect(to).await,
            }
        }
    });
}

#[test]
fn twenty_upgrades_under_load_lose_no_request_and_cut_no_tunnel() {
    let (upstream, websocket) = (mirror(), taking(echo));
    let builder = TestProxy::builder()
        .workers(2)
        .access_log("requests = \"none\"")
        .host("*", &[upstream.address()])
        .host("a.test", &[websocket.address()])
        .tables("[timeouts]\ndrain = \"10m\"\ndrain-idle = \"500ms\"");
    let mut service = Replaceable::start(builder);
    let to = service.proxy.address();
    let (stop, served) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut tunnel = Client::connect(to);
    assert_eq!(tunnel.ask(asking().bytes()).status, 101);
    std::thread::scope(|scope| {
        let _stops = Stops(&stop);
        for _ in 0..2 {
            scope.spawn(|| kept(to, &stop, &served));
            scope.spawn(|| fresh(to, &stop, &served));
        }
        scope.spawn(|| streams(to, &stop, &served));
        for _ in 0..UPGRADES {
            let before = served.load(Relaxed);
            service.upgrade();
            crate::fixtures::eventually("traffic after the upgrade", || {
                (served.load(Relaxed) > before + 50).then_some(())
            });
            tunnel.send(b"?");
            assert_eq!(tunnel.wire.length(1).unwrap(), b"?", "the tunnel is open");
        }
    });
    assert!(served.load(Relaxed) > 1_000);
    // Only the process with the tunnel is left, and the last one.
    let left = service.processes.clone();
    for former in &left[1..UPGRADES] {
        service.wait_for_end(*former);
    }
    assert!(!service.proxy.has_ended(), "it has the tunnel");
    drop(tunnel);
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
