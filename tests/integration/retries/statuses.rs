//! Answers in whose place another backend is asked.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::{Picking, body_of, picking, post};
use crate::fixtures::{Gate, Request, TestProxy, TestUpstream, eventually, get, response};

fn busy() -> TestUpstream {
    TestUpstream::answering(response("503 Service Unavailable", &[], "busy"))
}

/// The backends of a pool in the form of the configuration.
fn list(backends: &[&TestUpstream]) -> String {
    let addresses = backends.iter().map(|b| format!("\"{}\"", b.address()));
    addresses.collect::<Vec<_>>().join(", ")
}

#[test]
fn one_of_eight_that_answers_503_or_resets_half_the_time_fails_no_get_and_repeats_no_post() {
    let asked = Arc::new(AtomicUsize::new(0));
    let bad = TestUpstream::start(move |connection| {
        while connection.request().is_some() {
            let n = asked.fetch_add(1, Ordering::SeqCst);
            match n % 4 {
                0 => connection.send(response("503 Service Unavailable", &[], "busy")),
                2 => return connection.reset(),
                _ => connection.send(response("200 OK", &[], "ok")),
            };
        }
    });
    let good: Vec<_> = (0..7).map(|_| TestUpstream::named("ok")).collect();
    let mut all: Vec<_> = good.iter().collect();
    all.push(&bad);
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\nfail-timeout = \"50ms\"\n[[routes]]\npool = \"a\"",
            list(&all)
        ))
        .start();
    let mut client = proxy.client();
    let (gets, posts) = (400, 100);
    for _ in 0..gets {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    let sent = |method: &str| -> usize {
        let received = all.iter().flat_map(|upstream| upstream.received());
        received.filter(|r| r.method() == method).count()
    };
    assert!(sent("GET") <= gets + gets / 8, "{} GETs", sent("GET"));
    for _ in 0..posts {
        let status = client.ask(post("x")).status;
        assert!([200, 502, 503].contains(&status), "{status}");
        if status == 502 {
            client = proxy.client();
        }
    }
    assert_eq!(sent("POST"), posts, "each once");
    let retries = proxy.stats()["attempts"]["retries_by_reason"].clone();
    assert!(retries["status"].as_u64() > Some(0), "{retries}");
}

#[test]
fn the_last_answer_is_passed_on_where_no_other_backend_is_left() {
    let one = TestUpstream::answering(response("503 Service Unavailable", &[("x-n", "1")], "one"));
    let two = TestUpstream::answering(response("503 Service Unavailable", &[("x-n", "2")], "two"));
    let proxy = picking(&[&one, &two], "");
    let mut client = proxy.client();
    let answer = client.ask(Picking::get("0,1"));
    assert_eq!((answer.status, answer.text()), (503, "two".to_owned()));
    assert_eq!(answer.value("x-n").as_deref(), Some("2"));
    assert_eq!((one.received().len(), two.received().len()), (1, 1));
    proxy.logged(&["\"attempts\":2", "503"]);
    assert_eq!(client.ask(Picking::get("1,0")).text(), "one");
}

#[test]
fn what_is_not_idempotent_has_its_503_and_is_sent_once() {
    let (one, two) = (busy(), TestUpstream::named("ok"));
    let proxy = picking(&[&one, &two], "");
    for method in ["POST", "PATCH"] {
        let answer = proxy.ask(Picking::of(method, "0,1").body("x").bytes());
        assert_eq!((answer.status, answer.text()), (503, "busy".to_owned()));
    }
    assert_eq!((one.received().len(), two.received().len()), (2, 0));
}

/// The rest of a discarded response must not be taken for the next one.
#[test]
fn a_connection_whose_answer_was_discarded_is_kept_if_all_of_that_was_read() {
    let whole = [
        response("503 Service Unavailable", &[], "busy"),
        b"HTTP/1.1 503 Busy\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nbusy\r\n0\r\n\r\n".to_vec(),
        response("503 Service Unavailable", &[], ""),
    ];
    for answer in whole {
        let (one, two) = (TestUpstream::answering(answer), TestUpstream::named("ok"));
        let proxy = picking(&[&one, &two], "max-failures = 0");
        let mut client = proxy.client();
        for _ in 0..5 {
            assert_eq!(client.ask(Picking::get("0,1")).text(), "ok");
        }
        assert_eq!((one.received().len(), one.connections()), (5, 1));
    }
}

