//! `max-connections`: a place is counted before it is used, and requests wait for one in order.

use std::time::Duration;

use crate::fixtures::{
    Client, Gate, Request, TestProxy, TestUpstream, eventually, get, guest, response,
};

/// A pool of one backend, with these keys, in front of this many workers.
pub fn pool_of(upstream: &TestUpstream, workers: usize, keys: &str) -> TestProxy {
    TestProxy::builder()
        .workers(workers)
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\n{keys}\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start()
}

/// A backend that holds `/held` until the gate opens, and answers by the target.
pub fn held_by(gate: &Gate) -> TestUpstream {
    let opened = gate.clone();
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target().starts_with("/held") {
                opened.wait();
            }
            connection.send(response("200 OK", &[], request.target()));
        }
    })
}

#[track_caller]
pub fn wait_for_active(proxy: &TestProxy, requests: u64) {
    eventually("the requests are under way", || {
        (proxy.stat("/requests/active") == requests).then_some(())
    });
}

/// A client whose request is in the hands of the proxy, the `nth` that is.
fn waiting(proxy: &TestProxy, target: &str, nth: u64) -> Client {
    let mut client = proxy.client();
    client.send(get("a.test", target));
    wait_for_active(proxy, nth);
    client
}

#[test]
fn a_burst_opens_no_more_connections_than_there_may_be() {
    for workers in [1, 2] {
        let gate = Gate::new();
        let upstream = held_by(&gate);
        let proxy = pool_of(
            &upstream,
            workers,
            "max-connections = 2\nqueue-timeout = \"1m\"",
        );
        let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
        clients
            .iter_mut()
            .for_each(|client| client.send(get("a.test", "/held")));
        wait_for_active(&proxy, 50);
        upstream.wait_for_heads(2);
        assert_eq!(
            (upstream.received().len(), upstream.connections()),
            (2, 2),
            "{workers} workers"
        );
        assert_eq!(
            proxy.stat(&format!("/backends/{}/connections", upstream.address())),
            2
        );
        gate.open();
        clients
            .iter_mut()
            .for_each(|client| assert_eq!(client.response().status, 200));
        if workers == 1 {
            assert_eq!(
                upstream.connections(),
                2,
                "a connection passes from one request to the next"
            );
        }
    }
}

#[test]
fn requests_are_served_in_the_order_in_which_they_came() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue-timeout = \"1m\"");
    let targets: Vec<String> = (0..8).map(|n| format!("/held/{n}")).collect();
    let mut clients: Vec<_> = targets
        .iter()
        .zip(1..)
        .map(|(target, nth)| waiting(&proxy, target, nth))
        .collect();
    gate.open();
    clients
        .iter_mut()
        .zip(&targets)
        .for_each(|(client, target)| assert_eq!(client.response().text(), *target));
    let received: Vec<String> = upstream
        .received()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(received, targets);
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_place_passes_on_when_a_connection_can_t() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            opened.wait();
            connection.send(response("200 OK", &[("Connection", "close")], "ok"));
        }
    });
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue-timeout = \"1m\"");
    let mut clients: Vec<_> = (1..=4).map(|nth| waiting(&proxy, "/", nth)).collect();
    gate.open();
    clients
        .iter_mut()
        .for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(upstream.connections(), 4);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_try_again() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(
        &upstream,
        1,
        "max-connections = 1\nqueue = 1\nqueue-timeout = \"1m\"\nmax-failures = 1",
    );
    let mut held: Vec<_> = (1..=2).map(|nth| waiting(&proxy, "/held", nth)).collect();
    let refused = proxy.get("a.test", "/");
    refused.assert_refusal(503);
    assert_eq!(refused.value("retry-after").as_deref(), Some("1"));
    proxy.logged(&["503", "All connections to the backend are in use"]);
    gate.open();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let backend = &proxy.stats()["backends"][upstream.address().to_string()];
    assert_eq!(
        (&backend["failures"], &backend["healthy"]),
        (&0.into(), &true.into()),
        "it is not to blame"
    );
}

#[test]
fn waiting_ends_in_time_and_the_place_stays_with_its_holder() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(
        &upstream,
        1,
        "max-connections = 1\nqueue-timeout = \"100ms\"",
    );
    let mut held = waiting(&proxy, "/held", 1);
    proxy.get("a.test", "/").assert_refusal(503);
    gate.open();
    assert_eq!(held.response().status, 200);
    assert_eq!(proxy.get("a.test", "/").status, 200);
}

#[test]
fn a_client_that_leaves_the_queue_makes_room_in_it() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(
        &upstream,
        1,
        "max-connections = 1\nqueue = 1\nqueue-timeout = \"1m\"",
    );
    let mut held = waiting(&proxy, "/held", 1);
    waiting(&proxy, "/left", 2).reset();
    wait_for_active(&proxy, 1);
    let mut next = waiting(&proxy, "/next", 2);
    gate.open();
    assert_eq!(held.response().status, 200);
    assert_eq!(next.response().text(), "/next");
    assert!(
        upstream.received().iter().all(|r| r.target() != "/left"),
        "nobody waits for that"
    );
}

