//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT of a client is an upgrade at its backend.

use std::time::Duration;

use bytes::Bytes;
use h2::ext::Protocol;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, Request};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::fixtures::http2::{
    END_STREAM, Frames, Http2, PLAIN, RST_STREAM, SETTINGS, block_on, request,
};
use crate::fixtures::{
    Connection, Gate, ReadError, TestProxy, TestUpstream, eventually, guest, response, send_all,
};
use crate::upgrades::{SWITCHING, echo};

/// An extended CONNECT for this protocol.
fn connect(protocol: &'static str) -> Request<()> {
    let mut request = request("CONNECT", "a.test", "/chat?room=1");
    let version = "13".parse().unwrap();
    request
        .headers_mut()
        .insert("sec-websocket-version", version);
    let protocol = Protocol::from_static(protocol);
    request.extensions_mut().insert(protocol);
    request
}

/// A backend that takes every WebSocket, and follows the script then.
fn taking(script: impl Fn(&mut Connection) + Send + Sync + 'static) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            let Some(key) = request.value("sec-websocket-key") else {
                connection.send(response("200 OK", &[], "plain"));
                continue;
            };
            let accept = derive_accept_key(key.as_bytes());
            connection.send(SWITCHING.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept));
            return script(connection);
        }
    })
}

/// A client's side of an open WebSocket.
struct Tunnel {
    up: SendStream<Bytes>,
    down: RecvStream,
    fields: HeaderMap,
}

impl Tunnel {
    async fn open(client: &Http2) -> Self {
        let (answer, up) = client.send(connect("websocket"), false).await.unwrap();
        let (head, down) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        let fields = head.headers;
        Self { up, down, fields }
    }

    async fn send(&mut self, bytes: &[u8]) {
        send_all(&mut self.up, Bytes::copy_from_slice(bytes), |_| {}).await;
    }

    fn end(&mut self) {
        self.up.send_data(Bytes::new(), true).unwrap();
    }

    async fn piece(&mut self) -> Option<Result<Bytes, h2::Error>> {
        let piece = self.down.data().await?;
        if let Ok(piece) = &piece {
            self.down
                .flow_control()
                .release_capacity(piece.len())
                .unwrap();
        }
        Some(piece)
    }

    /// So many bytes.
    async fn read(&mut self, length: usize) -> Vec<u8> {
        let mut all = Vec::new();
        while all.len() < length {
            all.extend_from_slice(&self.piece().await.expect("more").unwrap());
        }
        assert_eq!(all.len(), length);
        all
    }

    /// All that comes until the other side ends its direction.
    async fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        while let Some(piece) = self.piece().await {
            all.extend_from_slice(&piece.unwrap());
        }
        all
    }

    /// Why the proxy has reset the stream.
    async fn reset(&mut self) -> Option<Reason> {
        loop {
            match self.piece().await? {
                Ok(_) => {}
                Err(error) => return error.reason(),
            }
        }
    }
}

/// A proxy with these time-outs.
fn patient(upstream: &TestUpstream, timeouts: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(&format!("[timeouts]\n{timeouts}"))
        .start()
}

#[test]
fn a_connect_for_a_websocket_is_an_upgrade_for_its_backend_and_bytes_cross() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut tunnel = Tunnel::open(&client).await;
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!tunnel.fields.contains_key(name), "{name}");
        }
        assert!(tunnel.fields.contains_key("date") && tunnel.fields.contains_key("via"));
        for message in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\xff", b"0\r\n\r\n"] {
            tunnel.send(message).await;
            assert_eq!(tunnel.read(message.len()).await, message);
        }
        // Beside it the connection carries requests.
        let missing = client.ask(request("TRACE", "a.test", "/"), b"").await;
        assert_eq!(missing.unwrap().status, 405);
        let long: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        let (sent, mut back) = (long.clone(), Vec::new());
        let Tunnel { mut up, down, .. } = tunnel;
        let sending = async {
            send_all(&mut up, sent.into(), |_| {}).await;
            up.send_data(Bytes::new(), true).unwrap();
        };
        let receiving =
            async { back = crate::fixtures::http2::receive_body(down).await.unwrap().0 };
        tokio::join!(sending, receiving);
        assert!(back == long, "{} bytes", back.len());
    });
    let received = upstream.only_request();
    assert_eq!(received.head.start, "GET /chat?room=1 HTTP/1.1");
    for (name, value) in [
        ("host", "a.test"),
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-version", "13"),
        ("x-forwarded-for", "127.0.0.1"),
    ] {
        assert_eq!(received.value(name).as_deref(), Some(value), "{name}");
    }
    let key = received.value("sec-websocket-key").unwrap();
    assert_eq!(key.len(), 24, "16 bytes in base64: {key}");
    assert!(!received.head.has("content-length") && !received.head.has("transfer-encoding"));
    let line = proxy.logged(&["\"status\":101", "/chat?room=1"]);
    for part in [
        "\"protocol\":\"HTTP/2\"",
        "\"method\":\"GET\"",
        "\"bytes_from_client\":12000025,\"bytes_to_client\":12000025",
    ] {
        assert!(line.contains(part), "{part} in {line}");
    }
    assert!(!line.contains("reason"), "{line}");
}

