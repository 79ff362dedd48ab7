//! Clients that leave while their backend is quiet: the backend is let go at once, and is not
//! blamed.

use std::sync::Arc;
use std::time::Duration;

use crate::fixtures::{
    Client, Gate, ReadError, Request, TestProxy, TestUpstream, eventually, get, response,
};
use crate::retries::silent_address;

/// Nothing but the client's leaving ends a request here.
const PATIENT: &str = "[timeouts]\nresponse = \"10m\"\nbody-read = \"10m\"\nsend = \"10m\"\n\
                       idle = \"10m\"\nupstream-idle = \"10m\"\ndrain = \"10m\"\n";

const EVENTS: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n4\r\none\n\r\n";

/// How a client leaves.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Leaves {
    Closes,
    Resets,
}

fn leave(client: Client, how: Leaves) {
    match how {
        Leaves::Closes => drop(client),
        Leaves::Resets => client.reset(),
    }
}

/// A backend that says `start` to each request, or nothing, and then waits for the proxy to let go.
fn quiet(start: &'static str) -> TestUpstream {
    TestUpstream::start(move |connection| {
        if connection.request().is_some() {
            connection.send(start);
            connection.wait_for_close();
        }
    })
}

fn patient(upstream: &TestUpstream, tables: &str) -> TestProxy {
    let pool = format!(
        "[pools.a]\nbackends = [\"{}\"]\nmax-failures = 1\n[[routes]]\npool = \"a\"\n",
        upstream.address()
    );
    TestProxy::builder()
        .tables(&format!("{pool}{PATIENT}{tables}"))
        .start()
}

#[track_caller]
fn assert_not_blamed(proxy: &TestProxy, upstream: &TestUpstream) {
    let backend = &proxy.stats()["backends"][upstream.address().to_string()];
    assert_eq!(
        (&backend["failures"], &backend["healthy"]),
        (&0.into(), &true.into()),
        "{backend:#}"
    );
}

#[test]
fn a_client_that_leaves_before_the_head_or_within_the_body_frees_its_backend() {
    let starts = [
        ("", "before the backend had answered"),
        (
            "HTTP/1.1 200 OK\r\nX-Half",
            "before the backend had answered",
        ),
        (
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n",
            "before the backend had answered",
        ),
        (EVENTS, "before it had the whole response"),
        (
            "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
            "before it had the whole response",
        ),
        (
            "HTTP/1.1 200 OK\r\n\r\nuntil the end",
            "before it had the whole response",
        ),
    ];
    for (start, reason) in starts {
        let upstream = quiet(start);
        let proxy = patient(&upstream, "");
        for how in [Leaves::Closes, Leaves::Resets] {
            let mut client = proxy.client();
            client.send(get("a.test", &format!("/{how:?}")));
            upstream.wait_for_heads(1 + usize::from(how == Leaves::Resets));
            if start.contains("\r\n\r\n") {
                let head = client.wire.head().unwrap();
                assert!(
                    head.start.contains("200") || head.start.contains("103"),
                    "{}",
                    head.start
                );
            }
            leave(client, how);
            upstream.wait_until_unused();
            proxy.logged(&[&format!("/{how:?}"), "the client left", reason]);
        }
        eventually("no request is left", || {
            (proxy.stat("/requests/active") == 0).then_some(())
        });
        assert_not_blamed(&proxy, &upstream);
    }
}

#[test]
fn a_client_that_leaves_after_its_upload_or_within_it_frees_its_backend() {
    let posts: [&[u8]; 4] = [
        b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 5\r\n\r\nhello",
        b"POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 50\r\n\r\nhello",
        b"PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ];
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection.wait_for_close();
    });
    let proxy = patient(&upstream, "");
    for (n, post) in posts.iter().enumerate() {
        for how in [Leaves::Closes, Leaves::Resets] {
            let mut client = proxy.client();
            // In two segments, so that it is not in hand as a whole.
            let (first, rest) = post.split_at(post.len() - 3);
            client.send(first);
            client.send(rest);
            upstream.wait_for_heads(2 * n + 1 + usize::from(how == Leaves::Resets));
            leave(client, how);
            upstream.wait_until_unused();
        }
    }
    assert_not_blamed(&proxy, &upstream);
}

