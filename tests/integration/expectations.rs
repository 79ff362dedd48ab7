//! What comes before the final head of a response, and after its body: expectations, interim responses, trailers.

use std::time::Duration;

use crate::fixtures::{
    Client, Gate, ReadError, Request, Response, TestProxy, TestUpstream, chunked, eventually, get, guest, response,
};

const EXPECTS: &str = "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n";
const EXPECTS_CHUNKED: &str =
    "POST / HTTP/1.1\r\nHost: a.test\r\nExpect: 100-Continue\r\nTransfer-Encoding: chunked\r\n\r\n";
const CONTINUE: &str = "HTTP/1.1 100 Continue\r\n\r\n";

/// A client's request that waits to be told, and the body that it then sends.
fn expecting() -> [(&'static str, Vec<u8>); 2] {
    [(EXPECTS, b"hello".to_vec()), (EXPECTS_CHUNKED, chunked([b"hel".as_slice(), b"lo"]))]
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
            let Some(request) = connection.body() else { return };
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
        assert_eq!((status, interim.fields.len()), (100, 0), "a 100 has nothing to say");
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str()), (200, "hello"));
        assert!(answer.interim.is_empty() && !answer.closes(), "one 100 is enough, and the connection goes on");
    }
    assert_eq!(upstream.connections(), 1, "and so does the backend's");
}

#[test]
fn a_backend_that_refuses_an_expectation_is_never_sent_the_body() {
    for refusal in ["401 Who Are You", "417 Expectation Failed", "200 OK", "413 Too Large"] {
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
            assert_eq!((answer.status.to_string().as_str(), answer.text().as_str()), (&refusal[..3], "no"));
            assert!(answer.interim.is_empty(), "{refusal}: the client was not told to go on");
            assert!(answer.closes(), "{refusal}: what comes next may be the body or a request");
            client.send_what_is_taken(get("a.test", "/smuggled"));
            client.assert_closed();
            // Nor is the backend's connection used for something else: it may wait for the body.
            let received = upstream.received();
            assert_eq!(received.len(), n + 1);
            assert_eq!(received[n].connection, n);
        }
    }
}

/// Backends without an idea of expectations, and clients that don't wait: the body is sent after a while.
#[test]
fn a_backend_that_says_nothing_gets_the_body_all_the_same() {
    let upstream = TestUpstream::echo();
    let proxy =
        TestProxy::builder().host("*", &[upstream.address()]).tables("[timeouts]\nbody-read = \"500ms\"").start();
    for (head, body) in expecting() {
        let mut client = proxy.client();
        client.send(head);
        assert_eq!(client.head().0, 100);
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.status, answer.text().as_str(), answer.interim.len()), (200, "hello", 0));
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
        assert_eq!((answer.status, answer.text().as_str(), answer.interim.len()), (200, "hello", 0));
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
            connection.send(format!("HTTP/1.0 200 OK\r\nContent-Length: {length}\r\n\r\n"));
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
        assert!(answer.interim.is_empty() && answer.closes(), "{host} {field}: {answer:?}");
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
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0), "{request}");
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
    assert!(upstream.received().iter().all(|r| !r.head.has("expect")), "{:?}", upstream.received());
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

/// A backend that sends these bytes again and again, and answers in the end.
fn chatty(interim: &'static str, times: usize) -> TestUpstream {
    TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            for _ in 0..times {
                if !connection.send(interim) {
                    return;
                }
            }
            connection.send(response("200 OK", &[], "done"));
        }
    })
}

#[test]
fn a_long_request_may_have_many_interim_responses() {
    for interim in
        ["HTTP/1.1 102 Processing\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n"]
    {
        let upstream = chatty(interim, 100);
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        for _ in 0..2 {
            let answer = client.ask(get("a.test", "/"));
            assert_eq!((answer.text().as_str(), answer.interim.len()), ("done", 100));
        }
        // Nor are they a fault towards those who don't see them.
        let old = proxy.ask(Request::new("GET", "/").old().host("a.test").bytes());
        assert_eq!((old.text().as_str(), old.interim.len()), ("done", 0));
    }
}

/// An interim response says that the backend is at work.
#[test]
fn interim_responses_give_a_backend_its_time_again() {
    let upstream = TestUpstream::start(|connection| {
        while connection.request().is_some() {
            for _ in 0..12 {
                // Slow, but never as slow as 2 s.
                std::thread::sleep(Duration::from_millis(300));
                connection.send("HTTP/1.1 102 Processing\r\n\r\n");
            }
            connection.send(response("200 OK", &[], "done"));
        }
    });
    let proxy = TestProxy::builder().host("*", &[upstream.address()]).tables("[timeouts]\nresponse = \"2s\"").start();
    let answer = proxy.get("a.test", "/");
    assert_eq!((answer.status, answer.interim.len()), (200, 12), "{}", answer.text());
}

