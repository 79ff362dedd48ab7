//! Connections that fail before their first request, or take long to make: what the client gets,
//! what the log says, and what is held against the backend.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener};
use std::thread::JoinHandle;
use std::time::Duration;

use super::{in_front_of, post, with_keys};
use crate::fixtures::http2::{GOAWAY, SETTINGS, frame};
use crate::fixtures::{Client, Gate, TestProxy, get};

/// A backend that writes these bytes on so many connections, and returns what it has read.
fn saying(bytes: Vec<u8>, connections: usize) -> (SocketAddr, JoinHandle<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = std::thread::spawn(move || {
        let mut read = Vec::new();
        for _ in 0..connections {
            let (mut stream, _) = listener.accept().unwrap();
            stream.write_all(&bytes).unwrap();
            let _ = stream.read_to_end(&mut read);
        }
        read
    });
    (address, thread)
}

#[track_caller]
pub(super) fn said(proxy: &TestProxy, parts: &[&str]) {
    let line = proxy
        .stderr
        .find(|line| parts.iter().all(|part| line.contains(part)).then_some(()));
    assert!(line.is_some(), "{parts:?} in {}", proxy.stderr.text());
}

#[test]
fn a_backend_that_breaks_the_protocol_is_tried_twice_and_the_answer_says_what_is_wrong() {
    let text = b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n".to_vec();
    let garbage = vec![0x17; 64];
    let mut goes_away = frame(SETTINGS, 0, 0, &[]);
    // PROTOCOL_ERROR, before any request.
    goes_away.extend(frame(GOAWAY, 0, 0, &[0, 0, 0, 0, 0, 0, 0, 1]));
    for bytes in [text, garbage, goes_away] {
        let (address, backend) = saying(bytes, 2);
        let proxy = in_front_of(&[address], "max-failures = 0");
        let answer = proxy.ask(post("never sent"));
        assert_eq!(answer.status, 502);
        assert!(
            answer.text().contains("does not speak the protocol"),
            "{}",
            answer.text()
        );
        let read = backend.join().unwrap();
        assert!(!read.windows(5).any(|bytes| bytes == b"never"));
        proxy.logged(&[
            "\"status\":502",
            "it does not speak HTTP/2",
            "\"attempts\":2",
        ]);
        said(&proxy, &["no connection to", "it does not speak HTTP/2"]);
        let backend = &proxy.stats()["backends"][address.to_string()];
        assert_eq!(
            (&backend["handshake_failures"], &backend["failures"]),
            (&2.into(), &2.into())
        );
    }
}

#[test]
fn a_backend_that_accepts_and_is_silent_has_a_line_in_the_log() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = silent.local_addr().unwrap();
    let timeouts = "[timeouts]\nconnect = \"100ms\"";
    let proxy = with_keys(&[address], "attempts = 1", timeouts);
    assert_eq!(proxy.get("a.test", "/").status, 504);
    said(
        &proxy,
        &["no connection to", "SETTINGS", "did not come in time"],
    );
}

/// One connection is made at a time: those that wait for their turn for too long have found the
/// backend busy, and not dead.
#[test]
fn requests_that_wait_for_their_turn_to_connect_are_no_failures_of_the_backend() {
    let gate = Gate::new();
    let address = slow_and_for_one_stream(&gate);
    let timeouts = "[timeouts]\nconnect = \"1s\"";
    let proxy = with_keys(&[address], "attempts = 1\nmax-failures = 1", timeouts);
    let mut clients: Vec<Client> = (0..6).map(|_| proxy.client()).collect();
    clients.iter_mut().for_each(|c| c.send(get("a.test", "/")));
    // The last one would have its turn after 1.5 s.
    proxy.logged(&["\"status\":503"]);
    gate.open();
    let statuses: Vec<u16> = clients.iter_mut().map(|c| c.response().status).collect();
    let is_either = |status: &u16| [200, 503].contains(status);
    assert!(statuses.iter().all(is_either), "{statuses:?}");
    assert!(statuses.contains(&200), "{statuses:?}");
    let backend = &proxy.stats()["backends"][address.to_string()];
    assert_eq!(
        (&backend["failures"], &backend["healthy"]),
        (&0.into(), &true.into())
    );
}

/// A backend that takes its time for each connection, which has one stream, and answers once the
/// gate is open.
fn slow_and_for_one_stream(gate: &Gate) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let gate = gate.clone();
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let gate = gate.clone();
            std::thread::spawn(move || serve(stream, &gate));
        }
    });
    address
}

fn serve(stream: std::net::TcpStream, gate: &Gate) {
    std::thread::sleep(Duration::from_millis(250));
    stream.set_nonblocking(true).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = tokio::net::TcpStream::from_std(stream).unwrap();
        let mut builder = h2::server::Builder::new();
        builder.max_concurrent_streams(1);
        let mut connection = builder.handshake::<_, bytes::Bytes>(stream).await.unwrap();
        while let Some(Ok((_, mut respond))) = connection.accept().await {
            gate.wait();
            let _ = respond.send_response(super::response(200), true);
        }
    });
}
