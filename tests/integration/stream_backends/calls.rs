//! Calls of gRPC: how a refusal and a deadline reach their caller.

use bytes::Bytes;
use http::{HeaderMap, Request};

use super::both_sides::client;
use super::{failures, in_front_of, response};
use crate::fixtures::http2::receive_body;
use crate::fixtures::{StreamBackend, TestProxy, refusing_address};

/// A call with more fields.
fn call(fields: &[(&str, &str)]) -> Request<()> {
    let call = Request::post("http://a.test/service/method")
        .header("te", "trailers")
        .header("content-type", "application/grpc+proto");
    let call = fields.iter().fold(call, |call, (n, v)| call.header(*n, *v));
    call.body(()).unwrap()
}

/// The head of the answer to a call, which must be all of it.
fn refused(proxy: &TestProxy, request: Request<()>) -> HeaderMap {
    let (sent, answer) = std::sync::mpsc::channel();
    client(proxy, |mut send| async move {
        let (answer, mut up) = send.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        assert!(answer.body().is_end_stream(), "trailers only");
        // The caller learns by the end of its stream that no more of the call is wanted.
        let _ = up.send_data(Bytes::from_static(b"more"), true);
        sent.send(answer.headers().clone()).unwrap();
    });
    answer.recv().unwrap()
}

#[test]
fn a_refused_call_has_its_status_and_message_in_a_response_of_trailers_only() {
    let (_socket, nobody) = refusing_address();
    let proxy = in_front_of(&[nobody], "");
    let head = refused(&proxy, call(&[]));
    assert_eq!(head["grpc-status"], "14");
    assert_eq!(head["content-type"], "application/grpc");
    assert_eq!(
        head["grpc-message"],
        "No backend could be reached, or none answered."
    );
    assert!(head.contains_key("proxy-status"));
    assert!(!head.contains_key("content-length"));
}

#[test]
fn what_is_no_call_is_refused_by_its_http_status() {
    let (_socket, nobody) = refusing_address();
    let proxy = in_front_of(&[nobody], "");
    client(&proxy, |mut send| async move {
        let request = Request::get("http://a.test/").body(()).unwrap();
        let (answer, _) = send.send_request(request, true).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 502);
        assert!(!answer.headers().contains_key("grpc-status"));
    });
}

#[test]
fn a_call_ends_at_its_deadline_and_its_backend_is_not_blamed() {
    let (gone, cancelled) = std::sync::mpsc::channel();
    let backend = StreamBackend::start(move |mut call| {
        let gone = gone.clone();
        async move {
            std::future::poll_fn(|cx| call.respond.poll_reset(cx))
                .await
                .unwrap();
            gone.send(()).unwrap();
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    let head = refused(&proxy, call(&[("grpc-timeout", "1S")]));
    assert_eq!(head["grpc-status"], "4");
    cancelled.recv().unwrap();
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn a_call_that_is_answered_before_its_deadline_does_not_notice_it() {
    let backend = StreamBackend::start(|mut call| async move {
        assert_eq!(call.request.headers()["grpc-timeout"], "1H");
        let mut stream = call.begin(response(200));
        stream
            .send_data(Bytes::from_static(b"answer"), true)
            .unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let request = call(&[("grpc-timeout", "1H")]);
        let (answer, _) = send.send_request(request, true).unwrap();
        let mut body = answer.await.unwrap().into_body();
        assert_eq!(body.data().await.unwrap().unwrap(), "answer");
    });
}

/// Its stream can't have another head, but it can have trailers.
#[test]
fn a_call_whose_answer_has_begun_ends_at_its_deadline_by_trailers() {
    let (gone, cancelled) = std::sync::mpsc::channel();
    let backend = StreamBackend::start(move |mut call| {
        let gone = gone.clone();
        async move {
            let mut head = response(200);
            let kind = "application/grpc".parse().unwrap();
            head.headers_mut().insert("content-type", kind);
            let mut stream = call.begin(head);
            stream.send_data("beginning".into(), false).unwrap();
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            gone.send(reset.unwrap()).unwrap();
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    client(&proxy, |mut send| async move {
        let request = call(&[("grpc-timeout", "2S")]);
        let (answer, _up) = send.send_request(request, false).unwrap();
        let answer = answer.await.unwrap();
        assert_eq!(answer.status(), 200);
        let (body, trailers) = receive_body(answer.into_body()).await.unwrap();
        assert_eq!(body, b"beginning");
        assert_eq!(trailers["grpc-status"], "4");
        let message = trailers["grpc-message"].to_str().unwrap();
        assert!(message.contains("deadline"), "{message}");
    });
    assert_eq!(cancelled.recv().unwrap(), h2::Reason::CANCEL);
    assert_eq!(failures(&proxy, &backend), 0);
    proxy.logged(&["\"status\":200", "before its deadline (grpc-timeout)"]);
}
