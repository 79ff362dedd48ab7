//! What crosses to a backend and back: fields that only look like the proxy's own, lengths,
//! trailers, connections of HTTP/1.0.

use crate::fixtures::{
    Client, ReadError, Request, TestProxy, TestUpstream, eventually, get, response,
};

#[test]
fn an_http_1_0_backend_is_asked_again_over_its_connection_only_if_it_said_so() {
    for (field, connections) in [("", 2), ("Connection: keep-alive\r\n", 1)] {
        let upstream = TestUpstream::start(move |connection| {
            // It leaves its side open in either case.
            while connection.request().is_some() {
                connection.send(format!(
                    "HTTP/1.0 200 OK\r\n{field}Content-Length: 2\r\n\r\nhi"
                ));
            }
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        for _ in 0..2 {
            assert_eq!(client.ask(get("a.test", "/")).text(), "hi");
        }
        assert_eq!(upstream.connections(), connections, "{field:?}");
    }
}

#[test]
fn a_request_that_could_have_a_body_says_that_it_has_none() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let methods = [
        ("POST", true),
        ("PUT", true),
        ("PATCH", true),
        ("GET", false),
        ("DELETE", false),
        ("OPTIONS", false),
    ];
    for (method, _) in methods {
        assert_eq!(
            client
                .ask(Request::new(method, "/").host("a.test").bytes())
                .status,
            200
        );
    }
    for (request, (method, says)) in upstream.received().iter().zip(methods) {
        assert_eq!(
            request.value("content-length").as_deref(),
            says.then_some("0"),
            "{method}"
        );
        assert!(!request.chunked);
    }
}

#[test]
fn fields_that_backends_take_for_the_proxys_own_stay_here() {
    let names = [
        "Proxy_Authorization",
        "proxy_connection",
        "Proxy-Authorization",
        "Transfer_Encoding",
        "Content_Length",
        "Connection_",
        "Keep_Alive",
        "X_Forwarded_For",
        "X-Forwarded_Proto",
    ];
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut request = Request::new("GET", "/")
        .host("a.test")
        .field("X_Harmless", "yes");
    for name in names {
        request = request.field(name, "evil");
    }
    assert_eq!(proxy.ask(request.bytes()).status, 200);
    let received = upstream.only_request();
    for name in names.iter().filter(|name| **name != "Connection_") {
        assert!(!received.head.has(name), "{name}");
    }
    assert_eq!(received.value("x_harmless").as_deref(), Some("yes"));
}

/// A chunked body of two bytes with this many trailer fields of this size.
fn with_trailers(count: usize, size: usize) -> String {
    let fields: String = (0..count)
        .map(|n| format!("X-{n}: {}\r\n", "y".repeat(size)))
        .collect();
    format!("2\r\nhi\r\n0\r\n{fields}\r\n")
}

#[test]
fn trailers_of_a_request_are_bounded() {
    let upstream = TestUpstream::echo();
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nheader-bytes = 4096\nheader-count = 20")
        .start();
    let post = |trailers: String| {
        format!("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n{trailers}")
    };
    assert_eq!(proxy.ask(post(with_trailers(20, 10))).text(), "hi");
    for (count, size) in [(21, 10), (1, 4_200), (2, 2_100)] {
        let mut client = proxy.client();
        client.send(post(with_trailers(count, size)));
        let status = client.response_to("POST").status;
        assert_eq!(status, 431, "{count} of {size} bytes");
    }
    // Without an end they are refused as soon as they are too many.
    let mut client: Client = proxy.client();
    client.send(post("2\r\nhi\r\n0\r\n".to_owned()));
    for _ in 0..600 {
        client.send_what_is_taken(b"X-Y: zzzzzz\r\n");
    }
    assert_eq!(client.response_to("POST").status, 431);
    assert_eq!(upstream.complete().len(), 1);
}

#[test]
fn trailers_of_a_response_are_bounded() {
    for (count, size, whole) in [(256, 10, true), (257, 10, false), (1, 66_000, false)] {
        let body = with_trailers(count, size);
        let upstream = TestUpstream::answering(format!(
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n{body}"
        ));
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        match client.try_response_to("GET") {
            Ok(answer) if whole => assert_eq!(
                (answer.text().as_str(), answer.trailers.len()),
                ("hi", count)
            ),
            Ok(answer) => assert_eq!(answer.status, 502, "{count} of {size} bytes"),
            Err(ReadError::Incomplete(_) | ReadError::Reset) if !whole => {}
            Err(other) => panic!("{count} of {size} bytes: {other:?}"),
        }
    }
}

#[test]
fn a_place_of_one_clients_connections_becomes_free_again() {
    let upstream = TestUpstream::answering(response("200 OK", &[], "a"));
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[limits]\nconnections-per-client = 2")
        .start();
    let mut held: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.ask(get("a.test", "/")).status, 200));
    for _ in 0..3 {
        held.pop();
        let next = eventually("there is a place again", || {
            let mut client = proxy.client();
            client.send_what_is_taken(get("a.test", "/"));
            client
                .try_response_to("GET")
                .is_ok_and(|r| r.status == 200)
                .then_some(client)
        });
        held.push(next);
        let mut third = proxy.client();
        third.send_what_is_taken(get("a.test", "/"));
        assert!(
            !third.try_response_to("GET").is_ok_and(|r| r.status == 200),
            "and only one"
        );
    }
}

