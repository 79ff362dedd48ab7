//! Backends that take requests and answer none: others avoid them, and nothing has failed.

use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::fixtures::{Client, Gate, TestProxy, TestUpstream, eventually, get, response};

fn in_front_of(silent: SocketAddr, others: &[TestUpstream]) -> TestProxy {
    let others = others.iter().map(TestUpstream::address);
    let all: Vec<String> = [silent]
        .into_iter()
        .chain(others)
        .map(|address| format!("\"{address}\""))
        .collect();
    TestProxy::builder()
        .workers(2)
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\n[[routes]]\npool = \"a\"\npolicies = [\"random\"]\n\
             [policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"\n\
             [timeouts]\nconnect = \"15s\"",
            all.join(", ")
        ))
        .start()
}

/// Sends requests, each on a connection of its own, until one more waits at this backend; those
/// that are not answered within a moment come back.
fn ask_until_degraded(proxy: &TestProxy, silent: SocketAddr) -> Vec<Client> {
    let backend = || proxy.stats()["backends"][silent.to_string()].clone();
    let mut clients = Vec::new();
    eventually("it is degraded", || {
        // At most this many can wait before it is.
        if backend()["in_flight"].as_u64() < Some(2) {
            let mut client = proxy.client();
            client.send(get("a.test", "/"));
            clients.push(client);
        }
        (backend()["state"] == "degraded").then_some(())
    });
    clients
}

fn assert_is_avoided(proxy: &TestProxy, silent: SocketAddr) {
    for _ in 0..40 {
        assert_eq!(proxy.get("a.test", "/").text(), "alive");
    }
    let backend = proxy.stats()["backends"][silent.to_string()].clone();
    assert_eq!(
        (&backend["in_flight"], &backend["failures"]),
        (&2.into(), &0.into()),
        "{backend:#}"
    );
}

#[test]
fn a_backend_that_stops_answering_is_avoided_until_it_answers() {
    let gate = Gate::new();
    let opened = gate.clone();
    let silent = TestUpstream::replying(move |_| {
        opened.wait();
        response("200 OK", &[], "silent")
    });
    let others = [TestUpstream::named("alive"), TestUpstream::named("alive")];
    let proxy = in_front_of(silent.address(), &others);
    let mut clients = ask_until_degraded(&proxy, silent.address());
    assert_is_avoided(&proxy, silent.address());
    gate.open();
    let texts: Vec<String> = clients.iter_mut().map(|c| c.response().text()).collect();
    assert_eq!(texts.iter().filter(|text| *text == "silent").count(), 2);
    eventually("it is used again", || {
        (proxy.get("a.test", "/").text() == "silent").then_some(())
    });
}

/// A listener whose queue is full: the kernel drops what asks for a connection.
fn black_hole() -> (Socket, Vec<TcpStream>) {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    socket
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    socket.listen(0).unwrap();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let mut queued = Vec::new();
    while let Ok(stream) = TcpStream::connect_timeout(&address, Duration::from_millis(300)) {
        queued.push(stream);
        assert!(queued.len() < 64, "the queue is never full");
    }
    (socket, queued)
}

/// Nothing was sent on a connection that is not there: the requests go elsewhere.
#[cfg(target_os = "linux")]
#[test]
fn requests_do_not_wait_for_connections_that_hang() {
    let (socket, _queued) = black_hole();
    let address = socket.local_addr().unwrap().as_socket().unwrap();
    let others = [TestUpstream::named("alive"), TestUpstream::named("alive")];
    let proxy = in_front_of(address, &others);
    let mut clients = Vec::new();
    eventually("it is ejected", || {
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        clients.push(client);
        (proxy.stats()["backends"][address.to_string()]["state"] == "ejected").then_some(())
    });
    for mut client in clients {
        assert_eq!(client.response().text(), "alive");
    }
}
