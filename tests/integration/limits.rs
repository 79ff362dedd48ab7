//! What a client may use, and how long it may take.

use std::net::{IpAddr, Ipv4Addr};

use rustix::process::{Pid, Resource, Rlimit, prlimit};

use crate::fixtures::{
    Client, Gate, ReadError, Request, TestProxy, TestUpstream, eventually, get, launch, response,
};

fn limited(upstream: &TestUpstream, tables: &str) -> TestProxy {
    TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables(tables)
        .start()
}

/// A refusal that ends the connection. The request may not have been read to its end.
#[track_caller]
fn assert_refused_and_closed(client: &mut Client, status: u16) {
    client.response().assert_refusal(status);
    client.assert_closed();
}

#[test]
fn a_request_line_that_is_too_long_is_a_414() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nrequest-line = 1000");
    let mut client = proxy.client();
    assert_eq!(
        client
            .ask(get("a.test", &format!("/{}", "x".repeat(900))))
            .status,
        200
    );
    client.send(get("a.test", &format!("/{}", "x".repeat(1_000))));
    assert_refused_and_closed(&mut client, 414);
    // Without an end it is refused as soon as it is too long.
    let mut client = proxy.client();
    client.send(format!("GET /{}", "x".repeat(1_200)));
    assert_refused_and_closed(&mut client, 414);
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn header_fields_that_are_too_large_are_a_431() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nheader-bytes = 4096");
    let mut client = proxy.client();
    let with = |size: usize| {
        Request::new("GET", "/")
            .host("a.test")
            .field("X", &"y".repeat(size))
            .bytes()
    };
    assert_eq!(client.ask(with(3_900)).status, 200);
    client.send(with(4_100));
    assert_refused_and_closed(&mut client, 431);
    let mut client = proxy.client();
    client.send(format!(
        "GET / HTTP/1.1\r\nHost: a.test\r\nX: {}",
        "y".repeat(5_000)
    ));
    assert_refused_and_closed(&mut client, 431);
    proxy.logged(&["431"]);
}

#[test]
fn too_many_header_fields_are_a_431() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nheader-count = 10");
    let mut client = proxy.client();
    let with = |count: usize| {
        (0..count).fold(Request::new("GET", "/").host("a.test"), |r, n| {
            r.field(&format!("X-{n}"), "y")
        })
    };
    assert_eq!(client.ask(with(9).bytes()).status, 200);
    client.send(with(10).bytes());
    assert_refused_and_closed(&mut client, 431);
}

#[test]
fn the_default_limits_take_what_browsers_send_and_no_more() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let cookie = "c".repeat(16 * 1024);
    assert_eq!(
        client
            .ask(
                Request::new("GET", "/")
                    .host("a.test")
                    .field("Cookie", &cookie)
                    .bytes()
            )
            .status,
        200
    );
    client.send_what_is_taken(
        Request::new("GET", "/")
            .host("a.test")
            .field("Cookie", &"c".repeat(48 * 1024))
            .bytes(),
    );
    assert_eq!(client.response().status, 431);
    let mut client = proxy.client();
    client.send_what_is_taken(get("a.test", &format!("/{}", "x".repeat(9 * 1024))));
    assert_eq!(client.response().status, 414);
}

#[test]
fn a_head_that_comes_too_slowly_is_a_408() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"1s\"");
    for start in [
        "G",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: a.test\r\n",
    ] {
        let mut client = proxy.client();
        client.send(start);
        assert_refused_and_closed(&mut client, 408);
    }
    assert!(upstream.received().is_empty());
}

#[test]
fn a_head_that_comes_byte_by_byte_does_not_win_time() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"300ms\"");
    let mut client = proxy.client();
    client.send("GET / HTTP/1.1\r\nHost: a.test\r\n");
    // Sends on for as long as the proxy listens: it would be for ever if each byte bought time.
    let started = std::time::Instant::now();
    client
        .wire
        .stream
        .set_read_timeout(Some(std::time::Duration::from_millis(20)))
        .unwrap();
    loop {
        client.send_what_is_taken("X: y\r\n");
        match client.wire.head() {
            Ok(head) => {
                assert!(
                    head.start.contains(" 408 ") || head.start.contains(" 431 "),
                    "{}",
                    head.start
                );
                break;
            }
            Err(ReadError::TimedOut) => {
                assert!(started.elapsed() < crate::fixtures::PATIENCE, "for ever")
            }
            Err(ReadError::Closed | ReadError::Reset) => break,
            Err(other) => panic!("{other:?}"),
        }
    }
    // It was the connection that ended, and not the proxy.
    assert_eq!(proxy.get("a.test", "/").text(), "a");
    proxy.logged(&["408"]);
}

