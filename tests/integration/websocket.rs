//! WebSocket, by an implementation that is not ours on both sides.

use std::borrow::Cow;
use std::io::ErrorKind;
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{CloseCode, Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message, WebSocket, accept, client};

use crate::fixtures::tls::{Authority, Session, read, session};
use crate::fixtures::{PATIENCE, TestProxy, TestUpstream};
use crate::upgrades::{asking, echo as echo_bytes, taking};

type Socket = WebSocket<TcpStream>;

/// A WebSocket from a client to a server, through the proxy.
struct Both<C = Socket> {
    client: C,
    server: JoinHandle<Option<CloseFrame>>,
    proxy: TestProxy,
}

/// The server follows the script, and reports how it was closed.
fn through(script: impl FnOnce(&mut Socket) -> Option<CloseFrame> + Send + 'static) -> Both {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let proxy = TestProxy::builder()
        .host("*", &[listener.local_addr().unwrap()])
        .start();
    let server = serving(listener, script);
    let stream = bounded(TcpStream::connect(proxy.address()).unwrap());
    let (client, answer) = client("ws://a.test/chat", stream).unwrap();
    assert_eq!(answer.status(), 101);
    Both {
        client,
        server,
        proxy,
    }
}

/// The first connection follows the script.
fn serving(
    listener: TcpListener,
    script: impl FnOnce(&mut Socket) -> Option<CloseFrame> + Send + 'static,
) -> JoinHandle<Option<CloseFrame>> {
    std::thread::spawn(move || {
        let (stream, _) = listener.accept().unwrap();
        script(&mut accept(bounded(stream)).unwrap())
    })
}

/// A proxy that speaks TLS, in front of this backend, and a session with it.
fn encrypted(backend: std::net::SocketAddr) -> (TestProxy, Session) {
    let authority = Authority::new();
    let proxy = TestProxy::builder()
        .host("*", &[backend])
        .file("edge.pem", authority.issue(&["a.test"]).both())
        .listener("tls = { certificates = [\"edge.pem\"] }")
        .start();
    let config = Arc::new(authority.client(&["http/1.1"]));
    let session = session(proxy.address(), &config, "a.test").unwrap();
    (proxy, session)
}

/// The same as [`through`] for a client that speaks TLS.
fn through_tls() -> Both<WebSocket<Session>> {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (proxy, session) = encrypted(listener.local_addr().unwrap());
    let server = serving(listener, echo);
    let (client, answer) = client("wss://a.test/chat", session).unwrap();
    assert_eq!(answer.status(), 101);
    Both {
        client,
        server,
        proxy,
    }
}

fn bounded(stream: TcpStream) -> TcpStream {
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.set_write_timeout(Some(PATIENCE)).unwrap();
    stream.set_nodelay(true).unwrap();
    stream
}

/// Sends every message back until the client closes.
fn echo(socket: &mut Socket) -> Option<CloseFrame> {
    loop {
        match socket.read().unwrap() {
            Message::Close(frame) => {
                // The answer to it is on its way when the end is read.
                assert!(matches!(socket.read(), Err(Error::ConnectionClosed)));
                return frame;
            }
            message @ (Message::Text(_) | Message::Binary(_)) => socket.send(message).unwrap(),
            _ => {}
        }
    }
}

fn closing(code: CloseCode, reason: &str) -> CloseFrame {
    CloseFrame {
        code,
        reason: Cow::<str>::Owned(reason.to_owned()).into_owned().into(),
    }
}

/// Bytes that repeat only after a long time.
fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    };
    let mut bytes: Vec<u8> = (0..length.div_ceil(8)).flat_map(|_| next()).collect();
    bytes.truncate(length);
    bytes
}

#[test]
fn messages_of_every_kind_and_size_come_back_byte_for_byte() {
    let mut both = through(echo);
    let text = "Gr\u{fc}\u{df}e, \u{1f980}".repeat(1_000);
    for message in [
        Message::text(""),
        Message::text("hello"),
        Message::text(text),
        Message::binary(noise(1)),
        Message::binary(noise(16 * 1024)),
        Message::binary(noise(1 << 20)),
        Message::binary(noise(16 << 20)),
    ] {
        both.client.send(message.clone()).unwrap();
        let back = both.client.read().unwrap();
        assert!(back == message, "{} bytes", message.len());
    }
    both.client
        .close(Some(closing(CloseCode::Normal, "done")))
        .unwrap();
    assert_eq!(
        both.server.join().unwrap(),
        Some(closing(CloseCode::Normal, "done"))
    );
    // The server has ended its side; the client answers that as soon as it looks.
    drop(both.client);
    both.proxy
        .logged(&["\"status\":101", "\"target\":\"/chat\""]);
}

