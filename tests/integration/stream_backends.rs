//! Backends that speak HTTP/2: one connection for many requests, and what becomes of a request when
//! a stream or its connection ends.

mod both_sides;
mod calls;
mod ends;
mod floods;
mod frames;
mod handshakes;
mod messages;
mod streams;
mod trailers;
mod tunnels;
mod windows;

use std::io::{Read, Write};
use std::net::SocketAddr;

use http::Response;

use crate::fixtures::{Request, StreamBackend, TestProxy, get};

/// A proxy in front of backends that speak HTTP/2 by prior knowledge.
fn in_front_of(backends: &[SocketAddr], keys: &str) -> TestProxy {
    with_keys(backends, keys, "")
}

/// The same, with more at the top and at the end of the configuration.
fn with_keys(backends: &[SocketAddr], keys: &str, tables: &str) -> TestProxy {
    let list: Vec<String> = backends.iter().map(|a| format!("\"{a}\"")).collect();
    let backends = list.join(", ");
    TestProxy::builder()
        .tables(&format!(
            "[pools.all]\nprotocol = \"h2c\"\nbackends = [{backends}]\n{keys}\n\
             [[routes]]\npool = \"all\"\npolicies = [\"random\"]\n\
             [policies.random]\ndeadline = \"2s\"\n{tables}"
        ))
        .start()
}

fn post(body: &str) -> Vec<u8> {
    Request::new("POST", "/").host("a.test").body(body).bytes()
}

fn response(status: u16) -> Response<()> {
    Response::builder().status(status).body(()).unwrap()
}

fn failures(proxy: &TestProxy, backend: &StreamBackend) -> u64 {
    let backend = backend.address().to_string();
    proxy.stats()["backends"][backend]["failures"]
        .as_u64()
        .unwrap()
}

#[test]
fn requests_one_after_the_other_share_a_connection_that_is_closed_when_it_is_idle() {
    let backend = StreamBackend::named("alive");
    let proxy = with_keys(
        &[backend.address()],
        "",
        "[timeouts]\nupstream-idle = \"10ms\"",
    );
    for _ in 0..5 {
        assert_eq!(proxy.get("a.test", "/").text(), "alive");
    }
    assert!(backend.connections() < 5, "{}", backend.connections());
    backend.wait_for_open(0);
    assert_eq!(proxy.get("a.test", "/").text(), "alive");
    assert_eq!(proxy.stat("/requests/total"), 6);
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn what_does_not_speak_http2_gets_no_request_and_the_log_says_why() {
    let plain = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = plain.local_addr().unwrap();
    let answering = std::thread::spawn(move || {
        let mut seen = Vec::new();
        for _ in 0..2 {
            let (mut stream, _) = plain.accept().unwrap();
            stream
                .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
                .unwrap();
            let _ = stream.read_to_end(&mut seen);
        }
        seen
    });
    let proxy = in_front_of(&[address], "attempts = 2");
    let answer = proxy.ask(post("never sent"));
    assert_eq!(answer.status, 502, "{}", answer.text());
    let said = proxy.stderr.find(|line| {
        line.contains("does not speak HTTP/2")
            .then(|| line.to_owned())
    });
    assert!(said.unwrap().contains(&address.to_string()));
    let seen = answering.join().unwrap();
    assert!(!seen.windows(5).any(|bytes| bytes == b"never"));
    let stats = proxy.stats();
    assert_eq!(
        stats["backends"][address.to_string()]["handshake_failures"],
        2
    );
}

#[test]
fn a_backend_that_accepts_and_says_nothing_is_a_connection_that_took_too_long() {
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let alive = StreamBackend::named("alive");
    let timeouts = "[timeouts]\nconnect = \"100ms\"";
    let alone = with_keys(&[silent.local_addr().unwrap()], "attempts = 2", timeouts);
    assert_eq!(alone.ask(get("a.test", "/")).status, 504);
    // A POST may go elsewhere, since it was not sent.
    let both = [silent.local_addr().unwrap(), alive.address()];
    let proxy = with_keys(&both, "", timeouts);
    for _ in 0..6 {
        assert_eq!(proxy.ask(post("x")).text(), "alive");
    }
}
