//! What becomes of the connections after an early answer.

use std::io::Read;
use std::net::Shutdown;

use super::{BOTH, Framed, body, head};
use crate::fixtures::{TestProxy, TestUpstream, eventually, get, response};

/// A backend that answers each request when it has its head, and keeps the connection as if it had
/// read all of it.
fn hasty(chunked: bool) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.head() {
            let who = format!("answer to {}", request.target());
            match chunked {
                true => connection.send(
                    [
                        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
                        crate::fixtures::chunked([who.as_bytes()]).as_slice(),
                    ]
                    .concat(),
                ),
                false => connection.send(response("200 OK", &[], who)),
            };
        }
    })
}

/// The rest of one client's upload must not become a request, neither on its own connection nor on
/// the backend's.
#[test]
fn an_early_answer_that_would_keep_its_connections_ends_both() {
    for framed in BOTH {
        for answer_chunked in [false, true] {
            let upstream = hasty(answer_chunked);
            let proxy = TestProxy::in_front_of(&upstream);
            let smuggled = get("a.test", "/smuggled");
            let rest = match framed {
                Framed::Length => smuggled.clone(),
                Framed::Chunked => crate::fixtures::chunked([smuggled.as_slice()]),
            };
            let mut client = proxy.client();
            let start = match framed {
                Framed::Length => "hello",
                Framed::Chunked => "5\r\nhello\r\n",
            };
            client.send(format!(
                "{}{start}",
                head("/early", "a.test", "", framed, 5 + smuggled.len())
            ));
            let answer = client.response_to("POST");
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (200, "answer to /early")
            );
            assert!(
                answer.closes(),
                "{framed:?}: the client must not send another request behind its upload"
            );
            // The client did not see that, and sends the rest, and a request.
            client.send_what_is_taken(&rest);
            client.send_what_is_taken(get("a.test", "/next"));
            client.assert_closed();
            // The next client's request goes elsewhere, and its answer is its own.
            let other = proxy.get("a.test", "/other");
            assert_eq!(other.text(), "answer to /other");
            let received = upstream.received();
            let targets: Vec<&str> = received.iter().map(|r| r.target()).collect();
            assert_eq!(targets, ["/early", "/other"], "{framed:?}");
            assert_ne!(
                received[0].connection, received[1].connection,
                "{framed:?}: the backend's is used again"
            );
        }
    }
}

/// The other way round: an upload that is complete when the answer comes costs neither connection.
#[test]
fn an_answer_after_the_upload_keeps_both_connections() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for framed in BOTH {
        client.send(head("/", "a.test", "", framed, 10));
        client.send(body(framed, 10));
        let answer = client.response_to("POST");
        assert_eq!(
            (answer.text().as_str(), answer.closes()),
            ("xxxxxxxxxx", false),
            "{framed:?}"
        );
    }
    assert_eq!(upstream.connections(), 1);
}

/// A request that took too long is logged as what it is, and not as one that the worker had before.
#[test]
fn the_log_line_of_a_408_shows_its_own_request() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nheader-read = \"300ms\"\nbody-read = \"300ms\"")
        .start();
    let cases = [
        ("", "", ""),
        ("G", "", ""),
        ("PUT /cut", "", ""),
        ("PUT /line HTTP/1.1\r\n", "/line", ""),
        (
            "PUT /host?q HTTP/1.1\r\nHost: Slow.test:80\r\nX-Mo",
            "/host?q",
            "slow.test",
        ),
        (
            "PUT /body HTTP/1.1\r\nHost: slow.test\r\nContent-Length: 9\r\n\r\nhel",
            "/body",
            "slow.test",
        ),
        (
            "PUT /chunks HTTP/1.1\r\nHost: slow.test\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
            "/chunks",
            "slow.test",
        ),
    ];
    for (n, (start, target, host)) in cases.iter().enumerate() {
        // A request before it, on another connection and on the same, whose head lies about in the
        // worker's memory.
        assert_eq!(
            proxy.get("earlier.test", &format!("/earlier/{n}")).status,
            200
        );
        if start.is_empty() {
            continue;
        }
        let mut client = proxy.client();
        assert_eq!(
            client
                .ask(get("before.test", &format!("/before/{n}")))
                .status,
            200
        );
        client.send(start);
        client.response().assert_refusal(408);
        let line = proxy.stdout.find(|line| {
            let line: serde_json::Value = serde_json::from_str(line).ok()?;
            (line["status"] == 408 && line["target"] == *target && line["host"] == *host)
                .then_some(line)
        });
        let line = line.unwrap_or_else(|| panic!("{start:?}:\n{}", proxy.stdout.text()));
        assert_eq!(
            line["method"],
            if target.is_empty() { "" } else { "PUT" },
            "{line}"
        );
        assert_eq!(line["client"], "127.0.0.1", "{line}");
    }
    let timed_out = proxy
        .stdout
        .text()
        .lines()
        .filter(|l| l.contains("\"status\":408"))
        .count();
    assert_eq!(
        timed_out,
        cases.len() - 1,
        "one line each:\n{}",
        proxy.stdout.text()
    );
}

/// Whatever a client does after its answer, its connection is closed and its bytes are nothing.
#[test]
fn the_end_of_a_lingering_connection_is_the_end_of_both_sides() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.send(head("/", "b.test", "", Framed::Length, 100));
    assert_eq!(client.response_to("POST").status, 404);
    client.send([vec![b'x'; 100], get("a.test", "/beyond")].concat());
    client.wire.stream.shutdown(Shutdown::Write).unwrap();
    let mut rest = Vec::new();
    client.wire.stream.read_to_end(&mut rest).unwrap();
    assert!(rest.is_empty());
    eventually("its place is free", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
    assert!(upstream.received().is_empty());
}
