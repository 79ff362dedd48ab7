//! What goes from one end to the other as it is, and what counts its way: statuses, versions,
//! fields, hops.

mod spelling;

use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, get, response};

#[test]
fn unknown_statuses_are_passed_on_and_counted() {
    let upstream = TestUpstream::replying(|request| {
        let status = request.target().trim_start_matches('/').to_owned();
        response(&format!("{status} Odd"), &[], "body")
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for status in [299, 499, 599, 600, 601, 700, 888, 999] {
        let answer = client.ask(get("a.test", &format!("/{status}")));
        assert_eq!((answer.status, answer.text().as_str()), (status, "body"));
        assert!(
            answer.head.start.ends_with(&format!("{status} Odd")),
            "{}",
            answer.head.start
        );
        proxy.logged(&[&format!("\"status\":{status}")]);
    }
    assert_eq!(proxy.stat("/requests/by_status/600"), 1);
    assert_eq!(proxy.stat("/requests/by_status/999"), 1);
    for wrong in ["000", "099", "1000", "60", "6OO"] {
        proxy
            .get("a.test", &format!("/{wrong}"))
            .assert_refusal(502);
    }
}

#[test]
fn a_higher_minor_version_is_read_as_http_1_1_on_both_sides() {
    let upstream = TestUpstream::replying(|request| {
        let version = if request.target() == "/9" {
            "1.9"
        } else {
            "1.2"
        };
        format!("HTTP/{version} 200 OK\r\nContent-Length: 2\r\n\r\nok").into_bytes()
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    // `check_canonical` of the fixture sees to it that the backend reads HTTP/1.1, and the client's
    // reader likewise.
    for request in [
        "GET / HTTP/1.2\r\nHost: a.test\r\n\r\n",
        "GET /9 HTTP/1.9\r\nHost: a.test\r\n\r\n",
    ] {
        let answer = client.ask(request);
        assert_eq!(
            (answer.status, answer.text().as_str(), answer.closes()),
            (200, "ok", false),
            "{request}"
        );
    }
    let chunked =
        "POST / HTTP/1.3\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n";
    assert_eq!(client.ask(chunked).status, 200);
    assert_eq!(upstream.complete().last().unwrap().body, b"hi");
    assert_eq!(
        upstream.connections(),
        1,
        "the backend's connection is kept as well"
    );
    // The rules of HTTP/1.1 hold.
    proxy.ask("GET / HTTP/1.2\r\n\r\n").assert_refusal(400);
    for version in ["0.9", "2.0", "3.0"] {
        proxy
            .ask(format!("GET / HTTP/{version}\r\nHost: a.test\r\n\r\n"))
            .assert_refusal(505);
    }
}

#[test]
fn versions_that_a_backend_may_not_speak_are_refused() {
    for version in ["0.9", "2.0", "1.10", "1.", "1.x", "01.1"] {
        let upstream = TestUpstream::answering(format!(
            "HTTP/{version} 200 OK\r\nContent-Length: 0\r\n\r\n"
        ));
        TestProxy::in_front_of(&upstream)
            .get("a.test", "/")
            .assert_refusal(502);
    }
}

#[test]
fn a_response_head_over_the_limit_is_refused_however_it_arrives() {
    let head = |bytes: usize| {
        let line = format!("X-Pad: {}\r\n", "x".repeat(1000 - 9));
        let mut head = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n".to_owned();
        while head.len() + line.len() + 12 < bytes {
            head.push_str(&line);
        }
        let rest = bytes - head.len() - 2;
        head.push_str(&format!("X-Rest: {}\r\n\r\n", "y".repeat(rest - 10)));
        assert_eq!(head.len(), bytes);
        head + "ok"
    };
    let upstream = TestUpstream::replying(move |request| {
        let bytes = request.target().trim_start_matches('/').parse().unwrap();
        head(bytes).into_bytes()
    });
    let proxy = TestProxy::in_front_of(&upstream);
    const LIMIT: usize = 64 * 1024;
    assert_eq!(proxy.get("a.test", &format!("/{LIMIT}")).text(), "ok");
    for over in [
        LIMIT + 1,
        LIMIT + 100,
        2 * LIMIT - 1,
        2 * LIMIT + 1,
        3 * LIMIT,
    ] {
        proxy.get("a.test", &format!("/{over}")).assert_refusal(502);
    }
}

#[test]
fn a_status_line_over_the_limit_is_refused_though_it_is_complete() {
    let upstream = TestUpstream::replying(|request| {
        let bytes: usize = request.target().trim_start_matches('/').parse().unwrap();
        let reason = "r".repeat(bytes - "HTTP/1.1 200 ".len());
        format!("HTTP/1.1 200 {reason}\r\nContent-Length: 0\r\n\r\n").into_bytes()
    });
    let proxy = TestProxy::in_front_of(&upstream);
    assert_eq!(proxy.get("a.test", "/8192").status, 200);
    proxy.get("a.test", "/8193").assert_refusal(502);
    proxy.get("a.test", "/20000").assert_refusal(502);
}

#[test]
fn proxy_status_is_passed_on_and_continued() {
    let upstream = TestUpstream::replying(|request| match request.target() {
        "/plain" => response("200 OK", &[], ""),
        "/named" => response(
            "200 OK",
            &[("Connection", "proxy-status"), ("Proxy-Status", "inner")],
            "",
        ),
        _ => response(
            "502 Bad Gateway",
            &[
                ("Proxy-Status", "origin.test; error=dns_error, inner"),
                ("Proxy-Authenticate", "Basic"),
            ],
            "",
        ),
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let answer = proxy.ask(
        Request::new("GET", "/")
            .host("a.test")
            .field("Proxy-Status", "forged")
            .bytes(),
    );
    assert_eq!(
        answer.head.values("proxy-status"),
        ["origin.test; error=dns_error, inner", "waypost"]
    );
    assert!(
        !answer.head.has("proxy-authenticate"),
        "that one is of the hop"
    );
    assert!(
        !upstream.received()[0].head.has("proxy-status"),
        "it is no field of a request"
    );
    assert!(
        !proxy.get("a.test", "/plain").head.has("proxy-status"),
        "nobody had anything to say"
    );
    assert!(
        !proxy.get("a.test", "/named").head.has("proxy-status"),
        "the backend made it one of its hop"
    );
    let named = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[forwarded]\nvia = \"1-edge\"")
        .start();
    assert_eq!(
        named
            .get("a.test", "/")
            .head
            .values("proxy-status")
            .last()
            .unwrap(),
        "\"1-edge\"",
        "no token, so a string"
    );
}

#[test]
fn proxy_status_says_why_the_proxy_answers_itself() {
    let upstream = TestUpstream::start(|connection| {
        if let Some(request) = connection.request() {
            match request.target() {
                "/nonsense" => _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"),
                "/closed" => {}
                _ => _ = connection.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"),
            }
        }
    });
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .host("dead.test", &[refusing()])
        .start();
    let error = |host: &str, request: Request| {
        let answer = proxy.ask(request.host(host).bytes());
        answer
            .value("proxy-status")
            .unwrap_or_else(|| panic!("{} without a reason", answer.status))
    };
    let get = |target| Request::new("GET", target);
    assert_eq!(
        error("a.test", get("/nonsense")),
        "waypost;error=http_protocol_error"
    );
    assert_eq!(
        error("a.test", Request::new("POST", "/closed").body("x")),
        "waypost;error=http_response_incomplete"
    );
    assert_eq!(
        error("dead.test", get("/")),
        "waypost;error=destination_unavailable"
    );
    assert_eq!(
        error("nobody.test", get("/")),
        "waypost;error=destination_not_found"
    );
    assert_eq!(
        error("a.test", Request::new("TRACE", "/")),
        "waypost;error=http_request_error"
    );
    assert_eq!(
        error("a.test", get("/").field("Range", "bytes=100-")),
        "waypost;error=http_request_error"
    );
}

/// An address that refuses connections.
fn refusing() -> std::net::SocketAddr {
    std::net::TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}

#[test]
fn max_forwards_is_counted_down_and_the_last_hop_answers() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .start();
    let mut client = proxy.client();
    let mut options = |target: &str, hops: &str| {
        client.ask(
            Request::new("OPTIONS", target)
                .host("a.test")
                .field("Max-Forwards", hops)
                .bytes(),
        )
    };
    for target in ["/", "*", "/a?b"] {
        let answer = options(target, "0");
        assert_eq!((answer.status, answer.body.len()), (200, 0), "{target}");
        let allow = answer.value("allow").unwrap();
        assert!(
            ["GET", "OPTIONS"]
                .iter()
                .all(|method| allow.contains(method))
                && !allow.contains("TRACE"),
            "{allow}"
        );
        assert_eq!(answer.value("content-length").as_deref(), Some("0"));
    }
    assert!(upstream.received().is_empty());
    for (sent, arrives) in [
        ("1", "0"),
        ("12", "11"),
        ("00009", "8"),
        ("99999999999999999999", "18446744073709551614"),
    ] {
        assert_eq!(options("/", sent).text(), "reached");
        assert_eq!(
            upstream
                .received()
                .last()
                .unwrap()
                .value("max-forwards")
                .as_deref(),
            Some(arrives)
        );
    }
    assert_eq!(
        client
            .ask(Request::new("OPTIONS", "/").host("a.test").bytes())
            .text(),
        "reached"
    );
    // Of other methods it is nobody's business.
    assert_eq!(
        client
            .ask(
                Request::new("GET", "/")
                    .host("a.test")
                    .field("Max-Forwards", "0")
                    .bytes()
            )
            .text(),
        "reached"
    );
    assert_eq!(
        upstream
            .received()
            .last()
            .unwrap()
            .value("max-forwards")
            .as_deref(),
        Some("0")
    );
    let reached = upstream.received().len();
    for wrong in ["-1", "1.5", "x", "1, 1", "\u{661}"] {
        let request = Request::new("OPTIONS", "/")
            .host("a.test")
            .field("Max-Forwards", wrong);
        proxy.ask(request.bytes()).assert_refusal(400);
    }
    let twice = Request::new("OPTIONS", "/")
        .host("a.test")
        .field("Max-Forwards", "5")
        .field("Max-Forwards", "0");
    proxy.ask(twice.bytes()).assert_refusal(400);
    let nowhere = Request::new("OPTIONS", "/")
        .host("nobody.test")
        .field("Max-Forwards", "0");
    proxy.ask(nowhere.bytes()).assert_refusal(404);
    for hops in ["0", "1", "x"] {
        let trace = Request::new("TRACE", "/")
            .host("a.test")
            .field("Max-Forwards", hops)
            .field("Cookie", "secret=1");
        let answer = proxy.ask(trace.bytes());
        answer.assert_refusal(405);
        assert!(answer.value("allow").is_some() && !answer.text().contains("secret"));
    }
    assert_eq!(upstream.received().len(), reached);
    // What a backend could take for it does not get past.
    proxy.ask(
        Request::new("OPTIONS", "/")
            .host("a.test")
            .field("max_forwards", "0")
            .bytes(),
    );
    assert!(!upstream.received().last().unwrap().head.has("max_forwards"));
}

#[test]
fn an_answer_to_options_leaves_the_connection_in_order() {
    let upstream = TestUpstream::named("reached");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    for _ in 0..2 {
        let request = Request::new("OPTIONS", "/")
            .host("a.test")
            .field("Max-Forwards", "0")
            .body("GET /x HTTP/1.1");
        assert_eq!(client.ask(request.bytes()).status, 200);
    }
    assert_eq!(client.ask(get("a.test", "/")).text(), "reached");
    let log = eventually("the log", || {
        proxy
            .stdout
            .find(|l| l.contains("OPTIONS").then(|| l.to_owned()))
    });
    assert!(
        log.contains("\"status\":200") && log.contains("\"attempts\":0"),
        "{log}"
    );
}
