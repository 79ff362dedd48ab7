//! `max-connections` and clients that keep their backends waiting: they don't take a pool from
//! others.

mod counted;

use std::io::Write;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::fixtures::{Client, Gate, Request, TestProxy, TestUpstream, eventually, get, response};

/// Nothing but the rule of slow clients ends a request here.
const PATIENT: &str =
    "[timeouts]\nresponse = \"10m\"\nbody-read = \"10m\"\nsend = \"10m\"\nlinger = \"1s\"\n";
/// More than all buffers between a backend and a client that does not read.
const LARGE: usize = 24 << 20;

/// What a client does to keep a connection.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Attack {
    /// It sends 17,000 bytes of an upload, and no more.
    Stalls,
    /// It sends a byte now and then.
    Trickles,
    /// The same in chunks.
    TricklesChunks,
    /// It expects a 100 and sends no body.
    Expects,
    /// It does not read its response.
    DoesNotRead,
    /// It reads a byte now and then.
    ReadsLittle,
    /// It has closed its side behind 200 KB of further requests, and its backend is silent.
    LeavesBehindRequests,
    /// It has closed its side behind an upload that its backend does not read.
    LeavesBehindUpload,
}

/// Clients that go on with it until this is dropped.
#[derive(Default)]
struct Attackers {
    held: Vec<Client>,
    threads: Vec<JoinHandle<()>>,
    over: Arc<AtomicBool>,
}

impl Drop for Attackers {
    fn drop(&mut self) {
        self.over.store(true, Ordering::SeqCst);
        self.threads
            .drain(..)
            .for_each(|thread| drop(thread.join()));
    }
}

impl Attackers {
    fn add(&mut self, attack: Attack, mut client: Client) {
        match attack {
            Attack::Stalls => client.send(begun(17_000)),
            Attack::Trickles => {
                client.send(begun(17_000));
                return self.go_on(client, |client| client.wire.send(b"x").is_ok());
            }
            Attack::TricklesChunks => {
                client.send("PUT /attack HTTP/1.1\r\nHost: a.test\r\nTransfer-Encoding: chunked\r\n\r\n4268\r\n");
                client.send([b'x'; 17_000]);
                client.send("\r\n");
                return self.go_on(client, |client| client.wire.send(b"1\r\nx\r\n").is_ok());
            }
            Attack::Expects => client
                .send("POST /attack HTTP/1.1\r\nHost: a.test\r\nExpect: 100-continue\r\nContent-Length: 20000\r\n\r\n"),
            Attack::DoesNotRead | Attack::ReadsLittle => {
                socket2::SockRef::from(&client.wire.stream).set_recv_buffer_size(4096).unwrap();
                client.send(get("a.test", "/attack/large"));
                if attack == Attack::ReadsLittle {
                    return self.go_on(client, |client| {
                        std::io::Read::read(&mut client.wire.stream, &mut [0; 1]).is_ok_and(|n| n > 0)
                    });
                }
            }
            Attack::LeavesBehindRequests => {
                let head = get("a.test", &format!("/attack/silent/{}", "n".repeat(240)));
                client.send_what_is_taken(head.repeat(200_000 / head.len()));
                return;
            }
            Attack::LeavesBehindUpload => {
                client.send("POST /attack/unread HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000000\r\n\r\n");
                client.wire.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
                while client.wire.stream.write_all(&[b'x'; 65_536]).is_ok() {}
                return;
            }
        }
        self.held.push(client);
    }

    fn go_on(&mut self, mut client: Client, step: impl Fn(&mut Client) -> bool + Send + 'static) {
        let over = Arc::clone(&self.over);
        self.threads.push(std::thread::spawn(move || {
            while !over.load(Ordering::SeqCst) && step(&mut client) {
                std::thread::sleep(Duration::from_millis(50));
            }
        }));
    }
}

/// The beginning of an upload of a million bytes.
fn begun(bytes: usize) -> Vec<u8> {
    let mut begun =
        b"POST /attack HTTP/1.1\r\nHost: a.test\r\nContent-Length: 1000000\r\n\r\n".to_vec();
    begun.resize(begun.len() + bytes, b'x');
    begun
}

/// A backend that does to each request what its path says, until the gate opens.
fn backend(gate: &Gate) -> TestUpstream {
    let opened = gate.clone();
    TestUpstream::start(move |connection| {
        while let Some(head) = connection.head() {
            match head.target() {
                "/attack/unread" => return opened.wait(),
                target if target.starts_with("/attack/silent") => {
                    return connection.wait_for_close();
                }
                _ => {}
            }
            if head.head.lists("expect", "100-continue") {
                connection.send("HTTP/1.1 100 Continue\r\n\r\n");
            }
            let Some(request) = connection.body() else {
                return;
            };
            let body = if request.target() == "/attack/large" {
                vec![b'l'; LARGE]
            } else {
                request.body
            };
            if !connection.send(response("200 OK", &[], body)) {
                return;
            }
        }
    })
}

fn pool_of(upstream: &TestUpstream, workers: usize, keys: &str) -> TestProxy {
    let keys = if keys.contains("queue-timeout") {
        keys.to_owned()
    } else {
        format!("queue-timeout = \"1m\"\n{keys}")
    };
    TestProxy::builder()
        .workers(workers)
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-failures = 1\n{keys}\n\
             [[routes]]\npool = \"a\"\n{PATIENT}",
            upstream.address()
        ))
        .start()
}

