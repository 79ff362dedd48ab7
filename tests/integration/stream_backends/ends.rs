//! Streams and connections that end before the response has: what is tried again, and what the
//! backend is blamed for.

use bytes::Bytes;
use h2::Reason;

use super::{failures, in_front_of, post, response, with_keys};
use crate::fixtures::{Gate, Request, StreamBackend, get};

#[test]
fn a_backend_that_goes_away_finishes_what_it_has_and_the_next_request_gets_another_connection() {
    let gate = Gate::new();
    let held = gate.clone();
    let backend = StreamBackend::start(move |call| {
        let gate = held.clone();
        async move {
            if call.number == 0 {
                call.go_away();
                tokio::task::spawn_blocking(move || gate.wait())
                    .await
                    .unwrap();
            }
            call.answer("done").await;
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut first = proxy.client();
    first.send(post("x"));
    // Else one of the next could be the call that is held.
    crate::fixtures::eventually("the first request at the backend", || {
        (backend.requests() == 1).then_some(())
    });
    // Until the farewell has arrived, requests may still go to the old connection.
    crate::fixtures::eventually("another connection", || {
        assert_eq!(proxy.ask(post("x")).text(), "done");
        (backend.connections() == 2).then_some(())
    });
    gate.open();
    assert_eq!(first.response().text(), "done");
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn what_was_not_processed_is_sent_again_whatever_the_method_and_is_no_failure() {
    let backend = StreamBackend::start(|mut call| async move {
        match call.number {
            0 => call.answer("first").await,
            // A refused stream, on a connection that stays.
            1 => call.reset(Reason::REFUSED_STREAM),
            _ => {
                let (body, _) = call.read().await.unwrap();
                call.answer_now(body);
            }
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    assert_eq!(proxy.get("a.test", "/").text(), "first");
    assert_eq!(proxy.ask(post("again")).text(), "again");
    let chunks = Request::new("POST", "/")
        .host("a")
        .chunks([&b"in "[..], b"chunks"]);
    assert_eq!(proxy.ask(chunks.bytes()).text(), "in chunks");
    assert_eq!((backend.connections(), backend.requests()), (1, 4));
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn a_backend_that_always_refuses_is_asked_as_often_as_the_pool_says() {
    let backend =
        StreamBackend::start(|mut call| async move { call.reset(Reason::REFUSED_STREAM) });
    let proxy = in_front_of(&[backend.address()], "attempts = 3");
    assert_eq!(proxy.ask(post("x")).status, 503);
    assert_eq!(backend.requests(), 3);
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn a_reset_before_the_head_is_tried_again_only_if_the_request_may_be_repeated() {
    let backend = StreamBackend::start(|mut call| async move {
        match call.request.headers().contains_key("x-fail") && call.number % 2 == 0 {
            true => call.reset(Reason::INTERNAL_ERROR),
            false => call.answer("alive").await,
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    let ask = |method: &str| {
        let request = Request::new(method, "/")
            .host("a.test")
            .field("X-Fail", "1");
        proxy.ask(request.body("x").bytes())
    };
    assert_eq!(ask("PUT").text(), "alive");
    assert_eq!(backend.requests(), 2);
    assert_eq!(ask("POST").status, 502);
    assert_eq!(backend.requests(), 3);
    assert_eq!(failures(&proxy, &backend), 2);
}

#[test]
fn a_connection_that_ends_under_its_requests_is_no_failure_of_those_that_may_be_repeated() {
    let backend = StreamBackend::start(|call| async move {
        match call.number {
            1 | 2 => call.close(),
            _ => call.answer("alive").await,
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    assert_eq!(proxy.get("a.test", "/").text(), "alive");
    assert_eq!(
        proxy.ask(post("x")).status,
        502,
        "it may have been processed"
    );
    assert_eq!(proxy.get("a.test", "/").text(), "alive");
    assert!(backend.connections() >= 3, "{}", backend.connections());
}

#[test]
fn a_response_that_is_broken_off_is_no_whole_one() {
    let backend = StreamBackend::start(|mut call| async move {
        let is_short = call.request.uri().path() == "/length";
        let mut head = response(200);
        if is_short {
            head.headers_mut().insert("content-length", 10.into());
        }
        let mut stream = call.begin(head);
        stream
            .send_data(Bytes::from_static(b"begun"), false)
            .unwrap();
        // Sent behind the data.
        stream.reserve_capacity(1);
        let _ = std::future::poll_fn(|cx| stream.poll_capacity(cx)).await;
        match is_short {
            true => call.go_away_now(Reason::INTERNAL_ERROR),
            false => stream.send_reset(Reason::INTERNAL_ERROR),
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0\nattempts = 1");
    for path in ["/chunks", "/length"] {
        let mut client = proxy.client();
        client.send(get("a.test", path));
        match client.try_response_to("GET") {
            Err(_) => {}
            // The reset may overtake what it cuts.
            Ok(answer) => assert_eq!(answer.status, 502, "{path}"),
        }
    }
}

#[test]
fn a_whole_response_to_half_a_request_is_a_whole_response() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut stream = call.begin(response(413));
        // Dropped, the call asks the proxy to stop, by a reset without an error.
        stream
            .send_data(Bytes::from_static(b"too large"), true)
            .unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\nhe");
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_ref()), (413, "too large"));
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn a_silent_stream_ends_by_the_time_out_and_its_connection_goes_on() {
    let backend = StreamBackend::start(|mut call| async move {
        match call.request.uri().path() {
            "/silent" => {
                call.cancelled().await;
            }
            _ => call.answer("alive").await,
        }
    });
    let timeouts = "[timeouts]\nresponse = \"100ms\"";
    let proxy = with_keys(&[backend.address()], "max-failures = 0", timeouts);
    assert_eq!(proxy.get("a.test", "/silent").status, 504);
    assert_eq!(proxy.get("a.test", "/").text(), "alive");
    assert_eq!(backend.connections(), 1);
    assert_eq!(failures(&proxy, &backend), 1);
}
