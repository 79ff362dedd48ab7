//! `max-connections`: a place is counted before it is used, and requests wait for one in order.

use std::time::Duration;

use crate::fixtures::{Client, Gate, Request, TestProxy, TestUpstream, eventually, get, guest, response};

/// A pool of one backend, with these keys, in front of this many workers.
fn pool_of(upstream: &TestUpstream, workers: usize, keys: &str) -> TestProxy {
    TestProxy::builder()
        .workers(workers)
        .tables(&format!("[pools.a]\nbackends = [\"{}\"]\n{keys}\n[[routes]]\npool = \"a\"", upstream.address()))
        .start()
}

/// A backend that holds `/held` until the gate opens, and answers by the target.
fn held_by(gate: &Gate) -> TestUpstream {
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
fn wait_for_active(proxy: &TestProxy, requests: u64) {
    eventually("the requests are under way", || (proxy.stat("/requests/active") == requests).then_some(()));
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
        let proxy = pool_of(&upstream, workers, "max-connections = 2\nqueue-timeout = \"1m\"");
        let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
        clients.iter_mut().for_each(|client| client.send(get("a.test", "/held")));
        wait_for_active(&proxy, 50);
        upstream.wait_for_heads(2);
        assert_eq!((upstream.received().len(), upstream.connections()), (2, 2), "{workers} workers");
        assert_eq!(proxy.stat(&format!("/backends/{}/connections", upstream.address())), 2);
        gate.open();
        clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
        if workers == 1 {
            assert_eq!(upstream.connections(), 2, "a connection passes from one request to the next");
        }
    }
}

#[test]
fn requests_are_served_in_the_order_in_which_they_came() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue-timeout = \"1m\"");
    let targets: Vec<String> = (0..8).map(|n| format!("/held/{n}")).collect();
    let mut clients: Vec<_> = targets.iter().zip(1..).map(|(target, nth)| waiting(&proxy, target, nth)).collect();
    gate.open();
    clients.iter_mut().zip(&targets).for_each(|(client, target)| assert_eq!(client.response().text(), *target));
    let received: Vec<String> = upstream.received().iter().map(|r| r.target().to_owned()).collect();
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
    clients.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(upstream.connections(), 4);
}

#[test]
fn a_full_queue_refuses_and_says_when_to_try_again() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue = 1\nqueue-timeout = \"1m\"\nmax-failures = 1");
    let mut held: Vec<_> = (1..=2).map(|nth| waiting(&proxy, "/held", nth)).collect();
    let refused = proxy.get("a.test", "/");
    refused.assert_refusal(503);
    assert_eq!(refused.value("retry-after").as_deref(), Some("1"));
    proxy.logged(&["503", "All connections to the backend are in use"]);
    gate.open();
    held.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let backend = &proxy.stats()["backends"][upstream.address().to_string()];
    assert_eq!((&backend["failures"], &backend["healthy"]), (&0.into(), &true.into()), "it is not to blame");
}

#[test]
fn waiting_ends_in_time_and_the_place_stays_with_its_holder() {
    let gate = Gate::new();
    let upstream = held_by(&gate);
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue-timeout = \"100ms\"");
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
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nqueue = 1\nqueue-timeout = \"1m\"");
    let mut held = waiting(&proxy, "/held", 1);
    waiting(&proxy, "/left", 2).reset();
    wait_for_active(&proxy, 1);
    let mut next = waiting(&proxy, "/next", 2);
    gate.open();
    assert_eq!(held.response().status, 200);
    assert_eq!(next.response().text(), "/next");
    assert!(upstream.received().iter().all(|r| r.target() != "/left"), "nobody waits for that");
}

#[test]
fn a_full_backend_is_no_reason_to_wait_while_another_has_a_place() {
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
    // The kernel spreads connections over the workers by their ports: in 2^23 runs there is one where all meet one worker.
    for _ in 0..24 {
        assert_eq!(proxy.get("a.test", "/").text(), "a");
    }
}