#[test]
fn interim_responses_that_are_too_large_together_are_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        let large = format!("HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n", "x".repeat(60_000));
        while connection.send(&large) {}
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(Request::new("POST", "/").host("a.test").body("x").bytes());
    assert_eq!(answer.status, 502);
    assert!(answer.interim.len() < 16, "{} of 60 KB", answer.interim.len());
    upstream.wait_until_unused();
}

const HINTS: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\nSet-Cookie: early=1\r\nX-Secret: 1\r\n\
     Connection: X-Hop\r\nX-Hop: 1\r\nProxy-Authenticate: x\r\nWWW-Authenticate: Basic\r\n\
     Transfer-Encoding: chunked\r\nKeep-Alive: 1\r\nUpgrade: x\r\nX-Waypost-Trace: forged\r\n\r\n";
const PROCESSING: &str = "HTTP/1.1 102 Processing\r\nX-Secret: 1\r\nSet-Cookie: early=1\r\n\r\n";
const TRAILED: &str = "HTTP/1.1 200 OK\r\nX-Secret: 1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\
     X-Sum: 42\r\nx-secret: 2\r\nX-Added: forged\r\nX-Appended: forged\r\nX-Never-There: 1\r\nSet-Cookie: late=1\r\nDate: x\r\n\
     WWW-Authenticate: Basic\r\nContent-Security-Policy: none\r\nX-Waypost-Trace: forged\r\nX_Secret: 3\r\n\
     Location: /\r\nAccess-Control-Allow-Origin: *\r\nContent-Digest: sha-256=:eA==:\r\n\r\n";

fn hinting(policies: &[&str]) -> (TestUpstream, TestProxy) {
    let upstream = TestUpstream::answering([HINTS, PROCESSING, TRAILED].concat());
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], policies)
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .start();
    (upstream, proxy)
}

fn names(fields: &[(String, Vec<u8>)]) -> Vec<String> {
    let mut names: Vec<String> = fields.iter().map(|(n, _)| n.to_ascii_lowercase()).collect();
    names.sort();
    names
}

#[test]
fn what_a_policy_edits_does_not_come_round_it() {
    let (_upstream, proxy) = hinting(&["probe"]);
    let edits = ["remove=X-Secret", "remove=X-Never-There", "set=X-Added:policy", "append=x-appended:policy"];
    let request = edits.iter().fold(Request::new("GET", "/").host("a.test"), |r, e| r.field("X-Probe-Response", e));
    let answer = proxy.ask(request.bytes());
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.interim.len(), 2, "that they came is told");
    assert_eq!(names(&answer.interim[0].fields), ["link"], "what early hints are for, and nothing else");
    assert!(answer.interim[1].fields.is_empty(), "{:?}", answer.interim[1].fields);
    assert!(!answer.head.has("x-secret"));
    assert_eq!(answer.head.values("x-added"), ["policy"]);
    assert_eq!(names(&answer.trailers), ["content-digest", "x-sum"]);
}

#[test]
fn fields_that_may_not_stand_before_or_behind_a_message_never_do() {
    let (_upstream, proxy) = hinting(&[]);
    let answer: Response = proxy.get("a.test", "/");
    assert_eq!(names(&answer.interim[0].fields), ["link"]);
    assert!(answer.interim[1].fields.is_empty(), "{:?}", answer.interim[1].fields);
    assert_eq!(
        names(&answer.trailers),
        ["content-digest", "x-added", "x-appended", "x-never-there", "x-secret", "x-sum"]
    );
}

/// The same the other way: what a policy has decided of a request's fields is not changed by its trailers.
#[test]
fn trailers_of_a_request_do_not_come_round_a_policy() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[upstream.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"")
        .start();
    let request = "POST / HTTP/1.1\r\nHost: a.test\r\nX-Probe-Request: set=X-User:guest\r\n\
         X-Probe-Request: remove=X-Admin\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\nX-User: root\r\n\
         X-Admin: 1\r\nX-Check: 7\r\nX-Real-IP: 6.6.6.6\r\nX_User: root\r\nCookie: a=b\r\nExpect: 100-continue\r\n\r\n";
    assert_eq!(proxy.ask(request).status, 200);
    let received = upstream.only_request();
    assert_eq!(received.value("x-user").as_deref(), Some("guest"));
    assert_eq!(names(&received.trailers), ["x-check"]);
}

