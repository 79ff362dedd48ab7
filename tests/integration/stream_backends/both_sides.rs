//! HTTP/2 on both sides, as gRPC uses it: both directions of a stream are independent, and its end
//! is what the backend says.

use std::future::poll_fn;

use bytes::Bytes;
use h2::client::SendRequest;
use h2::{Reason, RecvStream, SendStream};
use http::{HeaderMap, HeaderValue, Method, Request};
use tokio::net::TcpStream;

use super::{in_front_of, response};
use crate::fixtures::{PATIENCE, StreamBackend, TestProxy};

/// Runs a client of HTTP/2.
pub fn client<F: Future<Output = ()>>(
    proxy: &TestProxy,
    run: impl FnOnce(SendRequest<Bytes>) -> F,
) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(async {
        let stream = TcpStream::connect(proxy.address()).await.unwrap();
        let (send, connection) = h2::client::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let run = run(send.ready().await.unwrap());
        tokio::time::timeout(PATIENCE, run).await.expect("no hang");
    });
}

fn call() -> Request<()> {
    Request::post("http://a.test/service/method")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .body(())
        .unwrap()
}

async fn piece(body: &mut RecvStream) -> Option<Bytes> {
    let piece = body.data().await?.unwrap();
    body.flow_control().release_capacity(piece.len()).unwrap();
    Some(piece)
}

/// Sends a piece, for which there is room.
fn push(stream: &mut SendStream<Bytes>, text: &'static str) {
    stream
        .send_data(Bytes::from_static(text.as_bytes()), false)
        .unwrap();
}

fn status(code: &'static str) -> HeaderMap {
    let mut trailers = HeaderMap::new();
    trailers.insert("grpc-status", HeaderValue::from_static(code));
    trailers
}

#[test]
fn messages_go_back_and_forth_on_an_open_stream_and_trailers_end_it() {
    let backend = StreamBackend::start(|mut call| async move {
        assert_eq!(call.request.headers()["te"], "trailers");
        assert!(!call.request.headers().contains_key("connection"));
        let mut stream = call.begin(response(200));
        while let Some(piece) = call.piece().await {
            stream.send_data(piece, false).unwrap();
        }
        stream.send_trailers(status("0")).unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(call(), false).unwrap();
        let mut down = answer.await.unwrap().into_body();
        for text in ["one", "two", "three"] {
            push(&mut up, text);
            assert_eq!(piece(&mut down).await.unwrap(), text);
        }
        up.send_data(Bytes::new(), true).unwrap();
        assert!(piece(&mut down).await.is_none());
        assert_eq!(down.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_response_of_trailers_only_is_one_frame_on_both_sides() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut head = response(200);
        head.headers_mut().extend(status("12"));
        call.end(head);
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(call(), false).unwrap();
        up.send_data(Bytes::from_static(b"request"), true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.headers()["grpc-status"], "12");
        assert!(!answer.headers().contains_key("content-length"));
        assert!(answer.body().is_end_stream(), "its head has ended it");
    });
}

#[test]
fn a_client_that_is_silent_for_longer_than_a_body_may_take_still_has_its_stream() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut stream = call.begin(response(200));
        let mut pieces = 0;
        // Speaks until the client does.
        loop {
            tokio::select! {
                piece = call.piece() => match piece {
                    Some(piece) => {
                        pieces += usize::from(!piece.is_empty());
                        stream.send_data(piece, false).unwrap();
                    }
                    None => break,
                },
                () = tokio::time::sleep(std::time::Duration::from_millis(20)) => {
                    stream.send_data(Bytes::from_static(b"."), false).unwrap();
                }
            }
        }
        assert_eq!(pieces, 1);
        stream.send_trailers(status("0")).unwrap();
    });
    let tables = "[timeouts]\nbody-read = \"50ms\"";
    let proxy = super::with_keys(&[backend.address()], "", tables);
    client(&proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(call(), false).unwrap();
        let mut down = answer.await.unwrap().into_body();
        let mut heard = 0;
        // Some 600 ms: far more than a client's body may pause.
        while heard < 30 {
            heard += piece(&mut down).await.unwrap().len();
        }
        push(&mut up, "late");
        up.send_data(Bytes::new(), true).unwrap();
        let mut rest = Vec::new();
        while let Some(piece) = piece(&mut down).await {
            rest.extend_from_slice(&piece);
        }
        assert!(rest.windows(4).any(|bytes| bytes == b"late"));
        assert_eq!(down.trailers().await.unwrap().unwrap()["grpc-status"], "0");
    });
}

#[test]
fn a_client_that_resets_its_stream_cancels_the_backends_and_no_other() {
    let (cancelled, reason) = std::sync::mpsc::channel();
    let backend = StreamBackend::start(move |mut call| {
        let cancelled = cancelled.clone();
        async move {
            match *call.request.method() {
                Method::POST => cancelled.send(call.cancelled().await).unwrap(),
                _ => call.answer("the other").await,
            }
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let (first, mut up) = send.send_request(call(), false).unwrap();
        push(&mut up, "begun");
        poll_fn(|cx| send.poll_ready(cx)).await.unwrap();
        let other = Request::get("http://a.test/").body(()).unwrap();
        let (other, _) = send.send_request(other, true).unwrap();
        let mut body = other.await.unwrap().into_body();
        up.send_reset(Reason::CANCEL);
        drop(first);
        assert_eq!(piece(&mut body).await.unwrap(), "the other");
    });
    assert_eq!(reason.recv_timeout(PATIENCE).unwrap(), Reason::CANCEL);
    assert_eq!(backend.connections(), 1);
}

#[test]
fn a_backend_that_breaks_off_resets_the_clients_stream() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut stream = call.begin(response(200));
        stream
            .send_data(Bytes::from_static(b"begun"), false)
            .unwrap();
        // Until the client has it.
        let _ = call.piece().await;
        stream.send_reset(Reason::INTERNAL_ERROR);
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    client(&proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(call(), false).unwrap();
        let mut down = answer.await.unwrap().into_body();
        assert_eq!(piece(&mut down).await.unwrap(), "begun");
        push(&mut up, "go on");
        let end = down.data().await.unwrap().unwrap_err();
        assert!(end.is_reset(), "{end}");
    });
}