#[test]
fn each_connect_has_a_key_of_the_proxys_own() {
    let upstream = taking(|_| {});
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        for _ in 0..2 {
            let mut asked = connect("websocket");
            let key = "dGhlIHNhbXBsZSBub25jZQ==".parse().unwrap();
            asked.headers_mut().insert("sec-websocket-key", key);
            let (answer, _up) = client.send(asked, false).await.unwrap();
            assert_eq!(answer.await.unwrap().status(), 200);
        }
    });
    let keys: Vec<_> = upstream
        .received()
        .iter()
        .map(|request| request.value("sec-websocket-key").unwrap())
        .collect();
    assert_ne!(keys[0], keys[1]);
    assert!(!keys.iter().any(|key| key == "dGhlIHNhbXBsZSBub25jZQ=="));
}

#[test]
fn the_ends_of_streams_and_connections_are_each_others() {
    let upstream = taking(|connection| {
        assert_eq!(connection.wire.until_close().unwrap(), b"all that there is");
        connection.send("an answer to all of it");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = Tunnel::open(&Http2::connect(proxy.address()).await).await;
        tunnel.send(b"all that there is").await;
        tunnel.end();
        assert_eq!(tunnel.rest().await, b"an answer to all of it");
    });
    let upstream = taking(|connection| {
        connection.send("the whole story");
        connection.wire.half_close();
        assert_eq!(connection.wire.until_close().unwrap(), b"thanks");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = Tunnel::open(&Http2::connect(proxy.address()).await).await;
        assert_eq!(tunnel.rest().await, b"the whole story");
        tunnel.send(b"thanks").await;
        tunnel.end();
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    upstream.wait_until_unused();
}

#[test]
fn a_reset_stream_resets_the_backend_and_a_reset_backend_the_stream() {
    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = taking(move |connection| {
        connection.send("hello");
        if matches!(connection.wire.until_close(), Err(ReadError::Incomplete(_))) {
            opened.open();
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut tunnel = Tunnel::open(&client).await;
        assert_eq!(tunnel.read(5).await, b"hello");
        tunnel.up.send_reset(Reason::CANCEL);
        ended.wait();
        let missing = client.ask(request("TRACE", "a.test", "/"), b"").await;
        assert_eq!(missing.unwrap().status, 405, "the connection goes on");
    });
    proxy.logged(&["\"status\":101", "the client broke the tunnel off"]);

    let upstream = taking(|connection| connection.reset());
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut tunnel = Tunnel::open(&client).await;
        assert_eq!(tunnel.reset().await, Some(Reason::CANCEL));
    });
    proxy.logged(&["\"status\":101", "the backend broke the tunnel off"]);
    let failures = format!("/backends/{}/failures", upstream.address());
    assert_eq!(proxy.stat(&failures), 0);
}

#[test]
fn a_connection_that_ends_ends_the_tunnels_of_its_streams() {
    let upstream = taking(|connection| {
        assert!(matches!(
            connection.wire.until_close(),
            Err(ReadError::Incomplete(_))
        ));
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    for stream in [1, 3] {
        frames.head(stream, &asking("websocket"), 0);
    }
    proxy.wait_for_stat("/tunnels/active", 2);
    drop(frames);
    proxy.wait_for_stat("/tunnels/active", 0);
    upstream.wait_until_unused();
    proxy.wait_for_stat("/http2/streams_active", 0);
}

/// A stream that is reset while its backend takes nothing must not keep the backend's connection:
/// the client could open the next one at once.
#[test]
fn a_reset_is_seen_while_the_backend_takes_nothing() {
    let kept = Gate::new();
    let held = kept.clone();
    let upstream = taking(move |_| held.wait());
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut tunnel = Tunnel::open(&Http2::connect(proxy.address()).await).await;
        let mut sent = 0;
        loop {
            tunnel.up.reserve_capacity(1 << 16);
            let room = std::future::poll_fn(|cx| tunnel.up.poll_capacity(cx));
            let Ok(room) = tokio::time::timeout(Duration::from_millis(500), room).await else {
                break;
            };
            let piece = vec![b'x'; room.unwrap().unwrap()];
            sent += piece.len();
            tunnel.up.send_data(piece.into(), false).unwrap();
        }
        assert!(sent < 24 << 20, "{sent} bytes that nobody reads");
        assert_eq!(proxy.stat("/tunnels/active"), 1);
        tunnel.up.send_reset(Reason::CANCEL);
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    kept.open();
}

#[test]
fn a_client_that_does_not_read_holds_its_backend_and_no_memory() {
    const LENGTH: usize = 32 << 20;
    let upstream = taking(|connection| {
        for _ in 0..LENGTH >> 20 {
            connection.send(vec![b'x'; 1 << 20]);
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 20);
        let client = Http2::connect_by(&mut builder, proxy.address()).await;
        let mut tunnel = Tunnel::open(&client).await;
        let before = proxy.resident_kib();
        let quick = Http2::connect(proxy.address()).await;
        for _ in 0..50 {
            let missing = quick.ask(request("TRACE", "a.test", "/"), b"").await;
            assert_eq!(missing.unwrap().status, 405);
        }
        let grown = proxy.resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
        assert_eq!(tunnel.rest().await.len(), LENGTH);
    });
}

#[test]
fn a_tunnel_in_which_nothing_moves_ends_its_stream_and_not_the_connection() {
    let upstream = taking(echo);
    let proxy = patient(
        &upstream,
        "tunnel-idle = \"300ms\"\nidle = \"50ms\"\nbody-read = \"50ms\"",
    );
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut idle = Tunnel::open(&client).await;
        idle.send(b"x").await;
        assert_eq!(idle.rest().await, b"x");
        upstream.wait_until_unused();
    });
    proxy.logged(&["\"status\":101", "the tunnel was idle for too long"]);

    let kept = Gate::new();
    let held = kept.clone();
    let upstream = taking(move |_| held.wait());
    let proxy = patient(&upstream, "linger = \"100ms\"");
    block_on(async {
        let mut half = Tunnel::open(&Http2::connect(proxy.address()).await).await;
        half.end();
        assert_eq!(half.rest().await, b"");
        proxy.wait_for_stat("/tunnels/active", 0);
    });
    proxy.logged(&["one side of the tunnel ended, and the other did not follow"]);
    kept.open();
}

#[test]
fn a_drain_gives_tunnels_of_streams_its_time_and_ends_them_then() {
    let upstream = taking(echo);
    let mut proxy = patient(&upstream, "drain = \"500ms\"");
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut tunnel = Tunnel::open(&client).await;
        proxy.signal("TERM");
        tunnel.send(b"last words").await;
        assert_eq!(tunnel.read(10).await, b"last words");
        assert!(tunnel.piece().await.is_none_or(|piece| piece.is_err()));
    });
    assert_eq!(proxy.exit_code(), 0);
    let line = "the tunnel was open when the time to drain was over";
    assert_eq!(proxy.stdout.whole().matches(line).count(), 1);
}