#[test]
fn pings_and_pieces_of_messages_cross_as_they_were_sent() {
    let mut both = through(echo);
    let client = &mut both.client;
    client
        .send(Message::Ping(b"are you there".to_vec().into()))
        .unwrap();
    assert_eq!(
        client.read().unwrap(),
        Message::Pong(b"are you there".to_vec().into())
    );
    for (text, kind, last) in [
        ("one ", Data::Text, false),
        ("two ", Data::Continue, false),
        ("three", Data::Continue, true),
    ] {
        let frame = Frame::message(text.as_bytes().to_vec(), OpCode::Data(kind), last);
        client.send(Message::Frame(frame)).unwrap();
        if !last {
            let ping = Message::Ping(b"between".to_vec().into());
            client.send(ping).unwrap();
            assert!(matches!(client.read().unwrap(), Message::Pong(_)));
        }
    }
    assert_eq!(client.read().unwrap(), Message::text("one two three"));
    client.close(None).unwrap();
    assert_eq!(both.server.join().unwrap(), None);
}

#[test]
fn a_close_that_the_client_begins_is_answered_with_its_code() {
    for code in [CloseCode::Normal, CloseCode::Away, CloseCode::Library(4321)] {
        let mut both = through(echo);
        let frame = closing(code, "bye");
        both.client.close(Some(frame.clone())).unwrap();
        assert_eq!(
            both.client.read().unwrap(),
            Message::Close(Some(frame.clone()))
        );
        assert!(matches!(both.client.read(), Err(Error::ConnectionClosed)));
        assert_eq!(both.server.join().unwrap(), Some(frame));
    }
}

#[test]
fn a_close_that_the_server_begins_is_answered_with_its_code() {
    for code in [
        CloseCode::Policy,
        CloseCode::Error,
        CloseCode::Library(4000),
    ] {
        let frame = closing(code, "enough");
        let sent = frame.clone();
        let mut both = through(move |socket| {
            socket.send(Message::text("last words")).unwrap();
            socket.close(Some(sent)).unwrap();
            let Message::Close(answer) = socket.read().unwrap() else {
                panic!("no close");
            };
            answer
        });
        assert_eq!(both.client.read().unwrap(), Message::text("last words"));
        assert_eq!(
            both.client.read().unwrap(),
            Message::Close(Some(frame.clone()))
        );
        assert!(matches!(both.client.read(), Err(Error::ConnectionClosed)));
        assert_eq!(both.server.join().unwrap(), Some(frame));
    }
}

#[test]
fn an_end_without_a_close_is_an_end_on_the_other_side() {
    let mut both = through(|_| None);
    both.server.join().unwrap();
    assert!(both.client.read().is_err(), "the server is gone");
    let both = through(|socket| {
        assert!(socket.read().is_err(), "the client is gone");
        None
    });
    drop(both.client);
    both.server.join().unwrap();
}

#[test]
fn messages_over_tls_come_back_byte_for_byte_and_a_close_is_answered() {
    let mut both = through_tls();
    for message in [
        Message::text(""),
        Message::text("Gr\u{fc}\u{df}e".repeat(1_000)),
        Message::binary(noise(16 * 1024 + 1)),
        Message::binary(noise(4 << 20)),
    ] {
        both.client.send(message.clone()).unwrap();
        let back = both.client.read().unwrap();
        assert!(back == message, "{} bytes", message.len());
    }
    let frame = closing(CloseCode::Library(4321), "bye");
    both.client.close(Some(frame.clone())).unwrap();
    assert_eq!(
        both.client.read().unwrap(),
        Message::Close(Some(frame.clone()))
    );
    // The end of the session is one in good order, by close_notify.
    assert!(matches!(both.client.read(), Err(Error::ConnectionClosed)));
    assert_eq!(both.server.join().unwrap(), Some(frame));
    drop(both.client);
    both.proxy.logged(&["\"status\":101"]);
}

/// What looks like an end over TLS is one.
#[test]
fn only_an_end_in_good_order_is_announced_over_tls() {
    let upstream = taking(|connection| connection.wire.half_close());
    let (_proxy, mut session) = switched(&upstream);
    assert_eq!(read(&mut session).unwrap(), b"");

    let upstream = taking(|connection| {
        // The 101 has reached the client.
        connection.wire.length(1).unwrap();
        connection.reset();
    });
    let (_proxy, mut session) = switched(&upstream);
    std::io::Write::write_all(&mut session, b"x").unwrap();
    let cut = read(&mut session).unwrap_err().kind();
    assert!(
        matches!(cut, ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        "{cut}"
    );

    let ended = taking(echo_bytes);
    let (_proxy, mut session) = switched(&ended);
    session.conn.send_close_notify();
    assert_eq!(read(&mut session).unwrap(), b"", "and the other way round");
}

/// A session behind a 101.
fn switched(upstream: &TestUpstream) -> (TestProxy, Session) {
    let (proxy, mut session) = encrypted(upstream.address());
    let request = asking().bytes();
    crate::fixtures::tls::ask(&mut session, &request, "\r\n\r\n");
    (proxy, session)
}