/// Whatever such clients do, a bystander is answered, and its backend is not blamed.
fn bystanders_are_answered(attack: Attack) {
    for (places, workers) in [(1, 1), (2, 2)] {
        let gate = Gate::new();
        let upstream = backend(&gate);
        let keys =
            format!("max-connections = {places}\nbody-wait = \"50ms\"\nslow-client = \"400ms\"");
        let proxy = pool_of(&upstream, workers, &keys);
        let mut attackers = Attackers::default();
        for _ in 0..4 {
            attackers.add(attack, proxy.client());
        }
        upstream.wait_for_heads(1);
        for n in 0..4 {
            let post = Request::new("POST", "/bystander")
                .host("a.test")
                .body(n.to_string());
            assert_eq!(
                proxy.ask(post.bytes()).text(),
                n.to_string(),
                "{attack:?}, {places} places"
            );
        }
        let large = vec![b'y'; 100_000];
        let upload = Request::new("POST", "/bystander")
            .host("a.test")
            .body(&large);
        assert_eq!(
            proxy.ask(upload.bytes()).body,
            large,
            "{attack:?}, {places} places, an upload"
        );
        let backend = &proxy.stats()["backends"][upstream.address().to_string()];
        assert_eq!(
            (&backend["failures"], &backend["healthy"]),
            (&0.into(), &true.into()),
            "{backend:#}"
        );
        gate.open();
    }
}

#[test]
fn an_upload_that_stalls_keeps_no_connection_from_others() {
    bystanders_are_answered(Attack::Stalls);
}

#[test]
fn an_upload_that_trickles_keeps_no_connection_from_others() {
    bystanders_are_answered(Attack::Trickles);
    bystanders_are_answered(Attack::TricklesChunks);
}

#[test]
fn an_upload_that_is_only_announced_keeps_no_connection_from_others() {
    bystanders_are_answered(Attack::Expects);
}

#[test]
fn a_client_that_does_not_read_keeps_no_connection_from_others() {
    bystanders_are_answered(Attack::DoesNotRead);
    bystanders_are_answered(Attack::ReadsLittle);
}

#[test]
fn a_client_that_left_behind_a_full_window_keeps_no_connection_from_others() {
    bystanders_are_answered(Attack::LeavesBehindRequests);
    bystanders_are_answered(Attack::LeavesBehindUpload);
}

/// Clients of another address than the bystander: what one of them has done, all of them give way
/// for.
#[test]
fn requests_of_a_slow_client_that_wait_give_way_to_others() {
    let upstream = backend(&Gate::new());
    let proxy = pool_of(&upstream, 1, "max-connections = 1\nslow-client = \"400ms\"");
    let from: IpAddr = "127.0.0.2".parse().unwrap();
    let mut attackers = Attackers::default();
    for _ in 0..30 {
        attackers.add(
            Attack::DoesNotRead,
            Client::connect_from(from, proxy.address()),
        );
    }
    eventually("they wait", || {
        (proxy.stat("/pools/a/queue_length") == 29).then_some(())
    });
    for _ in 0..3 {
        assert_eq!(proxy.get("a.test", "/bystander").status, 200);
    }
    let before_the_last = upstream
        .received()
        .iter()
        .rev()
        .skip_while(|r| r.target() != "/bystander")
        .count();
    assert!(
        before_the_last <= 3 + 4,
        "{before_the_last} requests, of which the bystander's are 3"
    );
}

#[test]
fn slow_clients_continue_while_no_request_waits() {
    let upstream = backend(&Gate::new());
    let proxy = pool_of(&upstream, 1, "max-connections = 2\nslow-client = \"50ms\"");
    let mut slow = proxy.client();
    slow.send(begun(17_000));
    let mut reader = proxy.client();
    reader.send(get("a.test", "/attack/large"));
    upstream.wait_for_heads(2);
    // As long as twenty times the limit.
    for _ in 0..20 {
        std::thread::sleep(Duration::from_millis(50));
        slow.send("x");
    }
    assert_eq!(reader.response().body.len(), LARGE);
    slow.send(vec![b'x'; 1_000_000 - 17_000 - 20]);
    assert_eq!(slow.response().body.len(), 1_000_000);
    assert_eq!(proxy.stat("/pools/a/slow_clients"), 0);
}

#[test]
fn clients_that_are_fast_enough_go_on_while_others_wait() {
    let upstream = backend(&Gate::new());
    let keys = "max-connections = 1\nslow-client = \"1s\"\nslow-client-rate = \"1KiB\"";
    let proxy = pool_of(&upstream, 1, keys);
    let mut upload = proxy.client();
    upload.send(begun(20_000));
    upstream.wait_for_heads(1);
    let mut waiting = proxy.client();
    waiting.send(get("a.test", "/waits"));
    eventually("it waits", || {
        (proxy.stat("/pools/a/queue_length") == 1).then_some(())
    });
    // Each piece makes up for 19 seconds, and all together take longer than the limit.
    for _ in 0..49 {
        std::thread::sleep(Duration::from_millis(50));
        upload.send([b'x'; 20_000]);
    }
    assert_eq!(upload.response().body.len(), 1_000_000);
    assert_eq!(waiting.response().status, 200);
    assert_eq!(proxy.stat("/pools/a/slow_clients"), 0);
}

#[test]
fn a_client_is_never_broken_off_where_the_operator_says_so() {
    let gate = Gate::new();
    let upstream = backend(&gate);
    let proxy = pool_of(
        &upstream,
        1,
        "max-connections = 1\nslow-client = \"0s\"\nqueue-timeout = \"1s\"",
    );
    let mut slow = proxy.client();
    slow.send(begun(17_000));
    upstream.wait_for_heads(1);
    proxy.get("a.test", "/").assert_refusal(503);
    slow.send(vec![b'x'; 1_000_000 - 17_000]);
    assert_eq!(slow.response().body.len(), 1_000_000);
}
