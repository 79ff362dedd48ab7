//! Bodies of any length and in any pieces.

use bytes::Bytes;
use http::Response;

use super::{CODINGS, accepting, by_pool, compressing, content, decoded, decoded_so_far};
use super::{of_any_length, text};
use crate::fixtures::http2::{self, connected};
use crate::fixtures::{Client, Framing, Gate, StreamBackend, TestUpstream};

#[test]
fn bodies_of_every_length_arrive_byte_for_byte_in_every_coding() {
    let upstream = of_any_length();
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    let large = 10 << 20;
    for coding in CODINGS {
        for length in [0, 1, 1023, 1024, 16_384, 70_000, large] {
            for framing in ["length", "chunked"] {
                let path = format!("/{framing}/{length}");
                let answer = client.ask(accepting(&path, coding).bytes());
                assert!(content(&answer) == text(length), "{coding} {path}");
                let encoded = answer.value("content-encoding");
                // What is short is known to be so only by its length.
                let stays = framing == "length" && length < 1024;
                assert_eq!(encoded.is_none(), stays, "{coding} {path}");
                assert_eq!(
                    answer.framing,
                    if stays {
                        Framing::Length
                    } else {
                        Framing::Chunked
                    },
                    "{coding} {path}"
                );
                assert!(stays || length < 1024 || answer.body.len() * 2 < length);
            }
        }
    }
    assert_eq!(upstream.connections(), 1, "each response has ended well");
}

#[test]
fn the_same_by_http2_on_both_sides() {
    let plain = of_any_length();
    let backend = StreamBackend::start(|mut call| async move {
        let n = call.request.uri().path().rsplit('/').next().unwrap();
        let body = text(n.parse().unwrap());
        let head = Response::builder().header("content-type", "text/html");
        let stream = call.begin(head.body(()).unwrap());
        let _ = http2::send_all(stream, &body).await;
    });
    let h2c = "protocol = \"h2c\"";
    for (address, pool) in [(plain.address(), ""), (backend.address(), h2c)] {
        let proxy = by_pool(&[address], pool, "true");
        for coding in CODINGS {
            for length in [1usize, 2_000, 300_000, 3 << 20] {
                let answer = connected(&proxy, async |client| {
                    let mut request = http2::get("a.test", &format!("/chunked/{length}"));
                    let value = coding.parse().unwrap();
                    request.headers_mut().insert("accept-encoding", value);
                    client.ask(request, b"").await.unwrap()
                });
                assert_eq!(answer.fields["content-encoding"], coding);
                assert!(!answer.fields.contains_key("content-length"));
                assert!(decoded(coding, &answer.body) == text(length), "{coding}");
            }
        }
        let answer = proxy.ask(accepting("/chunked/100000", "br").bytes());
        assert!(decoded("br", &answer.body) == text(100_000));
    }
}

const EVENTS: [&str; 3] = ["data: one\n\n", "data: two\n\n", "data: three\n\n"];
const STREAM: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
                      Transfer-Encoding: chunked\r\n\r\n";

/// Sends each event only when it is asked for.
fn events(gates: Vec<Gate>) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            connection.send(STREAM);
            for (event, gate) in EVENTS.iter().zip(&gates) {
                connection.send(format!("{:x}\r\n{event}\r\n", event.len()));
                gate.wait();
            }
            connection.send("0\r\n\r\n");
        }
    })
}

/// The next chunk of a body.
fn chunk(client: &mut Client) -> Vec<u8> {
    let mut line = Vec::new();
    while !line.ends_with(b"\r\n") {
        line.extend(client.wire.length(1).unwrap());
    }
    let digits = std::str::from_utf8(&line).unwrap().trim();
    let size = u64::from_str_radix(digits, 16).unwrap();
    let piece = client.wire.length(size).unwrap();
    client.wire.length(2).unwrap();
    piece
}

#[test]
fn an_event_arrives_before_the_next_is_sent() {
    for coding in CODINGS {
        let gates = vec![Gate::new(), Gate::new(), Gate::new()];
        let upstream = events(gates.clone());
        let proxy = compressing(&[upstream.address()], "true");
        let mut client = proxy.client();
        client.send(accepting("/", coding).bytes());
        assert_eq!(client.head().1.value("content-encoding").unwrap(), coding);
        let (mut bytes, mut expected) = (Vec::new(), String::new());
        for (event, gate) in EVENTS.iter().zip(&gates) {
            expected.push_str(event);
            while decoded_so_far(coding, &bytes) != expected.as_bytes() {
                bytes.extend(chunk(&mut client));
            }
            gate.open();
        }
        loop {
            match chunk(&mut client) {
                end if end.is_empty() => break,
                piece => bytes.extend(piece),
            }
        }
        assert_eq!(decoded(coding, &bytes), expected.as_bytes());
        assert_eq!(
            client.ask(accepting("/", "br;q=0").bytes()).text(),
            expected
        );
    }
}

#[test]
fn the_same_by_http2() {
    let gates = vec![Gate::new(), Gate::new(), Gate::new()];
    let upstream = events(gates.clone());
    let proxy = compressing(&[upstream.address()], "true");
    connected(&proxy, async |client| {
        let mut request = http2::get("a.test", "/");
        let accepted = request.headers_mut();
        accepted.insert("accept-encoding", "br".parse().unwrap());
        let (response, _) = client.send(request, true).await.unwrap();
        let mut body = response.await.unwrap().into_body();
        let (mut bytes, mut expected) = (Vec::new(), String::new());
        for (event, gate) in EVENTS.iter().zip(&gates) {
            expected.push_str(event);
            while decoded_so_far("br", &bytes) != expected.as_bytes() {
                let piece: Bytes = body.data().await.unwrap().unwrap();
                bytes.extend_from_slice(&piece);
            }
            gate.open();
        }
    });
}