/// Clients that have begun an upload of ten bytes and go no further.
fn slow_uploads(proxy: &TestProxy, count: u64) -> Vec<Client> {
    let begin = |_| {
        let mut client = proxy.client();
        client.send("POST /slow HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
        client
    };
    let clients = (0..count).map(begin).collect();
    wait_for_active(proxy, count);
    clients
}

#[test]
fn slow_uploads_take_no_connection_before_their_bodies_are_there() {
    let upstream = TestUpstream::echo();
    let proxy = pool_of(&upstream, 1, "max-connections = 2\nbody-wait = \"1h\"\n[timeouts]\nbody-read = \"1h\"");
    let mut slow = slow_uploads(&proxy, 20);
    // In chunks as well.
    let mut chunked = proxy.client();
    chunked.send("PUT /slow HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
    wait_for_active(&proxy, 21);
    for _ in 0..3 {
        assert_eq!(proxy.get("a.test", "/quick").status, 200);
    }
    assert!(upstream.received().iter().all(|r| r.target() == "/quick"), "no upload has come so far");
    slow[7].send("world");
    assert_eq!(slow[7].response().text(), "helloworld");
    chunked.send("5\r\nworld\r\n0\r\n\r\n");
    assert_eq!(chunked.response().text(), "helloworld");
    // A large body is under way as soon as a buffer is full.
    let large = vec![b'x'; 100_000];
    assert_eq!(proxy.ask(Request::new("POST", "/").host("a.test").body(&large).bytes()).body, large);
}

#[test]
fn slow_uploads_never_hold_all_connections() {
    let upstream = TestUpstream::echo();
    let keys = "max-connections = 2\nbody-wait = \"50ms\"\nqueue-timeout = \"1h\"\n[timeouts]\nbody-read = \"1h\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut slow = slow_uploads(&proxy, 10);
    upstream.wait_for_heads(1);
    let uploads = || upstream.received().iter().filter(|r| r.target() == "/slow").count();
    for _ in 0..5 {
        assert_eq!(proxy.get("a.test", "/quick").status, 200);
        assert_eq!(uploads(), 1, "one of two places");
    }
    for client in &mut slow {
        client.send("world");
    }
    slow.iter_mut().for_each(|client| assert_eq!(client.response().text(), "helloworld"));
}

#[test]
fn a_client_that_waits_for_the_response_within_its_upload_is_not_waited_for_in_turn() {
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nearly\r\n");
            let Some(request) = connection.body() else { return };
            let rest = format!("{:x}\r\n", request.body.len());
            connection.send([rest.as_bytes(), &request.body, b"\r\n0\r\n\r\n"].concat());
        }
    });
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nbody-wait = \"50ms\"");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    let (status, head) = client.head();
    assert_eq!(status, 200);
    client.send("world");
    client.wire.buffer.splice(0..0, head.raw);
    assert_eq!(client.response().text(), "earlyhelloworld");
}

#[test]
fn a_client_that_expects_100_is_not_waited_for() {
    let upstream = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            if head.head.lists("expect", "100-continue") {
                connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let Some(request) = connection.body() else { return };
            connection.send(response("200 OK", &[], &request.body));
        }
    });
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nbody-wait = \"1h\"");
    let mut client = proxy.client();
    client.wire.stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    client.send("PUT / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    assert_eq!(client.head().0, 100);
    client.send("hello");
    assert_eq!(client.response().text(), "hello");
}

/// Neither is slow for having sent nothing with its head, nor for expecting 100 and not waiting for it.
#[test]
fn an_upload_whose_body_comes_a_little_later_is_waited_for_and_takes_no_place_of_slow_ones() {
    let upstream = TestUpstream::echo();
    let keys = "max-connections = 2\nbody-wait = \"1h\"\nqueue-timeout = \"1h\"\n[timeouts]\nbody-read = \"1h\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut slow = proxy.client();
    slow.send("PUT /slow HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n");
    upstream.wait_for_heads(1);
    for (fields, first, rest) in [("", "", "hello"), ("Expect: 100-continue\r\n", "hel", "lo")] {
        let mut late = proxy.client();
        late.send(format!("PUT /late HTTP/1.1\r\nHost: a.test\r\n{fields}Content-Length: 5\r\n\r\n{first}"));
        wait_for_active(&proxy, 2);
        late.send(rest);
        assert_eq!(late.response_to("PUT").text(), "hello", "{fields:?}: there is a place");
        wait_for_active(&proxy, 1);
    }
    slow.send("hello");
    assert_eq!(slow.response_to("PUT").text(), "hello");
}

