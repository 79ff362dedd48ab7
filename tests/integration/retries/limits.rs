//! How many requests may be under way, and bodies that are read before one is.

use super::{Picking, body_of, picking};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually, get, refusing_address};

fn waiting(proxy: &TestProxy, count: u64) {
    eventually("requests that wait", || {
        (proxy.stats()["pools"]["all"]["queue_length"] == count).then_some(())
    });
}

#[test]
fn so_many_requests_are_under_way_at_a_backend_and_the_next_one_waits() {
    for key in ["max-requests = 2", "max-pool-requests = 2"] {
        let gate = Gate::new();
        let upstream = TestUpstream::behind(&gate);
        let proxy = picking(&[&upstream], key);
        let mut clients: Vec<_> = (0..3).map(|_| proxy.client()).collect();
        clients[..2]
            .iter_mut()
            .for_each(|client| client.send(get("a.test", "/")));
        upstream.wait_for_heads(2);
        clients[2].send(get("a.test", "/"));
        waiting(&proxy, 1);
        assert_eq!(upstream.received().len(), 2, "{key}");
        gate.open();
        for client in &mut clients {
            assert_eq!(client.response().text(), "ok");
        }
        assert_eq!(proxy.stat("/pools/all/waits"), 1);
    }
}

#[test]
fn a_request_that_waits_too_long_or_finds_the_queue_full_is_told_to_try_later() {
    let adaptive = "adaptive-requests = { least = 1, most = 1 }";
    for key in ["max-requests = 1", "max-pool-requests = 1", adaptive] {
        for queue in ["queue = 0", "queue-timeout = \"50ms\""] {
            let gate = Gate::new();
            let upstream = TestUpstream::behind(&gate);
            let proxy = picking(&[&upstream], &format!("{key}\n{queue}"));
            let mut held = proxy.client();
            held.send(get("a.test", "/"));
            upstream.wait_for_heads(1);
            let refused = proxy.get("a.test", "/");
            refused.assert_refusal(503);
            assert_eq!(refused.value("retry-after").as_deref(), Some("1"));
            proxy.wait_for_stat("/pools/all/refused", 1);
            gate.open();
            assert_eq!(held.response().text(), "ok");
            eventually("the place is free", || {
                (proxy.get("a.test", "/").status == 200).then_some(())
            });
        }
    }
}

#[test]
fn a_full_backend_is_waited_for_while_the_other_is_away_or_drained() {
    let (_reserved, dead) = refusing_address();
    let idle = TestUpstream::named("idle");
    for (other, weight) in [(dead, 1), (idle.address(), 0)] {
        let gate = Gate::new();
        let upstream = TestUpstream::behind(&gate);
        let proxy = TestProxy::builder()
            .tables(&format!(
                "[pools.all]\nmax-requests = 1\nbackends = [{{ address = \"{}\" }}, \
                 {{ address = \"{other}\", weight = {weight} }}]\n\
                 [[routes]]\nhost = \"*\"\npool = \"all\"\npolicies = []\n",
                upstream.address()
            ))
            .start();
        let mut clients: Vec<_> = (0..9).map(|_| proxy.client()).collect();
        clients[0].send(get("a.test", "/"));
        upstream.wait_for_heads(1);
        let rest = clients[1..].iter_mut();
        rest.for_each(|client| client.send(get("a.test", "/")));
        waiting(&proxy, 8);
        gate.open();
        for client in &mut clients {
            assert_eq!(client.response().text(), "ok", "beside {other}");
        }
    }
}

#[test]
fn a_full_backend_is_passed_over_for_one_that_is_not() {
    let gate = Gate::new();
    let (one, two) = (TestUpstream::behind(&gate), TestUpstream::named("two"));
    let proxy = picking(&[&one, &two], "max-requests = 1");
    let mut held = proxy.client();
    held.send(Picking::get("0"));
    one.wait_for_heads(1);
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "two");
    gate.open();
    assert_eq!(held.response().text(), "ok");
}

