//! What a client may use, and how long it may take.

mod descriptors;
mod memory;
mod streams;

use std::net::{IpAddr, Ipv4Addr};

use crate::fixtures::{
    Client, Gate, ReadError, Request, TestProxy, TestUpstream, eventually, get, response,
};

fn limited(upstream: &TestUpstream, tables: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(tables)
        .start()
}

/// A refusal that ends the connection. The request may not have been read to its end.
#[track_caller]
fn assert_refused_and_closed(client: &mut Client, status: u16) {
    client.response().assert_refusal(status);
    client.assert_closed();
}

#[test]
fn a_request_line_that_is_too_long_is_a_414() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nrequest-line = 1000");
    let mut client = proxy.client();
    assert_eq!(
        client
            .ask(get("a.test", &format!("/{}", "x".repeat(900))))
            .status,
        200
    );
    client.send(get("a.test", &format!("/{}", "x".repeat(1_000))));
    assert_refused_and_closed(&mut client, 414);
    // Without an end it is refused as soon as it is too long.
    let mut client = proxy.client();
    client.send(format!("GET /{}", "x".repeat(1_200)));
    assert_refused_and_closed(&mut client, 414);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn header_fields_that_are_too_large_are_a_431() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nheader-bytes = 4096");
    let mut client = proxy.client();
    let with = |size: usize| {
        Request::new("GET", "/")
            .host("a.test")
            .field("X", &"y".repeat(size))
            .bytes()
    };
    assert_eq!(client.ask(with(3_900)).status, 200);
    client.send(with(4_100));
    assert_refused_and_closed(&mut client, 431);
    let mut client = proxy.client();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}",
        "y".repeat(5_000)
    ));
    assert_refused_and_closed(&mut client, 431);
    proxy.logged(&["431"]);
}

#[test]
fn too_many_header_fields_are_a_431() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nheader-count = 10");
    let mut client = proxy.client();
    let with = |count: usize| {
        (0..count).fold(Request::new("GET", "/").host("a.test"), |r, n| {
            r.field(&format!("X-{n}"), "y")
        })
    };
    assert_eq!(client.ask(with(9).bytes()).status, 200);
    client.send(with(10).bytes());
    assert_refused_and_closed(&mut client, 431);
}

#[test]
fn the_default_limits_take_what_browsers_send_and_no_more() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let cookie = "c".repeat(16 * 1024);
    assert_eq!(
        client
            .ask(
                Request::new("GET", "/")
                    .host("a.test")
                    .field("Cookie", &cookie)
                    .bytes()
            )
            .status,
        200
    );
    client.send_what_is_taken(
        Request::new("GET", "/")
            .host("a.test")
            .field("Cookie", &"c".repeat(48 * 1024))
            .bytes(),
    );
    assert_eq!(client.response().status, 431);
    let mut client = proxy.client();
    client.send_what_is_taken(get("a.test", &format!("/{}", "x".repeat(9 * 1024))));
    assert_eq!(client.response().status, 414);
}

#[test]
fn a_head_that_comes_too_slowly_is_a_408() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"1s\"");
    for start in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n",
    ] {
        let mut client = proxy.client();
        client.send(start);
        assert_refused_and_closed(&mut client, 408);
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn a_head_that_comes_byte_by_byte_does_not_win_time() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"300ms\"");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n");
    // Sends on for as long as the proxy listens: it would be for ever if each byte bought time.
    let started = std::time::Instant::now();
    client
        .wire
        .stream
        .set_read_timeout(Some(std::time::Duration::from_millis(20)))
        .unwrap();
    loop {
        client.send_what_is_taken("X: y\r\n");
        match client.wire.head() {
            Ok(head) => {
                assert!(
                    head.start.contains(" 408 ") || head.start.contains(" 431 "),
                    "{}",
                    head.start
                );
                break;
            }
            Err(ReadError::TimedOut) => {
                assert!(started.elapsed() < crate::fixtures::PATIENCE, "for ever")
            }
            Err(ReadError::Closed | ReadError::Reset) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    // It was the connection that ended, and not the proxy.
    assert_eq!(proxy.get("a.test", "/").text(), "a");
    proxy.logged(&["408"]);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"200ms\"");
    let mut client = proxy.client();
    match client.try_response_to("GET") {
        Ok(answer) => assert_eq!(answer.status, 408),
        Err(ReadError::Closed | ReadError::Reset) => {}
        Err(other) => panic!("{other:?}"),
    }
    eventually("the connection is forgotten", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nidle = \"200ms\"");
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).status, 200);
    client.assert_closed();
}

#[test]
fn a_body_that_does_not_come_is_a_408() {
    let upstream = TestUpstream::echo();
    let proxy = limited(&upstream, "[timeouts]\nbody-read = \"200ms\"");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    client.response().assert_refusal(408);
    client.assert_closed();
    assert!(upstream.complete().is_empty());
    upstream.wait_until_unused();
}