/// The connection that another request leaves behind may end under it as well, and that would cost no attempt either.
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
        eventually("it is in the queue", || (proxy.stat("/pools/a/queue_length") == count).then_some(()));
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
    assert_eq!((first.response().text().as_str(), second.response().text().as_str()), ("/a", "/b"));
    c.open();
    assert_eq!(third.response().text(), "/c");
    let received = upstream.received();
    let came: Vec<(&str, usize)> = received.iter().map(|r| (r.target(), r.connection)).collect();
    assert_eq!(came, [("/a", 0), ("/warm", 1), ("/b", 1), ("/c", 2), ("/b", 3)]);
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
            client.send(Request::new("GET", target).host("a.test").field("X-Probe-Select", "pick=0").bytes());
            client
        };
        let mut held = ask("/held");
        upstreams[0].wait_for_heads(1);
        let mut waits = ask("/waits");
        eventually("it is in the queue", || (proxy.stat("/pools/a/queue_length") == 1).then_some(()));
        gate.open();
        assert_eq!((held.response().text().as_str(), waits.response().text().as_str()), ("/held", "/waits"));
        assert!(upstreams[1].received().is_empty(), "{attempts} attempts");
    }
}

/// The same for uploads that have only begun: the place elsewhere does not spare them the wait, nor others their places.
#[test]
fn slow_uploads_in_their_last_attempt_never_hold_all_connections_either() {
    let gate = Gate::new();
    let upstreams = [held_by(&gate), held_by(&gate)];
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\", \"{}\"]\nattempts = 1\nmax-connections = 2\nqueue-timeout = \"1h\"\n\
             body-wait = \"0s\"\nslow-client = \"0s\"\n[timeouts]\nbody-read = \"1h\"\n\
             [[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"",
            upstreams[0].address(),
            upstreams[1].address()
        ))
        .start();
    let mut active = 0;
    let mut begin = |start: &str| {
        let mut client = proxy.client();
        client.send(format!("{start}Host: a.test\r\nX-Probe-Select: pick=0\r\n"));
        client.send(if start.starts_with("POST") { "Content-Length: 10\r\n\r\nhello" } else { "\r\n" });
        active += 1;
        wait_for_active(&proxy, active);
        client
    };
    let mut held = [(); 2].map(|()| begin("GET /held HTTP/1.1\r\n"));
    upstreams[0].wait_for_heads(2);
    let mut slow = [(); 2].map(|()| begin("POST /slow HTTP/1.1\r\n"));
    let mut whole = begin("GET /whole HTTP/1.1\r\n");
    gate.open();
    held.iter_mut().for_each(|client| assert_eq!(client.response().text(), "/held"));
    assert_eq!(whole.response().text(), "/whole");
    slow.iter_mut().for_each(|client| client.send("world"));
    slow.iter_mut().for_each(|client| assert_eq!(client.response_to("POST").text(), "/slow"));
    assert!(upstreams[1].received().is_empty());
}

#[test]
fn the_time_in_the_queue_is_that_of_the_request_and_not_of_each_attempt() {
    let gate = Gate::new();
    let upstreams: Vec<TestUpstream> = (0..4).map(|_| held_by(&gate)).collect();
    let list: Vec<String> = upstreams.iter().map(|u| format!("\"{}\"", u.address())).collect();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\nattempts = 4\nmax-connections = 1\nqueue-timeout = \"2s\"\n[[routes]]\npool = \"a\"",
            list.join(", ")
        ))
        .start();
    let mut held: Vec<Client> = (1..=4).map(|n| waiting(&proxy, "/held", n)).collect();
    upstreams.iter().for_each(|upstream| upstream.wait_for_heads(1));
    let began = std::time::Instant::now();
    proxy.get("a.test", "/").assert_refusal(503);
    // One time is 2 s, four are 8 s.
    assert!(began.elapsed() < Duration::from_secs(6), "{:?}", began.elapsed());
    gate.open();
    held.iter_mut().for_each(|client| assert_eq!(client.response().status, 200));
}
