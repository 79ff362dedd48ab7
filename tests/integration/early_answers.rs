//! Answers that come before the end of an upload: they reach the client, and nothing of the upload
//! is taken for something else.

mod connections;

use std::io::Write;

use crate::fixtures::{
    Gate, Request, Response, TestProxy, TestUpstream, guest, refusing_address, response,
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
