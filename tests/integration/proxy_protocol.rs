//! The PROXY protocol: who must send a header, which ones are taken, and who is believed.

use std::net::{IpAddr, Ipv4Addr};

use crate::fixtures::{Client, Request, TestProxy, TestUpstream, eventually, get};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// Connections from 127.0.0.1 begin with a header; those of other addresses are clients.
fn proxy(upstream: &TestUpstream, tables: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .listener("proxy-protocol = { trusted = [\"127.0.0.1\"] }")
        .tables(tables)
        .start()
}

fn stranger(proxy: &TestProxy) -> Client {
    Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), proxy.address())
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [SIGNATURE, &[0x20 | command, family], &length, rest].concat()
}

fn v4() -> Vec<u8> {
    vec![192, 0, 2, 7, 198, 51, 100, 1, 0x12, 0x34, 0x01, 0xbb]
}

fn v6() -> Vec<u8> {
    let mut bytes = vec![0x20, 1, 0x0d, 0xb8];
    bytes.extend([0; 11]);
    bytes.push(7);
    bytes.extend([0; 20]);
    bytes
}

/// With an extension that holds a checksum.
fn summed(checksum: u32) -> Vec<u8> {
    let sum = checksum.to_be_bytes();
    v2(
        1,
        0x11,
        &[&v4()[..], &[3, 0, 4], &sum, &[4, 0, 1, 0]].concat(),
    )
}

/// Each with the client that a backend is told of.
fn taken() -> Vec<(Vec<u8>, &'static str)> {
    let line = |text: &str, client| (format!("PROXY {text}\r\n").into_bytes(), client);
    let extended = [&v4()[..], &[1, 0, 2], b"h2", &[0xee, 0, 0]].concat();
    let longest = [&v4()[..], &[0x21, 0x0f, 0xe1], &[b'x'; 4096 - 16 - 12 - 3]].concat();
    vec![
        line("TCP4 192.0.2.7 198.51.100.1 4660 443", "192.0.2.7"),
        line("TCP6 2001:db8::7 2001:db8::1 4660 443", "2001:db8::7"),
        line("TCP6 ::ffff:192.0.2.7 ::1 1 1", "192.0.2.7"),
        line("UNKNOWN", "127.0.0.1"),
        line("UNKNOWN ffff::1 ffff::2 65535 65535", "127.0.0.1"),
        (v2(1, 0x11, &v4()), "192.0.2.7"),
        (v2(1, 0x12, &v4()), "192.0.2.7"),
        (v2(1, 0x21, &v6()), "2001:db8::7"),
        (v2(1, 0x31, &[b'a'; 216]), "127.0.0.1"),
        (v2(1, 0x00, b""), "127.0.0.1"),
        (v2(1, 0x00, &[7; 9]), "127.0.0.1"),
        (v2(0, 0x00, b""), "127.0.0.1"),
        (v2(0, 0x11, &v4()), "127.0.0.1"),
        (v2(1, 0x11, &extended), "192.0.2.7"),
        (v2(1, 0x11, &longest), "192.0.2.7"),
        (summed(CHECKSUM), "192.0.2.7"),
    ]
}

/// The CRC-32C of the header that [`summed`] makes, in which it is zero.
const CHECKSUM: u32 = 0x87b5_492c;

fn refused() -> Vec<Vec<u8>> {
    let line = |text: &str| format!("PROXY {text}\r\n").into_bytes();
    let wrong_version = {
        let mut header = v2(1, 0x11, &v4());
        header[12] = 0x11;
        header
    };
    vec![
        line("TCP4 999.1.1.1 1.1.1.1 1 1"),
        line("TCP4 1.1.1.1 1.1.1.1 70000 1"),
        line("TCP4 2001:db8::7 2001:db8::1 1 1"),
        line("TCP4 01.2.3.4 1.1.1.1 1 1"),
        line("TCP4 1.2.3.4 1.1.1.1 1"),
        line("TCP5 1.2.3.4 1.1.1.1 1 1"),
        line(&format!("UNKNOWN {}", "x".repeat(100))),
        b"PROXY TCP4 1.2.3.4 1.1.1.1 1 1\n".to_vec(),
        wrong_version,
        v2(2, 0x11, &v4()),
        v2(1, 0x41, &v4()),
        v2(1, 0x11, &v4()[..11]),
        v2(1, 0x11, b""),
        v2(1, 0x11, &[&v4()[..], &[1, 0, 9, 0]].concat()),
        v2(1, 0x11, &[&v4()[..], &[0; 4096 - 27]].concat()),
        summed(CHECKSUM ^ 1),
        b"".to_vec(),
    ]
}