#[test]
fn a_client_that_says_nothing_is_let_go() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nheader-read = \"200ms\"");
    let mut client = proxy.client();
    match client.try_response_to("GET") {
        Ok(answer) => assert_eq!(answer.status, 408),
        Err(ReadError::Closed | ReadError::Reset) => {}
        Err(other) => panic!("{other:?}"),
    }
    eventually("the connection is forgotten", || {
        (proxy.stat("/connections/active") == 0).then_some(())
    });
}

#[test]
fn an_idle_connection_is_closed_without_a_word() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[timeouts]\nidle = \"200ms\"");
    let mut client = proxy.client();
    assert_eq!(client.ask(get("a.test", "/")).status, 200);
    client.assert_closed();
}

#[test]
fn a_body_that_does_not_come_is_a_408() {
    let upstream = TestUpstream::echo();
    let proxy = limited(&upstream, "[timeouts]\nbody-read = \"200ms\"");
    let mut client = proxy.client();
    client.send("POST / HTTP/1.1\r\nHost: a.test\r\nContent-Length: 10\r\n\r\nhello");
    client.response().assert_refusal(408);
    client.assert_closed();
    assert!(upstream.complete().is_empty());
    upstream.wait_until_unused();
}

#[test]
fn a_body_that_is_too_large_is_a_413_however_it_is_framed() {
    let upstream = TestUpstream::echo();
    let proxy = limited(&upstream, "[limits]\nbody-bytes = 1000");
    let post = || Request::new("POST", "/").host("a.test");
    let small = vec![b'x'; 1_000];
    assert_eq!(proxy.ask(post().body(&small).bytes()).body, small);
    assert_eq!(
        proxy.ask(post().chunks(small.chunks(100)).bytes()).body,
        small
    );
    let large = vec![b'x'; 1_001];
    proxy.ask(post().body(&large).bytes()).assert_refusal(413);
    proxy
        .ask(post().chunks(large.chunks(100)).bytes())
        .assert_refusal(413);
    assert_eq!(upstream.complete().len(), 2);
}

#[test]
fn connections_in_all_are_limited_and_a_place_becomes_free_again() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nconnections = 2");
    let mut held: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut held {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    let mut third = proxy.client();
    third.send_what_is_taken(get("a.test", "/"));
    match third.try_response_to("GET") {
        Ok(answer) => assert_eq!(answer.status, 503),
        Err(ReadError::Closed | ReadError::Reset) => {}
        Err(other) => panic!("{other:?}"),
    }
    assert_eq!(
        held[0].ask(get("a.test", "/")).status,
        200,
        "those who were first are not disturbed"
    );
    assert!(proxy.stat("/connections/refused") >= 1);
    held.pop();
    eventually("there is a place again", || {
        let mut client = proxy.client();
        client.send_what_is_taken(get("a.test", "/"));
        client
            .try_response_to("GET")
            .is_ok_and(|r| r.status == 200)
            .then_some(())
    });
}

#[test]
fn connections_of_one_client_are_limited_and_others_are_not_concerned() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .workers(2)
        .host("*", &[upstream.address()])
        .tables("[limits]\nconnections-per-client = 2")
        .start();
    let mut held: Vec<Client> = (0..2).map(|_| proxy.client()).collect();
    for client in &mut held {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
    let mut third = proxy.client();
    third.send_what_is_taken(get("a.test", "/"));
    assert!(
        !third.try_response_to("GET").is_ok_and(|r| r.status == 200),
        "a third connection of one client"
    );
    let mut other = Client::connect_from(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 2)), proxy.address());
    assert_eq!(other.ask(get("a.test", "/")).status, 200, "another client");
}