#[test]
fn what_a_client_sends_before_its_answer_waits_for_it() {
    let seen = Gate::new();
    let reported = seen.clone();
    let upstream = TestUpstream::start(move |connection| {
        let request = connection.request().unwrap();
        connection.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n");
        seen.wait();
        assert!(connection.wire.buffer.is_empty());
        let stream = &connection.wire.stream;
        stream.set_nonblocking(true).unwrap();
        let early = stream.peek(&mut [0; 1]).map_err(|e| e.kind());
        assert_eq!(early, Err(std::io::ErrorKind::WouldBlock));
        stream.set_nonblocking(false).unwrap();
        let key = request.value("sec-websocket-key").unwrap();
        let accept = derive_accept_key(key.as_bytes());
        connection.send(SWITCHING.replace("s3pPLMBiTxaQ9kYGzzhZRbK+xOo=", &accept));
        echo(connection);
    });
    let proxy = TestProxy::in_front_of(&upstream);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let (mut answer, mut up) = client.send(connect("websocket"), false).await.unwrap();
        up.send_data("early".into(), false).unwrap();
        let hint = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        assert_eq!(hint.unwrap().unwrap().status(), 103);
        // The proxy has read the content, which came before this.
        let missing = client.ask(request("TRACE", "a.test", "/"), b"").await;
        assert_eq!(missing.unwrap().status, 405);
        reported.open();
        let (head, down) = answer.await.unwrap().into_parts();
        let fields = head.headers;
        let mut tunnel = Tunnel { up, down, fields };
        assert_eq!(tunnel.read(5).await, b"early");
    });
}

