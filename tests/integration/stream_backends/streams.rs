//! Many streams on few connections.

use std::sync::Arc;

use h2::server::Builder;
use tokio::sync::Barrier;

use super::{failures, in_front_of, response, with_keys};
use crate::fixtures::{Client, Gate, StreamBackend, TestProxy, eventually, get};

/// Sends so many requests at a time, each on a connection of its own.
fn clients(proxy: &TestProxy, count: usize) -> Vec<Client> {
    let mut clients: Vec<_> = (0..count).map(|_| proxy.client()).collect();
    for client in &mut clients {
        client.send(get("a.test", "/"));
    }
    clients
}

#[test]
fn a_hundred_requests_at_a_time_share_one_connection() {
    let together = Arc::new(Barrier::new(100));
    let backend = StreamBackend::start(move |call| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            call.answer("all").await;
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    for mut client in clients(&proxy, 100) {
        assert_eq!(client.response().text(), "all");
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 100));
    let name = backend.address().to_string();
    assert_eq!(proxy.stats()["backends"][&name]["connections"], 1);
    assert_eq!(proxy.stat("/connections/upstream_opened"), 1);
}

#[test]
fn more_requests_than_a_connection_may_have_get_another() {
    let together = Arc::new(Barrier::new(4));
    let mut builder = Builder::new();
    builder.max_concurrent_streams(1);
    let backend = StreamBackend::with(builder, None, move |call| {
        let together = Arc::clone(&together);
        async move {
            together.wait().await;
            call.answer("all").await;
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    for mut client in clients(&proxy, 4) {
        assert_eq!(client.response().text(), "all");
    }
    assert_eq!((backend.connections(), backend.requests()), (4, 4));
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn where_connections_are_limited_requests_wait_for_a_stream() {
    let gate = Gate::new();
    let held = gate.clone();
    let mut builder = Builder::new();
    builder.max_concurrent_streams(2);
    let backend = StreamBackend::with(builder, None, move |call| {
        let gate = held.clone();
        async move {
            tokio::task::spawn_blocking(move || gate.wait())
                .await
                .unwrap();
            call.answer("one of two").await;
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-connections = 1\nqueue = 3");
    let first = clients(&proxy, 2);
    eventually("two requests", || (backend.requests() == 2).then_some(()));
    let waiting = clients(&proxy, 3);
    eventually("three that wait", || {
        (proxy.stat("/pools/all/queue_length") == 3).then_some(())
    });
    assert_eq!(proxy.get("a.test", "/").status, 503, "the queue is full");
    gate.open();
    for mut client in first.into_iter().chain(waiting) {
        assert_eq!(client.response().text(), "one of two");
    }
    assert_eq!((backend.connections(), backend.requests()), (1, 5));
}

#[test]
fn a_backend_that_allows_no_stream_at_all_is_not_waited_for() {
    let mut builder = Builder::new();
    builder.max_concurrent_streams(0);
    let backend = StreamBackend::with(builder, None, |call| call.answer("never"));
    let proxy = in_front_of(&[backend.address()], "attempts = 2");
    assert_eq!(proxy.get("a.test", "/").status, 503);
    assert_eq!(backend.requests(), 0);
    // It is asked anew once a second, however many requests there are.
    let began = std::time::Instant::now();
    for _ in 0..100 {
        assert_eq!(proxy.get("a.test", "/").status, 503);
    }
    let most = 3 + usize::try_from(began.elapsed().as_secs()).unwrap();
    assert!(backend.connections() <= most, "{}", backend.connections());
}

#[test]
fn clients_that_leave_cancel_their_streams_and_the_backend_keeps_its_connection() {
    let (cancelled, all) = std::sync::mpsc::channel();
    let backend = StreamBackend::start(move |mut call| {
        let cancelled = cancelled.clone();
        async move {
            if call.number < 100 {
                cancelled.send(call.cancelled().await).unwrap();
            } else {
                call.answer("still here").await;
            }
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    let leaving = clients(&proxy, 100);
    eventually("all requests", || (backend.requests() == 100).then_some(()));
    leaving.into_iter().for_each(Client::reset);
    for _ in 0..100 {
        let reason = all.recv_timeout(crate::fixtures::PATIENCE).unwrap();
        assert_eq!(reason, h2::Reason::CANCEL);
    }
    assert_eq!(proxy.get("a.test", "/").text(), "still here");
    assert_eq!(backend.connections(), 1);
    assert_eq!(failures(&proxy, &backend), 0);
}

#[test]
fn a_client_that_leaves_within_a_response_cancels_its_stream() {
    let (cancelled, reason) = std::sync::mpsc::channel();
    let backend = StreamBackend::start(move |mut call| {
        let cancelled = cancelled.clone();
        async move {
            let mut stream = call.begin(response(200));
            stream.send_data("begun".into(), false).unwrap();
            let reset = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
            cancelled.send(reset.unwrap()).unwrap();
        }
    });
    let proxy = with_keys(&[backend.address()], "", "");
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    assert_eq!(client.head().0, 200);
    client.reset();
    let reason = reason.recv_timeout(crate::fixtures::PATIENCE).unwrap();
    assert_eq!(reason, h2::Reason::CANCEL);
}
