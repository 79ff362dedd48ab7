//! Clients that speak HTTP/2 with the forward proxy (RFC 9113 section 8.5).

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use h2::Reason;
use http::{HeaderMap, Request, Uri};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::users::SECRET;
use super::{THIS_MACHINE, address, forwarding, tunnel};
use crate::fixtures::http2::{Answer, END_STREAM, Frames, Http2, RST_STREAM, block_on};
use crate::fixtures::stream_tunnel::Tunnel;
use crate::fixtures::{Gate, ReadError, TestProxy, TestUpstream, refusing_address, response};
use crate::upgrades::echo;

/// A CONNECT, with these fields.
fn connect(to: impl ToString, fields: &[(&str, &str)]) -> Request<()> {
    let authority = to.to_string();
    let uri = Uri::builder().authority(authority).build().unwrap();
    let mut request = Request::connect(uri);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    request.body(()).unwrap()
}

async fn client(proxy: &TestProxy) -> Http2 {
    Http2::connect(address(proxy)).await
}

async fn refused(client: &Http2, request: Request<()>) -> (u16, String) {
    let Answer { status, body, .. } = client.ask(request, b"").await.unwrap();
    (status.as_u16(), String::from_utf8(body).unwrap())
}

#[test]
fn a_connection_over_tls_carries_tunnels_and_requests_beside_each_other() {
    let upstream = TestUpstream::start(echo);
    let plain = TestUpstream::answering(response("200 OK", &[], "plain"));
    let made = rcgen::generate_simple_self_signed(["proxy.test".to_owned()]).unwrap();
    let listener = "tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }] }";
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[forward]\nlisten = {{ address = \"127.0.0.1:0\", {listener} }}\n{THIS_MACHINE}\n"
        ))
        .file("c.pem", made.cert.pem())
        .file("k.pem", made.signing_key.serialize_pem())
        .start();
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let mut config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let connector = TlsConnector::from(Arc::new(config));
    block_on(async {
        let stream = TcpStream::connect(address(&proxy)).await.unwrap();
        let name = ServerName::try_from("proxy.test").unwrap();
        let stream = connector.connect(name, stream).await.unwrap();
        assert_eq!(stream.get_ref().1.alpn_protocol(), Some(&b"h2"[..]));
        let client = Http2::over(h2::client::handshake(stream).await.unwrap());
        let mut one = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        let mut two = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        assert!(one.fields.is_empty(), "{:?}", one.fields);
        two.send(b"two").await;
        one.send(b"\x16\x03\x01\0").await;
        assert_eq!(one.read(4).await, b"\x16\x03\x01\0");
        assert_eq!(two.read(3).await, b"two");
        assert_eq!(proxy.stat("/forward/tunnels_active"), 2);
        // The scheme is that of the destination, not of this connection.
        let url = format!("http://{}/a?b", plain.address());
        let answer = client.ask(Request::get(&url).body(()).unwrap(), b"").await;
        assert_eq!(answer.unwrap().body, b"plain");
        one.end();
        assert_eq!(one.rest().await, b"");
        proxy.wait_for_stat("/forward/tunnels_active", 1);
        two.send(b"goes on").await;
        assert_eq!(two.read(7).await, b"goes on");
    });
    let received = plain.only_request();
    assert_eq!(received.head.start, "GET /a?b HTTP/1.1");
    assert_eq!(
        received.value("host"),
        Some(plain.address().to_string()),
        "{received:?}"
    );
    assert_eq!(received.value("x-forwarded-proto"), None);
    let to = upstream.address();
    let line = proxy.logged(&["\"method\":\"CONNECT\"", "\"bytes_from_client\":4"]);
    for part in [
        "\"protocol\":\"HTTP/2\"".to_owned(),
        "\"status\":200".to_owned(),
        format!("\"target\":\"{to}\""),
        format!("\"port\":{}", to.port()),
    ] {
        assert!(line.contains(&part), "{part} in {line}");
    }
    proxy.wait_for_stat("/forward/tunnels_active", 0);
    assert_eq!(proxy.stat("/forward/tunnels"), 2);
    assert_eq!(proxy.stat("/forward/requests"), 3);
    assert_eq!(proxy.stat("/forward/tunnel_bytes_from_clients"), 14);
}

