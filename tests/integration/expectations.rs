//! Requests with `Expect: 100-continue` (RFC 9110 section 10.1.1): the backend decides when the
//! body comes.

mod clients_in_use;
mod repeats;

use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, chunked, get, guest, response};

const EXPECTS: &str =
    "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const EXPECTS_CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A client's request that waits to be told, and the body that it then sends.
fn expecting() -> [(&'static str, Vec<u8>); 2] {
    [
        (EXPECTS, b"hello".to_vec()),
        (EXPECTS_CHUNKED, chunked([b"hel".as_slice(), b"lo"])),
    ]
}

#[test]
fn the_backend_decides_when_a_body_that_waits_is_sent() {
    let (seen, go) = (Gate::new(), Gate::new());
    let (saw, wait) = (seen.clone(), go.clone());
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.head() {
            assert!(request.head.lists("expect", "100-continue"));
            saw.open();
            wait.wait();
            connection.send("HTTP/1.1 100 Go On\r\nSet-Cookie: a=b\r\n\r\n");
            let Some(request) = connection.body() else {
                return;
            };
            connection.send(response("200 OK", &[], &request.body));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for (n, (head, body)) in expecting().into_iter().enumerate() {
        client.send(head);
        seen.wait();
        if n == 0 {
            // The backend has the head, and none of the body is asked for yet.
            assert!(client.wire.buffer.is_empty());
            go.open();
        }
        let (status, interim) = client.head();
        assert_eq!(
            (status, interim.fields.len()),
            (100, 0),
            "a 100 has nothing to say"
        );
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(
            answer.interim.is_empty() && !answer.closes(),
            "one 100 is enough, and the connection goes on"
        );
    }
    assert_eq!(upstream.connections(), 1, "and so does the backend's");
}

#[test]
fn a_backend_that_refuses_an_expectation_is_never_sent_the_body() {
    for refusal in [
        "401 Who Are You",
        "417 Expectation Failed",
        "200 OK",
        "413 Too Large",
    ] {
        let upstream = TestUpstream::start(move |connection| {
            while connection.head().is_some() {
                connection.send(response(refusal, &[], "no"));
            }
        });
        let proxy = TestProxy::in_front_of(&upstream);
        for (n, (head, _)) in expecting().into_iter().enumerate() {
            let mut client = proxy.client();
            client.send(head);
            let answer = client.response();
            assert_eq!(
                (answer.status.to_string().as_str(), answer.text().as_str()),
                (&refusal[..3], "no")
            );
            assert!(
                answer.interim.is_empty(),
                "{refusal}: the client was not told to go on"
            );
            assert!(
                answer.closes(),
                "{refusal}: what comes next may be the body or a request"
            );
            client.send_what_is_taken(get("a.test", "/smuggled"));
            client.assert_closed();
            // Nor is the backend's connection used for something else: it may wait for the body.
            let received = upstream.received();
            assert_eq!(received.len(), n + 1);
            assert_eq!(received[n].connection, n);
        }
    }
}

/// Backends without an idea of expectations, and clients that don't wait: the body is sent after a
/// while.
#[test]
fn a_silent_backend_gets_the_body_after_a_second() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nbody-read = \"500ms\"")
        .start();
    for (head, body) in expecting() {
        let mut client = proxy.client();
        client.send(head);
        assert_eq!(client.head().0, 100);
        client.send(body);
        let answer = client.response();
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.interim.len()),
            (200, "hello", 0)
        );
    }
    // The body itself must come in its time then.
    let mut client = proxy.client();
    client.send(EXPECTS);
    assert_eq!(client.head().0, 100);
    client.response().assert_refusal(408);
}

#[test]
fn a_client_that_does_not_wait_is_not_held_up() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    for (head, body) in expecting() {
        // At once, and after the head has gone out.
        let mut client = proxy.client();
        client.send([head.as_bytes(), &body].concat());
        let answer = client.response();
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.interim.len()),
            (200, "hello", 0)
        );
        let before = upstream.received().len();
        let mut client = proxy.client();
        client.send(head);
        upstream.wait_for_heads(before + 1);
        client.send(&body);
        assert_eq!(client.response().text(), "hello");
    }
}

