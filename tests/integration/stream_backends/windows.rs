//! Windows of connections: what stops one stream does not stop the others, and is not held against
//! them. Frames of a few bytes and of none.

use std::time::Duration;

use bytes::Bytes;
use h2::server::Builder;

use super::{post, response, with_keys};
use crate::fixtures::http2::{
    DATA, END_STREAM, Frames, GOAWAY, Http2, PING, PLAIN, RST_STREAM, SETTINGS, block_on, frame,
    receive, request,
};
use crate::fixtures::{Gate, StreamBackend, eventually};

/// A backend that takes at most so much of a body before the gate is open, and answers with its
/// length.
fn behind(gate: &Gate, window: u32) -> StreamBackend {
    let mut builder = Builder::new();
    builder
        .initial_window_size(window)
        .initial_connection_window_size(8 << 20);
    let gate = gate.clone();
    StreamBackend::with(builder, None, move |mut call| {
        let gate = gate.clone();
        async move {
            if call.request.uri().path() != "/quick" {
                let opened = tokio::task::spawn_blocking(move || gate.wait());
                opened.await.unwrap();
            }
            if let Ok((body, _)) = call.read().await {
                call.answer_now(body.len().to_string());
            }
        }
    })
}

/// A connection with an upload of 1 MiB that its backend does not take.
async fn stalled(client: &Http2, bytes: usize) -> tokio::task::JoinHandle<Vec<u8>> {
    let client = client.clone();
    tokio::spawn(async move {
        let body = vec![b'x'; bytes];
        let answer = client.ask(request("POST", "a.test", "/"), &body).await;
        answer.unwrap().body
    })
}

#[test]
fn uploads_that_stall_stop_no_other_upload_of_their_connection() {
    let gate = Gate::new();
    let backend = behind(&gate, 100);
    let proxy = with_keys(&[backend.address()], "", "");
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let mut uploads = Vec::new();
        for _ in 0..5 {
            uploads.push(stalled(&client, 1 << 20).await);
        }
        eventually("they are there", || (backend.requests() == 5).then_some(()));
        for _ in 0..3 {
            let body = vec![b'y'; 300_000];
            let quick = client.ask(request("POST", "a.test", "/quick"), &body).await;
            assert_eq!(quick.unwrap().body, b"300000");
        }
        gate.open();
        for upload in uploads {
            assert_eq!(upload.await.unwrap(), b"1048576");
        }
        // The windows are as they were, and enough.
        let body = vec![0; 3 << 20];
        let last = client.ask(request("POST", "a.test", "/"), &body);
        assert_eq!(last.await.unwrap().body, b"3145728");
    });
}

/// A client that may not send is not late.
#[test]
fn a_client_whose_connection_is_held_up_by_another_upload_has_its_time() {
    let gate = Gate::new();
    let backend = behind(&gate, 100);
    let tables = "[timeouts]\nbody-read = \"200ms\"\n[limits]\nh2-streams = 2\n\
                  h2-connection-window = 65535\nh2-stream-window = \"4MiB\"";
    let proxy = with_keys(&[backend.address()], "", tables);
    block_on(async {
        let client = Http2::connect(proxy.address()).await;
        let first = stalled(&client, 4 << 20).await;
        eventually("it is there", || (backend.requests() == 1).then_some(()));
        // As much as there is room for.
        let upload = stalled(&client, 100_000).await;
        eventually("both are there", || (backend.requests() == 2).then_some(()));
        let mut upload = upload;
        let waited = tokio::time::timeout(Duration::from_millis(800), &mut upload).await;
        assert!(waited.is_err(), "{waited:?}");
        gate.open();
        assert_eq!(upload.await.unwrap(), b"100000");
        assert_eq!(first.await.unwrap(), b"4194304");
    });
}

#[test]
fn a_connection_on_which_the_backend_takes_nothing_gets_no_further_requests() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = StreamBackend::start(move |mut call| {
        let gate = held.clone();
        async move {
            if call.number == 0 {
                let opened = tokio::task::spawn_blocking(move || gate.wait());
                opened.await.unwrap();
            }
            let (body, _) = call.read().await.unwrap();
            call.answer_now(body.len().to_string());
        }
    });
    let proxy = with_keys(&[backend.address()], "", "");
    let mut first = proxy.client();
    let body = "x".repeat(100_000);
    first.send(post(&body));
    eventually("the first request at the backend", || {
        (backend.requests() == 1).then_some(())
    });
    eventually("another connection", || {
        assert_eq!(proxy.get("a.test", "/").text(), "0");
        (backend.connections() == 2).then_some(())
    });
    assert_eq!(proxy.ask(post("hello")).text(), "5");
    gate.open();
    assert_eq!(first.response().text(), "100000");
    assert_eq!(backend.connections(), 2);
}

