//! Listeners whose connections are passed on whatever they carry.

use std::io::{ErrorKind, Read, Write};
use std::net::Shutdown;
use std::sync::Arc;

use super::{accept, bare, carries, connect, listen, passing, pool, rest, take};
use crate::fixtures::tls::{Authority, session};
use crate::fixtures::{Builder, TestProxy};

fn forwarding(tcp: &str, tables: &str) -> Builder {
    TestProxy::builder()
        .listener(&format!("tcp = {{ pool = \"a\"{tcp} }}"))
        .tables(tables)
}

#[test]
fn either_side_may_speak_first_and_end_first() {
    let (listener, address) = listen();
    let proxy = forwarding("", &pool("a", &[address], "")).start();
    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    carries(&mut backend, &mut client, b"welcome");
    carries(&mut client, &mut backend, b"GET nothing of HTTP");
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut backend), b"");
    backend.write_all(b"the answer to all of it").unwrap();
    drop(backend);
    assert_eq!(rest(&mut client), b"the answer to all of it");
    let line = proxy.logged(&["\"protocol\":\"tcp\"", "\"bytes_from_client\":19"]);
    assert!(line.contains("\"bytes_to_client\":30"), "{line}");
    assert!(!line.contains("reason"), "{line}");

    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    backend.write_all(b"that is all").unwrap();
    backend.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&mut client), b"that is all");
    carries(&mut client, &mut backend, b"thanks");
    drop(client);
    assert_eq!(rest(&mut backend), b"");
    drop(backend);
    proxy.wait_for_stat("/layer4/active", 0);
    assert_eq!(proxy.stat("/layer4/opened"), 2);
    assert_eq!(proxy.stat("/layer4/bytes_from_clients"), 25);
    assert_eq!(proxy.stat("/layer4/bytes_to_clients"), 41);
}

#[test]
fn a_client_that_ends_its_side_at_once_still_hears_the_answer() {
    let (listener, address) = listen();
    let proxy = forwarding("", &pool("a", &[address], "")).start();
    let mut client = connect(&proxy);
    client.write_all(b"all of it").unwrap();
    client.shutdown(Shutdown::Write).unwrap();
    let mut backend = accept(&listener);
    assert_eq!(rest(&mut backend), b"all of it");
    backend.write_all(b"heard").unwrap();
    drop(backend);
    assert_eq!(rest(&mut client), b"heard");
}

#[test]
fn a_reset_is_passed_on() {
    let (listener, address) = listen();
    let proxy = forwarding("", &pool("a", &[address], "")).start();
    let reset = |stream: &std::net::TcpStream| {
        socket2::SockRef::from(stream)
            .set_linger(Some(std::time::Duration::ZERO))
            .unwrap();
    };
    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    carries(&mut client, &mut backend, b"one");
    reset(&backend);
    drop(backend);
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);

    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    carries(&mut client, &mut backend, b"two");
    reset(&client);
    drop(client);
    let error = backend.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

#[test]
fn a_slow_reader_holds_the_sender_back_and_loses_nothing() {
    let (listener, address) = listen();
    let proxy = forwarding("", &pool("a", &[address], "")).start();
    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    let all: Vec<u8> = (0..16 << 20_u32).map(|n| (n % 251) as u8).collect();
    let sent = all.clone();
    let sender = std::thread::spawn(move || {
        backend.write_all(&sent).unwrap();
        drop(backend);
    });
    assert!(take(&mut client, 1000) == all[..1000]);
    let held = proxy.stat("/layer4/bytes_to_clients");
    assert!(
        held < all.len() as u64,
        "{held}: the rest waits for the client"
    );
    assert!(rest(&mut client) == all[1000..]);
    sender.join().unwrap();
}

