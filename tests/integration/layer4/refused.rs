//! Connections that are not passed on: who is told what, and what is counted.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::{backend, bare, connect, listen, passing, pool, reach, rest, shown};
use crate::fixtures::tls::Authority;
use crate::fixtures::{TestProxy, eventually, guest, refusing_address};

/// A fatal alert.
fn alert(description: u8) -> [u8; 7] {
    [21, 3, 3, 0, 2, 2, description]
}

/// The bytes up to an end of either kind.
fn heard(stream: &mut TcpStream) -> Vec<u8> {
    let (mut bytes, mut piece) = (Vec::new(), [0; 64]);
    while let Ok(n @ 1..) = stream.read(&mut piece) {
        bytes.extend(&piece[..n]);
    }
    bytes
}

#[test]
fn a_listener_without_certificates_refuses_what_no_route_takes() {
    let (_listener, address) = listen();
    let tables = [pool("a", &[address], ""), passing("\"a.test\"", "a")].concat();
    let proxy = bare(&tables).start();
    for name in ["b.test", "x.a.test", "127.0.0.1"] {
        let refused = reach(&proxy, name).unwrap_err().to_string();
        assert!(refused.contains("UnrecognisedName"), "{name}: {refused}");
    }
    let mut plain = connect(&proxy);
    plain
        .write_all(b"GET / HTTP/1.1\r\nHost: a.test\r\n\r\n")
        .unwrap();
    assert_eq!(rest(&mut plain), alert(50), "decode_error");
    let handshakes = "/connections/tls_handshakes/failed";
    proxy.wait_for_stat(handshakes, 4);
    assert_eq!(proxy.stat("/layer4/opened"), 0);
}

#[test]
fn a_client_that_does_not_finish_its_first_message_has_a_limited_time() {
    let (_listener, address) = listen();
    let tables = [
        pool("a", &[address], ""),
        passing("\"a.test\"", "a"),
        "[timeouts]\ntls-handshake = \"100ms\"\n".to_owned(),
    ];
    let proxy = bare(&tables.concat()).start();
    for begun in [&b""[..], &[22, 3, 1], &[22, 3, 1, 1, 0, 1, 0]] {
        let mut client = connect(&proxy);
        client.write_all(begun).unwrap();
        assert_eq!(heard(&mut client), b"");
    }
    proxy.wait_for_stat("/connections/tls_handshakes/failed", 3);
    proxy.wait_for_stat("/connections/active", 0);
}

#[test]
fn another_backend_is_tried_and_without_any_the_client_hears_of_it() {
    let authority = Authority::new();
    let a = authority.issue(&["a.test"]);
    let ((_one, dead), (_two, other)) = (refusing_address(), refusing_address());
    let backend = backend(&a);
    let tables = [
        pool("a", &[dead, backend.address()], ""),
        pool("none", &[dead, other], ""),
        passing("\"a.test\"", "a"),
        passing("\"none.test\"", "none"),
    ];
    let proxy = bare(&tables.concat()).start();
    for _ in 0..8 {
        assert_eq!(shown(&proxy, "a.test"), a.der());
    }
    let refused = reach(&proxy, "none.test").unwrap_err().to_string();
    assert!(refused.contains("InternalError"), "{refused}");
    let line = proxy.logged(&["\"host\":\"none.test\"", "\"attempts\":2", "\"reason\":"]);
    assert!(line.contains("\"status\":0"), "{line}");
    assert_eq!(proxy.stat("/layer4/refused"), 1);
    assert_eq!(proxy.stat("/layer4/opened"), 8);
}

#[test]
fn tcp_without_a_backend_is_reset() {
    let (_one, dead) = refusing_address();
    let tables = pool("a", &[dead], "");
    let proxy = TestProxy::builder()
        .listener("tcp = { pool = \"a\" }")
        .tables(&tables)
        .start();
    let mut client = connect(&proxy);
    let error = client.read(&mut [0; 1]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    proxy.logged(&["\"protocol\":\"tcp\"", "\"reason\":"]);
}

#[test]
fn policies_of_the_route_choose_and_may_refuse() {
    let authority = Authority::new();
    let [one, two] = [&["a.test"], &["a.test"]].map(|names| authority.issue(names));
    let (first, second) = (backend(&one), backend(&two));
    let route = |name: &str, policy: &str| {
        format!(
            "{}policies = [\"{policy}\"]\n",
            passing(&format!("\"{name}\""), "a")
        )
    };
    let tables = [
        pool("a", &[first.address(), second.address()], ""),
        route("first.test", "first"),
        route("last.test", "last"),
        route("no.test", "refuses"),
        "[policies.first]\ncomponent = \"pick-first.wasm\"\n".to_owned(),
        "[policies.last]\ncomponent = \"pick-last.wasm\"\n".to_owned(),
        "[policies.refuses]\ncomponent = \"probe.wasm\"\n".to_owned(),
        "[policies.refuses.settings]\nselect = [\"refuse=403\"]\n".to_owned(),
    ];
    let proxy = bare(&tables.concat())
        .file("pick-first.wasm", guest("pick-first"))
        .file("pick-last.wasm", guest("pick-last"))
        .file("probe.wasm", guest("probe"))
        .start();
    for _ in 0..4 {
        assert_eq!(shown(&proxy, "first.test"), one.der());
        assert_eq!(shown(&proxy, "last.test"), two.der());
    }
    let refused = reach(&proxy, "no.test").unwrap_err().to_string();
    assert!(refused.contains("AccessDenied"), "{refused}");
    proxy.logged(&["\"host\":\"no.test\"", "\"reason\":"]);
    eventually("it is counted", || {
        (proxy.stat("/layer4/refused") == 1).then_some(())
    });
}