#[test]
fn requests_on_one_connection_are_limited_where_that_is_asked_for() {
    let upstream = TestUpstream::named("a");
    let proxy = limited(&upstream, "[limits]\nrequests-per-connection = 2");
    let mut client = proxy.client();
    assert!(!client.ask(get("a.test", "/")).closes());
    let last = client.ask(get("a.test", "/"));
    assert_eq!(last.status, 200);
    assert!(last.closes(), "it is said beforehand");
    client.assert_closed();
}

#[test]
fn slow_clients_do_not_hold_up_quick_ones() {
    let gate = Gate::new();
    let opened = gate.clone();
    let upstream = TestUpstream::start(move |connection| {
        while let Some(request) = connection.request() {
            if request.target() == "/slow" {
                opened.wait();
            }
            connection.send(response("200 OK", &[], request.target()));
        }
    });
    let proxy = TestProxy::in_front_of(&upstream);
    let mut slow: Vec<Client> = (0..20).map(|_| proxy.client()).collect();
    for client in &mut slow {
        client.send(get("a.test", "/slow"));
    }
    let mut stuck = proxy.client();
    stuck.send("GET / HT");
    upstream.wait_for_heads(20);
    assert_eq!(proxy.get("a.test", "/quick").text(), "/quick");
    gate.open();
    for client in &mut slow {
        assert_eq!(client.response().text(), "/slow");
    }
}

#[test]
fn empty_lines_before_a_request_are_not_without_end() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let mut client = proxy.client();
    let lines = b"\r\n".repeat(512 * 1024);
    for _ in 0..64 {
        client.send_what_is_taken(&lines);
    }
    assert!(
        proxy.peak_resident_kib() < 64 * 1024,
        "{} KiB",
        proxy.peak_resident_kib()
    );
    client.send_what_is_taken(get("a.test", "/"));
    assert!(!client.try_response_to("GET").is_ok_and(|r| r.status == 200));
    assert!(upstream.received().is_empty());
}

#[test]
fn a_client_that_stops_reading_is_cut_off() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
        let chunk = [b"10000\r\n".as_slice(), &[b'x'; 0x10000], b"\r\n"].concat();
        while connection.send(&chunk) {}
    });
    let proxy = limited(&upstream, "[timeouts]\nsend = \"300ms\"");
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    upstream.wait_until_unused_after(1);
    eventually("the request is over", || {
        (proxy.stat("/requests/active") == 0).then_some(())
    });
}

#[test]
fn running_out_of_file_descriptors_passes_by() {
    let upstream = TestUpstream::named("a");
    let mut proxy = limited(&upstream, "");
    // Less than it had when it shared them out.
    let few = Rlimit {
        current: Some(64),
        maximum: Some(64),
    };
    prlimit(
        Some(Pid::from_raw(proxy.process_id().cast_signed()).unwrap()),
        Resource::Nofile,
        few,
    )
    .unwrap();
    let mut held: Vec<Client> = (0..100).map(|_| proxy.client()).collect();
    let noticed = proxy
        .stderr
        .find(|l| l.contains("connections can't be accepted").then_some(()));
    assert!(
        noticed.is_some(),
        "the operator is told:\n{}",
        proxy.stderr.text()
    );
    assert!(!proxy.has_ended());
    // Those that have a place are served as soon as there are descriptors for the backend again.
    held.drain(..90);
    eventually("there is room again", || {
        let mut client = proxy.client();
        client.send_what_is_taken(get("a.test", "/"));
        client
            .try_response_to("GET")
            .is_ok_and(|r| r.status == 200)
            .then_some(())
    });
}

