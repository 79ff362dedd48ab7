//! Copies of requests for another pool.

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{
    Connection, Gate, Request, TestProxy, TestUpstream, get, refusing_address, response,
};

/// A proxy that sends everything to `a`, and copies to `b`.
fn proxy(a: &TestUpstream, b: std::net::SocketAddr, mirror: &str) -> TestProxy {
    TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = \"{}\"\n[pools.b]\nbackends = \"{b}\"\n\
             [[routes]]\npool = \"a\"\npolicies = []\nmirror = {mirror}",
            a.address(),
        ))
        .start()
}

fn count(proxy: &TestProxy, name: &str, value: u64) {
    proxy.wait_for_stat(&format!("/pools/b/mirror/{name}"), value);
}

#[test]
fn a_copy_has_head_and_body_of_the_request_and_its_answer_goes_nowhere() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = proxy(&a, b.address(), "\"b\"");
    let mut client = proxy.client();
    assert_eq!(client.ask(get("x.test", "/one?q=1")).text(), "a");
    let post = Request::new("POST", "/two").host("x.test").body("in hand");
    assert_eq!(client.ask(post.bytes()).text(), "a");
    let pieces = [&b"in "[..], b"pieces"];
    let chunked = Request::new("PUT", "/three").host("x.test").chunks(pieces);
    assert_eq!(client.ask(chunked.bytes()).text(), "a");
    connected(&proxy, async |client| {
        let answer = client.ask(request("POST", "x.test", "/four"), b"by h2");
        assert_eq!(answer.await.unwrap().body, b"a");
    });
    count(&proxy, "sent", 4);
    count(&proxy, "under_way", 0);
    let mut copies: Vec<_> = b.complete().iter().map(|r| r.head.start.clone()).collect();
    let mut originals: Vec<_> = a.complete().iter().map(|r| r.head.start.clone()).collect();
    copies.sort();
    originals.sort();
    assert_eq!(copies, originals);
    for copy in b.complete() {
        assert_eq!(copy.value("host").as_deref(), Some("x.test"));
        let body: &[u8] = match copy.target() {
            "/two" => b"in hand",
            "/three" => b"in pieces",
            "/four" => b"by h2",
            _ => b"",
        };
        assert_eq!(copy.body, body, "{}", copy.target());
    }
    assert_eq!(proxy.stat("/pools/b/mirror/failed"), 0);
    assert_eq!(proxy.stat("/pools/b/mirror/dropped"), 0);
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    let line = "waypost_pool_mirror_sent_total{pool=\"b\"} 4";
    assert!(metrics.contains(line), "{metrics}");
}

#[test]
fn a_body_that_is_too_long_is_not_copied_and_a_share_of_0_copies_nothing() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let bounded = proxy(&a, b.address(), "{ pool = \"b\", body = 10 }");
    let mut client = bounded.client();
    let post = |n: usize| Request::new("POST", "/").host("x.test").body("x".repeat(n));
    for n in [10, 11, 5_000] {
        assert_eq!(client.ask(post(n).bytes()).status, 200);
    }
    let long = Request::new("POST", "/").host("x.test");
    let long = long.chunks([&b"123456"[..], b"123456"]);
    assert_eq!(client.ask(long.bytes()).status, 200);
    count(&bounded, "dropped", 3);
    count(&bounded, "under_way", 0);
    assert_eq!(b.complete().len(), 1);
    let none = proxy(&a, b.address(), "{ pool = \"b\", share = 0 }");
    for _ in 0..20 {
        assert_eq!(none.get("x.test", "/").status, 200);
    }
    for name in ["sent", "dropped"] {
        assert_eq!(none.stat(&format!("/pools/b/mirror/{name}")), 0);
    }
}

#[test]
fn a_mirror_that_never_answers_holds_so_many_copies_and_no_client() {
    let gate = Gate::new();
    let (a, b) = (TestUpstream::named("a"), TestUpstream::behind(&gate));
    let proxy = proxy(&a, b.address(), "{ pool = \"b\", at-most = 2 }");
    let mut client = proxy.client();
    for _ in 0..20 {
        assert_eq!(client.ask(get("x.test", "/")).text(), "a");
    }
    b.wait_for_heads(2);
    for (name, value) in [
        ("sent", 2),
        ("dropped", 18),
        ("under_way", 2),
        ("failed", 0),
    ] {
        assert_eq!(
            proxy.stat(&format!("/pools/b/mirror/{name}")),
            value,
            "{name}"
        );
    }
    gate.open();
    count(&proxy, "under_way", 0);
}

