//! What the streams of HTTP/2 may have of a process that may open few files and sockets.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use super::with_limits_before;
use crate::fixtures::http2::{self, Frames, HEADERS, Http2, PREFACE, SETTINGS, block_on};
use crate::fixtures::{Client, Gate, TestProxy, TestUpstream, eventually, get, launch, response};

const FLOODER: IpAddr = IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2));

/// Answers what is asked for `/held` once the gate is open, and the rest at once.
fn holding(gate: &Gate) -> TestUpstream {
    let gate = gate.clone();
    TestUpstream::replying(move |request| {
        if request.target() == "/held" {
            gate.wait();
        }
        response("200 OK", &[], "ok")
    })
}

fn failures(proxy: &TestProxy, upstream: &TestUpstream) -> (u64, bool) {
    let stats = proxy.stats();
    let backend = &stats["backends"][upstream.address().to_string()];
    let healthy = backend["healthy"].as_bool().unwrap();
    (backend["failures"].as_u64().unwrap(), healthy)
}

/// A connection from the flooder's address.
fn flooder(proxy: &TestProxy) -> Frames {
    let Client { wire } = Client::connect_from(FLOODER, proxy.address());
    let mut frames = Frames { wire };
    frames.send(PREFACE);
    frames.send(http2::frame(SETTINGS, 0, 0, &[]));
    frames
}

/// So many requests for `/held`.
fn flood(frames: &mut Frames, streams: u32) {
    for n in 0..streams {
        let held = http2::PLAIN.map(|(name, value)| match name {
            ":path" => (name, "/held"),
            _ => (name, value),
        });
        frames.head(2 * n + 1, &held, http2::END_STREAM);
    }
}

#[test]
fn streams_of_one_client_leave_others_their_connections_to_backends() {
    let gate = Gate::new();
    let upstream = holding(&gate);
    let (command, scratch) = with_limits_before("ulimit -n 256", "127.0.0.1:0", upstream.address());
    let proxy = launch(command, true, scratch);
    let mut before = proxy.client();
    assert_eq!(before.ask(get("a.test", "/")).text(), "ok");
    let (connections, streams) = (10, 128);
    let mut flooders: Vec<Frames> = (0..connections).map(|_| flooder(&proxy)).collect();
    proxy.wait_for_stat("/http2/connections_active", u64::from(connections));
    flooders
        .iter_mut()
        .for_each(|frames| flood(frames, streams));
    // Three fifths of what the process may have of clients' connections, 64: the flooder's
    // connections and each stream's connection to the backend beyond one of theirs.
    let held = 36;
    let refused = u64::from(connections * streams - held);
    proxy.wait_for_stat("/http2/refused", refused);
    upstream.wait_for_heads(held as usize + 1);
    let mut after = proxy.client();
    block_on(async {
        let polite = Http2::connect(proxy.address()).await;
        for _ in 0..30 {
            let answers = tokio::join!(
                polite.get("a.test", "/"),
                polite.get("a.test", "/"),
                polite.get("a.test", "/")
            );
            for answer in [answers.0, answers.1, answers.2] {
                assert_eq!(answer.unwrap().status, 200);
            }
            for client in [&mut before, &mut after] {
                assert_eq!(client.ask(get("a.test", "/")).text(), "ok");
            }
        }
    });
    assert_eq!(failures(&proxy, &upstream), (0, true));
    assert_eq!(proxy.stat("/http2/refused"), refused);
    gate.open();
    let address = upstream.address().to_string();
    eventually("those that were held are answered", || {
        (proxy.stats()["backends"][&address]["in_flight"] == 0).then_some(())
    });
    for mut frames in flooders {
        // Each connection is as good as before.
        let next = 2 * streams + 1;
        frames.request(next);
        let end = std::iter::from_fn(|| frames.next())
            .find(|frame| frame.stream == next && frame.kind == HEADERS);
        assert_eq!(end.unwrap().status(), 200);
    }
}

/// A process that has no file descriptor left takes one from an idle connection, and blames no
/// backend where there is none.
#[test]
fn a_lack_of_descriptors_closes_an_idle_connection_and_blames_no_backend() {
    let gate = Gate::new();
    let (upstream, other) = (holding(&gate), TestUpstream::named("other"));
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .host("b.test", &[other.address()])
        .start();
    let mut clients: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    assert_eq!(clients[0].ask(get("b.test", "/")).text(), "other");
    assert_eq!(clients[1].ask(get("b.test", "/")).text(), "other");
    let pid = Pid::from_raw(proxy.process_id().cast_signed());
    let limit = |limit: Rlimit| prlimit(pid, Resource::Nofile, limit).unwrap();
    let maximum = rustix::process::getrlimit(Resource::Nofile).maximum;
    let before = limit(Rlimit {
        current: Some(lowest_free(&proxy)),
        maximum,
    });
    clients[0].send(get("a.test", "/held"));
    upstream.wait_for_heads(1);
    let refused = clients[1].ask(get("a.test", "/"));
    assert_eq!(refused.status, 503);
    assert!(
        refused.text().contains("no more connections to backends"),
        "{}",
        refused.text()
    );
    gate.open();
    assert_eq!(clients[0].response().text(), "ok");
    assert_eq!(clients[1].ask(get("a.test", "/")).text(), "ok");
    limit(before);
    assert_eq!(failures(&proxy, &upstream), (0, true));
    assert_eq!(proxy.stat("/connections/upstream_refused"), 1);
    let said = proxy.stderr.find(|line| {
        let is_it = line.contains("no connection to") && line.contains("has no more");
        is_it.then(|| line.to_owned())
    });
    assert!(said.is_some(), "{}", proxy.stderr.text());
}

/// The number that the next descriptor of the proxy gets.
fn lowest_free(proxy: &TestProxy) -> u64 {
    let folder = format!("/proc/{}/fd", proxy.process_id());
    let open: Vec<u64> = std::fs::read_dir(folder)
        .unwrap()
        .filter_map(|entry| entry.unwrap().file_name().to_str()?.parse().ok())
        .collect();
    (0..).find(|number| !open.contains(number)).unwrap()
}