/// The fields of an extended CONNECT.
fn asking(protocol: &str) -> [(&str, &str); 6] {
    [
        (":method", "CONNECT"),
        (":protocol", protocol),
        PLAIN[1],
        (":path", "/chat"),
        PLAIN[3],
        ("sec-websocket-version", "13"),
    ]
}

/// The status with which an extended CONNECT with this field is answered, and the body.
fn answered(proxy: &TestProxy, asked: Request<()>) -> (u16, String) {
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let (answer, _up) = client.send(asked, false).await.unwrap();
        let (head, body) = answer.await.unwrap().into_parts();
        let (body, _) = crate::fixtures::http2::receive_body(body).await.unwrap();
        let plain = client.ask(request("TRACE", "a.test", "/"), b"").await;
        assert_eq!(plain.unwrap().status, 405, "the connection goes on");
        (head.status.as_u16(), String::from_utf8(body).unwrap())
    })
}

#[test]
fn what_is_not_a_websocket_or_not_allowed_is_refused_and_no_backend_is_asked() {
    let upstream = taking(echo);
    let address = upstream.address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{address}\"]\n\
             [[routes]]\nhost = \"b.test\"\npool = \"a\"\n\
             [[routes]]\nhost = \"a.test\"\npool = \"a\"\nupgrade = [\"foo\"]"
        ))
        .start();
    for protocol in ["websocket", "foo", "connect-udp", "websocket, foo"] {
        assert_eq!(answered(&proxy, connect(protocol)).0, 501, "{protocol}");
    }
    let mut other = connect("connect-ip");
    *other.uri_mut() = "http://b.test/".parse().unwrap();
    assert_eq!(answered(&proxy, other).0, 501);
    let mut known = connect("websocket");
    known.headers_mut().insert("content-length", 0.into());
    assert_eq!(answered(&proxy, known).0, 400);
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &[(":method", "CONNECT"), PLAIN[3]], END_STREAM);
    assert!(frames.end_of(1).ends(), "a plain CONNECT is a 405");
    assert_eq!(upstream.received().len(), 0);
    proxy.logged(&[
        "\"status\":501",
        "a protocol that the route's `upgrade` does not have",
    ]);
}

/// Whether SETTINGS say that extended CONNECTs are taken (RFC 8441 section 3).
fn announces(proxy: &TestProxy) -> bool {
    let settings = Frames::connect(proxy.address()).find(SETTINGS);
    let mut all = settings.payload.chunks(6);
    all.any(|setting| setting == [0, 8, 0, 0, 0, 1])
}