#[test]
fn what_is_refused_is_answered_as_by_http1_and_the_connection_goes_on() {
    let upstream = TestUpstream::start(echo);
    let (_held, nobody) = refusing_address();
    let lines = "authentication = { file = \"users\" }";
    let proxy = forwarding(&format!(
        "allow = [{{ network = \"127.0.0.1\", ports = [\"1-65535\"] }}]\n{lines}"
    ))
    .file("users", format!("ann:{SECRET}\n"))
    .start();
    let right = format!("Basic {}", STANDARD.encode("ann:secret"));
    let wrong = format!("Basic {}", STANDARD.encode("ann:Secret"));
    let (right, wrong) = (right.as_str(), wrong.as_str());
    let name = "proxy-authorization";
    let to = upstream.address();
    block_on(async {
        let client = client(&proxy).await;
        let mut open = Tunnel::open(&client, connect(to, &[(name, right)])).await;
        for (request, status, sentence) in [
            (connect(to, &[]), 407, "wants a user name"),
            (connect(to, &[(name, wrong)]), 407, "is wrong"),
            (connect(to, &[(name, right), (name, right)]), 407, "wants"),
            (connect("192.0.2.1:443", &[(name, right)]), 403, "may not"),
            (connect(nobody, &[(name, right)]), 502, ""),
            (connect("a.test", &[(name, right)]), 400, "needs a port"),
            (connect("0x7f.1:443", &[(name, right)]), 400, "plain IP"),
            (
                connect(to, &[(name, right), ("content-length", "0")]),
                400,
                "a CONNECT has a Content-Length",
            ),
        ] {
            let shown = format!("{request:?}");
            let (got, text) = refused(&client, request).await;
            assert_eq!(got, status, "{shown}: {text}");
            assert!(text.contains(sentence), "{shown}: {text}");
        }
        for (url, status) in [("https://127.0.0.1/", 400), ("ftp://127.0.0.1/", 400)] {
            let request = Request::get(url).header(name, right).body(()).unwrap();
            assert_eq!(refused(&client, request).await.0, status, "{url}");
        }
        open.send(b"still").await;
        assert_eq!(open.read(5).await, b"still");
    });
    assert_eq!(upstream.connections(), 1);
    assert_eq!(proxy.stat("/forward/refused/authentication"), 3);
    assert_eq!(proxy.stat("/forward/refused/address"), 1);
    assert_eq!(proxy.stat("/forward/refused/unreachable"), 1);
    proxy.logged(&["\"user\":\"ann\"", "\"status\":403"]);
}

#[test]
fn malformed_heads_reset_their_stream() {
    let upstream = TestUpstream::start(echo);
    let proxy = forwarding(THIS_MACHINE).start();
    let to = upstream.address().to_string();
    let authority = (":authority", to.as_str());
    let method = (":method", "CONNECT");
    let mut frames = Frames::connect(address(&proxy));
    for (stream, fields) in [
        (1, vec![method, authority, (":path", "/")]),
        (3, vec![method, authority, (":scheme", "http")]),
        // A forward proxy opens no WebSockets of its own.
        (
            7,
            vec![
                method,
                (":protocol", "websocket"),
                (":scheme", "http"),
                (":path", "/"),
                authority,
            ],
        ),
    ] {
        frames.head(stream, &fields, END_STREAM);
        let reset = frames.find(RST_STREAM);
        assert_eq!(reset.stream, stream, "{fields:?}");
        assert_eq!(reset.error(), 1, "PROTOCOL_ERROR for {fields:?}");
    }
    frames.head(9, &[method], END_STREAM);
    let answered = std::iter::from_fn(|| frames.next()).find(|frame| frame.stream == 9);
    assert_eq!(answered.unwrap().status(), 400, "no destination");
    assert_eq!(upstream.connections(), 0);
}

