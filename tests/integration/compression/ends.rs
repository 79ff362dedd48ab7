//! How a compressed response begins and ends: interim responses, trailers, aborts, statistics.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Response};

use super::{CODINGS, accepting, by_pool, compressing, decoded, of_any_length, text};
use crate::fixtures::http2::{self, connected};
use crate::fixtures::{Framing, ReadError, Request, StreamBackend, TestUpstream, chunked};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\n";

#[test]
fn interim_responses_and_trailers_pass_but_no_digest_of_the_other_form() {
    let upstream = TestUpstream::replying(|_| {
        let mut body = chunked([&text(3_000)[..]]);
        body.truncate(body.len() - 2);
        let head = format!(
            "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n{HEAD}Transfer-Encoding: chunked\r\n\
             Trailer: x-time, repr-digest\r\n\r\n"
        );
        let trailers = "x-time: 5\r\nrepr-digest: sha-256=:YQ==:\r\netag: \"a\"\r\n\r\n";
        [head.as_bytes(), &body, trailers.as_bytes()].concat()
    });
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    for coding in CODINGS {
        let answer = client.ask(accepting("/", coding).field("TE", "trailers").bytes());
        assert_eq!(answer.interim.len(), 1);
        assert!(decoded(coding, &answer.body) == text(3_000));
        assert_eq!(answer.trailers, [("x-time".to_owned(), b"5".to_vec())]);
    }
}

#[test]
fn trailers_pass_by_http2_as_well() {
    let backend = StreamBackend::start(|mut call| async move {
        let head = Response::builder().header("content-type", "text/plain");
        let mut stream = call.begin(head.body(()).unwrap());
        stream.send_data(Bytes::from(text(3_000)), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("x-time", "5".parse().unwrap());
        stream.send_trailers(trailers).unwrap();
    });
    let proxy = by_pool(&[backend.address()], "protocol = \"h2c\"", "true");
    connected(&proxy, async |client| {
        let mut request = http2::get("a.test", "/");
        let accepted = request.headers_mut();
        accepted.insert("accept-encoding", "gzip".parse().unwrap());
        let answer = client.ask(request, b"").await.unwrap();
        assert!(decoded("gzip", &answer.body) == text(3_000));
        assert_eq!(answer.trailers["x-time"], "5");
    });
}

/// A part of a body never looks like all of it.
#[test]
fn what_breaks_off_behind_breaks_off_in_front() {
    for (framing, piece) in [
        ("Content-Length: 100000", text(50_000)),
        (
            "Transfer-Encoding: chunked",
            [b"c350\r\n", &text(50_000)[..], b"\r\n"].concat(),
        ),
        (
            "Transfer-Encoding: chunked",
            [b"ffff\r\n", &text(50_000)[..]].concat(),
        ),
        ("Transfer-Encoding: chunked", b"zz\r\n".to_vec()),
    ] {
        let bytes = [format!("{HEAD}{framing}\r\n\r\n").as_bytes(), &piece].concat();
        let upstream = TestUpstream::start(move |connection| {
            if connection.request().is_some() {
                connection.send(&bytes);
            }
        });
        let proxy = compressing(&[upstream.address()], "true");
        for coding in CODINGS {
            let mut client = proxy.client();
            client.send(accepting("/", coding).bytes());
            match client.try_response_to("GET") {
                Err(ReadError::Incomplete(_) | ReadError::Closed | ReadError::Reset) => {}
                // A malformed body that is known before the head was sent.
                Ok(answer) if answer.status == 502 => {}
                other => panic!("{coding} {framing}: {other:?}"),
            }
            let outcome = connected(&proxy, async |client| {
                let mut request = http2::get("a.test", "/");
                let value = coding.parse().unwrap();
                request.headers_mut().insert("accept-encoding", value);
                client.ask(request, b"").await
            });
            let failed = outcome.map_or(true, |answer| answer.status == 502);
            assert!(failed, "{coding} {framing}");
        }
    }
}

#[test]
fn a_body_that_ends_with_its_connection_has_an_end_of_its_own() {
    let upstream = TestUpstream::start(|connection| {
        if connection.request().is_some() {
            connection.send(format!("{HEAD}Connection: close\r\n\r\n"));
            connection.send(text(40_000));
        }
    });
    let proxy = compressing(&[upstream.address()], "true");
    let mut client = proxy.client();
    for coding in CODINGS {
        let answer = client.ask(accepting("/", coding).bytes());
        assert_eq!(answer.framing, Framing::Chunked);
        assert!(decoded(coding, &answer.body) == text(40_000));
    }
}

/// The encoder works only as fast as its client takes.
#[test]
fn a_client_that_takes_nothing_stops_the_backend() {
    let upstream = TestUpstream::start(|connection| {
        connection
            .wire
            .stream
            .set_write_timeout(Some(Duration::from_millis(300)))
            .unwrap();
        if connection.request().is_some() {
            connection.send(format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n"));
            let mut state = 1u64;
            let mut piece = b"10000\r\n".to_vec();
            // Nothing that can be compressed.
            piece.extend((0..0x10000).map(|_| {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1);
                (state >> 56) as u8
            }));
            piece.extend_from_slice(b"\r\n");
            while connection.send(&piece) {}
        }
    });
    let proxy = compressing(&[upstream.address()], "{ level = 1 }");
    let mut client = proxy.client();
    client.send(accepting("/", "gzip").bytes());
    upstream.wait_until_unused_after(1);
    let counted = proxy.stats()["compressed"].clone();
    assert!(
        counted["bytes_in"].as_u64().unwrap() < 64 << 20,
        "{counted}"
    );
    drop(client);
}

#[test]
fn what_was_compressed_is_counted_and_shown() {
    let upstream = of_any_length();
    let proxy = compressing(&[upstream.address()], "[\"gzip\"]");
    let mut client = proxy.client();
    let first = client.ask(accepting("/length/5000", "gzip").bytes());
    let second = client.ask(accepting("/chunked/20000", "gzip").bytes());
    client.ask(accepting("/length/5000", "br").bytes());
    let sent = (first.body.len() + second.body.len()) as u64;
    proxy.wait_for_stat("/compressed/bytes_out", sent);
    assert_eq!(proxy.stat("/compressed/responses"), 2);
    assert_eq!(proxy.stat("/compressed/bytes_in"), 25_000);
    let metrics = proxy.admin(Request::new("GET", "/metrics")).text();
    for line in [
        "waypost_compressed_responses_total 2".to_owned(),
        "waypost_compressed_bytes_total{side=\"in\"} 25000".to_owned(),
        format!("waypost_compressed_bytes_total{{side=\"out\"}} {sent}"),
    ] {
        assert!(metrics.lines().any(|found| found == line), "{line}");
    }
    let config = proxy.admin(Request::new("GET", "/config")).text();
    let config: serde_json::Value = serde_json::from_str(&config).unwrap();
    assert_eq!(config["routes"][0]["compress"], "gzip");
}