#[test]
fn extended_connects_are_announced_where_a_route_may_take_one_and_that_is_switched_on() {
    let upstream = taking(echo);
    assert!(announces(&TestProxy::in_front_of(&upstream)));
    let address = upstream.address();
    let pool = format!("[pools.a]\nbackends = [\"{address}\"]\n[[routes]]\npool = \"a\"");
    for tables in [
        format!("{pool}\nupgrade = []"),
        format!("{pool}\nupgrade = [\"foo\"]"),
        format!("[limits]\nh2-websocket = false\n{pool}"),
    ] {
        let proxy = TestProxy::builder().tables(&tables).start();
        assert!(!announces(&proxy), "{tables}");
        let mut frames = Frames::connect(proxy.address());
        frames.head(1, &asking("websocket"), 0);
        let end = frames.end_of(1);
        let protocol_error = Reason::PROTOCOL_ERROR.into();
        assert_eq!((end.kind, end.error()), (RST_STREAM, protocol_error));
    }
    assert_eq!(upstream.received().len(), 0);
}

/// For a client of HTTP/2, any success is a WebSocket.
#[test]
fn another_answer_passes_unless_it_is_a_success_that_is_no_websocket() {
    let statuses = ["403 Forbidden", "200 OK", "204 No Content", "302 Found"];
    let upstream = TestUpstream::start(move |connection| {
        connection.request();
        let status = statuses[connection.index % statuses.len()];
        let body = if status.starts_with("204") { "" } else { "no" };
        connection.send(response(status, &[("Connection", "close")], body));
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let answers = statuses.map(|_| answered(&proxy, connect("websocket")));
    assert_eq!(answers[0], (403, "no".to_owned()));
    assert_eq!((answers[1].0, answers[2].0), (502, 502));
    assert_eq!(answers[3], (302, "no".to_owned()));
    proxy.logged(&["\"status\":502", "a success that is none"]);
    let failures = format!("/backends/{}/failures", upstream.address());
    assert_eq!(proxy.stat(&failures), 0);
}

#[test]
fn a_101_whose_answer_to_the_key_is_wrong_is_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        let lines = SWITCHING.split_inclusive("\r\n");
        let without = lines.filter(|line| !line.starts_with("Sec-") || connection.index == 0);
        connection.send(without.collect::<String>());
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for _ in 0..2 {
        assert_eq!(answered(&proxy, connect("websocket")).0, 502);
    }
    proxy.logged(&["\"status\":502", "Sec-WebSocket-Accept is not the answer"]);
}

#[test]
fn policies_see_the_upgrade_and_what_they_answer_is_never_taken_for_a_websocket() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe", "random"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .tables("[policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\"")
        .start();
    let with = |name: &'static str, value: &str| {
        let mut asked = connect("websocket");
        asked.headers_mut().insert(name, value.parse().unwrap());
        asked
    };
    assert_eq!(
        answered(&proxy, with("x-probe-select", "refuse=403")).0,
        403
    );
    assert_eq!(
        answered(&proxy, with("x-probe-select", "refuse=200")).0,
        502
    );
    assert_eq!(upstream.received().len(), 0);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let asked = with("x-probe-response", "answer");
        let (answer, _up) = client.send(asked, false).await.unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert_eq!(answer.headers()["x-probe-answer"], "101 0");
    });
    let decisions = format!("/policies/random/decisions/all/{}", upstream.address());
    assert_eq!(proxy.stat(&decisions), 1);
}

#[test]
fn tunnels_of_streams_are_counted_while_they_are_open() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    let in_flight = format!("/backends/{}/in_flight", upstream.address());
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let tunnels = [Tunnel::open(&client).await, Tunnel::open(&client).await];
        let count = |active: u64| {
            eventually("the tunnels are counted", || {
                let stats = proxy.stats();
                let number = |pointer: &str| stats.pointer(pointer).unwrap().as_u64().unwrap();
                let counts = [
                    number("/tunnels/opened"),
                    number("/tunnels/active"),
                    number("/requests/by_status/101"),
                    number("/requests/active"),
                    number("/http2/streams_active"),
                    number(&in_flight),
                ];
                (counts == [2, active, 2, 0, active, active]).then_some(())
            });
        };
        count(2);
        let [mut first, mut second] = tunnels;
        first.end();
        assert_eq!(first.rest().await, b"");
        count(1);
        second.up.send_reset(Reason::CANCEL);
        count(0);
    });
}
