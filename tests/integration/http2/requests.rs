//! Requests by HTTP/2, and their responses.

use http::StatusCode;

use crate::fixtures::http2::{connected, get, receive, request, send_all};
use crate::fixtures::{Gate, TestProxy, TestUpstream, guest, response};

#[test]
fn a_request_by_http2_reaches_a_backend_of_http1_in_its_canonical_form() {
    let upstream = TestUpstream::named("hello");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[forwarded]\nvia = true")
        .start();
    let answer = connected(&proxy, async |client| {
        let mut request = get("A.test:8080", "/a/b?c=d");
        for (name, value) in [
            ("cookie", "a=1"),
            ("x-one", "1"),
            ("cookie", "b=2"),
            ("te", "trailers"),
            ("x-forwarded-for", "6.6.6.6"),
            ("cookie", ""),
            ("cookie", "c=3"),
            ("cookie", ""),
        ] {
            let name = http::HeaderName::from_static(name);
            request.headers_mut().append(name, value.parse().unwrap());
        }
        client.ask(request, b"").await.unwrap()
    });
    assert_eq!(
        (answer.status, &answer.body[..]),
        (StatusCode::OK, &b"hello"[..])
    );
    assert_eq!(answer.fields["content-length"], "5");
    assert_eq!(answer.fields["via"], "1.1 waypost");
    assert!(answer.fields.contains_key("date") && !answer.fields.contains_key("connection"));
    let received = &upstream.received()[0].head;
    assert_eq!(received.start, "GET /a/b?c=d HTTP/1.1");
    let value = |name| received.value(name).unwrap_or_default();
    assert_eq!(value("host"), "A.test:8080");
    assert_eq!(value("cookie"), "a=1; b=2; c=3");
    assert_eq!(
        (value("te"), value("connection")),
        ("trailers".into(), "te".into())
    );
    assert_eq!(value("x-forwarded-for"), "127.0.0.1");
    assert_eq!(value("x-forwarded-host"), "A.test:8080");
    assert!(value("via").starts_with("2 waypost-"), "{}", value("via"));
    assert!(!received.has("content-length") && !received.has("transfer-encoding"));
    let line = proxy.logged(&["/a/b?c=d"]);
    assert!(line.contains(r#""protocol":"HTTP/2""#), "{line}");
    assert_eq!(proxy.stat("/http2/requests"), 1);
    assert_eq!(proxy.stat("/http2/connections"), 1);
    assert_eq!(proxy.stat("/http2/streams_active"), 0);
}

#[test]
fn responses_without_a_body_end_with_their_head() {
    let upstream = TestUpstream::replying(|request| {
        let status = match request.head.start.split(' ').nth(1).unwrap() {
            "/204" => "204 No Content",
            "/304" => "304 Not Modified",
            _ => return response("200 OK", &[], "hello"),
        };
        format!("HTTP/1.1 {status}\r\nETag: \"x\"\r\n\r\n").into_bytes()
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        for (method, path, status, length) in [
            ("HEAD", "/", 200, Some("5")),
            ("GET", "/204", 204, None),
            ("GET", "/304", 304, None),
        ] {
            let (response, _) = client
                .send(request(method, "a.test", path), true)
                .await
                .unwrap();
            let response = response.await.unwrap();
            assert_eq!(response.status(), status);
            assert!(response.body().is_end_stream(), "{method} {path}");
            let said = response.headers().get("content-length");
            assert_eq!(said.map(|v| v.to_str().unwrap()), length, "{method} {path}");
        }
    });
}

#[test]
fn the_proxys_own_answers_are_the_same_as_by_http1() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[stats]\npath = \"/stats\"")
        .start();
    connected(&proxy, async |client| {
        let missing = client.get("b.test", "/").await.unwrap();
        assert_eq!(missing.status, StatusCode::NOT_FOUND);
        assert!(missing.body.starts_with(b"No route for the host"));
        assert_eq!(
            missing.fields["proxy-status"],
            "waypost;error=destination_not_found"
        );
        let head = client
            .ask(request("HEAD", "b.test", "/"), b"")
            .await
            .unwrap();
        assert_eq!((head.status, head.body.len()), (StatusCode::NOT_FOUND, 0));
        let length = missing.body.len().to_string();
        assert_eq!(head.fields["content-length"], length.as_str());
        let trace = client
            .ask(request("TRACE", "a.test", "/"), b"")
            .await
            .unwrap();
        assert_eq!(trace.status, StatusCode::METHOD_NOT_ALLOWED);
        let stats = client.get("a.test", "/stats").await.unwrap();
        assert_eq!(stats.status, StatusCode::OK);
        let mut options = request("OPTIONS", "a.test", "/");
        options.headers_mut().insert("max-forwards", 0.into());
        let options = client.ask(options, b"").await.unwrap();
        assert_eq!((options.status, options.body.len()), (StatusCode::OK, 0));
        assert!(options.fields["allow"].to_str().unwrap().contains("PATCH"));
    });
    assert_eq!(upstream.received().len(), 0);
    proxy.logged(&["b.test", "No route", "HTTP/2"]);
}

