//! WebSockets over HTTP/2 (RFC 8441): an extended CONNECT of a client is an upgrade at its backend.

mod ends;
mod refused;

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use http::Request;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use crate::fixtures::http2::{Http2, PLAIN, block_on, connected, receive_body, request};
use crate::fixtures::stream_tunnel::Tunnel;
use crate::fixtures::{Connection, Gate, TestProxy, TestUpstream, eventually, response, send_all};
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

async fn open(client: &Http2) -> Tunnel {
    Tunnel::open(client, connect("websocket")).await
}

#[test]
fn a_connect_for_a_websocket_is_an_upgrade_for_its_backend_and_bytes_cross() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut tunnel = open(&client).await;
        for name in ["sec-websocket-accept", "upgrade", "connection"] {
            assert!(!tunnel.fields.contains_key(name), "{name}");
        }
        assert!(tunnel.fields.contains_key("date") && tunnel.fields.contains_key("via"));
        for message in [&b"GET / HTTP/1.1\r\n\r\n"[..], b"\x00\xff", b"0\r\n\r\n"] {
            tunnel.send(message).await;
            assert_eq!(tunnel.read(message.len()).await, message);
        }
        // Beside it the connection carries requests.
        client.assert_goes_on().await;
        let long: Vec<u8> = (0..3_000_000u32).flat_map(u32::to_le_bytes).collect();
        let (sent, mut back) = (long.clone(), Vec::new());
        let Tunnel { mut up, down, .. } = tunnel;
        let sending = async {
            send_all(&mut up, sent.into(), |_| {}).await;
            up.send_data(Bytes::new(), true).unwrap();
        };
        let receiving = async { back = receive_body(down).await.unwrap().0 };
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
    connected(&proxy, async |client| {
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
        let mut tunnel = open(&client).await;
        let before = proxy.resident_kib();
        let quick = Http2::connect(proxy.address()).await;
        for _ in 0..50 {
            quick.assert_goes_on().await;
        }
        let grown = proxy.resident_kib().saturating_sub(before);
        assert!(grown < 8 * 1024, "{grown} KiB");
        assert_eq!(tunnel.rest().await.len(), LENGTH);
    });
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
    connected(&proxy, async |client| {
        let (mut answer, mut up) = client.send(connect("websocket"), false).await.unwrap();
        up.send_data("early".into(), false).unwrap();
        let hint = std::future::poll_fn(|cx| answer.poll_informational(cx)).await;
        assert_eq!(hint.unwrap().unwrap().status(), 103);
        // The proxy has read the content, which came before this.
        client.assert_goes_on().await;
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

#[test]
fn tunnels_of_streams_are_counted_while_they_are_open() {
    let upstream = taking(echo);
    let proxy = TestProxy::in_front_of(&upstream);
    let in_flight = format!("/backends/{}/in_flight", upstream.address());
    connected(&proxy, async |client| {
        let tunnels = [open(&client).await, open(&client).await];
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

/// The budget for heads is for those of requests that are under way.
#[test]
fn tunnels_that_are_open_hold_no_heads() {
    let upstream = taking(echo);
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nheader-bytes = 2048")
        .start();
    connected(&proxy, async |client| {
        let mut tunnels = Vec::new();
        // Together more than 16 of the largest heads.
        for _ in 0..24 {
            let mut asked = connect("websocket");
            let long = "x".repeat(1_700).parse().unwrap();
            asked.headers_mut().insert("x-long", long);
            let (answer, up) = client.send(asked, false).await.unwrap();
            let answer = answer.await.unwrap();
            assert_eq!(answer.status(), 200);
            tunnels.push((answer, up));
        }
        client.assert_goes_on().await;
    });
}