#[test]
fn a_body_that_is_kept_for_a_copy_counts_as_one_under_way() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = proxy(&a, b.address(), "{ pool = \"b\", at-most = 1 }");
    let mut slow = proxy.client();
    let head = "POST /slow HTTP/1.1\r\nHost: x.test\r\nContent-Length: 4\r\n\r\n";
    slow.send(format!("{head}ab"));
    count(&proxy, "under_way", 1);
    assert_eq!(proxy.client().ask(get("x.test", "/dropped")).text(), "a");
    count(&proxy, "dropped", 1);
    slow.send(b"cd");
    assert_eq!(slow.response_to("POST").text(), "a");
    count(&proxy, "sent", 1);
    count(&proxy, "under_way", 0);
    // One whose client leaves makes room.
    let mut leaving = proxy.client();
    leaving.send(format!("{head}ab"));
    count(&proxy, "under_way", 1);
    drop(leaving);
    count(&proxy, "under_way", 0);
    assert_eq!(proxy.client().ask(get("x.test", "/copied")).text(), "a");
    count(&proxy, "sent", 2);
    let copies = b.complete();
    assert_eq!(copies[0].body, b"abcd");
}

#[test]
fn a_mirror_that_is_dead_or_resets_costs_no_client_anything() {
    let a = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let resets = TestUpstream::start(|connection: &mut Connection| {
        connection.head();
        connection.reset();
    });
    for b in [dead, resets.address()] {
        let proxy = proxy(&a, b, "\"b\"");
        let mut client = proxy.client();
        for _ in 0..10 {
            assert_eq!(client.ask(get("x.test", "/")).text(), "a");
        }
        count(&proxy, "under_way", 0);
        assert_eq!(proxy.stat("/pools/b/mirror/sent"), 10);
        assert_eq!(proxy.stat("/pools/b/mirror/failed"), 10);
    }
}

#[test]
fn a_mirror_that_answers_for_ever_is_cut_off() {
    let a = TestUpstream::named("a");
    let floods = TestUpstream::start(|connection: &mut Connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [&b"10000\r\n"[..], &[b'x'; 0x1_0000], b"\r\n"].concat();
        while connection.send(&chunk) {}
    });
    let by_size = proxy(&a, floods.address(), "\"b\"");
    assert_eq!(by_size.get("x.test", "/").text(), "a");
    floods.wait_until_unused_after(1);
    count(&by_size, "under_way", 0);
    // Each byte comes in time, and the whole does not.
    let drips = TestUpstream::start(|connection: &mut Connection| {
        connection.head();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
        while connection.send("x") {
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    });
    let times = "\"b\"\ntimeouts = { connect = \"300ms\", response = \"300ms\" }";
    let by_time = proxy(&a, drips.address(), times);
    assert_eq!(by_time.get("x.test", "/").text(), "a");
    drips.wait_until_unused_after(1);
    count(&by_time, "under_way", 0);
    assert_eq!(by_time.stat("/pools/b/mirror/failed"), 0, "it had answered");
}

#[test]
fn what_the_proxy_answers_itself_is_not_copied() {
    let b = TestUpstream::answering(response("200 OK", &[], "b"));
    let a = TestUpstream::named("a");
    let proxy = proxy(&a, b.address(), "\"b\"\nbody-bytes = 5");
    let long = Request::new("POST", "/").host("x.test").body("123456");
    proxy.ask(long.bytes()).assert_refusal(413);
    assert_eq!(proxy.get("x.test", "/").text(), "a");
    count(&proxy, "sent", 1);
    count(&proxy, "under_way", 0);
    assert_eq!(b.complete().len(), 1);
}

#[test]
fn a_copy_has_the_host_of_the_backend_that_gets_it_where_the_route_says_so() {
    let (a, b) = (TestUpstream::named("a"), TestUpstream::named("b"));
    let proxy = proxy(&a, b.address(), "\"b\"\nhost-rewrite = { backend = true }");
    let mut client = proxy.client();
    assert_eq!(client.ask(get("x.test", "/")).text(), "a");
    let chunked = Request::new("PUT", "/")
        .host("x.test")
        .chunks([&b"in pieces"[..]]);
    assert_eq!(client.ask(chunked.bytes()).text(), "a");
    connected(&proxy, async |client| {
        let answer = client.ask(request("POST", "x.test", "/"), b"by h2");
        assert_eq!(answer.await.unwrap().body, b"a");
    });
    count(&proxy, "sent", 3);
    count(&proxy, "under_way", 0);
    for backend in [a, b] {
        let own = Some(backend.address().to_string());
        let received = backend.complete();
        assert_eq!(received.len(), 3);
        assert!(received.iter().all(|r| r.value("host") == own));
    }
}