#[test]
fn a_connection_whose_answer_was_discarded_before_its_end_is_closed() {
    let rests = [
        "Content-Length: 100\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "Transfer-Encoding: chunked\r\n\r\n40\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "Content-Length: 0\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
        "Connection: close\r\nContent-Length: 4\r\n\r\nbusy",
        "\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil",
    ];
    for rest in rests {
        let one = TestUpstream::start(move |connection| {
            connection.request();
            connection.send(format!("HTTP/1.1 503 Service Unavailable\r\n{rest}"));
            connection.wait_for_close();
        });
        let two = TestUpstream::named("ok");
        let proxy = picking(&[&one, &two], "max-failures = 0");
        let mut client = proxy.client();
        for n in 1..=3 {
            assert_eq!(client.ask(Picking::get("0,1")).text(), "ok", "{rest}");
            assert_eq!(one.connections(), n, "{rest}");
        }
        one.wait_until_unused();
    }
}

#[test]
fn heads_and_ranges_are_asked_for_elsewhere_as_well() {
    let body = "0123456789";
    let one = TestUpstream::answering(b"HTTP/1.1 503 Busy\r\nContent-Length: 10\r\n\r\n");
    let two = TestUpstream::answering(format!(
        "HTTP/1.1 200 OK\r\nContent-Length: {}\r\n\r\n",
        body.len()
    ));
    let proxy = picking(&[&one, &two], "max-failures = 0");
    let mut client = proxy.client();
    for _ in 0..2 {
        let answer = client.ask(Picking::of("HEAD", "0,1").bytes());
        assert_eq!(answer.status, 200);
    }
    assert_eq!((one.connections(), two.connections()), (1, 1));
    let (one, two) = (
        busy(),
        TestUpstream::answering(response("200 OK", &[], body)),
    );
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\nmax-failures = 0\n[[routes]]\npool = \"a\"\n\
             [policies.range]\ndeadline = \"2s\"\n[policies.random]\ndeadline = \"2s\"",
            list(&[&one, &two])
        ))
        .start();
    let range = Request::new("GET", "/").host("a.test");
    let range = range.field("Range", "bytes=2-4").bytes();
    eventually("an attempt at the busy one", || {
        let answer = proxy.ask(&range);
        assert_eq!((answer.status, answer.text()), (206, "234".to_owned()));
        (!one.received().is_empty()).then_some(())
    });
}

#[test]
fn policies_edit_the_answer_that_is_passed_on_and_no_other() {
    let (one, two) = (busy(), TestUpstream::named("ok"));
    let proxy = picking(&[&one, &two], "");
    let request = Picking::of("GET", "0,1").field("X-Probe-Response", "attempt");
    let answer = proxy.ask(request.bytes());
    let attempt = answer.value("x-probe-attempt").unwrap();
    let parts: Vec<&str> = attempt.split(' ').collect();
    let [_pool, "2", first] = parts.as_slice() else {
        panic!("{attempt}")
    };
    assert!(
        first.starts_with("0:") && first.to_lowercase().ends_with("other"),
        "{attempt}"
    );
}

#[test]
fn a_route_says_which_statuses_and_its_pool_what_else() {
    let one = TestUpstream::replying(|r| response(&format!("{} X", &r.target()[1..]), &[], "one"));
    let two = TestUpstream::named("two");
    let proxy = TestProxy::builder()
        .file("probe.wasm", crate::fixtures::guest("probe"))
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\nmax-failures = 0\nretry = {{ attempts = 2 }}\n\
             [[routes]]\npool = \"a\"\npolicies = [\"probe\"]\n\
             retry = {{ on = [\"connect\", 404, 502] }}\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"",
            list(&[&one, &two])
        ))
        .start();
    for (status, text) in [
        ("404", "two"),
        ("502", "two"),
        ("503", "one"),
        ("500", "one"),
    ] {
        let request = Request::new("GET", &format!("/{status}"))
            .host("a.test")
            .field("X-Probe-Select", "picks=0,1");
        assert_eq!(proxy.ask(request.bytes()).text(), text, "{status}");
    }
}

#[test]
fn a_body_is_sent_again_whatever_its_size_and_however_it_comes() {
    let (one, two) = (busy(), TestUpstream::echo());
    let proxy = picking(&[&one, &two], "max-failures = 0");
    let mut client = proxy.client();
    for size in [0, 1, 1_000, 16 * 1024, 40_000, 64 * 1024] {
        let body = body_of(size);
        let whole = Picking::of("PUT", "0,1").body(&body).bytes();
        assert_eq!(client.ask(&whole).body, body, "{size} at once");
        let before = one.received().len();
        let (first, rest) = whole.split_at(whole.len() - size.div_ceil(2));
        client.send(first);
        one.wait_for_heads(before + 1);
        client.send(rest);
        assert_eq!(client.response_to("PUT").body, body, "{size} in two");
        let half = size / 2;
        let chunks = Picking::of("PUT", "0,1").chunks(
            [&body[..half], &body[half..]]
                .into_iter()
                .filter(|c| !c.is_empty()),
        );
        assert_eq!(client.ask(chunks.bytes()).body, body, "{size} in chunks");
    }
}

