//! Requests and responses as they cross from HTTP/1.1 to HTTP/2 and back.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response};

use super::{failures, in_front_of, response, with_keys};
use crate::fixtures::{Framing, Request, StreamBackend, get};

#[test]
fn heads_and_bodies_cross_without_what_belongs_to_a_connection() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = Arc::clone(&seen);
    let backend = StreamBackend::start(move |mut call| {
        let noted = Arc::clone(&noted);
        async move {
            let (body, _) = call.read().await.unwrap();
            let request = &call.request;
            let line = format!("{} {}", request.method(), request.uri());
            noted
                .lock()
                .unwrap()
                .push((line, request.headers().clone()));
            let head = Response::builder()
                .status(201)
                .header("x-answer", "1")
                .header("content-length", body.len())
                .body(())
                .unwrap();
            let mut stream = call.begin(head);
            stream.send_data(Bytes::from(body), true).unwrap();
        }
    });
    let proxy = in_front_of(&[backend.address()], "");
    let request = Request::new("POST", "/a?b=<c>")
        .host("www.a.test:81")
        .field("X-Mine", "kept")
        .field("Connection", "x-hop")
        .field("X-Hop", "dropped")
        .body("hello");
    let answer = proxy.ask(request.bytes());
    assert_eq!((answer.status, answer.text().as_ref()), (201, "hello"));
    assert_eq!(answer.framing, Framing::Length);
    assert_eq!(answer.value("x-answer").as_deref(), Some("1"));
    assert_eq!(answer.value("via").as_deref(), Some("2 waypost"));
    assert!(answer.value("date").is_some());
    let (line, fields) = seen.lock().unwrap().remove(0);
    assert_eq!(line, "POST http://www.a.test:81/a?b=%3Cc%3E");
    assert_eq!(fields["x-mine"], "kept");
    assert_eq!(fields["content-length"], "5");
    assert!(fields.contains_key("x-forwarded-for"));
    for name in ["connection", "x-hop", "host", "transfer-encoding"] {
        assert!(!fields.contains_key(name), "{name}");
    }
    // A client of HTTP/1.0 names no host.
    let answer = proxy.ask(Request::new("GET", "/").old().bytes());
    assert_eq!(answer.status, 201);
    let (line, _) = seen.lock().unwrap().remove(0);
    assert_eq!(line, format!("GET http://{}/", backend.address()));
}