#[test]
fn a_request_does_not_wait_for_a_full_backend_while_another_has_a_place() {
    let gate = Gate::new();
    let (full, free) = (held_by(&gate), TestUpstream::named("free"));
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-connections = 1\n[pools.b]\nbackends = [\"{}\", \"{}\"]\nqueue-timeout = \"1m\"\n\
             [[routes]]\npool = \"b\"\n[[routes]]\nhost = \"a.test\"\npool = \"a\"",
            full.address(),
            full.address(),
            free.address()
        ))
        .start();
    let mut held = waiting(&proxy, "/held", 1);
    for _ in 0..20 {
        assert_eq!(proxy.get("b.test", "/").text(), "free");
    }
    gate.open();
    assert_eq!(held.response().status, 200);
}

#[test]
fn pooled_connections_of_one_worker_make_room_for_another() {
    let upstream = TestUpstream::named("a");
    let proxy = pool_of(&upstream, 2, "max-connections = 1\nqueue-timeout = \"1m\"");
    // The kernel spreads connections over the workers by their ports: in 2^23 runs there is one
    // where all meet one worker.
    for _ in 0..24 {
        assert_eq!(proxy.get("a.test", "/").text(), "a");
    }
}

/// The connection that another request leaves behind may end under it as well, and that would cost
/// no attempt either.
#[test]
fn a_request_whose_pooled_connection_has_ended_waits_for_a_place_and_not_for_another_pooled_one() {
    let [a, b, c] = [(); 3].map(|()| Gate::new());
    let gates = [a.clone(), b.clone(), c.clone()];
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            match request.target() {
                "/a" => gates[0].wait(),
                "/b" if connection.index == 1 => {
                    gates[1].wait();
                    return;
                }
                "/c" => gates[2].wait(),
                _ => {}
            }
            connection.send(response("200 OK", &[], request.target()));
        }
    });
    let proxy = pool_of(&upstream, 1, "max-connections = 2\nqueue-timeout = \"1m\"");
    let in_queue = |count| {
        eventually("it is in the queue", || {
            (proxy.stat("/pools/a/queue_length") == count).then_some(())
        });
    };
    let mut first = waiting(&proxy, "/a", 1);
    upstream.wait_for_heads(1);
    assert_eq!(proxy.get("a.test", "/warm").status, 200);
    wait_for_active(&proxy, 1);
    let mut second = waiting(&proxy, "/b", 2);
    upstream.wait_for_heads(3);
    let mut third = waiting(&proxy, "/c", 3);
    in_queue(1);
    b.open();
    // The place of the connection that has ended goes to the third; the second waits behind it.
    upstream.wait_for_heads(4);
    in_queue(1);
    a.open();
    assert_eq!(
        (
            first.response().text().as_str(),
            second.response().text().as_str()
        ),
        ("/a", "/b")
    );
    c.open();
    assert_eq!(third.response().text(), "/c");
    let received = upstream.received();
    let came: Vec<(&str, usize)> = received
        .iter()
        .map(|r| (r.target(), r.connection))
        .collect();
    assert_eq!(
        came,
        [("/a", 0), ("/warm", 1), ("/b", 1), ("/c", 2), ("/b", 3)]
    );
}

/// A place elsewhere is of no use to a request that may not go there any more.
#[test]
fn the_last_attempt_waits_for_the_backend_that_was_chosen() {
    for attempts in [1, 2] {
        let gate = Gate::new();
        let upstreams = [held_by(&gate), held_by(&gate)];
        let proxy = TestProxy::builder()
            .file("probe.wasm", guest("probe"))
            .tables(&format!(
                "[pools.a]\nbackends = [\"{}\", \"{}\"]\nattempts = {attempts}\nmax-connections = 1\n\
                 queue-timeout = \"1m\"\n[[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
                 [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"",
                upstreams[0].address(),
                upstreams[1].address()
            ))
            .start();
        let ask = |target| {
            let mut client = proxy.client();
            client.send(
                Request::new("GET", target)
                    .host("a.test")
                    .field("X-Probe-Select", "pick=0")
                    .bytes(),
            );
            client
        };
        let mut held = ask("/held");
        upstreams[0].wait_for_heads(1);
        let mut waits = ask("/waits");
        eventually("it is in the queue", || {
            (proxy.stat("/pools/a/queue_length") == 1).then_some(())
        });
        gate.open();
        assert_eq!(
            (
                held.response().text().as_str(),
                waits.response().text().as_str()
            ),
            ("/held", "/waits")
        );
        assert!(upstreams[1].received().is_empty(), "{attempts} attempts");
    }
}

#[test]
fn the_time_in_the_queue_is_that_of_the_request_and_not_of_each_attempt() {
    let gate = Gate::new();
    let upstreams: Vec<TestUpstream> = (0..4).map(|_| held_by(&gate)).collect();
    let list: Vec<String> = upstreams
        .iter()
        .map(|u| format!("\"{}\"", u.address()))
        .collect();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\nattempts = 4\nmax-connections = 1\nqueue-timeout = \"2s\"\n[[routes]]\npool = \"a\"",
            list.join(", ")
        ))
        .start();
    let mut held: Vec<Client> = (1..=4).map(|n| waiting(&proxy, "/held", n)).collect();
    upstreams
        .iter()
        .for_each(|upstream| upstream.wait_for_heads(1));
    let began = std::time::Instant::now();
    proxy.get("a.test", "/").assert_refusal(503);
    // One time is 2 s, four are 8 s.
    assert!(
        began.elapsed() < Duration::from_secs(6),
        "{:?}",
        began.elapsed()
    );
    gate.open();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.response().status, 200));
}
