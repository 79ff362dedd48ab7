//! What is held against a backend, and what is not; and how one that was ejected comes back.

mod ejection;
mod facts;
mod probes;
mod returns;
mod shares;
mod stalls;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use crate::fixtures::{
    Client, Gate, Request, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
    response,
};

/// Ways to fail, each at a host of its own.
const FAILING: [(&str, &str); 7] = [
    ("cut", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello"),
    (
        "cut-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n",
    ),
    (
        "bad-chunks",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n",
    ),
    ("nonsense", "HELLO\r\n\r\n"),
    ("cut-head", "HTTP/1.1 200 OK\r\nContent-"),
    ("hints-only", "HTTP/1.1 103 Early Hints\r\n\r\n"),
    ("silent-close", ""),
];

#[test]
fn a_backend_that_cuts_bodies_or_answers_nonsense_is_ejected() {
    let backends: Vec<(&str, TestUpstream)> = FAILING
        .iter()
        .map(|(host, answer)| {
            let upstream = TestUpstream::start(move |connection| {
                connection.request();
                connection.send(answer);
            });
            (*host, upstream)
        })
        .collect();
    let alive = TestUpstream::named("alive");
    let mut proxy = TestProxy::builder();
    for (host, upstream) in &backends {
        proxy = proxy.tables(&format!(
            "[pools.{host}]\nbackends = [\"{}\", \"{}\"]\nmax-failures = 2\nfail-timeout = \"1h\"\n\
             [[routes]]\nhost = \"{host}.test\"\npool = \"{host}\"",
            upstream.address(),
            alive.address()
        ));
    }
    let proxy = proxy.start();
    for (host, upstream) in &backends {
        // One in 2^38 runs meets the failing one less than twice.
        for n in 1..=40 {
            let mut client = Client::connect_from([127, 0, 0, n].into(), proxy.address());
            client.send(get(&format!("{host}.test"), "/"));
            let _ = client.try_response_to("GET");
        }
        let backend = &proxy.stats()["backends"][upstream.address().to_string()];
        assert_eq!(
            (&backend["failures"], &backend["healthy"]),
            (&2.into(), &false.into()),
            "{host}"
        );
    }
}

#[test]
fn a_backend_that_times_out_is_ejected() {
    for answer in [
        "",
        "HTTP/1.1 200 OK\r\nContent-",
        "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello",
    ] {
        let upstream = TestUpstream::start(move |connection| {
            connection.request();
            connection.send(answer);
            connection.wait_for_close();
        });
        let proxy = TestProxy::builder()
            .tables(&format!(
                "[pools.a]\nbackends = [\"{}\"]\nmax-failures = 1\nfail-timeout = \"1h\"\n[[routes]]\npool = \"a\"\n\
                 [timeouts]\nresponse = \"100ms\"",
                upstream.address()
            ))
            .start();
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        let _ = client.try_response_to("GET");
        let failures = format!("/backends/{}/failures", upstream.address());
        eventually("the backend is blamed", || {
            (proxy.stat(&failures) == 1).then_some(())
        });
        assert_eq!(
            proxy.stats()["backends"][upstream.address().to_string()]["healthy"],
            false,
            "{answer:?}"
        );
    }
}

/// What the backend of the next test does with a request for this target.
fn behave(connection: &mut crate::fixtures::Connection, target: &str) -> bool {
    let many: String = (0..300).map(|n| format!("X-{n}: y\r\n")).collect();
    match target {
        "/quiet-chunks" => {
            connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n");
            connection.wait_for_close();
            false
        }
        "/quiet-until-close" => {
            connection.send("HTTP/1.1 200 OK\r\n\r\nhello");
            connection.wait_for_close();
            false
        }
        "/begins" => {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            connection.wait_for_close();
            false
        }
        "/never" => {
            connection.wait_for_close();
            false
        }
        "/500" => connection.send(response("500 Oh", &[], "oh")),
        "/many-fields" => connection.send(format!(
            "HTTP/1.1 200 OK\r\n{many}Content-Length: 0\r\n\r\n"
        )),
        _ => connection.send(response("200 OK", &[], "hello")),
    }
}

#[test]
fn a_backend_is_not_blamed_for_what_others_do() {
    let upstream = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            let target = head.target().to_owned();
            if connection.body().is_none() || !behave(connection, &target) {
                return;
            }
        }
    });
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-failures = 1\nfail-timeout = \"1h\"\n\
             [[routes]]\npool = \"a\"\npolicies = [\"range\", \"probe\"]\n\
             [policies.range]\nbuiltin = \"range\"\ndeadline = \"2s\"\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"2s\"\n\
             [timeouts]\nresponse = \"2s\"\nbody-read = \"200ms\"\n[limits]\nbody-bytes = 1000",
            upstream.address()
        ))
        .start();
    let check = |what: &str| {
        eventually("the request is over", || {
            (proxy.stat("/requests/active") == 0).then_some(())
        });
        let backend = &proxy.stats()["backends"][upstream.address().to_string()];
        assert_eq!(
            (&backend["failures"], &backend["healthy"]),
            (&0.into(), &true.into()),
            "{what}"
        );
    };

    for target in ["/quiet-chunks", "/quiet-until-close"] {
        let mut client = proxy.client();
        client.send(get("a.test", target));
        assert!(
            client.try_response_to("GET").is_err(),
            "{target} is broken off"
        );
        check(target);
    }
    for target in ["/500", "/many-fields"] {
        assert!(proxy.get("a.test", target).status >= 500);
        check(target);
    }
    let heads = upstream.received().len();
    for (n, target) in ["/begins", "/never"].into_iter().enumerate() {
        let mut client = proxy.client();
        client.send(get("a.test", target));
        upstream.wait_for_heads(heads + n + 1);
        client.reset();
        check("a client that left");
    }
    let beyond = Request::new("GET", "/")
        .host("a.test")
        .field("Range", "bytes=10-")
        .bytes();
    proxy.ask(beyond).assert_refusal(416);
    check("a range beyond the end");
    let large = vec![b'x'; 1_001];
    for unfinished in [
        "Content-Length: 10\r\n\r\nhello".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n".to_owned(),
        "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n".to_owned(),
        format!(
            "Transfer-Encoding: chunked\r\n\r\n3e9\r\n{}\r\n0\r\n\r\n",
            String::from_utf8_lossy(&large)
        ),
    ] {
        let mut client = proxy.client();
        client.send(format!("POST / HTTP/1.1\r\nHost: a.test\r\n{unfinished}"));
        let status = client.response_to("POST").status;
        assert!((400..500).contains(&status), "{status}");
        check(&unfinished);
    }
}

