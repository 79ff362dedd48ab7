//! HTTP/1.1 over TLS: what goes through is what would go through without.

use std::io::{ErrorKind, Write};

use super::{Encrypted, Lines};
use crate::fixtures::tls::{Authority, ask, client, read, session};
use crate::fixtures::{Client, Request, TestProxy, TestUpstream, chunked, eventually, get};

/// Bytes in which each position can be recognised.
fn body(length: usize) -> Vec<u8> {
    (0..length)
        .map(|at| ((at * 31) ^ (at >> 8)) as u8)
        .collect()
}

/// A proxy in front of this backend.
fn in_front_of(upstream: &TestUpstream) -> (TestProxy, Authority) {
    let authority = Authority::new();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .file("edge.pem", authority.issue(&["edge.test"]).both())
        .listener("tls = { certificates = [\"edge.pem\"] }")
        .tables("[[listeners]]\naddress = \"127.0.0.1:0\"")
        .start();
    (proxy, authority)
}

#[test]
fn bodies_of_every_size_pass_both_ways_byte_for_byte() {
    let upstream = TestUpstream::echo();
    let (proxy, authority) = in_front_of(&upstream);
    let config = authority.client(&["http/1.1"]).into();
    let mut client = client(proxy.addresses()[1], &config, "edge.test");
    for length in [0, 1, 10_000, 16_384, 100_000, 8 << 20] {
        let sent = body(length);
        let request = Request::new("POST", "/").host("edge.test");
        let answer = client.ask(request.body(&sent).bytes());
        assert!(answer.body == sent, "{length}");
        let pieces = sent.chunks(7_001);
        let request = Request::new("POST", "/").host("edge.test").chunks(pieces);
        assert!(
            client.ask(request.bytes()).body == sent,
            "{length} in chunks"
        );
    }
    assert_eq!(proxy.stat("/connections/accepted"), 1, "one connection");
}

#[test]
fn requests_are_https_for_backends_policies_and_the_log() {
    let upstream = TestUpstream::named("a");
    let (proxy, authority) = in_front_of(&upstream);
    let config = authority.client(&[]).into();
    let mut client = client(proxy.addresses()[1], &config, "edge.test");
    assert_eq!(client.ask(get("edge.test", "/")).status, 200);
    let received = upstream.only_request();
    assert_eq!(received.value("x-forwarded-proto").unwrap(), "https");
    let mut plain = Client::connect(proxy.addresses()[0]);
    assert_eq!(plain.ask(get("edge.test", "/")).status, 200);
    let plain = &upstream.received()[1];
    assert_eq!(plain.value("x-forwarded-proto").unwrap(), "http");
}

#[test]
fn pipelined_requests_are_answered_in_order_on_one_session() {
    let this = Encrypted::start(&Lines::default());
    let mut client = client(this.address, &this.http1(), "edge.test");
    client.send(
        [
            get("edge.test", "/1"),
            get("edge.test", "/2"),
            get("edge.test", "/3"),
        ]
        .concat(),
    );
    for _ in 0..3 {
        assert_eq!(client.response().text(), "hello");
    }
    client.send(
        Request::new("GET", "/")
            .host("edge.test")
            .field("Connection", "close")
            .bytes(),
    );
    assert_eq!(client.response().status, 200);
    client.assert_closed();
}

/// A client that has ended its side is one that has left, over TLS as without; where that is
/// allowed it has its answer, and the end is announced to it.
#[test]
fn the_end_of_a_side_is_an_end_and_not_an_error() {
    let lines = Lines {
        tables: "[timeouts]\nlinger = \"1s\"\n",
        ..Lines::default()
    };
    let this = Encrypted::start(&lines);
    let mut session = session(this.address, &this.http1(), "edge.test").unwrap();
    ask(&mut session, &get("edge.test", "/"), "hello");
    session.conn.send_close_notify();
    session.flush().unwrap();
    // An end that was not announced would be an error.
    assert_eq!(read(&mut session).unwrap(), b"");
    eventually("it is closed", || {
        (this.proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn a_response_that_breaks_off_has_no_announced_end() {
    let upstream = TestUpstream::start(|c| {
        if c.request().is_some() {
            // No length: only the end of the connection ends it, and this one is a reset.
            c.send("HTTP/1.1 200 OK\r\n\r\nso far");
            c.reset();
        }
    });
    let (proxy, authority) = in_front_of(&upstream);
    let config = authority.client(&["http/1.1"]).into();
    let mut session = session(proxy.addresses()[1], &config, "edge.test").unwrap();
    // By HTTP/1.0, in which the response has no chunks either.
    let request = Request::new("GET", "/").old().host("edge.test");
    session.write_all(&request.bytes()).unwrap();
    let mut received = Vec::new();
    let end = loop {
        match read(&mut session) {
            Ok(bytes) if !bytes.is_empty() => received.extend(bytes),
            end => break end,
        }
    };
    let received = String::from_utf8_lossy(&received);
    assert!(received.ends_with("\r\n\r\nso far"), "{received}");
    let cut = [ErrorKind::UnexpectedEof, ErrorKind::ConnectionReset];
    let end = end.expect_err("its end is not announced").kind();
    assert!(cut.contains(&end), "{end:?} after {received}");
}

/// What comes behind a refused upload is read for a while, so that the client sees the answer.
#[test]
fn a_client_that_is_still_sending_sees_why_it_is_refused() {
    let lines = Lines {
        tables: "[limits]\nbody-bytes = 1000\n",
        ..Lines::default()
    };
    let this = Encrypted::start(&lines);
    let mut client = client(this.address, &this.http1(), "edge.test");
    client.send(
        Request::new("POST", "/")
            .host("edge.test")
            .field("Transfer-Encoding", "chunked")
            .bytes(),
    );
    client.send_what_is_taken(chunked([&body(1 << 20)[..]]));
    client.response_to("POST").assert_refusal(413);
}

#[test]
fn an_idle_session_is_closed_in_good_order() {
    let lines = Lines {
        tables: "[timeouts]\nidle = \"100ms\"\n",
        ..Lines::default()
    };
    let this = Encrypted::start(&lines);
    let mut session = session(this.address, &this.http1(), "edge.test").unwrap();
    ask(&mut session, &get("edge.test", "/"), "hello");
    assert_eq!(read(&mut session).unwrap(), b"", "the end was announced");
}