/// A backend that reads nothing of an upload is quiet as well: it takes no byte more.
#[test]
fn a_client_that_leaves_during_an_unread_upload_frees_the_backend() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        connection.head();
        opened.wait();
    });
    let proxy = patient(&upstream, "");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
    client
        .wire
        .stream
        .set_write_timeout(Some(Duration::from_millis(500)))
        .unwrap();
    // Until no buffer on the way takes any more. An end would wait behind these bytes; a reset does
    // not.
    while client.wire.send(&[b'x'; 65_536]).is_ok() {}
    client.reset();
    eventually("the request is over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
    gate.open();
    assert_not_blamed(&proxy, &upstream);
}

/// What a client has sent already of its next requests does not hide that it is gone.
#[test]
fn a_client_that_leaves_behind_its_next_requests_has_left() {
    let upstream = quiet(EVENTS);
    let proxy = patient(&upstream, "");
    let many = get("a.test", &format!("/{}", "n".repeat(250))).repeat(100);
    let nexts: [&[u8]; 4] = [b"G", &get("a.test", "/2"), &many, b"\r\n"];
    for (n, next) in nexts.iter().enumerate() {
        for how in [Leaves::Closes, Leaves::Resets] {
            let mut client = proxy.client();
            client.send([&get("a.test", "/1"), *next].concat());
            upstream.wait_for_heads(2 * n + 1 + usize::from(how == Leaves::Resets));
            assert_eq!(client.head().0, 200);
            leave(client, how);
            upstream.wait_until_unused();
        }
    }
    assert!(
        upstream.received().iter().all(|r| r.target() == "/1"),
        "nothing is asked for nobody"
    );
    assert_not_blamed(&proxy, &upstream);
}

/// More than the kernel has room for: the end itself waits behind it, until there is more room.
#[test]
fn a_client_that_leaves_behind_more_than_its_window_has_left() {
    for start in ["", EVENTS] {
        let upstream = quiet(start);
        let proxy = patient(&upstream, "");
        let next = get("a.test", &format!("/{}", "n".repeat(250)));
        let many = next.repeat(180_000 / next.len());
        let mut client = proxy.client();
        client.send(get("a.test", "/1"));
        upstream.wait_for_heads(1);
        client.send(&many);
        // A client whose window is full and that stays is not taken for one that has left.
        let mut stays = proxy.client();
        stays.send(get("a.test", "/1"));
        upstream.wait_for_heads(2);
        stays.send(&many);
        leave(client, Leaves::Closes);
        eventually("one is let go", || {
            (upstream.open_connections() == 1).then_some(())
        });
        assert_eq!(proxy.stat("/requests/active"), 1);
        leave(stays, Leaves::Closes);
        upstream.wait_until_unused();
        assert!(
            upstream.received().iter().all(|r| r.target() == "/1"),
            "nothing is asked for nobody"
        );
        assert_not_blamed(&proxy, &upstream);
    }
}

#[test]
fn requests_that_wait_behind_a_slow_one_are_neither_lost_nor_costly() {
    let upstream = TestUpstream::replying(|request| {
        if request.target() == "/1" {
            // Long enough for the proxy to look whether the client is there.
            std::thread::sleep(Duration::from_millis(1_500));
        }
        response("200 OK", &[], request.target())
    });
    let proxy = patient(&upstream, "");
    let mut client = proxy.client();
    client.send(
        [
            get("a.test", "/1"),
            get("a.test", "/2"),
            get("a.test", "/3"),
        ]
        .concat(),
    );
    let before = proxy.cpu_milliseconds();
    assert_eq!(client.response().text(), "/1");
    let used = proxy.cpu_milliseconds() - before;
    assert!(used < 750, "{used} ms of CPU to wait for 1,500 ms");
    assert_eq!(client.response().text(), "/2");
    assert_eq!(client.response().text(), "/3");
}

