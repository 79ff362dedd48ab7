//! Changes of protocol: which are asked of a backend, and which answers are believed.

use std::io::ErrorKind;

use crate::fixtures::{
    Client, Connection, Gate, Request, TestProxy, TestUpstream, get, guest, refusing_address,
    response,
};
use crate::queueing::pool_of;

/// What a backend answers that takes the WebSocket.
pub const SWITCHING: &str = "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\n\
     Upgrade: websocket\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n";

/// A request for a WebSocket.
pub fn asking() -> Request {
    Request::new("GET", "/chat")
        .host("a.test")
        .field("Connection", "Upgrade")
        .field("Upgrade", "websocket")
        .field("Sec-WebSocket-Version", "13")
        .field("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
}

/// A backend that takes every WebSocket and leaves the rest to the script.
pub fn taking(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if !request.head.has("upgrade") {
                connection.send(response("200 OK", &[], "plain"));
                continue;
            }
            connection.send(SWITCHING);
            return script(connection);
        }
    })
}

/// A client that has its 101.
#[track_caller]
pub fn switched(proxy: &TestProxy) -> Client {
    let mut client = proxy.client();
    let answer = client.ask(asking().bytes());
    assert_eq!(answer.status, 101, "{}", answer.text());
    client
}

/// Sends back what arrives, until the other side ends.
pub fn echo(connection: &mut Connection) {
    while let Ok(byte) = connection.wire.length(1) {
        let rest = std::mem::take(&mut connection.wire.buffer);
        connection.send([byte, rest].concat());
    }
}

#[test]
fn a_websocket_is_asked_of_the_backend_and_its_101_is_the_clients() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let answer = client.ask(asking().bytes());
    assert_eq!(answer.status, 101);
    assert_eq!(answer.value("connection").as_deref(), Some("upgrade"));
    assert_eq!(answer.value("upgrade").as_deref(), Some("websocket"));
    let accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
    assert_eq!(
        answer.value("sec-websocket-accept").as_deref(),
        Some(accept)
    );
    assert!(answer.head.has("date") && answer.head.has("via"));
    let request = upstream.only_request();
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(request.value(name).as_deref(), Some(value), "{name}");
    }
    for message in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\xff", b"0\r\n\r\n"] {
        client.send(message);
        assert_eq!(client.wire.length(message.len() as u64).unwrap(), message);
    }
}

#[test]
fn a_request_that_asks_for_no_allowed_protocol_is_an_ordinary_one() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let plain = |fields: &[(&str, &str)]| {
        let request = Request::new("GET", "/").host("a.test");
        let ask = |request: Request, (name, value): &(&str, &str)| request.field(name, value);
        fields.iter().fold(request, ask)
    };
    let both = [("Connection", "Upgrade"), ("Upgrade", "websocket")];
    let requests = [
        plain(&[("Upgrade", "websocket")]),
        plain(&[("Connection", "Upgrade")]),
        plain(&[("Connection", "upgraded"), ("Upgrade", "websocket")]),
        plain(&[("Connection", "Upgrade"), ("Upgrade", "h2c")]),
        plain(&[
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket/2, websockets, TLS/1.0"),
        ]),
        plain(&[
            ("Connection", "Upgrade"),
            ("Upgrade", "web socket, \"websocket\""),
        ]),
        plain(&both).body(""),
        plain(&both).body("hello"),
        plain(&both).chunks([&b"hello"[..]]),
        plain(&both).old(),
    ];
    for (n, request) in requests.into_iter().enumerate() {
        assert_eq!(proxy.ask(request.bytes()).status, 200, "{n}");
        let received = upstream.received().pop().unwrap();
        assert!(!received.head.has("upgrade"), "{n}: {received:?}");
        assert!(
            !received.head.lists("connection", "upgrade"),
            "{n}: {received:?}"
        );
    }
}