#[test]
fn a_backend_is_told_of_the_client_by_the_proxy_protocol() {
    let (listener, address) = listen();
    let proxy = forwarding(", proxy-protocol = \"v1\"", &pool("a", &[address], "")).start();
    let mut client = connect(&proxy);
    let (own, reached) = (client.local_addr().unwrap(), proxy.address());
    let mut backend = accept(&listener);
    let line = format!(
        "PROXY TCP4 127.0.0.1 127.0.0.1 {} {}\r\n",
        own.port(),
        reached.port()
    );
    client.write_all(b"hello").unwrap();
    assert_eq!(take(&mut backend, line.len()), line.as_bytes());
    assert_eq!(take(&mut backend, 5), b"hello");
    drop((client, backend));
    proxy.logged(&["\"bytes_from_client\":5"]);

    // What a proxy in front has announced is passed on, before the client's own first bytes.
    let tables = [
        pool("a", &[address], ""),
        passing("\"a.test\"", "a"),
        "proxy-protocol = \"v2\"\n".to_owned(),
    ];
    let proxy = bare(&tables.concat());
    let proxy = proxy
        .listener("proxy-protocol = { trusted = [\"127.0.0.1\"] }\ntls = { passthrough = true }")
        .start();
    let mut client = connect(&proxy);
    client
        .write_all(b"PROXY TCP4 192.0.2.7 198.51.100.1 4660 443\r\n")
        .unwrap();
    let config = Arc::new(Authority::trusting(&[]));
    let name = rustls::pki_types::ServerName::try_from("a.test").unwrap();
    let mut hello = Vec::new();
    let mut session = rustls::ClientConnection::new(config, name).unwrap();
    session.write_tls(&mut hello).unwrap();
    client.write_all(&hello).unwrap();
    let mut backend = accept(&listener);
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend([192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0x01, 0xbb]);
    assert_eq!(take(&mut backend, header.len()), header);
    assert_eq!(take(&mut backend, hello.len()), hello);
    drop((client, backend));
    proxy.logged(&["\"client\":\"192.0.2.7\"", "\"host\":\"a.test\""]);
}

#[test]
fn tls_may_end_at_the_listener() {
    let (listener, address) = listen();
    let authority = Authority::new();
    let proxy = TestProxy::builder()
        .file("edge.pem", authority.issue(&["edge.test"]).both())
        .listener("tcp = { pool = \"a\" }\ntls = { certificates = [\"edge.pem\"] }")
        .tables(&pool("a", &[address], ""))
        .start();
    let config = Arc::new(authority.client(&["postgresql"]));
    let mut client = session(proxy.address(), &config, "edge.test").unwrap();
    let mut backend = accept(&listener);
    client.write_all(b"in the clear").unwrap();
    assert_eq!(take(&mut backend, 12), b"in the clear");
    backend.write_all(b"answer").unwrap();
    drop(backend);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"answer", "and the end is announced");
    drop(client);
    proxy.logged(&["\"protocol\":\"tcp\"", "\"server_name\":\"edge.test\""]);
}

#[test]
fn connections_have_the_limits_of_requests() {
    let (listener, address) = listen();
    let tables = pool("a", &[address], "max-connections = 1");
    let proxy = forwarding("", &tables).start();
    let mut first = connect(&proxy);
    let mut backend = accept(&listener);
    carries(&mut first, &mut backend, b"one");
    let in_flight = format!("/backends/{address}/in_flight");
    assert_eq!(proxy.stat(&in_flight), 1);
    let mut second = connect(&proxy);
    proxy.wait_for_stat("/pools/a/queue_length", 1);
    drop((first, backend));
    let mut backend = accept(&listener);
    carries(&mut second, &mut backend, b"two");
    drop((second, backend));
    proxy.wait_for_stat(&in_flight, 0);
}

#[test]
fn a_connection_on_which_nothing_moves_is_ended() {
    let (listener, address) = listen();
    let tables = [
        pool("a", &[address], ""),
        "[timeouts]\ntunnel-idle = \"100ms\"\n".to_owned(),
    ];
    let proxy = forwarding("", &tables.concat()).start();
    let mut client = connect(&proxy);
    let mut backend = accept(&listener);
    assert_eq!(rest(&mut client), b"");
    assert_eq!(rest(&mut backend), b"");
    proxy.logged(&["\"protocol\":\"tcp\"", "idle for too long"]);
}
