//! The end of the process: what is in flight is finished, within a limit.

use std::net::TcpStream;
use std::time::Duration;

use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually, get, response};

/// A backend that answers when the gate opens.
pub fn gated() -> (TestUpstream, Gate) {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() != "/now" {
                opened.wait();
            }
            connection.send(response("200 OK", &[], "done"));
        }
    });
    (upstream, gate)
}

fn wait_until_not_accepting(proxy: &TestProxy) {
    eventually("new connections are refused", || {
        TcpStream::connect_timeout(&proxy.address(), Duration::from_secs(5))
            .is_err()
            .then_some(())
    });
}

#[test]
fn requests_in_flight_are_finished_and_the_exit_code_is_0() {
    for signal in ["TERM", "INT"] {
        let (upstream, gate) = gated();
        let mut proxy = TestProxy::builder()
            .workers(2)
            .host("*", &[upstream.address()])
            .start();
        let mut client = proxy.client();
        client.send(get("a.test", "/slow"));
        let mut idle = proxy.client();
        assert_eq!(idle.ask(get("a.test", "/now")).text(), "done");
        upstream.wait_for_heads(2);
        proxy.signal(signal);
        wait_until_not_accepting(&proxy);
        idle.assert_closed();
        assert!(!proxy.has_ended(), "it waits for the request");
        gate.open();
        let answer = client.response();
        assert_eq!(answer.text(), "done");
        assert!(answer.closes(), "there is no next request here");
        client.assert_closed();
        assert_eq!(proxy.exit_code(), 0, "SIG{signal}");
    }
}

#[test]
fn an_upload_in_flight_is_finished_too() {
    let upstream = TestUpstream::echo();
    let mut proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    upstream.wait_for_heads(1);
    proxy.signal("TERM");
    wait_until_not_accepting(&proxy);
    client.send("world");
    assert_eq!(client.response().text(), "helloworld");
    assert_eq!(proxy.exit_code(), 0);
}

/// They were told that they are connected: the listener closes when it has taken them in.
#[cfg(debug_assertions)]
#[test]
fn clients_in_the_accept_queue_are_answered() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .environment("WAYPOST_TEST_FAULT", "sweep=pause:pause")
        .start();
    let pause = proxy.scratch.path().join("pause");
    std::fs::write(&pause, "").unwrap();
    eventually("the worker pauses", || (!pause.exists()).then_some(()));
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    clients
        .iter_mut()
        .for_each(|client| client.send(get("a.test", "/")));
    proxy.signal("TERM");
    eventually("the stop has begun", || {
        (proxy.admin(Request::new("GET", "/readyz")).status == 503).then_some(())
    });
    std::fs::write(pause.with_extension("end"), "").unwrap();
    for mut client in clients {
        assert_eq!(client.response().text(), "a");
    }
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn nothing_in_flight_is_nothing_to_wait_for() {
    let upstream = TestUpstream::named("a");
    // Patience with silent clients is for ordinary times.
    let tables = "[timeouts]\nheader-read = \"10m\"\nidle = \"10m\"\ndrain = \"10m\"";
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(tables)
        .start();
    let mut idle = proxy.client();
    assert_eq!(idle.ask(get("a.test", "/")).text(), "a");
    let _silent = proxy.client();
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn the_wait_has_a_limit() {
    let (upstream, _gate) = gated();
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\ndrain = \"300ms\"")
        .start();
    let mut client = proxy.client();
    client.send(get("a.test", "/slow"));
    upstream.wait_for_heads(1);
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    assert!(client.try_response_to("GET").is_err());
}

#[test]
fn a_second_signal_ends_the_process_at_once() {
    let (upstream, _gate) = gated();
    let mut proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/slow"));
    upstream.wait_for_heads(1);
    proxy.signal("TERM");
    wait_until_not_accepting(&proxy);
    proxy.signal("TERM");
    // The drain limit is 30 s: to end within the test's patience is to end by the signal.
    proxy.exit_code();
}

#[test]
fn readiness_ends_with_the_first_signal() {
    let (upstream, gate) = gated();
    let mut proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/slow"));
    upstream.wait_for_heads(1);
    eventually("it is ready", || {
        (proxy.admin(Request::new("GET", "/readyz")).status == 200).then_some(())
    });
    let address = proxy.admin_address();
    proxy.signal("TERM");
    // Either it says so, or it is gone already; ready it is not.
    eventually("it is not ready any more", || {
        let stream = TcpStream::connect(address).ok();
        let Some(_) = stream else { return Some(()) };
        let mut admin = crate::fixtures::Client::connect(address);
        admin.send_what_is_taken(get("localhost", "/readyz"));
        (!admin.try_response_to("GET").is_ok_and(|r| r.status == 200)).then_some(())
    });
    gate.open();
    assert_eq!(client.response().text(), "done");
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn requests_are_served_between_not_ready_and_the_end_of_the_listeners() {
    let upstream = TestUpstream::named("a");
    let start = |delay: &str| {
        TestProxy::builder()
            .host("*", &[upstream.address()])
            .tables(&format!(
                "[timeouts]\nshutdown-delay = \"{delay}\"\ndrain-idle = \"0s\""
            ))
            .start()
    };
    let mut proxy = start("10m");
    let mut kept = proxy.client();
    assert_eq!(kept.ask(get("a.test", "/")).text(), "a");
    proxy.signal("TERM");
    let closing = |l: &str| l.contains("the listeners close in 600s").then_some(());
    assert!(proxy.stderr.find(closing).is_some());
    let ready = proxy.admin(Request::new("GET", "/readyz"));
    assert_eq!(ready.status, 503);
    assert!(ready.text().contains("still served"), "{}", ready.text());
    let answer = kept.ask(get("a.test", "/"));
    assert_eq!((answer.status, answer.closes()), (200, false));
    assert_eq!(proxy.get("a.test", "/").text(), "a", "a new connection");
    // The second one waits for nothing.
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 143);
    let mut proxy = start("50ms");
    let mut kept = proxy.client();
    assert_eq!(kept.ask(get("a.test", "/")).text(), "a");
    proxy.signal("TERM");
    kept.assert_closed();
    assert_eq!(proxy.exit_code(), 0);
}

#[test]
fn a_connection_that_is_idle_when_the_stop_begins_may_send_one_more_request() {
    let upstream = TestUpstream::named("a");
    let mut proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\ndrain-idle = \"10s\"")
        .start();
    let mut idle = proxy.client();
    assert_eq!(idle.ask(get("a.test", "/")).text(), "a");
    proxy.signal("TERM");
    wait_until_not_accepting(&proxy);
    let answer = idle.ask(get("a.test", "/"));
    assert_eq!(answer.text(), "a");
    assert!(answer.closes(), "there is no next request here");
    assert_eq!(proxy.exit_code(), 0);
}