/// Trailers that go on and on, and those that are too large or too many at once.
#[test]
fn trailers_are_bounded_in_both_directions() {
    let many = |n: usize| (0..n).map(|i| format!("X-{i}: y\r\n")).collect::<String>();
    let cases = [
        ("many", many(300), false),
        ("large", format!("X: {}\r\n", "y".repeat(70_000)), false),
        ("a long name", format!("{}: y\r\n", "x".repeat(300)), false),
        ("a few", many(50), true),
        ("one of some size", format!("X: {}\r\n", "y".repeat(20_000)), true),
    ];
    let upstream = TestUpstream::start(|connection| {
        while let Some(request) = connection.request() {
            let trailers: Vec<u8> = request.body.clone();
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            connection.send([b"0\r\n".as_slice(), &trailers, b"\r\n"].concat());
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    for (name, trailers, fine) in &cases {
        // Up.
        let before = upstream.complete().len();
        let mut client = proxy.client();
        client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
        client.send_what_is_taken(format!("{trailers}\r\n"));
        let answer = client.try_response_to("POST");
        match fine {
            true => assert_eq!(answer.unwrap().status, 200, "{name}"),
            false => {
                let status = answer.unwrap().status;
                assert!([400, 431].contains(&status), "{name}: {status}");
            }
        }
        assert_eq!(upstream.complete().len(), before + usize::from(*fine), "{name}");
        // Down.
        let mut client = proxy.client();
        client.send(Request::new("POST", "/").host("a.test").body(trailers).bytes());
        match (client.try_response_to("POST"), fine) {
            (Ok(answer), true) => assert_eq!((answer.text().as_str(), answer.trailers.is_empty()), ("hello", false)),
            (Err(ReadError::Incomplete(_) | ReadError::Reset), false) => {}
            (Ok(answer), false) if answer.status == 502 => {}
            (other, _) => panic!("{name}: {:?}", other.map(|r| (r.status, r.trailers.len()))),
        }
    }
}

#[test]
fn trailers_without_end_end_their_request() {
    let upstream = TestUpstream::start(|connection| {
        if connection.request().is_some() {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
            while connection.send("X: y\r\n") {}
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    assert!(client.try_response_to("GET").is_err());
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for _ in 0..10_000 {
        client.send_what_is_taken("X: y\r\n");
    }
    assert_eq!(client.response().status, 431);
    eventually("no request is left", || (proxy.stat("/requests/active") == 0).then_some(()));
    assert!(proxy.peak_resident_kib() < 64 * 1024, "{} KiB", proxy.peak_resident_kib());
}

/// A hint before an answer that the proxy makes itself is not lost, and the answer is clear.
#[test]
fn a_hint_before_a_broken_answer_is_followed_by_a_502() {
    let upstream = TestUpstream::answering("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 nonsense\r\n\r\n");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client: Client = proxy.client();
    let answer = client.ask(get("a.test", "/"));
    assert_eq!((answer.status, answer.interim.len()), (502, 1));
}

#[test]
fn continue_is_not_said_to_a_client_that_did_not_ask() {
    let upstream = TestUpstream::answering([CONTINUE.as_bytes(), &response("200 OK", &[], "done")].concat());
    let proxy = TestProxy::in_front_of(&upstream);
    for request in [get("a.test", "/"), Request::new("POST", "/").host("a.test").body("x").bytes()] {
        let answer = proxy.ask(request);
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("done", 0));
    }
}

/// A backend of two connections: the first one ends without an answer, and the request is sent again.
fn second_time(first: fn(&mut crate::fixtures::Connection)) -> TestUpstream {
    TestUpstream::start(move |connection| {
        if connection.index == 0 {
            return first(connection);
        }
        if connection.head().is_some() {
            connection.send(CONTINUE);
            if let Some(request) = connection.body() {
                connection.send(response("200 OK", &[], &request.body));
            }
        }
    })
}

#[test]
fn a_client_is_asked_for_its_body_once_however_often_the_request_is_sent() {
    let put = |head: &str| head.replacen("POST", "PUT", 1);
    // Before any of the body was read: the second attempt expects as well.
    for (head, body) in expecting() {
        let upstream = second_time(|connection| {
            connection.head();
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(put(head));
        assert_eq!(client.head().0, 100);
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
        assert!(upstream.received().iter().all(|r| r.head.lists("expect", "100-continue")));
        assert_eq!(upstream.received().len(), 2);
    }
    // After it was: the body is in hand, and nobody waits any more.
    for (head, body) in expecting() {
        let upstream = second_time(|connection| {
            connection.request();
        });
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        client.send(put(head));
        assert_eq!(client.head().0, 100, "after a while");
        client.send(body);
        let answer = client.response();
        assert_eq!((answer.text().as_str(), answer.interim.len()), ("hello", 0));
        let expects: Vec<bool> = upstream.received().iter().map(|r| r.head.has("expect")).collect();
        assert_eq!(expects, [true, false]);
    }
}

/// A backend that refuses an expectation may take a body that comes all the same for a request.
#[test]
fn the_connection_of_a_backend_that_did_not_agree_to_the_body_is_not_used_again() {
    let upstream = TestUpstream::start(|connection| {
        while connection.head().is_some() {
            connection.send(response("403 Forbidden", &[], "no"));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let smuggled = get("a.test", "/smuggled");
    let head = format!(
        "POST /first HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
        smuggled.len()
    );
    let mut client = proxy.client();
    client.send([head.as_bytes(), &smuggled].concat());
    assert_eq!(client.response().status, 403);
    let others = upstream.received().len();
    assert_eq!(proxy.get("b.test", "/other").text(), "no");
    let received = upstream.received();
    let other = received[others..].iter().find(|r| r.target() == "/other").unwrap();
    assert_ne!(other.connection, received[0].connection);
}

/// After the answer the client has all the time to read it, and what it sends is for nobody.
#[test]
fn a_refusal_that_takes_long_is_not_cut_by_the_time_for_the_body() {
    let (answering, go) = (Gate::new(), Gate::new());
    let (begun, wait) = (answering.clone(), go.clone());
    let upstream = TestUpstream::start(move |connection| {
        if connection.head().is_some() {
            connection.send("HTTP/1.1 403 Forbidden\r\nContent-Length: 4\r\n\r\nno");
            begun.open();
            wait.wait();
            connection.send(b"no");
            assert!(connection.body().is_none(), "nobody asked for it");
        }
    });
    let proxy =
        TestProxy::builder().host("*", &[upstream.address()]).tables("[timeouts]\nbody-read = \"300ms\"").start();
    let mut client = proxy.client();
    client.send(EXPECTS);
    let (status, head) = client.head();
    assert_eq!(status, 403);
    answering.wait();
    // Longer than the body may take; and then it comes after all.
    std::thread::sleep(Duration::from_millis(1_000));
    client.send("hello");
    go.open();
    client.wire.buffer.splice(0..0, head.raw);
    assert_eq!(client.response().text(), "nono");
}

fn file_of(len: usize) -> (crate::fixtures::Scratch, std::path::PathBuf) {
    let scratch = crate::fixtures::Scratch::new();
    let path = scratch.path().join("upload");
    std::fs::write(&path, vec![b'x'; len]).unwrap();
    (scratch, path)
}

/// `curl -T` waits for a second, and `http.client` not at all.
#[test]
fn clients_in_use_get_the_backends_answer() {
    const LEN: usize = 3 << 20;
    let (_scratch, path) = file_of(LEN);
    let upstream = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            if head.target() == "/no" {
                connection.send(response("403 Forbidden", &[], "not you"));
                return;
            }
            connection.send(CONTINUE);
            let Some(request) = connection.body() else { return };
            connection.send(response("200 OK", &[], request.body.len().to_string()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let url = |path: &str| format!("http://{}{path}", proxy.address());
    let python = "import http.client, sys\n\
        c = http.client.HTTPConnection(sys.argv[1], timeout=60)\n\
        body = open(sys.argv[3], 'rb').read()\n\
        c.request('PUT', sys.argv[2], body, {'Expect': '100-continue'})\n\
        r = c.getresponse()\n\
        print(r.read().decode() + ' %03d' % r.status, end='')\n";
    for (target, said) in [("/yes", format!("{LEN} 200")), ("/no", "not you 403".to_owned())] {
        let mut curl = std::process::Command::new("curl");
        curl.args([
            "-sS",
            "--expect100-timeout",
            "30",
            "--max-time",
            "60",
            "-H",
            "Expect: 100-continue",
            "-w",
            " %{http_code}",
        ]);
        curl.arg("-T").arg(&path).arg(url(target));
        let mut http_client = std::process::Command::new("python3");
        http_client.args(["-c", python, &proxy.address().to_string(), target]).arg(&path);
        for mut command in [curl, http_client] {
            let output = command.output().unwrap();
            assert_eq!(String::from_utf8_lossy(&output.stdout), said, "{command:?}: {output:?}");
        }
    }
    assert_eq!(upstream.complete().len(), 2, "what is refused is not sent");
    assert!(upstream.received().iter().all(|r| r.head.has("expect")));
}