#[test]
fn small_pieces_that_wait_for_a_backend_cost_no_connection() {
    let gate = Gate::new();
    let backend = behind(&gate, 100);
    let proxy = with_keys(&[backend.address()], "", "");
    for streams in [&[1][..], &[1, 3]] {
        let mut frames = Frames::connect(proxy.address());
        let post = [(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]];
        for stream in streams {
            frames.head(*stream, &post, 0);
        }
        let mut all = Vec::new();
        for _ in 0..6_000 / streams.len() {
            for stream in streams {
                all.extend(frame(DATA, 0, *stream, b"10 bytes a"));
            }
        }
        frames.send(&all);
        frames.send(frame(PING, 0, 0, b"are here"));
        let answer = std::iter::from_fn(|| frames.next()).find(|f| f.kind == PING);
        assert!(answer.is_some(), "{streams:?}");
        gate.open();
        for stream in streams {
            frames.send(frame(DATA, END_STREAM, *stream, b""));
        }
        let mut lengths = Vec::new();
        while lengths.len() < streams.len() {
            let next = frames.next().expect("the connection goes on");
            assert!(![GOAWAY, RST_STREAM].contains(&next.kind), "{next:?}");
            if next.kind == DATA && !next.payload.is_empty() {
                lengths.push(String::from_utf8(next.payload).unwrap());
            }
        }
        let each = (60_000 / streams.len()).to_string();
        assert!(lengths.iter().all(|length| *length == each), "{lengths:?}");
    }
    assert_eq!(proxy.stat("/http2/cut"), 0);
}

#[test]
fn empty_frames_among_requests_cost_no_connection_on_either_side() {
    let backend = StreamBackend::start(|mut call| async move {
        let (body, _) = call.read().await.unwrap();
        let mut stream = call.begin(response(200));
        for _ in 0..20 {
            stream.send_data(Bytes::new(), false).unwrap();
            // Sent before the next.
            tokio::task::yield_now().await;
        }
        stream.send_data(Bytes::from(body), true).unwrap();
    });
    let proxy = with_keys(&[backend.address()], "", "");
    let mut frames = Frames::connect(proxy.address());
    let post = [(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]];
    for number in 0..40 {
        let stream = 2 * number + 1;
        frames.head(stream, &post, 0);
        for _ in 0..20 {
            frames.send(frame(DATA, 0, stream, b""));
        }
        frames.send(frame(DATA, END_STREAM, stream, b"x"));
        assert!(frames.end_of(stream).ends(), "{number}");
    }
    assert_eq!(backend.connections(), 1);
}

/// Streams beyond the limit are refused, and are no errors of the client.
#[test]
fn refused_streams_are_no_errors() {
    let gate = Gate::new();
    let backend = behind(&gate, 65_535);
    let tables = "[limits]\nh2-streams = 1\nh2-stream-errors = 10";
    let proxy = with_keys(&[backend.address()], "", tables);
    let mut frames = Frames::connect(proxy.address());
    frames.find(SETTINGS);
    for number in 0..300 {
        frames.request(2 * number + 1);
    }
    for _ in 1..300 {
        assert_eq!(frames.find(RST_STREAM).error(), 7);
    }
    gate.open();
    assert!(frames.end_of(1).ends());
}

/// A client that reads slowly holds its own stream, and no other of the backend's connection.
#[test]
fn clients_that_do_not_read_stop_no_other_response_of_a_backends_connection() {
    let backend = StreamBackend::start(|mut call| async move {
        let length = match call.request.uri().path() {
            "/quick" => 300_000,
            _ => 10 << 20,
        };
        let mut stream = call.begin(response(200));
        let content = Bytes::from(vec![b'x'; length]);
        crate::fixtures::send_all(&mut stream, content, |_| {}).await;
        let _ = stream.send_data(Bytes::new(), true);
    });
    let proxy = with_keys(&[backend.address()], "", "[timeouts]\nsend = \"60s\"");
    block_on(async {
        let slow = Http2::connect(proxy.address()).await;
        let mut held = Vec::new();
        for _ in 0..40 {
            let (answer, _) = slow
                .send(request("GET", "a.test", "/"), true)
                .await
                .unwrap();
            held.push(answer.await.unwrap());
        }
        let quick = Http2::connect(proxy.address()).await;
        let answer = quick.get("a.test", "/quick").await.unwrap();
        assert_eq!(answer.body.len(), 300_000);
        let (answer, _) = quick
            .send(request("GET", "a.test", "/quick"), true)
            .await
            .unwrap();
        assert_eq!(receive(answer).await.unwrap().body.len(), 300_000);
        drop(held);
    });
    assert_eq!(backend.connections(), 1);
}