#[test]
fn a_client_that_leaves_its_place_or_the_queue_makes_room() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = picking(&[&upstream], "max-requests = 1");
    let (mut first, mut second) = (proxy.client(), proxy.client());
    first.send(get("a.test", "/"));
    upstream.wait_for_heads(1);
    second.send(get("a.test", "/"));
    waiting(&proxy, 1);
    drop(second);
    waiting(&proxy, 0);
    drop(first);
    gate.open();
    assert_eq!(proxy.get("a.test", "/").text(), "ok");
}

#[test]
fn a_body_is_read_before_a_backend_is_chosen_where_that_is_asked_for() {
    let upstream = TestUpstream::echo();
    let proxy = picking(&[&upstream], "request-buffering = \"64KiB\"");
    let mut client = proxy.client();
    for size in [1usize, 1_000, 64 * 1024] {
        let body = body_of(size);
        let (first, rest) = body.split_at(size / 2);
        let requests = [
            Request::new("POST", "/").host("a.test").body(&body).bytes(),
            Request::new("POST", "/")
                .host("a.test")
                .chunks([first, rest].into_iter().filter(|c| !c.is_empty()))
                .bytes(),
        ];
        for request in requests {
            let before = upstream.received().len();
            let (first, rest) = request.split_at(request.len() - 1);
            client.send(first);
            // Another request takes its time meanwhile.
            assert_eq!(proxy.get("a.test", "/").status, 200);
            assert_eq!(upstream.received().len(), before + 1, "{size}");
            client.send(rest);
            assert_eq!(client.response().body, body, "{size}");
        }
    }
}

#[test]
fn a_body_beyond_what_is_buffered_streams_on() {
    let upstream = TestUpstream::echo();
    let proxy = picking(&[&upstream], "request-buffering = \"16KiB\"");
    let mut client = proxy.client();
    let body = body_of(300_000);
    let request = Request::new("POST", "/").host("a.test").body(&body).bytes();
    client.send(&request[..40_000]);
    upstream.wait_for_heads(1);
    client.send(&request[40_000..]);
    assert_eq!(client.response().body, body);
    let trailers = "POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n\
                    2\r\nhi\r\n0\r\nX-Sum: 7\r\n\r\n";
    assert_eq!(client.ask(trailers).text(), "hi");
    assert_eq!(upstream.received()[1].trailers.len(), 1);
}

#[test]
fn a_buffered_body_is_asked_for_and_may_fail_before_a_backend_hears_of_it() {
    let upstream = TestUpstream::echo();
    let proxy = picking(&[&upstream], "request-buffering = true");
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n",
    );
    assert_eq!(client.head().0, 100);
    client.send("hi");
    assert_eq!(client.response().text(), "hi");
    client
        .send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n");
    client.response().assert_refusal(400);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 2\r\n\r\nh");
    drop(client);
    proxy.logged(&["\"status\":0"]);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_full_backend_uses_up_no_attempt_and_is_no_retry() {
    let gate = Gate::new();
    let closing = TestUpstream::start(|connection| {
        connection.request();
    });
    let (one, two) = (TestUpstream::behind(&gate), TestUpstream::named("two"));
    let keys = "max-requests = 1\nattempts = 2";
    let proxy = picking(&[&one, &closing, &two], keys);
    let mut held = proxy.client();
    held.send(Picking::get("0"));
    one.wait_for_heads(1);
    assert_eq!(proxy.ask(Picking::get("0,1,2")).text(), "two");
    let retries = proxy.stats()["attempts"]["retries_by_reason"].clone();
    assert_eq!(
        (&retries["connect"], &retries["reset"]),
        (&0.into(), &1.into())
    );
    proxy.logged(&["\"attempts\":2"]);
    gate.open();
    assert_eq!(held.response().text(), "ok");
}