#[test]
fn of_several_protocols_the_backend_is_offered_those_that_the_route_allows() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\n[[routes]]\npool = \"a\"\n\
             upgrade = [\"websocket\", \"Foo/2\"]\n\
             [[routes]]\npath = \"/none\"\npool = \"a\"\nupgrade = []",
            upstream.address()
        ))
        .start();
    let offered = |path: &str, te: bool| {
        let mut request = Request::new("GET", path)
            .host("a.test")
            .field("Upgrade", "h2c, FOO/2")
            .field("Connection", "HTTP2-Settings, te, keep-alive, upgrade")
            .field("HTTP2-Settings", "AAMAAABk")
            .field("Upgrade", "bar,WebSocket");
        if te {
            request = request.field("TE", "trailers");
        }
        assert_eq!(proxy.ask(request.bytes()).status, 200);
        let received = upstream.received().pop().unwrap();
        assert!(!received.head.has("http2-settings"));
        (received.value("upgrade"), received.value("connection"))
    };
    let some = |text: &str| Some(text.to_owned());
    assert_eq!(
        offered("/", false),
        (some("FOO/2, WebSocket"), some("upgrade"))
    );
    assert_eq!(
        offered("/", true),
        (some("FOO/2, WebSocket"), some("te, upgrade"))
    );
    assert_eq!(offered("/none", true), (None, some("te")));
    assert_eq!(offered("/none", false), (None, None));
}

#[test]
fn any_other_answer_to_an_upgrade_passes_and_both_connections_go_on() {
    let answers = [
        "200 OK",
        "426 Upgrade Required",
        "401 Unauthorized",
        "503 Service Unavailable",
    ];
    let upstream = TestUpstream::start(move |connection| {
        for status in answers {
            connection.request();
            connection.send(response(status, &[("Upgrade", "websocket")], "no"));
        }
        connection.request();
        connection.send(response("200 OK", &[], "plain"));
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for status in answers {
        let answer = client.ask(asking().bytes());
        assert!(answer.head.start.ends_with(status), "{}", answer.head.start);
        assert_eq!(answer.text(), "no");
        assert!(!answer.head.has("upgrade"));
    }
    assert_eq!(client.ask(get("a.test", "/")).text(), "plain");
    assert_eq!(upstream.connections(), 1);
}

#[test]
fn a_101_that_takes_nothing_of_the_offer_is_a_502_and_its_connection_is_closed() {
    let answer = |fields: &&str| format!("HTTP/1.1 101 Switching Protocols\r\n{fields}\r\nbytes");
    let nothing = [
        "",
        "Upgrade: websocket\r\n",
        "Connection: upgrade\r\n",
        "Connection: upgrade\r\nUpgrade: h2c\r\n",
        "Connection: upgrade\r\nUpgrade: websocket/2\r\n",
        "Connection: upgrade\r\nUpgrade: websocket, foo\r\n",
        "Connection: upgrade\r\nUpgrade: websocket\r\nUpgrade: websocket\r\n",
        "Connection: keep-alive\r\nUpgrade: websocket\r\n",
    ];
    let mut answers: Vec<String> = nothing.iter().map(answer).collect();
    answers.push(SWITCHING.replace("HTTP/1.1", "HTTP/1.0"));
    let mut requests = vec![asking(); answers.len()];
    // What was not asked for, or may not be.
    let unasked = [
        Request::new("GET", "/").host("a.test"),
        asking().old(),
        asking().body("x"),
    ];
    answers.resize(answers.len() + unasked.len(), SWITCHING.to_owned());
    requests.extend(unasked);
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        connection.send(&answers[connection.index]);
        connection.wait_for_close();
    });
    // Never ejected, so that each answer is asked for.
    let proxy = pool_of(&upstream, 1, "max-failures = 0");
    for (n, request) in requests.into_iter().enumerate() {
        proxy.ask(request.bytes()).assert_refusal(502);
        upstream.wait_until_unused_after(n + 1);
        assert_eq!(upstream.connections(), n + 1);
    }
    proxy.logged(&[
        "\"status\":502",
        "a 101 for a protocol that was not asked for",
    ]);
}

