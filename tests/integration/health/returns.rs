//! Backends that nobody can connect to: what looks for them, and what requests have to do with it.

use std::net::SocketAddr;

use socket2::Socket;

use crate::fixtures::{TestProxy, TestUpstream, eventually, get, refusing_address, response};

fn proxy(dead: SocketAddr, alive: &TestUpstream, keys: &str) -> TestProxy {
    TestProxy::builder()
        .workers(3)
        .tables(&format!(
            "[pools.a]\nbackends = [\"{dead}\", \"{}\"]\nmax-failures = 1\n{keys}\n\
             [[routes]]\npool = \"a\"\npolicies = []",
            alive.address()
        ))
        .start()
}

fn backend(proxy: &TestProxy, of: SocketAddr) -> serde_json::Value {
    proxy.stats()["backends"][of.to_string()].clone()
}

/// Sends requests until this backend is ejected.
fn eject(proxy: &TestProxy, dead: SocketAddr) {
    eventually("it is ejected", || {
        assert_eq!(proxy.get("a.test", "/").text(), "alive");
        (backend(proxy, dead)["state"] == "ejected").then_some(())
    });
}

fn listen(socket: Socket) -> TestUpstream {
    socket.listen(64).unwrap();
    TestUpstream::listen(socket.into(), |connection| {
        while connection.request().is_some() {
            connection.send(response("200 OK", &[], "back"));
        }
    })
}

#[test]
fn a_backend_that_listens_again_is_found_by_no_request_and_has_its_whole_share() {
    let (held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let keys = "fail-timeout = \"1h\"\nejection.reconnect = \"20ms\"";
    let proxy = proxy(dead, &alive, keys);
    eject(&proxy, dead);
    eventually("it is looked for", || {
        (backend(&proxy, dead)["failed_probes"].as_u64() >= Some(3)).then_some(())
    });
    let failures = backend(&proxy, dead)["failures"].clone();
    let back = listen(held);
    eventually("it is used again", || {
        (proxy.get("a.test", "/").text() == "back").then_some(())
    });
    assert_eq!(backend(&proxy, dead)["state"], "healthy");
    let before = back.received().len();
    let mut client = proxy.client();
    // One in 2^50 runs has it outside of these bounds.
    for _ in 0..200 {
        client.ask(get("a.test", "/"));
    }
    let share = back.received().len() - before;
    assert!((40..160).contains(&share), "{share} of 200");
    assert_eq!(backend(&proxy, dead)["failures"], failures);
}

#[test]
fn while_nobody_can_connect_no_request_tries_it() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let keys = "fail-timeout = \"1ms\"\nejection.reconnect = \"20ms\"";
    let proxy = proxy(dead, &alive, keys);
    eject(&proxy, dead);
    let probes = || backend(&proxy, dead)["failed_probes"].as_u64();
    eventually("it is looked for", || (probes() >= Some(1)).then_some(()));
    let failures = backend(&proxy, dead)["failures"].clone();
    eventually("it is looked for again and again", || {
        for _ in 0..20 {
            assert_eq!(proxy.get("a.test", "/").text(), "alive");
        }
        (probes() >= Some(5)).then_some(())
    });
    assert_eq!(backend(&proxy, dead)["failures"], failures);
}

#[test]
fn without_it_only_requests_find_out() {
    let (held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let keys = "fail-timeout = \"1h\"\nejection.reconnect = \"0s\"";
    let proxy = proxy(dead, &alive, keys);
    eject(&proxy, dead);
    let back = listen(held);
    for _ in 0..40 {
        assert_eq!(proxy.get("a.test", "/").text(), "alive");
    }
    let state = backend(&proxy, dead);
    assert_eq!(
        (&state["probes"], &state["state"]),
        (&0.into(), &"ejected".into())
    );
    assert_eq!(back.connections(), 0);
}

#[test]
fn one_that_accepts_and_closes_is_not_looked_for_any_further() {
    let closing = TestUpstream::start(|connection| {
        connection.request();
    });
    let alive = TestUpstream::named("alive");
    let keys = "fail-timeout = \"1h\"\nejection.reconnect = \"1ms\"";
    let proxy = proxy(closing.address(), &alive, keys);
    eject(&proxy, closing.address());
    eventually("it was looked for", || {
        (backend(&proxy, closing.address())["probes"] == 1).then_some(())
    });
    for _ in 0..40 {
        assert_eq!(proxy.get("a.test", "/").text(), "alive");
    }
    let state = backend(&proxy, closing.address());
    assert_eq!(
        (&state["probes"], &state["state"]),
        (&1.into(), &"ejected".into())
    );
}