/// Those that have a place are served, those that have none read why, and who watches the process
/// gets an answer.
#[test]
fn few_file_descriptors_are_shared_out_and_the_admin_listener_goes_on() {
    let (command, scratch, _upstream) = with_limits("ulimit -n 128", "127.0.0.1:0");
    let proxy = launch(command, true, scratch);
    let lowered = proxy.stderr.find(|line| {
        line.contains("`limits.connections` is")
            .then(|| line.to_owned())
    });
    assert!(
        lowered.is_some_and(|line| line.contains("from 20000") && line.contains("`ulimit -n`"))
    );
    let mut clients: Vec<Client> = (0..150).map(|_| proxy.client()).collect();
    let mut answers = Vec::new();
    for client in &mut clients {
        client.send_what_is_taken(get("a.test", "/"));
        answers.push(client.try_response_to("GET").map(|answer| answer.status));
    }
    let of = |status| {
        answers
            .iter()
            .filter(|answer| matches!(answer, Ok(s) if *s == status))
            .count()
    };
    // Of one address fewer still: 429.
    assert!(
        of(200) >= 10 && of(200) + of(429) + of(503) == 150,
        "{answers:?}"
    );
    // Those that say nothing to the admin listener have its share and no other.
    let silent: Vec<Client> = (0..100)
        .map(|_| Client::connect(proxy.admin_address()))
        .collect();
    for _ in 0..20 {
        assert_eq!(proxy.admin(Request::new("GET", "/healthz")).status, 200);
    }
    let served = answers
        .iter()
        .position(|answer| matches!(answer, Ok(200)))
        .unwrap();
    assert_eq!(
        clients[served].ask(get("a.test", "/")).status,
        200,
        "and its backend's connection is not among them"
    );
    drop((clients, silent));
    eventually("there is room again", || {
        (proxy.get("a.test", "/").status == 200).then_some(())
    });
}

#[test]
fn too_few_file_descriptors_are_a_sentence_at_the_start() {
    for few in [40, 64] {
        let (mut command, _scratch, _upstream) =
            with_limits(&format!("ulimit -n {few}"), "127.0.0.1:0");
        let exit = crate::fixtures::run(&mut command);
        assert_eq!(exit.code, Some(1), "{exit:?}");
        assert!(
            exit.stderr.contains(&format!("{few} files")) && exit.stderr.contains("`ulimit -n`"),
            "{exit:?}"
        );
    }
}

/// `waypost run` in a shell that has set these limits, soft and hard.
fn with_limits(
    limits: &str,
    admin: &str,
) -> (
    std::process::Command,
    crate::fixtures::Scratch,
    TestUpstream,
) {
    let upstream = TestUpstream::named("a");
    let scratch = crate::fixtures::Scratch::new();
    let mut command = std::process::Command::new("sh");
    let script = format!(
        "{limits} && exec \"$0\" run --listen 127.0.0.1:0 --admin-listen {admin} --workers 1"
    );
    command.args(["-c", &script]);
    command
        .env_remove("RUST_LOG")
        .env_remove("WAYPOST_CONFIG")
        .env_remove("WAYPOST_LOG");
    command
        .arg(env!("CARGO_BIN_EXE_waypost"))
        .current_dir(scratch.path());
    command.env("WAYPOST_HOSTS", format!("*={}", upstream.address()));
    command
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    (command, scratch, upstream)
}

/// The process that compiles takes from itself what it does not need, and can't raise what is less
/// already.
#[test]
fn limits_that_are_lower_than_those_of_the_compiler_hold_no_start() {
    for limits in [
        "ulimit -s 4096",
        "ulimit -f 400000",
        "ulimit -d 3000000",
        "ulimit -t 200",
        "ulimit -c 0",
    ] {
        let (command, scratch, _upstream) = with_limits(limits, "off");
        let proxy = launch(command, false, scratch);
        assert_eq!(proxy.get("a.test", "/").text(), "a", "{limits}");
    }
}

#[test]
fn too_little_address_space_is_a_sentence_that_names_the_limit() {
    let (mut command, _scratch, _upstream) = with_limits("ulimit -v 6000000", "off");
    let ended = command.output().unwrap();
    let said = String::from_utf8_lossy(&ended.stderr);
    assert_eq!(ended.status.code(), Some(1), "{said}");
    assert!(
        said.contains("4 GiB of addresses") && said.contains("`ulimit -v`"),
        "{said}"
    );
}

#[test]
fn little_address_space_makes_the_pool_smaller_or_does_without_it() {
    for (gib, pool) in [(100, true), (16, false)] {
        let (command, scratch, _upstream) =
            with_limits(&format!("ulimit -v {}", gib * 1024 * 1024), "off");
        let proxy = launch(command, false, scratch);
        assert_eq!(proxy.get("a.test", "/").text(), "a", "{gib} GiB");
        assert_eq!(
            proxy
                .stderr
                .text()
                .contains("the pool of policy instances can't be reserved"),
            !pool,
            "{gib} GiB"
        );
    }
}
