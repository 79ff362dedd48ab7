//! Clients that wait for `100 Continue` before they send a body.

use crate::fixtures::{Request, TestProxy, TestUpstream, response};

#[test]
fn a_client_that_expects_100_gets_it_before_it_sends_its_body() {
    let upstream = TestUpstream::agreeing();
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        client.send(
            "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
        );
        assert_eq!(client.head().0, 100);
        client.send("hello");
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(answer.interim.is_empty(), "one 100 is enough");
    }
}

#[test]
fn a_client_that_expects_100_may_get_a_final_answer_in_its_place() {
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection
            .send("HTTP/1.1 401 Who Are You\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno");
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let mut answer = client.response();
    answer.interim.retain(|head| !head.start.contains(" 100 "));
    assert_eq!((answer.status, answer.text().as_str()), (401, "no"));
    assert!(answer.interim.is_empty());
}

#[test]
fn a_client_that_expects_100_is_refused_before_it_sends() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: b.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!(answer.status, 404);
    assert!(answer.interim.is_empty());
    assert!(
        answer.closes(),
        "else the body could be taken for a request"
    );
}

#[test]
fn early_hints_are_forwarded_to_clients_of_http_1_1() {
    let hints = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nConnection: X-Private\r\nX-Private: 1\r\n\r\n";
    let upstream =
        TestUpstream::answering([hints.as_bytes(), &response("200 OK", &[], "done")].concat());
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.get("a.test", "/");
    assert_eq!(answer.text(), "done");
    assert_eq!(answer.interim.len(), 1);
    assert!(answer.interim[0].start.contains(" 103"));
    assert_eq!(
        answer.interim[0].value("link").as_deref(),
        Some("</a.css>; rel=preload")
    );
    assert!(!answer.interim[0].has("x-private"));
    let old = proxy.ask(Request::new("GET", "/").old().host("a.test").bytes());
    assert_eq!(old.text(), "done");
    assert!(old.interim.is_empty(), "HTTP/1.0 knows no 1xx");
}