#[test]
fn an_ejected_backend_is_tried_by_one_request_at_a_time_until_it_answers() {
    const FAIL: u8 = 0;
    const HOLD: u8 = 1;
    let (mode, gate) = (Arc::new(AtomicU8::new(FAIL)), Gate::new());
    let (scripted, opened) = (Arc::clone(&mode), gate.clone());
    let ill = TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            if scripted.load(Ordering::SeqCst) == FAIL {
                return;
            }
            opened.wait();
            connection.send(response("200 OK", &[], "well"));
        }
    });
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\", \"{}\"]\nmax-failures = 1\nfail-timeout = \"20ms\"\n[[routes]]\npool = \"a\"\n\
             policies = []",
            ill.address(),
            alive.address()
        ))
        .start();
    eventually("the ill backend has failed", || {
        assert_eq!(
            proxy.get("a.test", "/").text(),
            "alive",
            "GET is tried again"
        );
        (!ill.received().is_empty()).then_some(())
    });
    mode.store(HOLD, Ordering::SeqCst);
    let before = ill.received().len();
    // Its time is over some time: one request of these finds its way there and stays.
    let mut asked = Vec::new();
    eventually("a request tries it", || {
        let mut client = proxy.client();
        client.send(get("a.test", "/"));
        asked.push(client);
        (ill.received().len() > before).then_some(())
    });
    for _ in 0..40 {
        assert_eq!(
            proxy.get("a.test", "/").text(),
            "alive",
            "the others avoid it meanwhile"
        );
    }
    assert_eq!(ill.received().len(), before + 1);
    gate.open();
    let answers: Vec<String> = asked
        .iter_mut()
        .map(|client| client.response().text())
        .collect();
    assert_eq!(
        answers.iter().filter(|text| *text == "well").count(),
        1,
        "{answers:?}"
    );
    eventually("it is used again", || {
        (proxy.get("a.test", "/").text() == "well").then_some(())
    });
    assert_eq!(
        proxy.stats()["backends"][ill.address().to_string()]["healthy"],
        true
    );
}

#[test]
fn another_attempt_goes_to_another_backend() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{dead}\", \"{}\"]\nattempts = 2\nmax-failures = 0\n[[routes]]\npool = \"a\"\npolicies = []",
            alive.address()
        ))
        .start();
    let mut client = proxy.client();
    // With a choice among both, one of 60 second attempts would meet the dead one again but for one
    // run in 2^15.
    for _ in 0..60 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "alive");
    }
    assert!(proxy.stat("/retries") > 0);
}

#[test]
fn a_client_that_leaves_before_the_answer_makes_no_failure_forgotten() {
    let upstream = TestUpstream::start(|connection| {
        if connection.request().is_some_and(|r| r.target() == "/waits") {
            connection.wait_for_close();
        }
    });
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nattempts = 1\nmax-failures = 2\nfail-timeout = \"1h\"\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start();
    let backend = || proxy.stats()["backends"][upstream.address().to_string()].clone();
    let fails = |n: u8| {
        let mut client = Client::connect_from([127, 0, 0, n].into(), proxy.address());
        client
            .ask(
                Request::new("POST", "/fails")
                    .host("a.test")
                    .body("x")
                    .bytes(),
            )
            .assert_refusal(502);
    };
    fails(1);
    let mut client = proxy.client();
    client.send(get("a.test", "/waits"));
    upstream.wait_for_heads(2);
    client.reset();
    eventually("it has left", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
    assert_eq!(
        (&backend()["failures"], &backend()["healthy"]),
        (&1.into(), &true.into()),
        "that was not its doing"
    );
    fails(2);
    assert_eq!(
        (&backend()["failures"], &backend()["healthy"]),
        (&2.into(), &false.into()),
        "the second in a row"
    );
}

#[test]
fn a_backend_that_stops_before_the_range_begins_is_to_blame() {
    for range in ["bytes=50-59", "bytes=50-59,70-79"] {
        let upstream = TestUpstream::start(|connection| {
            connection.request();
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhello");
            connection.wait_for_close();
        });
        let proxy = TestProxy::builder()
            .host("*", &[upstream.address()])
            .tables("[timeouts]\nresponse = \"200ms\"")
            .start();
        let mut client = proxy.client();
        client.send(
            Request::new("GET", "/")
                .host("a.test")
                .field("Range", range)
                .bytes(),
        );
        assert!(client.try_response_to("GET").is_err(), "{range}");
        let failures = format!("/backends/{}/failures", upstream.address());
        eventually("it is held against it", || {
            (proxy.stat(&failures) == 1).then_some(())
        });
    }
}
