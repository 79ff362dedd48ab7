//! Backends that answer nonsense: the client gets a 502, and nothing of that connection is ever
//! used again.

use crate::fixtures::{
    Gate, ReadError, Request, TestProxy, TestUpstream, eventually, get, response,
};

/// Each is what a backend says in the place of a response.
const NONSENSE: &[(&str, &[u8])] = &[
    ("two lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"),
    ("a list of lengths that differ", b"HTTP/1.1 200 OK\r\nContent-Length: 5, 6\r\n\r\nhello"),
    ("a negative length", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"),
    ("a signed length", b"HTTP/1.1 200 OK\r\nContent-Length: +5\r\n\r\nhello"),
    ("a hexadecimal length", b"HTTP/1.1 200 OK\r\nContent-Length: 0x5\r\n\r\nhello"),
    ("an empty length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n\r\nhello"),
    ("a length that is a word", b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello"),
    ("a length beyond 64 bits", b"HTTP/1.1 200 OK\r\nContent-Length: 18446744073709551621\r\n\r\nhello"),
    ("a length with a space inside", b"HTTP/1.1 200 OK\r\nContent-Length: 5 5\r\n\r\nhello"),
    (
        "a length and chunks",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    (
        "chunks and a length",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("another coding", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"),
    ("identity", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: identity\r\n\r\nhello"),
    ("chunked twice", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("chunked not last", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked, identity\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    (
        "chunked in two lines",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    ),
    ("xchunked", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xchunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("chunks in HTTP/1.0", b"HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"),
    ("two digits of status", b"HTTP/1.1 20 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 99", b"HTTP/1.1 99 Low\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 099", b"HTTP/1.1 099 Low\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 000", b"HTTP/1.1 000 None\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 1000", b"HTTP/1.1 1000 High\r\nContent-Length: 5\r\n\r\nhello"),
    ("status 2000", b"HTTP/1.1 2000 High\r\nContent-Length: 5\r\n\r\nhello"),
    ("a negative status", b"HTTP/1.1 -200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("a signed status", b"HTTP/1.1 +20 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("a status that is a word", b"HTTP/1.1 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("no status", b"HTTP/1.1\r\nContent-Length: 5\r\n\r\nhello"),
    ("an empty status", b"HTTP/1.1  OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("two spaces before the status", b"HTTP/1.1  200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("a tab before the status", b"HTTP/1.1\t200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("no space before the status", b"HTTP/1.1200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("a space before the line", b" HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("an empty line before", b"\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("a lower-case protocol", b"http/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("another protocol", b"ICY 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("HTTP/2.0", b"HTTP/2.0 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("HTTP/0.9 by name", b"HTTP/0.9 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("HTTP/1.10", b"HTTP/1.10 200 OK\r\nContent-Length: 5\r\n\r\nhello"),
    ("HTTP/0.9: a bare page", b"<html><body>hello</body></html>\n"),
    ("a request", b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n"),
    ("binary", b"\x15\x03\x01\x00\x02\x02\x46\r\n\r\n"),
    ("NUL in the reason", b"HTTP/1.1 200 O\0K\r\nContent-Length: 5\r\n\r\nhello"),
    ("CR in the reason", b"HTTP/1.1 200 O\rK\r\nContent-Length: 5\r\n\r\nhello"),
    ("LF after the status line", b"HTTP/1.1 200 OK\nContent-Length: 5\r\n\r\nhello"),
    ("LF after a field", b"HTTP/1.1 200 OK\r\nContent-Length: 5\nX: y\r\n\r\nhello"),
    ("LF everywhere", b"HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"),
    ("CR in a value", b"HTTP/1.1 200 OK\r\nX: a\rb\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in a value", b"HTTP/1.1 200 OK\r\nX: a\0b\r\nContent-Length: 5\r\n\r\nhello"),
    ("NUL in a name", b"HTTP/1.1 200 OK\r\nX\0: y\r\nContent-Length: 5\r\n\r\nhello"),
    ("a control byte in a value", b"HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 5\r\n\r\nhello"),
    ("a folded value", b"HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"),
    ("a folded length", b"HTTP/1.1 200 OK\r\nContent-Length:\r\n 5\r\n\r\nhello"),
    ("a space before the first field", b"HTTP/1.1 200 OK\r\n X: y\r\nContent-Length: 5\r\n\r\nhello"),
    ("a space in a name", b"HTTP/1.1 200 OK\r\nX y: z\r\nContent-Length: 5\r\n\r\nhello"),
    ("no colon", b"HTTP/1.1 200 OK\r\nX-No-Colon\r\nContent-Length: 5\r\n\r\nhello"),
    ("no name", b"HTTP/1.1 200 OK\r\n: y\r\nContent-Length: 5\r\n\r\nhello"),
    ("an unasked 101", b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"),
    (
        "a 101 and bytes of another protocol",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\nPRI",
    ),
    ("a bad interim response", b"HTTP/1.1 100\nX\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    ("nothing but an end", b""),
    ("a head cut short", b"HTTP/1.1 200 OK\r\nContent-Le"),
    ("an interim response and an end", b"HTTP/1.1 102 Processing\r\n\r\n"),
];

/// What the backend says to each request of `/N` is the case N; the connection stays open, in the
/// hope of reuse, but for those cases whose point is that it ends.
fn nonsense(cases: &'static [(&'static str, &'static [u8])]) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            let Some(case) = request.target()[1..]
                .parse::<usize>()
                .ok()
                .and_then(|n| cases.get(n))
            else {
                connection.send(response("200 OK", &[], "good"));
                continue;
            };
            connection.send(case.1);
            if case.1.is_empty()
                || case.0.ends_with("short")
                || case.0.ends_with("an end")
                || case.1.starts_with(b"<")
            {
                return;
            }
        }
    })
}

#[test]
fn nonsense_is_a_502_and_its_connection_is_never_used_again() {
    let upstream = nonsense(NONSENSE);
    // Never ejected, so that each case meets the backend.
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-failures = 0\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start();
    let mut client = proxy.client();
    let mut failures = Vec::new();
    for (n, (name, _)) in NONSENSE.iter().enumerate() {
        // POST, so that no attempt is repeated.
        client.send(
            Request::new("POST", &format!("/{n}"))
                .host("a.test")
                .body("x")
                .bytes(),
        );
        match client.try_response_to("POST") {
            Ok(answer) if answer.status == 502 && answer.text().len() > 10 => {}
            Ok(answer) => failures.push(format!("{name}: {} {:?}", answer.status, answer.text())),
            Err(error) => {
                failures.push(format!("{name}: {error:?}"));
                client = proxy.client();
            }
        }
        let good = client.ask(get("a.test", "/good"));
        assert_eq!(good.text(), "good", "after {name}");
        let all = upstream.received();
        let [.., bad, last] = all.as_slice() else {
            panic!("{name}: {all:?}")
        };
        if bad.connection == last.connection {
            failures.push(format!("{name}: the connection was used again"));
        }
    }
    assert!(
        failures.is_empty(),
        "{} of {} cases:\n{}",
        failures.len(),
        NONSENSE.len(),
        failures.join("\n")
    );
    proxy.logged(&["\"status\":502"]);
}

/// A backend that speaks another protocol may wait for the proxy to go on: the client does not wait
/// with it.
#[test]
fn an_invalid_status_line_is_found_at_once_in_pieces_too() {
    for (first, rest) in [
        ("H", "I"),
        ("HTT", "Q"),
        ("HTTP/1", "!"),
        ("HTTP/", "2.0 200 OK"),
        ("HTTP/", "15"),
    ] {
        let gate = Gate::new();
        let opened = gate.clone();
        let upstream = TestUpstream::start(move |connection| {
            if connection.request().is_some() && connection.send(first) {
                opened.wait();
                connection.send(rest);
                connection.wait_for_close();
            }
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(Request::new("POST", "/").host("a.test").body("x").bytes());
        let read = || (proxy.stat("/bytes/from_backends") == first.len() as u64).then_some(());
        eventually("the first piece is read", read);
        gate.open();
        let answer = client.response_to("POST");
        assert_eq!(answer.status, 502, "{first:?} {rest:?}");
    }
}

#[test]
fn unusual_but_clear_responses_are_passed_on() {
    const CLEAR: &[(&str, &[u8])] = &[
        (
            "no reason",
            b"HTTP/1.1 200 \r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "no space after the status",
            b"HTTP/1.1 200\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a long reason",
            b"HTTP/1.1 200 Everything is fine, (really)!\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "an unknown status",
            b"HTTP/1.1 299 Odd\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "a teapot",
            b"HTTP/1.1 418 I'm a teapot\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "status 599",
            b"HTTP/1.1 599 High\r\nContent-Length: 5\r\n\r\nhello",
        ),
        (
            "CHUNKED",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: CHUNKED\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
        ),
        (
            "white space around values",
            b"HTTP/1.1 200 OK\r\nContent-Length: \t 5 \t\r\n\r\nhello",
        ),
        (
            "an unknown interim response",
            b"HTTP/1.1 199 Odd\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        ),
    ];
    let upstream = nonsense(CLEAR);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for (n, (name, bytes)) in CLEAR.iter().enumerate() {
        let answer = client.ask(get("a.test", &format!("/{n}")));
        assert_eq!(answer.text(), "hello", "{name}");
        let status = String::from_utf8_lossy(bytes)
            .rsplit("HTTP/1.1 ")
            .next()
            .unwrap()[..3]
            .to_owned();
        assert_eq!(answer.status.to_string(), status, "{name}");
    }
}

#[test]
fn a_head_without_end_is_a_502() {
    let upstream = TestUpstream::start(|connection| {
        let Some(request) = connection.request() else {
            return;
        };
        connection.send("HTTP/1.1 200 OK\r\n");
        let field = match request.target() {
            "/many" => "X: y\r\n".to_owned(),
            _ => format!("X: {}", "y".repeat(64 * 1024)),
        };
        for _ in 0..100_000 {
            if !connection.send(&field) {
                return;
            }
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for path in ["/many", "/long"] {
        proxy
            .ask(Request::new("POST", path).host("a.test").body("x").bytes())
            .assert_refusal(502);
    }
    upstream.wait_until_unused();
    assert!(proxy.peak_resident_kib() < 64 * 1024);
}

#[test]
fn interim_responses_without_end_are_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        for _ in 0..1_000_000 {
            if !connection.send("HTTP/1.1 102 Processing\r\n\r\n") {
                return;
            }
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(Request::new("POST", "/").host("a.test").body("x").bytes());
    let mut interim = 0;
    loop {
        let (status, _) = client.head();
        if status >= 200 {
            assert_eq!(status, 502);
            break;
        }
        interim += 1;
        assert!(interim < 1_000, "it goes on and on");
    }
}

#[test]
fn bytes_after_a_response_are_not_the_next_response() {
    const EVIL: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil";
    let cases: &[(&str, &[u8])] = &[
        ("GET", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
        (
            "GET",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n",
        ),
        ("GET", b"HTTP/1.1 204 No Content\r\n\r\n"),
        ("GET", b"HTTP/1.1 304 Not Modified\r\n\r\n"),
        (
            "GET",
            b"HTTP/1.1 304 Not Modified\r\nContent-Length: 44\r\n\r\n",
        ),
        ("HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 44\r\n\r\n"),
    ];
    for (method, honest) in cases {
        let upstream = TestUpstream::start(move |connection| {
            let first = connection.index == 0;
            while connection.request().is_some() {
                match first {
                    true => connection.send([honest, EVIL].concat()),
                    false => connection.send(response("200 OK", &[], "good")),
                };
            }
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        let status = client
            .ask(Request::new(method, "/").host("a.test").bytes())
            .status;
        assert!(matches!(status, 200 | 204 | 304), "{status}");
        assert_eq!(
            client.ask(get("a.test", "/")).text(),
            "good",
            "{method} {:?}",
            String::from_utf8_lossy(honest)
        );
        assert_eq!(upstream.connections(), 2);
    }
}

#[test]
fn unrequested_bytes_on_an_idle_connection_are_not_the_next_response() {
    let (sent, go) = (Gate::new(), Gate::new());
    let (signal, wait) = (sent.clone(), go.clone());
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        connection.send(response("200 OK", &[], "first"));
        if connection.index == 0 {
            wait.wait();
            connection.send(response("200 OK", &[], "evil"));
            signal.open();
            connection.wait_for_close();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).text(), "first");
    go.open();
    sent.wait();
    assert_eq!(client.ask(get("a.test", "/")).text(), "first");
    assert_eq!(upstream.connections(), 2);
}

#[test]
fn a_response_longer_than_its_length_is_cut_there() {
    let upstream =
        TestUpstream::answering("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello and more");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "hello");
    }
}

#[test]
fn a_backend_that_resets_before_it_answers_is_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.reset();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(Request::new("POST", "/").host("a.test").body("x").bytes());
    match client.try_response_to("POST") {
        Ok(answer) => assert_eq!(answer.status, 502),
        Err(ReadError::Reset) => panic!("the client was reset as well"),
        Err(other) => panic!("{other:?}"),
    }
}