#[test]
fn ranges_are_cut_as_by_http1() {
    let upstream = TestUpstream::answering(response("200 OK", &[("ETag", "\"x\"")], "0123456789"));
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let ask = async |range: &'static str| {
            let mut request = get("a.test", "/");
            request
                .headers_mut()
                .insert("range", range.parse().unwrap());
            client.ask(request, b"").await.unwrap()
        };
        let part = ask("bytes=2-4").await;
        assert_eq!((part.status.as_u16(), &part.body[..]), (206, &b"234"[..]));
        assert_eq!(part.fields["content-range"], "bytes 2-4/10");
        let none = ask("bytes=10-").await;
        assert_eq!(none.status.as_u16(), 416);
        let several = ask("bytes=0-1,8-9").await;
        assert!(
            several.fields["content-type"]
                .to_str()
                .unwrap()
                .starts_with("multipart/")
        );
        assert_eq!(
            several.fields["content-length"],
            several.body.len().to_string().as_str()
        );
    });
}

#[test]
fn interim_responses_and_trailers_pass_in_both_directions() {
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            connection.send(
                "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nX-Secret: 1\r\n\r\n\
                 HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n\
                 5\r\nhello\r\n0\r\nX-Sum: 42\r\nSet-Cookie: late\r\n\r\n",
            );
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let (response, mut sender) = client
            .send(request("POST", "a.test", "/"), false)
            .await
            .unwrap();
        sender.send_data("content".into(), false).unwrap();
        let mut trailers = http::HeaderMap::new();
        trailers.insert("x-check", "7".parse().unwrap());
        trailers.insert("authorization", "x".parse().unwrap());
        sender.send_trailers(trailers).unwrap();
        let answer = receive(response).await.unwrap();
        assert_eq!(&answer.body[..], b"hello");
        assert_eq!(answer.interim.len(), 1);
        let (status, fields) = &answer.interim[0];
        assert_eq!((status.as_u16(), fields.len()), (103, 1));
        assert_eq!(fields["link"], "</a.css>; rel=preload");
        assert_eq!(
            (answer.trailers.len(), &answer.trailers["x-sum"]),
            (1, &"42".parse().unwrap())
        );
    });
    let received = &upstream.received()[0];
    assert_eq!(
        (received.chunked, &received.body[..]),
        (true, &b"content"[..])
    );
    assert_eq!(received.trailers, [("x-check".to_owned(), b"7".to_vec())]);
}

#[test]
fn a_client_that_expects_a_100_gets_one_and_then_sends() {
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            let body = connection.body().map(|request| request.body);
            connection.send(response("200 OK", &[], body.unwrap_or_default()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut request = request("PUT", "a.test", "/");
        request
            .headers_mut()
            .insert("expect", "100-continue".parse().unwrap());
        request.headers_mut().insert("content-length", 5.into());
        let (mut response, sender) = client.send(request, false).await.unwrap();
        let first = std::future::poll_fn(|cx| response.poll_informational(cx)).await;
        assert_eq!(first.unwrap().unwrap().status(), 100);
        send_all(sender, b"hello").await.unwrap();
        let answer = receive(response).await.unwrap();
        assert_eq!((&answer.body[..], answer.interim.len()), (&b"hello"[..], 0));
    });
}

#[test]
fn policies_are_asked_for_each_stream() {
    let [a, b] = ["a", "b"].map(TestUpstream::named);
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[a.address(), b.address()], &["probe", "random"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .start();
    connected(&proxy, async |client| {
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..64 {
            let mut request = get("a.test", "/");
            let edit = "set=x-added:policy".parse().unwrap();
            request.headers_mut().insert("x-probe-response", edit);
            let answer = client.ask(request, b"").await.unwrap();
            assert_eq!(answer.fields["x-added"], "policy");
            seen.insert(answer.body);
        }
        assert_eq!(seen.len(), 2, "each of the backends within 64 requests");
    });
}

#[test]
fn a_hundred_streams_of_a_connection_wait_for_nothing_but_their_own_backend() {
    let gate = Gate::new();
    let held = gate.clone();
    let upstream = TestUpstream::replying(move |request| {
        let path = request.head.start.split(' ').nth(1).unwrap().to_owned();
        if path.starts_with("/slow") {
            held.wait();
        }
        response("200 OK", &[], path)
    });
    let proxy = TestProxy::in_front_of(&upstream);
    connected(&proxy, async |client| {
        let mut slow = Vec::new();
        for number in 0..100 {
            let path = format!("/slow/{number}");
            let (response, _) = client.send(get("a.test", &path), true).await.unwrap();
            slow.push((path, response));
        }
        let quick = client.get("a.test", "/quick").await.unwrap();
        assert_eq!(quick.body, b"/quick");
        gate.open();
        for (path, response) in slow.into_iter().rev() {
            assert_eq!(receive(response).await.unwrap().body, path.into_bytes());
        }
    });
    assert_eq!(proxy.stat("/http2/connections"), 1);
}

/// Without knowledge of the protocol, the first bytes decide.
#[test]
fn the_beginning_of_http2_may_come_in_any_pieces() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut frames = crate::fixtures::http2::Frames::silent(proxy.address());
    for byte in crate::fixtures::http2::PREFACE {
        assert!(frames.send([*byte]));
    }
    frames.send(crate::fixtures::http2::frame(4, 0, 0, &[]));
    frames.request(1);
    assert!(frames.end_of(1).ends());
    // A method that begins like it.
    let answer = proxy.ask("PRI /x HTTP/1.1\r\nHost: a.test\r\n\r\n");
    assert_eq!(answer.text(), "a");
}