#[test]
fn event_streams_whose_tabs_are_closed_leave_room_for_others() {
    let upstream = quiet(EVENTS);
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-connections = 8\n[[routes]]\npool = \"a\"\n{PATIENT}",
            upstream.address()
        ))
        .start();
    for _ in 0..4 {
        let mut tabs: Vec<Client> = (0..8).map(|_| proxy.client()).collect();
        for tab in &mut tabs {
            tab.send(get("a.test", "/events"));
            assert_eq!(tab.head().0, 200);
        }
        drop(tabs);
        eventually("the streams are closed", || {
            let backend = &proxy.stats()["backends"][upstream.address().to_string()];
            (backend["connections"] == 0 && backend["in_flight"] == 0).then_some(())
        });
    }
    assert_not_blamed(&proxy, &upstream);
}

#[test]
fn a_stop_does_not_wait_for_clients_that_have_gone() {
    for start in ["", EVENTS] {
        let upstream = quiet(start);
        let mut proxy = patient(&upstream, "");
        let mut clients: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
        for client in &mut clients {
            client.send(get("a.test", "/"));
        }
        upstream.wait_for_heads(20);
        proxy.signal("TERM");
        drop(clients);
        assert_eq!(proxy.exit_code(), 0, "the drain limit is 10 minutes");
    }
}

#[test]
fn a_client_that_leaves_while_a_connection_is_made_ends_the_attempts() {
    let (_held, silent) = silent_address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{silent}\"]\nmax-failures = 1\n[[routes]]\npool = \"a\"\n\
             {PATIENT}connect = \"10m\""
        ))
        .start();
    for how in [Leaves::Closes, Leaves::Resets] {
        let mut client = proxy.client();
        client.send(get("a.test", &format!("/{how:?}")));
        eventually("it is being tried", || {
            (proxy.stat("/requests/active") == 1).then_some(())
        });
        leave(client, how);
        eventually("it is over", || {
            (proxy.stat("/requests/active") == 0).then_some(())
        });
        proxy.logged(&[&format!("/{how:?}"), "the client left"]);
    }
    let backend = &proxy.stats()["backends"][silent.to_string()];
    assert_eq!(
        (&backend["failures"], &backend["healthy"]),
        (&0.into(), &true.into()),
        "{backend:#}"
    );
}

#[test]
fn a_client_that_ends_its_side_has_left_unless_that_is_allowed() {
    let upstream = quiet(EVENTS);
    let proxy = patient(&upstream, "");
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    assert_eq!(client.head().0, 200);
    client.half_close();
    upstream.wait_until_unused();
    client.wire.buffer.clear();
    assert!(
        !matches!(client.wire.until_close(), Err(ReadError::TimedOut)),
        "and its own is ended"
    );
}

/// The same as nginx with `proxy_ignore_client_abort on`.
#[test]
fn a_client_that_may_end_its_side_gets_its_answer_and_can_still_reset() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() == "/never" {
                connection.wait_for_close();
                return;
            }
            opened.wait();
            // Longer than the proxy waits before it looks.
            std::thread::sleep(Duration::from_millis(300));
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n");
            std::thread::sleep(Duration::from_millis(300));
            connection.send("3\r\ntwo\r\n0\r\n\r\n");
        }
    });
    let proxy = patient(&upstream, "[limits]\nhalf-close = \"allow\"");
    let mut client = proxy.client();
    client.send(get("a.test", "/1"));
    client.send(get("a.test", "/2"));
    client.half_close();
    gate.open();
    assert_eq!(client.response().text(), "onetwo");
    assert_eq!(
        client.response().text(),
        "onetwo",
        "what it sent before counts too"
    );
    client.assert_closed();
    let mut client = proxy.client();
    client.send(get("a.test", "/never"));
    upstream.wait_for_heads(3);
    client.half_close();
    client.reset();
    upstream.wait_until_unused();
}

/// An answer that comes at once reaches a client that has ended its side already.
#[test]
fn many_quick_requests_are_not_taken_for_left() {
    let upstream = TestUpstream::named("a");
    let proxy = patient(&upstream, "");
    let proxy = Arc::new(proxy);
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let proxy = Arc::clone(&proxy);
            std::thread::spawn(move || {
                let mut client = proxy.client();
                for n in 0..200 {
                    let post = Request::new("POST", "/").host("a.test").body(n.to_string());
                    assert_eq!(client.ask(post.bytes()).text(), "a");
                }
            })
        })
        .collect();
    threads.into_iter().for_each(|t| t.join().unwrap());
    // The last answers arrive before their requests have been counted as over.
    eventually("no request is left", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
}
