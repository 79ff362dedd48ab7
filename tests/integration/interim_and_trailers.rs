//! What comes before the final head of a response, and after its body: interim responses and
//! trailers.

use std::time::Duration;

use crate::fixtures::{
    Client, ReadError, Request, Response, TestProxy, TestUpstream, eventually, get, guest, response,
};

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
    for interim in [
        "HTTP/1.1 102 Processing\r\n\r\n",
        "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\r\n",
    ] {
        let upstream = chatty(interim, 100);
        let proxy = TestProxy::in_front_of(&upstream);
        let mut client = proxy.client();
        for _ in 0..2 {
            let answer = client.ask(get("a.test", "/"));
            assert_eq!(
                (answer.text().as_str(), answer.interim.len()),
                ("done", 100)
            );
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
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nresponse = \"2s\"")
        .start();
    let answer = proxy.get("a.test", "/");
    assert_eq!(
        (answer.status, answer.interim.len()),
        (200, 12),
        "{}",
        answer.text()
    );
}

#[test]
fn interim_responses_that_are_too_large_together_are_a_502() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        let large = format!(
            "HTTP/1.1 103 Early Hints\r\nLink: {}\r\n\r\n",
            "x".repeat(60_000)
        );
        while connection.send(&large) {}
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(Request::new("POST", "/").host("a.test").body("x").bytes());
    assert_eq!(answer.status, 502);
    assert!(
        answer.interim.len() < 16,
        "{} of 60 KB",
        answer.interim.len()
    );
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
    let edits = [
        "remove=X-Secret",
        "remove=X-Never-There",
        "set=X-Added:policy",
        "append=x-appended:policy",
    ];
    let request = edits
        .iter()
        .fold(Request::new("GET", "/").host("a.test"), |r, e| {
            r.field("X-Probe-Response", e)
        });
    let answer = proxy.ask(request.bytes());
    assert_eq!(answer.text(), "hello");
    assert_eq!(answer.interim.len(), 2, "that they came is told");
    assert_eq!(
        names(&answer.interim[0].fields),
        ["link"],
        "what early hints are for, and nothing else"
    );
    assert!(
        answer.interim[1].fields.is_empty(),
        "{:?}",
        answer.interim[1].fields
    );
    assert!(!answer.head.has("x-secret"));
    assert_eq!(answer.head.values("x-added"), ["policy"]);
    assert_eq!(names(&answer.trailers), ["content-digest", "x-sum"]);
}

#[test]
fn fields_that_may_not_stand_before_or_behind_a_message_never_do() {
    let (_upstream, proxy) = hinting(&[]);
    let answer: Response = proxy.get("a.test", "/");
    assert_eq!(names(&answer.interim[0].fields), ["link"]);
    assert!(
        answer.interim[1].fields.is_empty(),
        "{:?}",
        answer.interim[1].fields
    );
    assert_eq!(
        names(&answer.trailers),
        [
            "content-digest",
            "x-added",
            "x-appended",
            "x-never-there",
            "x-secret",
            "x-sum"
        ]
    );
}

/// Fields that policies edit are bounded more tightly, and only where there is such a policy.
#[test]
fn a_hint_keeps_the_security_policy_of_its_links_unless_a_policy_edits_responses() {
    const HINT: &str = "HTTP/1.1 103 Early Hints\r\nLink: </a.css>; rel=preload\r\n\
                        Content-Security-Policy: default-src 'self'\r\nReferrer-Policy: no-referrer\r\n\r\n";
    let upstream =
        TestUpstream::answering([HINT.as_bytes(), &response("200 OK", &[], "done")].concat());
    let all = ["content-security-policy", "link", "referrer-policy"];
    for (guest_name, passed) in [
        (None, &all[..]),
        (Some("pick-first"), &["link"][..]),
        (Some("probe"), &["link"][..]),
    ] {
        let policies: Vec<&str> = guest_name.map(|_| "mine").into_iter().collect();
        let proxy = TestProxy::builder()
            .file("mine.wasm", guest(guest_name.unwrap_or("probe")))
            .pool_for_all(&[upstream.address()], &policies)
            .tables("[policies.mine]\ncomponent = \"mine.wasm\"\ndeadline = \"2s\"")
            .start();
        let answer = proxy.get("a.test", "/");
        assert_eq!(
            (answer.text().as_str(), names(&answer.interim[0].fields)),
            ("done", passed.iter().map(|n| (*n).to_owned()).collect())
        );
    }
}

/// HTTP/1.0 knows no chunks, and so no trailers: none are announced.
#[test]
fn trailers_that_can_not_be_sent_are_not_announced() {
    let upstream = TestUpstream::answering(
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n5\r\nhello\r\n0\r\nX-Sum: 1\r\n\r\n",
    );
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.get("a.test", "/");
    assert_eq!(
        (answer.value("trailer").as_deref(), names(&answer.trailers)),
        (Some("X-Sum"), vec!["x-sum".to_owned()])
    );
    let old = proxy.ask(Request::new("GET", "/").old().host("a.test").bytes());
    assert_eq!((old.text().as_str(), old.value("trailer")), ("hello", None));
}

/// Saying that one is at work is no way to keep a request for ever.
#[test]
fn interim_responses_give_a_backend_its_time_again_for_sixty_times_at_most() {
    let upstream = TestUpstream::start(|connection| {
        // Six times as long as it may take in all, or until the proxy has enough. More seldom than
        // what is too much of it.
        if connection.request().is_some() {
            let mut sent = 0;
            while sent < 600 && connection.send("HTTP/1.1 102 Processing\r\n\r\n") {
                sent += 1;
                std::thread::sleep(Duration::from_millis(30));
            }
            connection.send(response("200 OK", &[], "done"));
        }
    });
    let tables = "[timeouts]\nresponse = \"50ms\"";
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(tables)
        .start();
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    assert_eq!(client.response().status, 504);
}

/// The same the other way: what a policy has decided of a request's fields is not changed by its
/// trailers.
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
        (
            "one of some size",
            format!("X: {}\r\n", "y".repeat(20_000)),
            true,
        ),
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
        assert_eq!(
            upstream.complete().len(),
            before + usize::from(*fine),
            "{name}"
        );
        // Down.
        let mut client = proxy.client();
        client.send(
            Request::new("POST", "/")
                .host("a.test")
                .body(trailers)
                .bytes(),
        );
        match (client.try_response_to("POST"), fine) {
            (Ok(answer), true) => assert_eq!(
                (answer.text().as_str(), answer.trailers.is_empty()),
                ("hello", false)
            ),
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
            connection
                .send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n");
            while connection.send("X: y\r\n") {}
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    // A 502 if the trailers were too many before anything of the answer was sent on.
    if let Ok(answer) = client.try_response_to("GET") {
        assert_eq!(answer.status, 502);
    }
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n");
    for _ in 0..10_000 {
        client.send_what_is_taken("X: y\r\n");
    }
    assert_eq!(client.response().status, 431);
    eventually("no request is left", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
    assert!(
        proxy.peak_resident_kib() < 64 * 1024,
        "{} KiB",
        proxy.peak_resident_kib()
    );
}

/// A hint before an answer that the proxy makes itself is not lost, and the answer is clear.
#[test]
fn a_hint_before_a_broken_answer_is_followed_by_a_502() {
    let upstream = TestUpstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 nonsense\r\n\r\n",
    );
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client: Client = proxy.client();
    let answer = client.ask(get("a.test", "/"));
    assert_eq!((answer.status, answer.interim.len()), (502, 1));
}
