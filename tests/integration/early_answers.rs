//! Answers that come before the end of an upload: they reach the client, and nothing of the upload
//! is taken for something else.

use std::io::{Read, Write};
use std::net::Shutdown;

use crate::fixtures::{
    Gate, Request, Response, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
    response,
};

const LARGE: usize = 24 * 1024 * 1024;

/// How an upload says where it ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Framed {
    Length,
    Chunked,
}

pub const BOTH: [Framed; 2] = [Framed::Length, Framed::Chunked];

pub fn head(path: &str, host: &str, fields: &str, framed: Framed, len: usize) -> String {
    let framing = match framed {
        Framed::Length => format!("Content-Length: {len}"),
        Framed::Chunked => "Transfer-Encoding: chunked".to_owned(),
    };
    format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{fields}{framing}\r\n\r\n")
}

pub fn body(framed: Framed, len: usize) -> Vec<u8> {
    let content = vec![b'x'; len];
    match framed {
        Framed::Length => content,
        Framed::Chunked => crate::fixtures::chunked(content.chunks(1 << 20)),
    }
}

/// Sends all of an upload before it reads a byte of the answer, as `http.client`, urllib and wget
/// do.
#[track_caller]
fn upload(proxy: &TestProxy, path: &str, host: &str, fields: &str, framed: Framed) -> Response {
    let mut client = proxy.client();
    client.send(head(path, host, fields, framed, LARGE));
    for piece in body(framed, LARGE).chunks(64 * 1024) {
        let sent = client.wire.send(piece);
        assert!(
            sent.is_ok(),
            "a broken pipe in place of an answer: {sent:?}, {framed:?}"
        );
    }
    let answer = client.response_to("POST");
    if answer.closes() {
        client.assert_closed();
    } else {
        // The backend had taken all of it by the time that its answer was seen, and nothing is left
        // to be taken for a request.
        let next = client.ask(Request::new("GET", "/next").host(host).bytes());
        assert_ne!(next.status, 400, "what is left of the upload is no request");
    }
    answer
}

#[test]
fn a_large_upload_reads_the_proxys_refusal() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[limits]\nbody-bytes = 100000")
        .start();
    let before = proxy.resident_kib();
    for framed in BOTH {
        upload(&proxy, "/", "a.test", "Expect: x\r\n", framed).assert_refusal(417);
        upload(&proxy, "/", "a.test", "", framed).assert_refusal(413);
    }
    assert!(upstream.complete().is_empty());
    let more = proxy.resident_kib().saturating_sub(before);
    assert!(more < 16 * 1024, "{more} KiB for what is dropped");
    let proxy = TestProxy::builder().host("dead.test", &[dead]).start();
    for framed in BOTH {
        upload(&proxy, "/", "dead.test", "", framed).assert_refusal(502);
        upload(&proxy, "/", "b.test", "", framed).assert_refusal(404);
    }
}

#[test]
fn a_large_upload_reads_a_policys_answer() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .start();
    for framed in BOTH {
        assert_eq!(
            upload(
                &proxy,
                "/",
                "a.test",
                "X-Probe-Request: refuse=403\r\n",
                framed
            )
            .status,
            403
        );
    }
    proxy.logged(&["\"status\":403", r#"answered by policy \"probe\""#]);
    assert!(upstream.received().is_empty());
}

#[test]
fn a_large_upload_reads_the_answer_of_a_backend_that_does_not_read_it() {
    // Kept, announced to close, and closed over what it has not read, which resets it.
    let upstream = TestUpstream::start(|connection| {
        let Some(request) = connection.head() else {
            return;
        };
        let close: &[(&str, &str)] = match request.target() {
            "/keeps" => &[],
            _ => &[("Connection", "close")],
        };
        connection.send(response("403 Forbidden", close, "not you"));
        match request.target() {
            "/closes" => {}
            "/ends" => {
                connection.wire.half_close();
                connection.wait_for_close();
            }
            "/keeps" => {
                // The proxy may have sent all of an upload before it saw the answer, and then asks
                // for more on this connection.
                while connection.body().is_some() && connection.head().is_some() {
                    connection.send(response("403 Forbidden", &[], "not you"));
                }
            }
            _ => connection.wait_for_close(),
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for path in ["/keeps", "/says-close", "/ends", "/closes"] {
        for framed in BOTH {
            let answer = upload(&proxy, path, "a.test", "", framed);
            assert_eq!(
                (answer.status, answer.text().as_str()),
                (403, "not you"),
                "{path} {framed:?}"
            );
        }
    }
    let failures = &proxy.stats()["backends"][upstream.address().to_string()]["failures"];
    assert_eq!(failures, 0, "it answered");
}

#[test]
fn a_large_upload_reads_a_504_where_the_backend_takes_nothing_of_it() {
    let answered = Gate::new();
    let wait = answered.clone();
    let upstream = TestUpstream::start(move |connection| {
        connection.head();
        wait.wait();
    });
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[timeouts]\nresponse = \"300ms\"")
        .start();
    for (n, framed) in (1..).zip(BOTH) {
        upload(&proxy, "/", "a.test", "", framed).assert_refusal(504);
        let failures = proxy.stat(&format!("/backends/{}/failures", upstream.address()));
        assert_eq!(failures, n, "it was asked once, and blamed: {framed:?}");
    }
    answered.open();
}

/// More than the sockets on the way hold, in both directions at once.
#[test]
fn a_large_early_answer_to_a_large_upload_arrives_whole() {
    let upstream = TestUpstream::start(|connection| {
        if connection.head().is_some() {
            connection.send(response(
                "403 Forbidden",
                &[("Connection", "close")],
                vec![b'n'; LARGE],
            ));
            connection.wire.half_close();
            connection.wait_for_close();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for framed in BOTH {
        let mut client = proxy.client();
        client.send(head("/", "a.test", "", framed, LARGE));
        let mut writer = client.wire.stream.try_clone().unwrap();
        let upload = std::thread::spawn(move || writer.write_all(&body(framed, LARGE)));
        let answer = client.try_response_to("POST");
        let got = answer
            .as_ref()
            .map(|a| (a.status, a.body.len()))
            .map_err(|_| "no whole answer");
        assert_eq!(got, Ok((403, LARGE)), "{framed:?}");
        upload.join().unwrap().unwrap();
    }
}

/// The same where the client reads nothing before it has sent everything, and the backend reads
/// nothing at all.
#[test]
fn a_large_early_answer_reaches_a_client_that_sends_everything_first() {
    let done = Gate::new();
    let wait = done.clone();
    let upstream = TestUpstream::start(move |connection| {
        let Some(request) = connection.head() else {
            return;
        };
        match request.target() {
            "/chunked" => {
                connection.send("HTTP/1.1 403 Forbidden\r\nTransfer-Encoding: chunked\r\n\r\n");
                connection.send(crate::fixtures::chunked(vec![b'n'; LARGE].chunks(1 << 20)))
            }
            _ => connection.send(response("403 Forbidden", &[], vec![b'n'; LARGE])),
        };
        // Open, and not a byte of the upload is read.
        wait.wait();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    std::thread::scope(|scope| {
        let both = [("/", Framed::Length), ("/chunked", Framed::Chunked)].map(|(path, framed)| {
            let proxy = &proxy;
            scope.spawn(move || {
                let answer = upload(proxy, path, "a.test", "", framed);
                assert_eq!(
                    (answer.status, answer.body.len()),
                    (403, LARGE),
                    "{framed:?}"
                );
            })
        });
        let ended = both.map(|one| one.join());
        done.open();
        assert!(ended.iter().all(Result::is_ok));
    });
}

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