#[test]
fn trailers_of_one_response_are_not_those_of_the_next() {
    let upstream = TestUpstream::start(|connection| {
        let Some(request) = connection.request() else {
            return;
        };
        match request.target() {
            "/trailers" => connection.send(
                "HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-Secret: of another\r\n\r\n",
            ),
            "/chunks" => connection.send("HTTP/1.1 200 OK\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nho\r\n0\r\n\r\n"),
            // Its end is the connection's, so that the client is sent chunks.
            _ => connection.send("HTTP/1.1 200 OK\r\n\r\nha"),
        };
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for target in ["/until-close", "/chunks"] {
        let first = proxy.get("a.test", "/trailers");
        assert_eq!(
            first.trailers,
            [("x-secret".to_owned(), b"of another".to_vec())]
        );
        let next = proxy.get("a.test", target);
        assert!(next.trailers.is_empty(), "{target}: {:?}", next.trailers);
    }
}

#[test]
fn a_response_without_content_has_no_length() {
    for length in ["", "Content-Length: 0\r\n", "Content-Length: 5\r\n"] {
        let upstream = TestUpstream::answering(format!("HTTP/1.1 204 No Content\r\n{length}\r\n"));
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        for _ in 0..2 {
            let answer = client.ask(get("a.test", "/"));
            assert_eq!(
                (answer.status, answer.value("content-length")),
                (204, None),
                "{length:?}"
            );
        }
    }
}

#[test]
fn a_head_that_was_cut_short_is_like_none_and_only_what_may_be_repeated_is() {
    for start in [
        "HTTP/1.1 200 OK\r\nContent-Len",
        "H",
        "HTTP/1.1 103 Early Hints\r\n\r\n",
    ] {
        let upstream = TestUpstream::start(move |connection| {
            // The first connection is kept, so that the second request goes over a pooled one.
            if connection.request().is_some_and(|r| r.target() == "/good") {
                connection.send(response("200 OK", &[], "good"));
                connection.request();
            }
            connection.send(start);
        });
        let proxy = TestProxy::in_front_of(&upstream);
        for pooled in [false, true] {
            if pooled {
                assert_eq!(proxy.get("a.test", "/good").text(), "good");
            }
            let sent = |method: &str| {
                let before = upstream.received().len();
                let request = Request::new(method, "/cut").host("a.test").bytes();
                proxy.ask(request).assert_refusal(502);
                upstream.received().len() - before
            };
            // The client gets no part of it, so another attempt can't be told from the first.
            let repeated = sent("GET");
            assert!(
                (5..=6).contains(&repeated),
                "{start:?}, pooled: {pooled}: {repeated}"
            );
            assert_eq!(sent("POST"), 1, "{start:?}, pooled: {pooled}");
        }
    }
}
