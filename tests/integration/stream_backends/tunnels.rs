//! WebSockets at backends that speak HTTP/2: an upgrade of a client is an extended CONNECT there
//! (RFC 8441), if the backend takes those.

use bytes::Bytes;
use h2::Reason;
use h2::ext::Protocol;
use h2::server::Builder;
use http::{Method, Request};

use super::both_sides::client;
use super::{failures, in_front_of, response};
use crate::fixtures::{Call, Gate, ReadError, StreamBackend, TestProxy};
use crate::upgrades::{asking, switched};

/// A backend that takes extended CONNECTs, and what becomes of each.
fn taking<F: Future<Output = ()> + Send + 'static>(
    script: impl Fn(Call) -> F + Send + Sync + 'static,
) -> StreamBackend {
    let mut builder = Builder::new();
    builder.enable_connect_protocol();
    StreamBackend::with(builder, None, script)
}

/// Sends back what arrives, and ends when the other side does.
async fn echo(mut call: Call) {
    let mut down = call.begin(response(200));
    while let Some(piece) = call.piece().await {
        crate::fixtures::send_all(&mut down, piece, |_| {}).await;
    }
    down.send_data(Bytes::new(), true).unwrap();
}

fn connect() -> Request<()> {
    let mut request = Request::builder()
        .method(Method::CONNECT)
        .uri("http://a.test/chat")
        .header("sec-websocket-version", "13")
        .body(())
        .unwrap();
    let protocol = Protocol::from_static("websocket");
    request.extensions_mut().insert(protocol);
    request
}

#[test]
fn an_upgrade_is_an_extended_connect_for_its_backend_and_a_101_for_its_client() {
    let backend = taking(|call| async move {
        let request = &call.request;
        assert_eq!(request.method(), Method::CONNECT);
        let protocol = request.extensions().get::<Protocol>().unwrap();
        assert_eq!(protocol.as_str(), "websocket");
        assert_eq!(request.uri(), "http://a.test/chat");
        let fields = request.headers();
        assert_eq!(fields["sec-websocket-version"], "13");
        for name in ["sec-websocket-key", "upgrade", "connection"] {
            assert!(!fields.contains_key(name), "{name}");
        }
        echo(call).await;
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut client = proxy.client();
    let answer = client.ask(asking().bytes());
    assert_eq!(answer.status, 101);
    for (name, value) in [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-accept", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
    ] {
        assert_eq!(answer.value(name).as_deref(), Some(value), "{name}");
    }
    let long: Vec<u8> = (0..500_000u32).flat_map(u32::to_le_bytes).collect();
    let mut sender = client.wire.stream.try_clone().unwrap();
    let sent = long.clone();
    let sending = std::thread::spawn(move || {
        std::io::Write::write_all(&mut sender, &sent).unwrap();
        sender.shutdown(std::net::Shutdown::Write).unwrap();
    });
    assert!(client.wire.until_close().unwrap() == long);
    sending.join().unwrap();
    proxy.wait_for_stat("/tunnels/active", 0);
    let line = proxy.logged(&["\"status\":101"]);
    assert!(line.contains("\"bytes_from_client\":2000000"), "{line}");
    // The stream has ended, and its connection carries on.
    switched(&proxy);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_connect_is_a_connect_where_both_sides_speak_http2() {
    let backend = taking(|call| async move {
        assert!(!call.request.headers().contains_key("sec-websocket-key"));
        echo(call).await;
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(connect(), false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(!answer.headers().contains_key("sec-websocket-accept"));
        up.send_data("hello".into(), true).unwrap();
        let (body, _) = crate::fixtures::http2::receive_body(answer.into_body())
            .await
            .unwrap();
        assert_eq!(body, b"hello");
    });
    proxy.wait_for_stat("/tunnels/active", 0);
    proxy.logged(&["\"status\":101", "\"protocol\":\"HTTP/2\""]);
}

#[test]
fn what_a_backend_refuses_is_an_ordinary_answer_for_both_kinds_of_clients() {
    let backend = taking(|mut call| async move { call.answer_with(response(403), "no") });
    let proxy = in_front_of(&[backend.address()], "");
    let mut plain = proxy.client();
    for _ in 0..2 {
        let answer = plain.ask(asking().bytes());
        assert_eq!((answer.status, answer.text()), (403, "no".to_owned()));
    }
    client(&proxy, |mut send| async move {
        let (answer, _up) = send.send_request(connect(), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 403);
    });
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn resets_of_a_tunnels_stream_and_of_its_client_are_each_others() {
    let ended = Gate::new();
    let opened = ended.clone();
    let backend = taking(move |mut call| {
        let opened = opened.clone();
        async move {
            let mut down = call.begin(response(200));
            down.send_data("hello".into(), false).unwrap();
            if call.number > 0 {
                // Otherwise the engine takes what it has not sent back.
                call.piece().await;
                down.send_reset(Reason::CANCEL);
                return;
            }
            let reset = std::future::poll_fn(|cx| down.poll_reset(cx)).await;
            assert_eq!(reset.unwrap(), Reason::CANCEL);
            opened.open();
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut client = switched(&proxy);
    assert_eq!(client.wire.length(5).unwrap(), b"hello");
    client.reset();
    ended.wait();
    proxy.logged(&["the client broke the tunnel off"]);
    let mut client = switched(&proxy);
    client.send("x");
    let end = client.wire.until_close();
    assert!(matches!(end, Err(ReadError::Incomplete(_))), "{end:?}");
    proxy.logged(&["the backend broke the tunnel off"]);
    assert_eq!(failures(&proxy, &backend), 0);
    assert_eq!(backend.connections(), 1);
}

/// As before, an upgrade goes no further; and a client of HTTP/2 would take any success for one.
#[test]
fn a_backend_without_extended_connect_gets_no_websocket() {
    let backend = StreamBackend::start(|call| async move {
        assert_eq!(call.request.method(), Method::GET);
        assert!(!call.request.headers().contains_key("upgrade"));
        call.answer("plain").await;
    });
    let proxy = in_front_of(&[backend.address()], "");
    assert_eq!(proxy.ask(asking().bytes()).text(), "plain");
    refuses(&proxy);
    assert_eq!(backend.requests(), 1);
    assert_eq!(failures(&proxy, &backend), 0);
    proxy.logged(&["\"status\":502", "protocol = \\\"http/1.1\\\""]);
}

fn refuses(proxy: &TestProxy) {
    client(proxy, |mut send| async move {
        let (answer, _up) = send.send_request(connect(), false).unwrap();
        assert_eq!(answer.await.unwrap().status(), 502);
    });
}