#[test]
fn bytes_behind_an_upgrade_reach_the_backend_after_its_101_and_not_before() {
    let (hinted, seen) = (Gate::new(), Gate::new());
    let (opened, reported) = (hinted.clone(), seen.clone());
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        opened.wait();
        // The client has had the hint, so the proxy has read all that was sent before.
        assert!(connection.wire.buffer.is_empty());
        let stream = &connection.wire.stream;
        stream.set_nonblocking(true).unwrap();
        let early = stream.peek(&mut [0; 1]).map_err(|e| e.kind());
        assert_eq!(early, Err(ErrorKind::WouldBlock));
        stream.set_nonblocking(false).unwrap();
        connection.send([SWITCHING, "and more"].concat());
        if connection
            .wire
            .length(5)
            .is_ok_and(|bytes| bytes == b"early")
        {
            reported.open();
        }
        echo(connection);
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send([asking().bytes(), b"early".to_vec()].concat());
    assert_eq!(client.head().0, 103);
    hinted.open();
    assert_eq!(client.head().0, 101);
    assert_eq!(client.wire.length(8).unwrap(), b"and more");
    seen.wait();
    client.send("late");
    assert_eq!(client.wire.length(4).unwrap(), b"late");
}

#[test]
fn bytes_behind_an_upgrade_that_is_not_granted_are_the_next_request() {
    let upstream = TestUpstream::start(|connection| {
        while let Some(request) = connection.request() {
            connection.send(response("200 OK", &[], request.target()));
        }
    });
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.send(
        [
            asking().bytes(),
            get("a.test", "/next"),
            get("b.test", "/third"),
        ]
        .concat(),
    );
    assert_eq!(client.response().text(), "/chat");
    assert_eq!(client.response().text(), "/next");
    client.response().assert_refusal(404);
    // What is no request is refused as after any other.
    client.send([asking().bytes(), b"\x81\x05hello\r\n".to_vec()].concat());
    assert_eq!(client.response().text(), "/chat");
    client.response().assert_refusal(400);
    client.assert_closed();
    assert_eq!(upstream.received().len(), 3);
}

#[test]
fn an_upgrade_is_tried_at_another_backend_when_one_is_not_reached() {
    let (_kept, refusing) = refusing_address();
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .host("*", &[refusing, upstream.address()])
        .start();
    for _ in 0..8 {
        let mut client = switched(&proxy);
        client.send("hello");
        assert_eq!(client.wire.length(5).unwrap(), b"hello");
    }
    assert_eq!(upstream.received().len(), 8);
}

#[test]
fn policies_decide_an_upgrade_once_and_edit_its_101_but_not_what_is_the_hosts() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe", "random"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .tables("[policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"")
        .start();
    let request = asking()
        .field("X-Probe-Request", "set=X-New:one")
        .field("X-Probe-Request", "set=Upgrade:h2c")
        .field("X-Probe-Request", "remove=Connection")
        .field("X-Probe-Response", "answer")
        .field("X-Probe-Response", "set=X-From:policy")
        .field("X-Probe-Response", "set=Upgrade:h2c")
        .field("X-Probe-Response", "remove=Connection");
    let mut client = proxy.client();
    let answer = client.ask(request.bytes());
    assert_eq!(answer.status, 101);
    assert_eq!(answer.value("x-from").as_deref(), Some("policy"));
    assert_eq!(answer.value("x-probe-answer").as_deref(), Some("101 0"));
    assert_eq!(answer.value("upgrade").as_deref(), Some("websocket"));
    assert_eq!(answer.value("connection").as_deref(), Some("upgrade"));
    let received = upstream.only_request();
    assert_eq!(received.value("x-new").as_deref(), Some("one"));
    assert_eq!(received.value("upgrade").as_deref(), Some("websocket"));
    assert_eq!(received.value("connection").as_deref(), Some("upgrade"));
    for message in ["one", "two", "three"] {
        client.send(message);
        assert_eq!(
            client.wire.length(message.len() as u64).unwrap(),
            message.as_bytes()
        );
    }
    let decisions = format!("/policies/random/decisions/all/{}", upstream.address());
    assert_eq!(proxy.stat(&decisions), 1, "however much is sent");
}

#[test]
fn a_policy_that_refuses_an_upgrade_is_the_answer() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .start();
    let mut client = proxy.client();
    let refused = client.ask(asking().field("X-Probe-Select", "refuse=403").bytes());
    assert_eq!(refused.status, 403, "{}", refused.text());
    assert_eq!(upstream.received().len(), 0);
    assert_eq!(client.ask(get("a.test", "/")).text(), "plain");
}