/// The rest comes from the client while the second backend is asked.
#[test]
fn a_503_within_the_body_is_asked_for_elsewhere_with_all_of_the_body() {
    let one = TestUpstream::start(|connection| {
        connection.head();
        connection.send(response("503 Service Unavailable", &[], "busy"));
        connection.wait_for_close();
    });
    let two = TestUpstream::echo();
    let proxy = picking(&[&one, &two], "max-failures = 0");
    let body = body_of(40_000);
    for chunked in [false, true] {
        let request = Picking::of("PUT", "0,1");
        let request = match chunked {
            false => request.body(&body).bytes(),
            true => request.chunks([&body[..]]).bytes(),
        };
        let before = two.received().len();
        let mut client = proxy.client();
        client.send(&request[..20_000]);
        two.wait_for_heads(before + 1);
        client.send(&request[20_000..]);
        assert_eq!(client.response_to("PUT").body, body, "{chunked}");
    }
    one.wait_until_unused();
    assert_eq!(two.complete().len(), 2);
}

#[test]
fn more_of_a_body_is_kept_where_the_pool_says_so_and_none_where_it_says_that() {
    for (buffer, status) in [("\"1MiB\"", 200), ("0", 503)] {
        let (one, two) = (busy(), TestUpstream::echo());
        let proxy = picking(&[&one, &two], &format!("retry-buffer = {buffer}"));
        let body = body_of(500_000);
        let answer = proxy.ask(Picking::of("PUT", "0,1").body(&body).bytes());
        assert_eq!(answer.status, status, "{buffer}");
        assert_eq!(two.received().len(), usize::from(status == 200));
    }
}

#[test]
fn what_the_budget_does_not_allow_is_not_sent_again_and_the_answer_is_passed_on() {
    let (one, two) = (busy(), TestUpstream::named("ok"));
    let proxy = picking(
        &[&one, &two],
        "retry = { budget = { share = 0, least = 0 } }",
    );
    let answer = proxy.ask(Picking::get("0,1"));
    assert_eq!((answer.status, answer.text()), (503, "busy".to_owned()));
    proxy.wait_for_stat("/attempts/over_budget", 1);
    proxy.logged(&["\"over_budget\":true"]);
    assert_eq!(two.received().len(), 0);
}

/// Three at once by default, however few requests are under way.
#[test]
fn the_budget_counts_the_attempts_that_are_under_way() {
    let gate = Gate::new();
    let (one, two) = (busy(), TestUpstream::behind(&gate));
    let proxy = picking(&[&one, &two], "max-failures = 0");
    let mut held: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    held.iter_mut()
        .for_each(|client| client.send(Picking::get("0,1")));
    two.wait_for_heads(3);
    assert_eq!(proxy.ask(Picking::get("0,1")).text(), "busy");
    gate.open();
    held.iter_mut()
        .for_each(|client| assert_eq!(client.response().text(), "ok"));
    eventually("the budget is free again", || {
        (proxy.ask(Picking::get("0,1")).text() == "ok").then_some(())
    });
}

#[test]
fn a_head_that_is_none_or_is_cut_is_as_good_as_none() {
    let one_for = |bad: &'static str| {
        TestUpstream::start(move |connection| {
            connection.request();
            connection.send(bad);
        })
    };
    for bad in ["nonsense\r\n\r\n", "HTTP/1.1 200 OK\r\nContent-Le"] {
        let (one, two) = (one_for(bad), TestUpstream::named("two"));
        let proxy = picking(&[&one, &two], "");
        assert_eq!(proxy.ask(Picking::get("0,1")).text(), "two");
        assert_eq!(proxy.stats()["attempts"]["retries_by_reason"]["reset"], 1);
        let post = Picking::of("POST", "0,1").body("x").bytes();
        proxy.ask(post).assert_refusal(502);
        assert_eq!((one.received().len(), two.received().len()), (2, 1));
    }
    let alone = one_for("nonsense\r\n\r\n");
    let proxy = picking(&[&alone], "");
    proxy.ask(Picking::get("0")).assert_refusal(502);
    assert_eq!(alone.received().len(), 1, "it would say the same again");
}
