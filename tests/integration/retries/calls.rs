//! Backends of HTTP/2: calls of gRPC, and attempts on streams.

use std::sync::mpsc::channel;

use http::{Request, Response};

use super::{Picking, picking_addresses};
use crate::fixtures::http2::connected;
use crate::fixtures::{PATIENCE, StreamBackend, TestProxy};

fn picking(backends: &[&StreamBackend], keys: &str) -> TestProxy {
    let addresses: Vec<_> = backends.iter().map(|b| b.address()).collect();
    picking_addresses(&addresses, &format!("protocol = \"h2c\"\n{keys}")).start()
}

/// Refuses every call by a response of trailers only.
fn unavailable(code: &'static str) -> StreamBackend {
    StreamBackend::start(move |mut call| async move {
        let _ = call.read().await;
        let head = Response::builder()
            .header("content-type", "application/grpc")
            .header("grpc-status", code);
        call.end(head.body(()).unwrap());
    })
}

fn call() -> Request<()> {
    Request::post("http://a.test/service/method")
        .header("te", "trailers")
        .header("content-type", "application/grpc")
        .header("x-probe-select", "picks=0,1")
        .body(())
        .unwrap()
}

#[test]
fn a_call_is_made_again_for_the_codes_that_are_listed_and_for_no_other() {
    for (keys, code, again) in [
        ("", "14", false),
        ("retry = { on = [\"grpc-unavailable\"] }", "14", true),
        ("retry = { on = [\"grpc-unavailable\"] }", "8", false),
        ("retry = { on = [\"grpc-resource-exhausted\"] }", "8", true),
    ] {
        let (one, two) = (unavailable(code), StreamBackend::named("ok"));
        let proxy = picking(&[&one, &two], keys);
        let answer = connected(&proxy, async |client| client.ask(call(), b"message").await);
        let answer = answer.unwrap();
        let status = answer
            .fields
            .get("grpc-status")
            .map(|s| s.to_str().unwrap());
        assert_eq!(status, (!again).then_some(code), "{keys}");
        assert_eq!((one.requests(), two.requests()), (1, usize::from(again)));
    }
}

#[test]
fn a_503_on_a_stream_is_asked_for_elsewhere() {
    let (reset, was_reset) = channel();
    let one = StreamBackend::start(move |mut call| {
        let reset = reset.clone();
        async move {
            // More of the body is to come.
            let head = Response::builder().status(503).body(()).unwrap();
            let mut stream = call.begin(head);
            stream.send_data("busy".into(), false).unwrap();
            let reason = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            reset.send(reason.unwrap()).unwrap();
        }
    });
    let two = StreamBackend::named("ok");
    let proxy = picking(&[&one, &two], "max-failures = 0");
    for n in 1..=3 {
        assert_eq!(proxy.ask(Picking::get("0,1")).text(), "ok");
        let reason = was_reset.recv_timeout(PATIENCE).unwrap();
        assert_eq!(reason, h2::Reason::CANCEL);
        assert_eq!((one.requests(), one.connections()), (n, 1));
    }
}

#[test]
fn a_hedge_on_streams_resets_the_one_that_is_slower() {
    let (reset, was_reset) = channel();
    let one = StreamBackend::start(move |mut call| {
        let reset = reset.clone();
        async move { reset.send(call.cancelled().await).unwrap() }
    });
    let two = StreamBackend::start(|mut call| async move {
        let (body, _) = call.read().await.unwrap();
        call.answer_now(body);
    });
    // Long enough for a connection on a busy machine: without one there is no stream to reset.
    let proxy = picking(&[&one, &two], "hedge = { after = \"250ms\" }");
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "");
    let put = Picking::of("PUT", "0,1").body("body").bytes();
    assert_eq!(proxy.ask(put).text(), "body");
    for _ in 0..2 {
        let reason = was_reset.recv_timeout(PATIENCE).unwrap();
        assert_eq!(reason, h2::Reason::CANCEL);
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let failures = &proxy.stats()["backends"][one.address().to_string()]["failures"];
    assert_eq!(*failures, 0);
}

#[test]
fn a_client_of_http2_gets_what_its_hedge_brings() {
    let one = StreamBackend::start(|mut call| async move {
        call.cancelled().await;
    });
    let two = StreamBackend::named("two");
    let proxy = picking(&[&one, &two], "hedge = { after = \"20ms\" }");
    connected(&proxy, async |client| {
        let get = || {
            Request::get("http://a.test/")
                .header("x-probe-select", "picks=0,1")
                .body(())
                .unwrap()
        };
        for _ in 0..3 {
            assert_eq!(client.ask(get(), b"").await.unwrap().body, b"two");
        }
    });
    assert_eq!(proxy.stat("/attempts/hedges_won"), 3);
}