#[test]
fn chunks_become_a_stream_and_trailers_cross_in_both_directions() {
    let backend = StreamBackend::start(|mut call| async move {
        let (body, trailers) = call.read().await.unwrap();
        let trailers = trailers.unwrap();
        assert!(!call.request.headers().contains_key("content-length"));
        assert_eq!(call.request.headers()["te"], "trailers");
        assert_eq!(trailers["x-sum"], "7");
        assert!(!trailers.contains_key("authorization"));
        let mut stream = call.begin(response(200));
        stream.send_data(Bytes::from(body), false).unwrap();
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", HeaderValue::from_static("0"));
        trailers.insert("set-cookie", HeaderValue::from_static("a=b"));
        stream.send_trailers(trailers).unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut client = proxy.client();
    client.send(
        "POST / HTTP/1.1\r\nHost: a.test\r\nTE: trailers\r\nConnection: te\r\n\
         Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\nX-Sum: 7\r\n\
         Authorization: x\r\n\r\n",
    );
    let answer = client.response();
    assert_eq!((answer.status, answer.text().as_ref()), (200, "abcde"));
    assert_eq!(answer.framing, Framing::Chunked);
    assert_eq!(answer.trailers, [("grpc-status".to_owned(), b"0".to_vec())]);
    assert_eq!(
        client
            .ask(Request::new("POST", "/").host("a").chunks([]).bytes())
            .status,
        502
    );
}

#[test]
fn responses_without_a_body_are_delimited_for_http11() {
    let backend = StreamBackend::start(|mut call| async move {
        let status = call.request.uri().path()[1..].parse().unwrap();
        let mut head = response(status);
        if call.request.method() == "HEAD" {
            head.headers_mut()
                .insert("content-length", HeaderValue::from_static("12"));
        }
        call.end(head);
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut client = proxy.client();
    for (method, status, length) in [
        ("GET", 200, Some("0")),
        ("GET", 204, None),
        ("GET", 304, None),
        ("HEAD", 200, Some("12")),
        ("GET", 404, Some("0")),
    ] {
        let answer = client.ask(
            Request::new(method, &format!("/{status}"))
                .host("a")
                .bytes(),
        );
        assert_eq!(answer.status, status);
        assert_eq!(
            answer.value("content-length").as_deref(),
            length,
            "{method} {status}"
        );
        assert_eq!(answer.text(), "");
    }
}

#[test]
fn large_bodies_cross_byte_for_byte() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut stream = call.begin(response(200));
        while let Some(piece) = call.piece().await {
            crate::fixtures::send_all(&mut stream, piece, |_| {}).await;
        }
        stream.send_data(Bytes::new(), true).unwrap();
    });
    let proxy = in_front_of(&[backend.address()], "");
    let body: Vec<u8> = (0..3_000_000u32).map(|n| (n * 7 + n / 251) as u8).collect();
    let known = Request::new("PUT", "/").host("a.test").body(&body);
    let chunked = Request::new("PUT", "/")
        .host("a.test")
        .chunks(body.chunks(70_001));
    for request in [known, chunked] {
        let mut client = proxy.client();
        let mut sending = client.wire.stream.try_clone().unwrap();
        let bytes = request.bytes();
        let sent = std::thread::spawn(move || {
            std::io::Write::write_all(&mut sending, &bytes).unwrap();
        });
        let answer = client.response();
        sent.join().unwrap();
        assert!(answer.body == body, "{} bytes", answer.body.len());
    }
}

#[test]
fn interim_responses_are_passed_on_and_an_expectation_is_met_at_once() {
    let backend = StreamBackend::start(|mut call| async move {
        if call.request.uri().path() == "/hints" {
            let hints = Response::builder()
                .status(103)
                .header("link", "</a>")
                .header("x-secret", "1")
                .body(())
                .unwrap();
            call.respond.send_informational(hints).unwrap();
        }
        assert!(!call.request.headers().contains_key("expect"));
        let (body, _) = call.read().await.unwrap();
        call.answer_now(body);
    });
    let proxy = in_front_of(&[backend.address()], "");
    let answer = proxy.get("a.test", "/hints");
    assert_eq!(answer.interim.len(), 1);
    assert!(
        answer.interim[0].start.contains("103"),
        "{:?}",
        answer.interim[0]
    );
    assert_eq!(answer.interim[0].value("link").as_deref(), Some("</a>"));
    assert!(!answer.interim[0].has("x-secret"));
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    assert_eq!(client.head().0, 100);
    client.send("hi");
    assert_eq!(client.response().text(), "hi");
}

#[test]
fn what_a_backend_may_not_send_is_a_502_or_ends_the_response() {
    let backend = StreamBackend::start(|mut call| async move {
        let mut head = response(200);
        let fields = head.headers_mut();
        match call.request.uri().path() {
            "/hop" => {
                fields.insert("proxy-connection", HeaderValue::from_static("x"));
                call.answer_with(head, "abc");
            }
            "/long" => {
                fields.insert("content-length", HeaderValue::from_static("2"));
                call.answer_with(head, "abc");
            }
            "/short" => {
                fields.insert("content-length", HeaderValue::from_static("4"));
                call.answer_with(head, "abc");
            }
            "/large" => {
                for _ in 0..70 {
                    fields.append("x-large", HeaderValue::from_bytes(&[b'x'; 1_000]).unwrap());
                }
                call.answer_with(head, "abc");
            }
            _ => call.answer_with(head, "fine"),
        }
    });
    let proxy = in_front_of(&[backend.address()], "max-failures = 0");
    for path in ["/hop", "/large"] {
        assert_eq!(proxy.get("a.test", path).status, 502, "{path}");
    }
    for path in ["/long", "/short"] {
        let mut client = proxy.client();
        client.send(get("a.test", path));
        // The length does not fit, whether the head was sent by then or not.
        if let Ok(answer) = client.try_response_to("GET") {
            assert_eq!(answer.status, 502, "{path}: {}", answer.text());
        }
    }
    assert_eq!(proxy.get("a.test", "/").text(), "fine");
}

#[test]
fn a_client_that_takes_nothing_costs_a_bounded_amount_of_memory_and_blocks_no_other() {
    let backend = StreamBackend::start(|mut call| async move {
        if call.request.uri().path() != "/large" {
            return call.answer("small").await;
        }
        let mut stream = call.begin(response(200));
        let content = Bytes::from(vec![b'x'; 64 << 20]);
        crate::fixtures::send_all(&mut stream, content, |_| {}).await;
    });
    let proxy = with_keys(&[backend.address()], "", "[timeouts]\nsend = \"1h\"");
    let mut slow: Vec<_> = (0..4).map(|_| proxy.client()).collect();
    for client in &mut slow {
        client.send(get("a.test", "/large"));
        assert_eq!(client.head().0, 200);
    }
    let mut before = 0;
    let read = crate::fixtures::eventually("the responses stand still", || {
        let read = proxy.stat("/bytes/from_backends");
        (std::mem::replace(&mut before, read) == read).then_some(read)
    });
    // Sockets hold a few MiB for each; a stream's window is half of one.
    assert!(
        read < 100 << 20,
        "{read} of {} bytes were read",
        4 * (64 << 20)
    );
    assert_eq!(proxy.get("a.test", "/").text(), "small");
    assert_eq!(backend.connections(), 1);
}

/// The backend answers at once and gives no window: nobody else would ever send anything.
#[test]
fn an_early_answer_arrives_while_closed_windows_hold_a_small_body_back() {
    let mut builder = h2::server::Builder::new();
    builder.initial_window_size(0);
    let backend = StreamBackend::with(builder, None, |mut call| async move {
        call.end(response(413));
        let _ = std::future::poll_fn(|cx| call.respond.poll_reset(cx)).await;
    });
    let proxy = in_front_of(&[backend.address()], "");
    let answer = proxy.ask(
        Request::new("POST", "/")
            .host("a.test")
            .body("hello")
            .bytes(),
    );
    assert_eq!(answer.status, 413);
}

/// Sixteen clients take nothing of responses that come in small frames.
#[test]
fn clients_that_do_not_read_small_frames_cost_others_nothing() {
    let backend = StreamBackend::start(|mut call| async move {
        if call.request.uri().path() == "/other" {
            call.answer_now("other");
            return;
        }
        let mut stream = call.begin(response(200));
        for _ in 0..60_000 {
            if stream
                .send_data(Bytes::from_static(b"fifteen bytes.."), false)
                .is_err()
            {
                return;
            }
        }
        let _ = std::future::poll_fn(|cx| stream.poll_reset(cx)).await;
    });
    let proxy = in_front_of(&[backend.address()], "");
    let mut slow = Vec::new();
    for _ in 0..16 {
        let mut client = crate::fixtures::Client::connect(proxy.address());
        client.send(get("a.test", "/endless"));
        assert_eq!(client.head().0, 200);
        slow.push(client);
    }
    for _ in 0..20 {
        assert_eq!(proxy.get("a.test", "/other").text(), "other");
    }
    assert_eq!(failures(&proxy, &backend), 0);
}