#[test]
fn a_reset_goes_through_both_ways() {
    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = TestUpstream::start(move |connection| match connection.wire.length(1) {
        Ok(_) => connection.reset(),
        Err(ReadError::Incomplete(_)) => opened.open(),
        other => panic!("{other:?}"),
    });
    let proxy = forwarding(THIS_MACHINE).start();
    block_on(async {
        let client = client(&proxy).await;
        let mut by_backend = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        by_backend.send(b"x").await;
        assert_eq!(by_backend.reset().await, Some(Reason::CONNECT_ERROR));
        proxy.logged(&["\"status\":200", "the backend broke the tunnel off"]);
        let mut by_client = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        by_client.up.send_reset(Reason::CANCEL);
        ended.wait();
        proxy.logged(&["\"status\":200", "the client broke the tunnel off"]);
        // The connection goes on.
        Tunnel::open(&client, connect(upstream.address(), &[])).await;
    });
}

#[test]
fn trailers_break_a_tunnel_off() {
    let ended = Gate::new();
    let opened = ended.clone();
    let upstream = TestUpstream::start(move |connection| {
        // Bytes, and then no end of them but that of the connection.
        if connection.wire.until_close().is_err() {
            opened.open();
        }
    });
    let proxy = forwarding(THIS_MACHINE).start();
    block_on(async {
        let client = client(&proxy).await;
        let mut tunnel = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        tunnel.send(b"x").await;
        tunnel.up.send_trailers(HeaderMap::new()).unwrap();
        assert!(tunnel.reset().await.is_some(), "the stream is reset");
    });
    ended.wait();
    proxy.logged(&["\"status\":200", "the client broke the tunnel off"]);
}

#[test]
fn each_side_may_end_its_direction_and_early_bytes_are_the_tunnels() {
    let upstream = TestUpstream::start(|connection| {
        assert_eq!(connection.wire.until_close().unwrap(), b"early and late");
        connection.send("an answer to all of it");
    });
    let proxy = forwarding(THIS_MACHINE).start();
    block_on(async {
        let client = client(&proxy).await;
        let request = connect(upstream.address(), &[]);
        let (answer, mut up) = client.send(request, false).await.unwrap();
        up.send_data("early".into(), false).unwrap();
        let (head, down) = answer.await.unwrap().into_parts();
        assert_eq!(head.status, 200);
        let fields = head.headers;
        let mut tunnel = Tunnel { up, down, fields };
        tunnel.send(b" and late").await;
        tunnel.end();
        assert_eq!(tunnel.rest().await, b"an answer to all of it");
    });
}

#[test]
fn streams_and_connections_share_the_limit_of_a_client() {
    let upstream = TestUpstream::start(echo);
    let proxy = forwarding(&format!("{THIS_MACHINE}\ntunnels-per-client = 2")).start();
    let to = upstream.address();
    let _by_http1 = tunnel(&proxy, to);
    block_on(async {
        let client = client(&proxy).await;
        let mut open = Tunnel::open(&client, connect(to, &[])).await;
        let (status, text) = refused(&client, connect(to, &[])).await;
        assert_eq!(status, 429, "{text}");
        open.end();
        assert_eq!(open.rest().await, b"");
        proxy.wait_for_stat("/forward/tunnels_active", 1);
        Tunnel::open(&client, connect(to, &[])).await;
    });
}

#[test]
fn a_tunnel_outlives_the_goaway_of_a_shutdown_until_the_time_to_drain_is_over() {
    let upstream = TestUpstream::start(echo);
    let mut proxy = forwarding(&format!("{THIS_MACHINE}\n[timeouts]\ndrain = \"20s\"")).start();
    block_on(async {
        let client = client(&proxy).await;
        let mut open = Tunnel::open(&client, connect(upstream.address(), &[])).await;
        proxy.signal("TERM");
        // No more requests are taken.
        while let Ok((answer, _)) = client.send(connect(upstream.address(), &[]), false).await {
            if answer.await.is_err() {
                break;
            }
        }
        open.send(b"on").await;
        assert_eq!(open.read(2).await, b"on");
        open.end();
        assert_eq!(open.rest().await, b"");
    });
    assert_eq!(proxy.exit_code(), 0);
}
