//! Bodies far larger than what the proxy may hold: constant memory, and back-pressure in both
//! directions.

use std::io::{Read, Write};

use crate::fixtures::{TestProxy, TestUpstream, eventually, get, response};

const MIB: usize = 1024 * 1024;
/// What the proxy may have resident at its peak, whatever passes through it.
const RESIDENT_KIB: u64 = 64 * 1024;
const SIZE: usize = 256 * MIB;

/// Writes so many bytes of a pattern.
fn pour(mut to: impl Write, size: usize) -> std::io::Result<()> {
    let piece: Vec<u8> = (0..MIB).map(|i| (i % 251) as u8).collect();
    let mut left = size;
    while left > 0 {
        let n = left.min(piece.len());
        to.write_all(&piece[..n])?;
        left -= n;
    }
    Ok(())
}

/// Reads so many bytes and counts those that are not of the pattern.
fn drain(mut from: impl Read, ahead: &[u8], size: usize) -> usize {
    let wrong = |bytes: &[u8], at: usize| {
        bytes
            .iter()
            .enumerate()
            .filter(|(i, b)| usize::from(**b) != (at + i) % MIB % 251)
            .count()
    };
    let (mut bad, mut at) = (wrong(ahead, 0), ahead.len());
    let mut piece = vec![0; 256 * 1024];
    while at < size {
        let n = from.read(&mut piece).unwrap();
        assert!(n > 0, "ended after {at} of {size} bytes");
        bad += wrong(&piece[..n], at);
        at += n;
    }
    bad
}

#[test]
fn a_quarter_gibibyte_up_and_down_leaves_the_proxy_small() {
    let upstream = TestUpstream::start(|connection| {
        while let Some(request) = connection.head() {
            if request.method() == "POST" {
                let ahead = std::mem::take(&mut connection.wire.buffer);
                let bad = drain(&connection.wire.stream, &ahead, SIZE);
                connection.send(response("200 OK", &[], format!("{bad} wrong")));
            } else {
                connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
                let _ = pour(&connection.wire.stream, SIZE);
            }
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();

    client.send(format!(
        "POST /up HTTP/1.1\r\nHost: a.test\r\nContent-Length: {SIZE}\r\n\r\n"
    ));
    pour(&client.wire.stream, SIZE).unwrap();
    assert_eq!(client.response().text(), "0 wrong");

    client.send(get("a.test", "/down"));
    let (status, head) = client.head();
    assert_eq!(
        (status, head.value("content-length").unwrap()),
        (200, SIZE.to_string())
    );
    let ahead = std::mem::take(&mut client.wire.buffer);
    assert_eq!(drain(&client.wire.stream, &ahead, SIZE), 0);

    assert!(
        proxy.peak_resident_kib() < RESIDENT_KIB,
        "{} KiB",
        proxy.peak_resident_kib()
    );
    // A piece is counted after it was written.
    eventually("all bytes are counted", || {
        let counted =
            ["/bytes/from_clients", "/bytes/to_clients"].map(|direction| proxy.stat(direction));
        counted.iter().all(|&n| n > SIZE as u64).then_some(())
    });
}

#[test]
fn chunked_bodies_stream_in_constant_memory_too() {
    const SIZE: usize = 64 * MIB;
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            let Ok((body, _)) = connection.wire.chunks() else {
                return;
            };
            connection.send(response("200 OK", &[], body.len().to_string()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send("POST /up HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n");
    for _ in 0..SIZE / MIB {
        client.send(format!("{MIB:x}\r\n"));
        pour(&client.wire.stream, MIB).unwrap();
        client.send("\r\n");
    }
    client.send("0\r\n\r\n");
    assert_eq!(client.response().text(), SIZE.to_string());
    assert!(
        proxy.peak_resident_kib() < RESIDENT_KIB,
        "{} KiB",
        proxy.peak_resident_kib()
    );
}

#[test]
fn a_client_that_does_not_read_holds_the_backend_back() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send(format!("HTTP/1.1 200 OK\r\nContent-Length: {SIZE}\r\n\r\n"));
        let _ = pour(&connection.wire.stream, SIZE);
    });
    // A client that never reads is cut off after a while; until then nothing piles up in the proxy.
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nsend = \"500ms\"")
        .start();
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    upstream.wait_until_unused_after(1);
    eventually("the request is over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
    assert!(
        proxy.stat("/bytes/from_backends") < SIZE as u64 / 2,
        "the backend was not held back"
    );
    assert!(
        proxy.peak_resident_kib() < RESIDENT_KIB,
        "{} KiB",
        proxy.peak_resident_kib()
    );
}
