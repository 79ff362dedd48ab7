//! How streams and connections end.

use std::time::Duration;

use h2::Reason;

use crate::fixtures::http2::{
    CONTINUATION, DATA, END_HEADERS, END_STREAM, Frames, GOAWAY, HEADERS, PING, PLAIN, RST_STREAM,
    block, connected, frame, get, receive, request,
};
use crate::fixtures::{Gate, TestProxy, TestUpstream, eventually, response};
use crate::tunnels::patient;

#[test]
fn a_client_that_resets_its_stream_leaves_its_backend() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let (response, mut sender) = client.send(get("a.test", "/left"), false).await.unwrap();
        eventually("the request is there", || {
            (upstream.received().len() == 1).then_some(())
        });
        sender.send_reset(Reason::CANCEL);
        drop(response);
        client.assert_goes_on().await;
    });
    upstream.wait_until_unused();
    proxy.logged(&["/left", "the client"]);
}

#[test]
fn a_client_that_closes_its_connection_leaves_all_its_backends() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    for stream in [1, 3, 5] {
        frames.request(stream);
    }
    eventually("the requests are there", || {
        (upstream.received().len() == 3).then_some(())
    });
    drop(frames);
    upstream.wait_until_unused();
    eventually("nothing is left", || {
        let left = proxy.stat("/http2/streams_active") + proxy.stat("/connections/active");
        (left == 0).then_some(())
    });
}

/// A response that looks complete is complete.
#[test]
fn a_response_that_breaks_off_is_reset_and_never_ends_in_good_order() {
    for head in [
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ] {
        let upstream = TestUpstream::start(move |connection| {
            connection.request();
            connection.send(head);
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut frames = Frames::connect(proxy.address());
        frames.request(1);
        let end = frames.end_of(1);
        assert_eq!(
            (end.kind, end.error()),
            (RST_STREAM, Reason::INTERNAL_ERROR.into())
        );
        // The connection goes on.
        frames.head(
            3,
            &[(":method", "TRACE"), PLAIN[1], PLAIN[2], PLAIN[3]],
            END_STREAM,
        );
        assert!(frames.end_of(3).ends());
        proxy.logged(&["the backend's connection ended within the body"]);
    }
}

/// RFC 9113 section 8.1: a client is asked to stop without an error.
#[test]
fn a_body_that_nobody_wants_any_more_is_refused_after_the_whole_response() {
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection.send(response("200 OK", &[("Connection", "close")], "enough"));
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &[(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]], 0);
    frames.send(frame(0, 0, 1, b"the beginning"));
    let end = frames.end_of(1);
    assert!(end.ends(), "{end:?}");
    let reset = frames.find(RST_STREAM);
    assert_eq!((reset.stream, reset.error()), (1, 0));
}

#[test]
fn a_connection_ends_after_its_share_of_requests_and_loses_none() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nrequests-per-connection = 3")
        .start();
    let mut frames = Frames::connect(proxy.address());
    for stream in [1, 3] {
        frames.request(stream);
        assert!(frames.end_of(stream).ends());
    }
    frames.request(5);
    let first = frames.find(GOAWAY);
    let most = (u32::MAX >> 1).to_be_bytes();
    assert_eq!(first.payload[..4], most, "what is on its way may come");
    assert!(frames.end_of(5).ends());
    let last = frames.find(GOAWAY);
    assert_eq!(
        (&last.payload[..4], last.error()),
        (&5u32.to_be_bytes()[..], 0)
    );
    assert_eq!(frames.next(), None);
}

/// A client that never answers the PING of the farewell gets no requests in beyond those that may
/// have been on their way.
#[test]
fn a_farewell_that_is_not_answered_ends_after_its_time_or_some_more_requests() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nrequests-per-connection = 1\nh2-streams = 4")
        .start();
    let mut patient = Frames::connect(proxy.address());
    patient.request(1);
    patient.find(GOAWAY);
    patient.find(PING);
    let last = patient.find(GOAWAY);
    assert_eq!(last.payload[..4], 1u32.to_be_bytes(), "in time");
    patient.request(3);
    gate.open();
    assert!(patient.end_of(1).ends());
    assert_eq!(patient.next(), None);
    assert_eq!(upstream.received().len(), 1);
    let mut quick = Frames::connect(proxy.address());
    for stream in [1, 3, 5, 7] {
        quick.request(stream);
        assert!(quick.end_of(stream).ends(), "{stream}");
    }
    quick.request(9);
    assert_eq!(quick.find(GOAWAY).payload[..4], 9u32.to_be_bytes());
    quick.request(11);
    assert!(quick.end_of(9).ends());
    assert_eq!(quick.next(), None);
    assert_eq!(upstream.received().len(), 6);
}

