//! Bodies of any length, byte for byte, in memory of a bounded size.

use std::future::poll_fn;
use std::time::Duration;

use crate::fixtures::http2::{Http2, block_on, connected, get, receive, receive_body, request};
use crate::fixtures::{Gate, TestProxy, TestUpstream, eventually, response};
use crate::tunnels::patient;

/// No two pieces of it are alike.
fn content(length: usize) -> Vec<u8> {
    (0..length as u64 / 8 + 1)
        .flat_map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_le_bytes())
        .take(length)
        .collect()
}

#[test]
fn bodies_of_any_length_arrive_as_they_were_sent() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        for length in [1, 16_383, 16_384, 65_536, 65_537, 3_000_000] {
            let body = content(length);
            for known in [true, false] {
                let mut request = request("POST", "a.test", "/");
                if known {
                    let length = length.to_string().parse().unwrap();
                    request.headers_mut().insert("content-length", length);
                }
                let answer = client.ask(request, &body).await.unwrap();
                assert_eq!(answer.status, 200, "{length} {known}");
                assert!(
                    answer.body == body,
                    "{length} {known}: {}",
                    answer.body.len()
                );
            }
        }
    });
    let received = upstream.received();
    let framing: Vec<bool> = received.iter().map(|r| r.chunked).collect();
    assert_eq!(
        framing,
        [false, true].repeat(6),
        "as the client has framed it"
    );
}

#[test]
fn many_long_bodies_of_a_connection_do_not_mix() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let asked = (1..=20).map(|n| {
            let client = client.clone();
            tokio::spawn(async move {
                let body = content(n * 10_007);
                let answer = client
                    .ask(request("PUT", "a.test", "/"), &body)
                    .await
                    .unwrap();
                answer.body == body
            })
        });
        for asked in asked.collect::<Vec<_>>() {
            assert!(asked.await.unwrap());
        }
    });
}

/// What a client does not read stays with the backend.
#[test]
fn a_client_that_does_not_read_holds_its_backend_and_no_memory() {
    const LENGTH: usize = 64 << 20;
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            connection.send(format!(
                "HTTP/1.1 200 OK\r\nContent-Length: {LENGTH}\r\n\r\n"
            ));
            let piece = vec![b'x'; 1 << 20];
            for _ in 0..LENGTH >> 20 {
                connection.send(&piece);
            }
        }
    });
    let proxy = patient(&upstream, "send = \"60s\"");
    block_on(async {
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(1 << 20)
            .initial_connection_window_size(1 << 20);
        let client = Http2::connect_by(&mut builder, proxy.address()).await;
        let (response, _) = client.send(get("a.test", "/"), true).await.unwrap();
        let response = response.await.unwrap();
        let before = proxy.resident_kib();
        let quick = Http2::connect(proxy.address()).await;
        for _ in 0..50 {
            quick.assert_goes_on().await;
        }
        let grown = proxy.resident_kib().saturating_sub(before);
        assert!(grown < 16 * 1024, "{grown} KiB");
        let (body, _) = receive_body(response.into_body()).await.unwrap();
        assert_eq!(body.len(), LENGTH);
    });
}

/// A backend that does not read holds its client, within the windows.
#[test]
fn a_backend_that_does_not_read_holds_its_client() {
    const LENGTH: usize = 32 << 20;
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while connection.head().is_some() {
            held.wait();
            let length = connection.body().map_or(0, |request| request.body.len());
            connection.send(response("200 OK", &[], length.to_string()));
        }
    });
    let proxy = patient(&upstream, "response = \"60s\"");
    connected(&proxy, async |client| {
        let (response, mut sender) = client
            .send(request("POST", "a.test", "/"), false)
            .await
            .unwrap();
        let mut sent = 0;
        loop {
            sender.reserve_capacity(1 << 16);
            let room = poll_fn(|cx| sender.poll_capacity(cx));
            let Ok(room) = tokio::time::timeout(Duration::from_millis(700), room).await else {
                break;
            };
            let n = room.unwrap().unwrap();
            sender.send_data(vec![b'x'; n].into(), false).unwrap();
            sent += n;
        }
        assert!(sent < 24 << 20, "{sent} bytes that nobody reads");
        gate.open();
        while sent < LENGTH {
            sender.reserve_capacity(1 << 16);
            let room = poll_fn(|cx| sender.poll_capacity(cx))
                .await
                .unwrap()
                .unwrap();
            let n = room.min(LENGTH - sent);
            sender.send_data(vec![b'x'; n].into(), false).unwrap();
            sent += n;
        }
        sender.send_data("".into(), true).unwrap();
        let answer = receive(response).await.unwrap();
        assert_eq!(answer.body, LENGTH.to_string().into_bytes());
    });
}

#[test]
fn a_body_beyond_the_limit_is_a_413() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nbody-bytes = \"100KiB\"")
        .start();
    connected(&proxy, async |client| {
        let body = content(200 * 1024);
        let answer = client.ask(request("POST", "a.test", "/"), &body).await;
        assert_eq!(answer.unwrap().status, 413);
        let mut known = request("POST", "a.test", "/");
        known
            .headers_mut()
            .insert("content-length", body.len().into());
        let answer = client.ask(known, &body).await.unwrap();
        assert_eq!(answer.status, 413);
        let fits = client
            .ask(request("POST", "a.test", "/"), &body[..100 * 1024])
            .await;
        assert_eq!(fits.unwrap().status, 200, "and the connection goes on");
    });
    eventually("the streams have ended", || {
        (proxy.stat("/http2/streams_active") == 0).then_some(())
    });
}