#[test]
fn a_body_that_is_too_large_is_a_413_however_it_is_framed() {
    let upstream = TestUpstream::echo();
    let proxy = limited(&upstream, "[limits]\nbody-bytes = 1000");
    let post = || Request::new("POST", "/").host("a.test");
    let small = vec![b'x'; 1_000];
    assert_eq!(proxy.ask(post().body(&small).bytes()).body, small);
    assert_eq!(
        proxy.ask(post().chunks(small.chunks(100)).bytes()).body,
        small
    );
    let large = vec![b'x'; 1_001];
    proxy.ask(post().body(&large).bytes()).assert_refusal(413);
    proxy
        .ask(post().chunks(large.chunks(100)).bytes())
        .assert_refusal(413);
    assert_eq!(upstream.complete().len(), 2);
}

#[test]
fn connections_in_all_are_limited_and_a_place_becomes_free_again() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nconnections = 2");
    let mut held: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut held {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    let mut third = proxy.client();
    third.send_what_is_taken(get("a.test", "/"));
    match third.try_response_to("GET") {
        Ok(answer) => assert_eq!(answer.status, 503),
        Err(ReadError::Closed | ReadError::Reset) => {}
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(
        held[0].ask(get("a.test", "/")).status,
        200,
        "those who were first are not disturbed"
    );
    assert!(proxy.stat("/connections/refused") >= 1);
    held.pop();
    eventually("there is a place again", || {
        let mut client = proxy.client();
        client.send_what_is_taken(get("a.test", "/"));
        client
            .try_response_to("GET")
            .is_ok_and(|r| r.status == 200)
            .then_some(())
    });
}

#[test]
fn connections_of_one_client_are_limited_and_others_are_not_concerned() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .workers(2)
        .host("*", &[upstream.address()])
        .tables("[limits]\nconnections-per-client = 2")
        .start();
    let mut held: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut held {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    let mut third = proxy.client();
    third.send_what_is_taken(get("a.test", "/"));
    assert!(
        !third.try_response_to("GET").is_ok_and(|r| r.status == 200),
        "a third connection of one client"
    );
    let mut other = Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), proxy.address());
    assert_eq!(other.ask(get("a.test", "/")).status, 200, "another client");
}

#[test]
fn requests_on_one_connection_are_limited_where_that_is_asked_for() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nrequests-per-connection = 2");
    let mut client = proxy.client();
    assert!(!client.ask(get("a.test", "/")).closes());
    let last = client.ask(get("a.test", "/"));
    assert_eq!(last.status, 200);
    assert!(last.closes(), "it is said beforehand");
    client.assert_closed();
}

#[test]
fn slow_clients_do_not_hold_up_quick_ones() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() == "/slow" {
                opened.wait();
            }
            connection.send(response("200 OK", &[], request.target()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut slow: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut slow {
        client.send(get("a.test", "/slow"));
    }
    let mut stuck = proxy.client();
    stuck.send("GET / HT");
    upstream.wait_for_heads(20);
    assert_eq!(proxy.get("a.test", "/quick").text(), "/quick");
    gate.open();
    for client in &mut slow {
        assert_eq!(client.response().text(), "/slow");
    }
}

#[test]
fn empty_lines_before_a_request_are_not_without_end() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let lines = b"\r\n".repeat(512 * 1024);
    for _ in 0..64 {
        client.send_what_is_taken(&lines);
    }
    assert!(
        proxy.peak_resident_kib() < 64 * 1024,
        "{} KiB",
        proxy.peak_resident_kib()
    );
    client.send_what_is_taken(get("a.test", "/"));
    assert!(!client.try_response_to("GET").is_ok_and(|r| r.status == 200));
    assert!(upstream.received().is_empty());
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        while connection.send(&chunk) {}
    });
    let proxy = limited(&upstream, "[timeouts]\nsend = \"300ms\"");
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    upstream.wait_until_unused_after(1);
    eventually("the request is over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
}

/// `waypost run` in a shell that has set these limits, soft and hard.
fn with_limits(
    limits: &str,
    admin: &str,
) -> (
    std::process::Command,
    crate::fixtures::Scratch,
    TestUpstream,
) {
    let upstream = TestUpstream::named("a");
    let (command, scratch) = with_limits_before(limits, admin, upstream.address());
    (command, scratch, upstream)
}

/// The same, in front of this backend.
fn with_limits_before(
    limits: &str,
    admin: &str,
    upstream: std::net::SocketAddr,
) -> (std::process::Command, crate::fixtures::Scratch) {
    let scratch = crate::fixtures::Scratch::new();
    let mut command = std::process::Command::new("sh");
    let script = format!(
        "{limits} && exec \"$0\" run --listen 127.0.0.1:0 --admin-listen {admin} --workers 1"
    );
    command.args(["-c", &script]);
    command
        .env_remove("RUST_LOG")
        .env_remove("WAYPOST_CONFIG")
        .env_remove("WAYPOST_LOG");
    command
        .arg(env!("CARGO_BIN_EXE_waypost"))
        .current_dir(scratch.path());
    command.env("WAYPOST_HOSTS", format!("*={upstream}"));
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    (command, scratch)
}