#[test]
fn a_header_of_either_version_says_who_the_client_is() {
    let upstream = TestUpstream::echo();
    let proxy = proxy(&upstream, "");
    let request = Request::new("POST", "/")
        .host("a.test")
        .body("whole")
        .bytes();
    for (number, (header, client)) in taken().into_iter().enumerate() {
        let mut together = proxy.client();
        together.send([&header[..], &request].concat());
        let answer = together.response();
        assert_eq!(answer.text(), "whole", "{}", header.escape_ascii());
        assert_eq!(
            together.ask(&request).text(),
            "whole",
            "a header begins a connection"
        );
        let received = &upstream.received()[2 * number..];
        for request in received {
            let told = request.value("x-forwarded-for").unwrap();
            assert_eq!(told, client, "{}", header.escape_ascii());
        }
        assert_eq!(received.len(), 2);
    }
    proxy.logged(&["\"client\":\"2001:db8::7\""]);
    assert_eq!(proxy.stat("/connections/proxy_headers_refused"), 0);
}

#[test]
fn a_header_that_comes_byte_by_byte_is_the_same() {
    let upstream = TestUpstream::echo();
    let proxy = proxy(&upstream, "");
    for (header, client) in taken() {
        if header.len() > 256 {
            continue;
        }
        let before = upstream.received().len();
        let mut dribbled = proxy.client();
        for byte in &header {
            dribbled.send([*byte]);
        }
        assert_eq!(dribbled.ask(get("a.test", "/")).status, 200);
        let told = upstream.received()[before].value("x-forwarded-for");
        assert_eq!(told.as_deref(), Some(client));
    }
}

#[test]
fn a_trusted_peer_without_a_good_header_is_closed_without_an_answer() {
    let upstream = TestUpstream::named("a");
    let proxy = proxy(&upstream, "");
    let all = refused();
    for header in &all {
        let mut client = proxy.client();
        client.send_what_is_taken([&header[..], &get("a.test", "/")].concat());
        client.assert_closed();
    }
    assert!(upstream.received().is_empty());
    let refused = || proxy.stat("/connections/proxy_headers_refused");
    eventually("every refusal is counted", || {
        (refused() == all.len() as u64).then_some(())
    });
    let good = [b"PROXY UNKNOWN\r\n", &get("a.test", "/")[..]].concat();
    assert_eq!(proxy.ask(good).status, 200, "it serves on");
}

#[test]
fn a_header_of_a_stranger_is_no_request_and_names_nobody() {
    let upstream = TestUpstream::named("a");
    let proxy = proxy(&upstream, "");
    for (header, _) in taken() {
        let mut client = stranger(&proxy);
        client.send_what_is_taken([&header[..], &get("a.test", "/")].concat());
        client.response().assert_refusal(400);
        client.assert_closed();
    }
    assert!(upstream.received().is_empty());
    assert_eq!(stranger(&proxy).ask(get("a.test", "/")).status, 200);
    let told = upstream.only_request().value("x-forwarded-for");
    assert_eq!(told.as_deref(), Some("127.0.0.2"));
    let without = TestProxy::in_front_of(&upstream);
    without.ask("PROXY UNKNOWN\r\n\r\n").assert_refusal(400);
}

#[test]
fn a_header_that_does_not_end_has_the_time_of_a_head() {
    let upstream = TestUpstream::named("a");
    let proxy = proxy(&upstream, "[timeouts]\nheader-read = \"300ms\"");
    for begun in [
        &b""[..],
        b"P",
        b"PROXY TCP4 192.0.2.7 198",
        SIGNATURE,
        &v2(1, 0x11, &v4())[..20],
    ] {
        let mut client = proxy.client();
        client.send(begun);
        client.assert_closed();
    }
    proxy.wait_for_stat("/connections/proxy_headers_refused", 5);
}

#[test]
fn connections_count_for_the_client_that_the_header_names() {
    let upstream = TestUpstream::named("a");
    let proxy = proxy(&upstream, "[limits]\nconnections-per-client = 1");
    let from = |client: &str| {
        let mut connection = proxy.client();
        connection.send(format!("PROXY TCP4 {client} 198.51.100.1 1 1\r\n"));
        connection.send_what_is_taken(get("a.test", "/"));
        connection
    };
    let mut first = from("192.0.2.1");
    assert_eq!(first.response().status, 200);
    let mut second = from("192.0.2.2");
    assert_eq!(second.response().status, 200);
    from("192.0.2.1").assert_closed();
    proxy.wait_for_stat("/connections/refused", 1);
    drop(first);
    eventually("its place is free again", || {
        from("192.0.2.1").try_response_to("GET").ok()
    });
}

#[test]
fn fields_about_the_client_are_believed_by_the_address_that_was_announced() {
    let upstream = TestUpstream::named("a");
    let proxy = proxy(
        &upstream,
        "[forwarded]\ntrusted = [\"127.0.0.1\", \"192.0.2.9\"]",
    );
    let request = Request::new("GET", "/").host("a.test");
    let request = request.field("X-Forwarded-For", "203.0.113.5").bytes();
    for (peer, told) in [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.9", "203.0.113.5, 192.0.2.9"),
    ] {
        let before = upstream.received().len();
        let header = format!("PROXY TCP4 {peer} 198.51.100.1 1 1\r\n");
        assert_eq!(
            proxy.ask([header.as_bytes(), &request].concat()).status,
            200
        );
        let list = upstream.received()[before].value("x-forwarded-for");
        assert_eq!(list.as_deref(), Some(told));
    }
}