/// The end of the client's time is no frame of its own between a head and what continues it.
#[test]
fn a_farewell_whose_time_ends_within_a_head_costs_no_stream() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nrequests-per-connection = 1")
        .start();
    let post = [(":method", "POST"), PLAIN[1], PLAIN[2], PLAIN[3]];
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &post, 0);
    frames.find(GOAWAY);
    let fields = block(&post);
    frames.send(frame(HEADERS, 0, 3, &fields[..10]));
    // Whose time begins later, and ends later.
    let mut other = Frames::connect(proxy.address());
    other.request(1);
    other.find(GOAWAY);
    other.find(GOAWAY);
    frames.send(frame(CONTINUATION, END_HEADERS, 3, &fields[10..]));
    for stream in [1, 3] {
        frames.send(frame(DATA, END_STREAM, stream, b"whole"));
        assert!(frames.end_of(stream).ends(), "{stream}");
    }
    assert_eq!(frames.last_error(), Some(0));
    assert_eq!(upstream.received().len(), 3);
}

#[test]
fn a_connection_that_the_engine_ends_is_counted() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.head(1, &[("X-Upper", "1")], END_STREAM);
    assert_eq!(frames.last_error(), Some(Reason::PROTOCOL_ERROR.into()));
    proxy.wait_for_stat("/http2/cut", 1);
}

#[test]
fn a_drain_finishes_what_has_begun_and_lets_nothing_new_in() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let mut proxy = TestProxy::in_front_of(&upstream);
    let mut frames = Frames::connect(proxy.address());
    frames.request(1);
    eventually("the request is there", || {
        (upstream.received().len() == 1).then_some(())
    });
    let mut idle = Frames::connect(proxy.address());
    idle.find(crate::fixtures::http2::SETTINGS);
    proxy.signal("TERM");
    frames.find(GOAWAY);
    let ping = frames.find(PING);
    frames.send(frame(PING, 1, 0, &ping.payload));
    frames.find(GOAWAY);
    gate.open();
    assert!(frames.end_of(1).ends());
    assert_eq!(frames.next(), None);
    assert_eq!(
        idle.last_error(),
        Some(0),
        "also without an answer to the PING"
    );
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn connections_on_which_nothing_comes_end_in_time() {
    let upstream = TestUpstream::named("a");
    let proxy = patient(&upstream, "header-read = \"300ms\"\nidle = \"400ms\"");
    let mut silent = Frames::silent(proxy.address());
    silent.send(crate::fixtures::http2::PREFACE);
    assert_eq!(silent.last_error(), Some(0), "no SETTINGS of the client");
    let mut unused = Frames::connect(proxy.address());
    assert_eq!(unused.last_error(), Some(0));
    let mut half = Frames::connect(proxy.address());
    half.send(frame(HEADERS, 0, 1, &crate::fixtures::http2::block(&PLAIN)));
    assert_eq!(half.last_error(), Some(0), "half a head");
    let mut idle = Frames::connect(proxy.address());
    idle.request(1);
    assert!(idle.end_of(1).ends());
    assert_eq!(idle.last_error(), Some(0));
    eventually("none is left", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn a_window_that_stays_closed_ends_the_stream_in_time_and_not_the_connection() {
    let upstream = TestUpstream::answering(response("200 OK", &[], "hello"));
    let proxy = patient(&upstream, "send = \"300ms\"");
    let mut frames = Frames::silent(proxy.address());
    frames.send(crate::fixtures::http2::PREFACE);
    // SETTINGS_INITIAL_WINDOW_SIZE = 0
    frames.send(frame(4, 0, 0, &[0, 4, 0, 0, 0, 0]));
    for stream in [1, 3] {
        frames.request(stream);
        let end = frames.end_of(stream);
        assert_eq!(
            (end.kind, end.error()),
            (RST_STREAM, Reason::INTERNAL_ERROR.into())
        );
    }
    proxy.logged(&["took no byte of the response in time"]);
}

#[test]
fn an_upload_that_stops_is_a_408() {
    let upstream = TestUpstream::echo();
    let proxy = patient(&upstream, "body-read = \"300ms\"");
    connected(&proxy, async |client| {
        let (response, mut sender) = client
            .send(request("POST", "a.test", "/"), false)
            .await
            .unwrap();
        sender.send_data("x".into(), false).unwrap();
        let answer = tokio::time::timeout(Duration::from_secs(10), receive(response)).await;
        assert_eq!(answer.unwrap().unwrap().status, 408);
        assert_eq!(client.get("a.test", "/").await.unwrap().status, 200);
    });
}

#[test]
fn a_listener_without_h2c_takes_its_beginning_for_a_request() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .listener("protocols = [\"http/1.1\"]")
        .host("*", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.send(crate::fixtures::http2::PREFACE);
    assert_eq!(client.response().status, 505);
}
