//! What a client can bring about at backends that are well: it is not held against them.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use crate::fixtures::{
    Client, Received, Request, TestProxy, TestUpstream, eventually, get, response,
};

/// What the backends of these tests close the connection on, as nginx does with `return 444` and
/// others do beyond a limit.
fn is_refused(head: &Received) -> bool {
    head.target().starts_with("/444")
        || head.value("transfer-encoding").is_some()
        || head
            .value("content-length")
            .is_some_and(|n| n.parse::<u64>().unwrap() > 1_000)
        || head
            .value("x-large")
            .is_some_and(|value| value.len() > 8 * 1024)
}

fn particular_backends(count: usize) -> Vec<TestUpstream> {
    let backend = || {
        TestUpstream::start(|connection| {
            while let Some(head) = connection.head() {
                if is_refused(&head) || connection.body().is_none() {
                    return;
                }
                connection.send(response("200 OK", &[], "well"));
            }
        })
    };
    (0..count).map(|_| backend()).collect()
}

/// A pool of these with the settings that it has by itself, and one worker.
fn in_front_of(backends: &[TestUpstream]) -> TestProxy {
    let addresses: Vec<_> = backends.iter().map(TestUpstream::address).collect();
    TestProxy::builder().host("*", &addresses).start()
}

#[track_caller]
fn assert_all_healthy(proxy: &TestProxy, backends: &[TestUpstream], what: &str) {
    let stats = proxy.stats();
    for backend in backends {
        assert_eq!(
            stats["backends"][backend.address().to_string()]["healthy"],
            true,
            "{what}: {stats:#}"
        );
    }
}

#[test]
fn one_client_ejects_no_backend_by_requests_on_which_all_of_them_close() {
    let large = "x".repeat(20 * 1024);
    let chunks: [&[u8]; 1] = [b"hello"];
    let requests: [(&str, &dyn Fn(usize) -> Request); 6] = [
        ("a path", &|_| Request::new("GET", "/444")),
        ("paths", &|n| Request::new("GET", &format!("/444/{n}"))),
        ("what is not tried again", &|n| {
            Request::new("POST", &format!("/444/{n}")).body("x")
        }),
        ("a large head", &|_| {
            Request::new("GET", "/").field("X-Large", &large)
        }),
        ("a large body", &|_| {
            Request::new("PUT", "/").body("x".repeat(2_000))
        }),
        ("chunks", &|_| Request::new("PUT", "/").chunks(chunks)),
    ];
    for (what, request) in requests {
        let backends = particular_backends(4);
        let proxy = in_front_of(&backends);
        for n in 0..12 {
            proxy
                .ask(request(n).host("a.test").bytes())
                .assert_refusal(502);
            assert_all_healthy(&proxy, &backends, what);
        }
    }
}