#[test]
fn a_backend_that_speaks_http_1_0_is_not_asked_twice() {
    let upstream = TestUpstream::start(|connection| {
        if let Some(request) = connection.request() {
            let length = request.body.len();
            connection.send(format!(
                "HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"
            ));
            connection.send(&request.body);
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for n in 0..3 {
        let mut client = proxy.client();
        client.send(EXPECTS);
        assert_eq!(client.head().0, 100);
        client.send("hello");
        assert_eq!(client.response().text(), "hello");
        let expects = upstream.received()[n].head.has("expect");
        assert_eq!(expects, n == 0, "once is how it is known");
    }
}

#[test]
fn an_answer_of_the_proxy_or_a_policy_meets_the_expectation() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = crate::fixtures::refusing_address();
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\n\
             [pools.a]\nbackends = [\"{}\"]\n[pools.dead]\nbackends = [\"{dead}\"]\n\
             [[routes]]\nhost = \"a.test\"\npool = \"a\"\npolicies = [\"probe\"]\n\
             [[routes]]\nhost = \"dead.test\"\npool = \"dead\"\n",
            upstream.address()
        ))
        .start();
    let ask = |host: &str, field: &str| {
        let mut client = proxy.client();
        client.send(format!(
            "POST / HTTP/1.1\r\nHost: {host}\r\n{field}Expect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        ));
        let answer = client.response();
        assert!(
            answer.interim.is_empty() && answer.closes(),
            "{host} {field}: {answer:?}"
        );
        answer.status
    };
    assert_eq!(ask("b.test", ""), 404);
    assert_eq!(ask("dead.test", ""), 502);
    assert_eq!(ask("a.test", "X-Probe-Request: refuse=403\r\n"), 403);
    assert!(upstream.received().is_empty());
}

#[test]
fn expectations_of_http_1_0_and_of_requests_without_a_body_are_ignored() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::in_front_of(&upstream);
    let old = [
        "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\nhello",
        "POST / HTTP/1.0\r\nHost: a.test\r\nExpect: the-spanish-inquisition\r\nContent-Length: 5\r\n\r\nhello",
    ];
    for request in old {
        let answer = proxy.ask(request);
        assert_eq!(
            (answer.text().as_str(), answer.interim.len()),
            ("hello", 0),
            "{request}"
        );
    }
    // In two segments, so that the body is not in hand.
    let mut client = proxy.client();
    client.send(&old[0][..old[0].len() - 5]);
    upstream.wait_for_heads(3);
    client.send("hello");
    let answer = client.response();
    assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
    for request in [
        "GET / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 0\r\n\r\n",
    ] {
        let answer = proxy.ask(request);
        assert_eq!((answer.status, answer.interim.len()), (200, 0), "{request}");
    }
    assert!(
        upstream.received().iter().all(|r| !r.head.has("expect")),
        "{:?}",
        upstream.received()
    );
}

#[test]
fn a_client_that_waits_and_leaves_frees_its_backend() {
    let upstream = TestUpstream::start(|connection| {
        connection.head();
        connection.wait_for_close();
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for (n, (head, _)) in expecting().into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(head);
        upstream.wait_for_heads(n + 1);
        drop(client);
        upstream.wait_until_unused();
    }
}

#[test]
fn continue_is_not_said_to_a_client_that_did_not_ask() {
    let upstream =
        TestUpstream::answering([CONTINUE.as_bytes(), &response("200 OK", &[], "done")].concat());
    let proxy = TestProxy::in_front_of(&upstream);
    for request in [
        get("a.test", "/"),
        Request::new("POST", "/").host("a.test").body("x").bytes(),
    ] {
        let answer = proxy.ask(request);
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("done", 0));
    }
}
