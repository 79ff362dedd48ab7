//! TLS that a backend ends: which one, by the name in the client's first message.

use std::io::Write;
use std::sync::Arc;

use rustls::pki_types::ServerName;
use rustls::{ClientConnection, StreamOwned};

use super::{accept, backend, bare, connect, echoes, listen, passing, pool, reach, shown, take};
use crate::fixtures::tls::{Authority, ask};
use crate::fixtures::{TestProxy, TestUpstream, get, response};

#[test]
fn a_name_leads_to_the_backend_that_shows_its_certificate() {
    let authority = Authority::new();
    let [edge, a, b] =
        [&["edge.test"], &["a.test"], &["*.b.test"]].map(|names| authority.issue(names));
    let (backend_a, backend_b) = (backend(&a), backend(&b));
    let upstream = TestUpstream::start(|c| {
        while c.request().is_some() {
            c.send(response("200 OK", &[], "of the proxy"));
        }
    });
    let tables = [
        pool("a", &[backend_a.address()], ""),
        pool("b", &[backend_b.address()], ""),
        passing("\"A.test.\"", "a"),
        passing("[\"*.b.test\", \"c.test\"]", "b"),
    ];
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .file("edge.pem", edge.both())
        .listener("tls = { certificates = [\"edge.pem\"] }")
        .tables(&tables.concat())
        .start();
    for (name, certificate) in [
        ("a.test", &a),
        ("x.b.test", &b),
        ("c.test", &b),
        ("edge.test", &edge),
        ("b.test", &edge),
        ("x.y.b.test", &edge),
        ("x.a.test", &edge),
        ("127.0.0.1", &edge),
    ] {
        assert_eq!(shown(&proxy, name), certificate.der(), "{name}");
    }
    let mut session = reach(&proxy, "a.test").unwrap();
    echoes(&mut session);
    drop(session);
    let line = proxy.logged(&["\"protocol\":\"passthrough\"", "\"host\":\"a.test\""]);
    let address = format!("\"backend\":\"{}\"", backend_a.address());
    assert!(
        line.contains(&address) && line.contains("\"client\":\"127.0.0.1\""),
        "{line}"
    );
    // The proxy's own sessions carry requests as before.
    let mut own = reach(&proxy, "edge.test").unwrap();
    ask(&mut own, &get("edge.test", "/"), "of the proxy");
    proxy.wait_for_stat("/layer4/active", 0);
    assert_eq!(proxy.stat("/layer4/opened"), 4);
    assert_eq!(proxy.stat("/tunnels/opened"), 0);
    assert_eq!(proxy.stat("/requests/total"), 1);
}

#[test]
fn a_first_message_in_pieces_reaches_the_backend_as_it_came() {
    let (listener, address) = listen();
    let tables = [pool("a", &[address], ""), passing("\"a.test\"", "a")].concat();
    let proxy = bare(&tables).start();
    let config = Arc::new(Authority::trusting(&["h2"]));
    let name = ServerName::try_from("a.test").unwrap();
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut hello = Vec::new();
    client.write_tls(&mut hello).unwrap();
    let mut in_records = Vec::new();
    for piece in hello[5..].chunks(100) {
        in_records.extend([22, 3, 1, 0, u8::try_from(piece.len()).unwrap()]);
        in_records.extend(piece);
    }
    for bytes in [&hello, &in_records] {
        let mut client = connect(&proxy);
        for byte in bytes {
            client.write_all(&[*byte]).unwrap();
        }
        client.write_all(b"and what follows").unwrap();
        let mut backend = accept(&listener);
        assert_eq!(take(&mut backend, bytes.len()), *bytes);
        assert_eq!(take(&mut backend, 16), b"and what follows");
    }
    let moved = 2 * 16 + hello.len() + in_records.len();
    proxy.wait_for_stat("/layer4/active", 0);
    proxy.wait_for_stat("/bytes/from_clients", moved as u64);
    assert_eq!(proxy.stat("/bytes/to_backends"), moved as u64);
}

#[test]
fn a_star_takes_every_name_and_clients_that_ask_for_none() {
    let authority = Authority::new();
    let (a, all) = (authority.issue(&["a.test"]), authority.issue(&["any.test"]));
    let (backend_a, backend_all) = (backend(&a), backend(&all));
    let tables = [
        pool("a", &[backend_a.address()], ""),
        pool("all", &[backend_all.address()], ""),
        passing("\"*\"", "all"),
        passing("\"a.test\"", "a"),
    ];
    let proxy = bare(&tables.concat()).start();
    for (name, certificate) in [("a.test", &a), ("b.test", &all), ("127.0.0.1", &all)] {
        assert_eq!(shown(&proxy, name), certificate.der(), "{name}");
    }
}

#[test]
fn a_client_and_a_backend_resume_their_own_sessions() {
    let authority = Authority::new();
    let a = authority.issue(&["a.test"]);
    let backend = backend(&a);
    let tables = [
        pool("a", &[backend.address()], ""),
        passing("\"a.test\"", "a"),
    ];
    let proxy = bare(&tables.concat()).start();
    let config = Arc::new(authority.client(&[]));
    for _ in 0..2 {
        let mut stream = connect(&proxy);
        let name = ServerName::try_from("a.test").unwrap();
        let mut client = ClientConnection::new(Arc::clone(&config), name).unwrap();
        while client.is_handshaking() {
            client.complete_io(&mut stream).unwrap();
        }
        echoes(&mut StreamOwned::new(client, stream));
    }
    let (full, resumed, failed) = backend.handshakes();
    assert_eq!((full, resumed, failed), (1, 1, 0));
}