/// Backends that wait for a tenth of a second for a body, and then close.
fn impatient_backends(count: usize) -> Vec<TestUpstream> {
    let backend = || {
        TestUpstream::start(|connection| {
            let Some(head) = connection.head() else {
                return;
            };
            if head.value("expect").is_some() {
                connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            connection
                .wire
                .stream
                .set_read_timeout(Some(Duration::from_millis(100)))
                .unwrap();
            let _ = connection.wire.length(100);
        })
    };
    (0..count).map(|_| backend()).collect()
}

#[test]
fn an_upload_that_stalls_is_held_against_no_backend_and_sent_to_two_at_most() {
    for begin in [
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx",
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\n",
        "PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
        "PUT / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 100\r\n\r\n",
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx",
    ] {
        let backends = impatient_backends(3);
        let proxy = in_front_of(&backends);
        for n in 1..=4 {
            let mut client = proxy.client();
            client.send(begin);
            client.response_to("PUT").assert_refusal(502);
            let sent: usize = backends.iter().map(|b| b.received().len()).sum();
            assert!(sent <= 2 * n, "{sent} after {n}: {begin:?}");
        }
        let stats = proxy.stats();
        for backend in &backends {
            assert_eq!(
                stats["backends"][backend.address().to_string()]["failures"],
                0,
                "{begin:?}: {stats:#}"
            );
        }
    }
}

/// A backend loses its patience with clients that do not read, as nginx does after `send_timeout`.
#[test]
fn clients_that_do_not_read_eject_no_backend() {
    let backend = TestUpstream::start(|connection| {
        if connection.head().is_none() {
            return;
        }
        connection
            .wire
            .stream
            .set_write_timeout(Some(Duration::from_millis(1_500)))
            .unwrap();
        connection.send("HTTP/1.1 200 OK\r\nContent-Length: 67108864\r\n\r\n");
        let piece = vec![b'x'; 1 << 20];
        let _ = (0..64).all(|_| connection.send(&piece));
    });
    let proxy = in_front_of(std::slice::from_ref(&backend));
    let mut clients: Vec<Client> = (2..7)
        .map(|n| Client::connect_from([127, 0, 0, n].into(), proxy.address()))
        .collect();
    for client in &mut clients {
        client.send(get("a", "/"));
        assert_eq!(client.head().0, 200);
    }
    backend.wait_until_unused();
    for client in &mut clients {
        let read = std::io::copy(&mut client.wire.stream, &mut std::io::sink());
        assert!(read.is_ok_and(|n| n < 64 << 20), "it was cut off");
    }
    let stats = proxy.stats();
    assert_eq!(
        stats["backends"][backend.address().to_string()]["failures"],
        0,
        "{stats:#}"
    );
    assert_all_healthy(&proxy, &[backend], "clients did not read");
}

/// Leaving after a response's head shows nothing of the backend, neither good nor bad.
#[test]
fn a_client_that_leaves_forgives_no_backend_its_failures() {
    let backend = TestUpstream::start(|connection| {
        while let Some(head) = connection.head() {
            connection.send("HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nabc");
            if head.target() == "/cut" {
                return;
            }
            connection.wait_for_close();
        }
    });
    let proxy = in_front_of(std::slice::from_ref(&backend));
    let settled = || {
        eventually("it has ended", || {
            (proxy.stat("/requests/active") == 0).then_some(())
        })
    };
    let health = || proxy.stats()["backends"][backend.address().to_string()]["healthy"].clone();
    for n in 1..=3 {
        assert_eq!(health(), true, "before failure {n}");
        let mut victim = Client::connect_from([127, 0, 0, 10 + n].into(), proxy.address());
        victim.send(get("a", "/cut"));
        assert!(victim.try_response_to("GET").is_err(), "it was cut off");
        settled();
        if n < 3 {
            let mut attacker = Client::connect_from([127, 0, 0, 9].into(), proxy.address());
            attacker.send(get("a", "/left"));
            assert_eq!(attacker.head().0, 200);
            attacker.reset();
            settled();
        }
    }
    assert_eq!(health(), false);
}

/// A backend that lost its patience with the client is one thing, two are another.
#[test]
fn an_upload_that_one_backend_does_not_wait_for_is_sent_to_a_second() {
    let backends: Vec<TestUpstream> = {
        let seen = Arc::new(AtomicUsize::new(0));
        let backend = || {
            let seen = Arc::clone(&seen);
            TestUpstream::start(move |connection| {
                if connection.head().is_none() {
                    return;
                }
                if seen.fetch_add(1, Ordering::SeqCst) == 0 {
                    // By now the rest of it is waited for.
                    let _ = connection.wire.length(1);
                    return;
                }
                if connection
                    .body()
                    .is_some_and(|request| request.body.len() == 100)
                {
                    connection.send(response("200 OK", &[], "second"));
                }
            })
        };
        (0..3).map(|_| backend()).collect()
    };
    let proxy = in_front_of(&backends);
    let mut client = proxy.client();
    client.send("PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 100\r\n\r\nx");
    let sent = || backends.iter().map(|b| b.received().len()).sum::<usize>();
    eventually("it is sent to a second", || (sent() == 2).then_some(()));
    client.send("y".repeat(99));
    assert_eq!(client.response_to("PUT").text(), "second");
    assert_eq!(sent(), 2);
    assert_all_healthy(&proxy, &backends, "it was the client");
}

#[test]
fn a_backend_that_closes_where_another_answers_is_ejected_by_one_client() {
    let dead = TestUpstream::start(|connection| {
        connection.request();
    });
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .host("*", &[dead.address(), alive.address()])
        .start();
    let mut client = proxy.client();
    eventually("it is ejected", || {
        assert_eq!(client.ask(get("a.test", "/")).text(), "alive");
        (proxy.stats()["backends"][dead.address().to_string()]["healthy"] == false).then_some(())
    });
    assert!(
        dead.received().len() <= 4,
        "three failures in a row, and perhaps one that was under way"
    );
}

#[test]
fn the_failures_of_several_clients_eject() {
    let backends = particular_backends(1);
    let proxy = in_front_of(&backends);
    for n in 1..=3 {
        assert_all_healthy(&proxy, &backends, "two clients");
        let mut client = Client::connect_from([127, 0, 0, n].into(), proxy.address());
        client.ask(get("a.test", "/444")).assert_refusal(502);
    }
    assert_eq!(
        proxy.stats()["backends"][backends[0].address().to_string()]["healthy"],
        false
    );
}
