//! Backends that can't be reached, or go away: another attempt where that is safe, a clear answer
//! where it is not.

mod adaptive;
mod calls;
mod hedges;
mod limits;
mod losses;
mod statuses;
mod timeouts;

use std::net::{SocketAddr, TcpListener};
use std::time::Duration;

use crate::fixtures::{
    Builder, Gate, Request, TestProxy, TestUpstream, eventually, get, guest, refusing_address,
    response,
};

pub fn post(body: &str) -> Vec<u8> {
    Request::new("POST", "/").host("a.test").body(body).bytes()
}

/// Requests that choose the backend of each of their attempts.
struct Picking;

impl Picking {
    /// A GET whose attempts go to these positions.
    fn get(picks: &str) -> Vec<u8> {
        Self::at("/", picks)
    }

    fn at(path: &str, picks: &str) -> Vec<u8> {
        Self::request("GET", path, picks).bytes()
    }

    fn of(method: &str, picks: &str) -> Request {
        Self::request(method, "/", picks)
    }

    fn request(method: &str, path: &str, picks: &str) -> Request {
        let request = Request::new(method, path).host("a.test");
        request.field("X-Probe-Select", &format!("picks={picks}"))
    }
}

/// A proxy that lets requests choose among these backends, with these keys in their pool.
fn picking(backends: &[&TestUpstream], keys: &str) -> TestProxy {
    picking_builder(backends, keys).start()
}

fn picking_builder(backends: &[&TestUpstream], keys: &str) -> Builder {
    let addresses: Vec<_> = backends.iter().map(|b| b.address()).collect();
    picking_addresses(&addresses, keys)
}

fn picking_addresses(backends: &[SocketAddr], keys: &str) -> Builder {
    let list: Vec<String> = backends.iter().map(|a| format!("\"{a}\"")).collect();
    TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.all]\nbackends = [{}]\n{keys}\n[[routes]]\npool = \"all\"\n\
             policies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"",
            list.join(", ")
        ))
}

/// So many bytes that are not all the same.
fn body_of(size: usize) -> Vec<u8> {
    (0..size).map(|n| (n % 251) as u8).collect()
}

#[test]
fn a_backend_that_refuses_costs_no_request() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .host("*", &[dead, alive.address()])
        .start();
    let mut client = proxy.client();
    for _ in 0..30 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "alive");
        assert_eq!(
            client.ask(post("x")).text(),
            "alive",
            "nothing was sent yet, so a POST may go elsewhere"
        );
    }
    let failures = proxy.stats()["backends"][dead.to_string()]["failures"]
        .as_u64()
        .unwrap();
    assert!(
        failures > 0,
        "the choice is random, and 60 choices that all avoid one of two are not"
    );
}

#[test]
fn a_policy_is_asked_again_and_sees_the_failed_attempts() {
    let (_held, dead) = refusing_address();
    let (_also, gone) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .pool_for_all(&[dead, gone, alive.address()], &["probe"])
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    let request = |picks: &str| {
        Request::new("GET", "/")
            .host("a.test")
            .field("X-Probe-Select", &format!("picks={picks}"))
            .field("X-Probe-Response", "attempt")
            .bytes()
    };
    let answer = proxy.ask(request("1,0,2"));
    assert_eq!(answer.text(), "alive");
    let attempt = answer
        .value("x-probe-attempt")
        .unwrap()
        .to_ascii_lowercase();
    let parts: Vec<&str> = attempt.split(' ').collect();
    let [_pool, "3", first, second] = parts.as_slice() else {
        panic!("{attempt}")
    };
    assert!(
        first.starts_with("1:") && first.ends_with("connect"),
        "{attempt}"
    );
    assert!(
        second.starts_with("0:") && second.ends_with("connect"),
        "{attempt}"
    );
    let answer = proxy.ask(request("2"));
    assert!(answer.value("x-probe-attempt").unwrap().ends_with(" 1"));
}

#[test]
fn attempts_are_counted_and_end() {
    let (_held, dead) = refusing_address();
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&format!(
            "[pools.all]\nbackends = [\"{dead}\"]\nattempts = 3\nmax-failures = 0\n\
             [[routes]]\npool = \"all\"\npolicies = [\"probe\"]\n\
             [policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"\nsettings = {{ select = [\"pick=0\", \"count=asked\"] }}"
        ))
        .start();
    proxy.get("a.test", "/").assert_refusal(502);
    proxy.logged(&["502"]);
    assert_eq!(proxy.stat("/policies/probe/counters/asked"), 3);
    assert_eq!(proxy.stat("/retries"), 2);
}

#[test]
fn all_backends_down_is_a_502_with_a_reason() {
    let (_held, dead) = refusing_address();
    let (_also, gone) = refusing_address();
    let proxy = TestProxy::builder().host("*", &[dead, gone]).start();
    let mut client = proxy.client();
    for _ in 0..4 {
        let answer = client.ask(get("a.test", "/"));
        assert_eq!(answer.status, 502);
        assert!(answer.text().len() > 10);
    }
}

#[test]
fn a_backend_that_comes_back_is_used_again() {
    let (held, address) = refusing_address();
    let proxy = TestProxy::builder()
        .tables(&format!("[pools.a]\nbackends = [\"{address}\"]\nfail-timeout = \"50ms\"\n[[routes]]\npool = \"a\""))
        .start();
    assert_ne!(proxy.get("a.test", "/").status, 200);
    held.listen(16).unwrap();
    let _back = TestUpstream::listen(TcpListener::from(held), |connection| {
        while connection.request().is_some() {
            connection.send(response("200 OK", &[], "back"));
        }
    });
    eventually("the backend is used again", || {
        (proxy.get("a.test", "/").status == 200).then_some(())
    });
}

#[test]
fn a_backend_that_never_answers_is_a_504() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.wait_for_close();
    });
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nresponse = \"200ms\"")
        .start();
    proxy.get("a.test", "/").assert_refusal(504);
    proxy.logged(&["504"]);
    upstream.wait_until_unused();
}

#[test]
fn a_backend_that_stops_in_the_middle_of_its_head_is_a_504() {
    let upstream = TestUpstream::start(|connection| {
        connection.request();
        connection.send("HTTP/1.1 200 OK\r\nContent-");
        connection.wait_for_close();
    });
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .tables("[timeouts]\nresponse = \"200ms\"")
        .start();
    proxy.get("a.test", "/").assert_refusal(504);
}

#[test]
fn a_backend_that_stops_in_the_middle_of_its_body_leaves_it_incomplete() {
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
    client.send(get("a.test", "/"));
    assert!(client.try_response_to("GET").is_err());
    upstream.wait_until_unused();
}

/// An address whose queue of connections is full: the kernel answers no further attempt.
pub fn silent_address() -> (Vec<socket2::Socket>, SocketAddr) {
    let socket =
        || socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
    let listener = socket();
    listener
        .bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into())
        .unwrap();
    listener.listen(0).unwrap();
    let address = listener.local_addr().unwrap();
    let mut held = vec![listener];
    loop {
        let client = socket();
        let taken = client
            .connect_timeout(&address, Duration::from_millis(150))
            .is_ok();
        held.push(client);
        if !taken {
            return (held, address.as_socket().unwrap());
        }
        assert!(held.len() < 100, "the queue never fills");
    }
}

#[test]
fn a_backend_that_does_not_accept_is_a_504() {
    let (_held, silent) = silent_address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{silent}\"]\nattempts = 2\n[[routes]]\npool = \"a\"\n[timeouts]\nconnect = \"150ms\""
        ))
        .start();
    proxy.get("a.test", "/").assert_refusal(504);
}

#[test]
fn a_backend_that_does_not_accept_costs_only_time_when_there_is_another() {
    let (_held, silent) = silent_address();
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .file("first.wasm", guest("pick-first"))
        .pool_for_all(&[silent, alive.address()], &["first"])
        .tables("[policies.first]\ncomponent = \"first.wasm\"\ndeadline = \"1s\"\n[timeouts]\nconnect = \"150ms\"")
        .start();
    assert_eq!(proxy.get("a.test", "/").text(), "alive");
}

#[test]
fn connections_to_a_backend_are_limited_where_that_is_asked_for() {
    let gate = Gate::new();
    let upstream = TestUpstream::behind(&gate);
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{}\"]\nmax-connections = 2\n[[routes]]\npool = \"a\"",
            upstream.address()
        ))
        .start();
    let mut clients: Vec<_> = (0..3).map(|_| proxy.client()).collect();
    for client in &mut clients[..2] {
        client.send(get("a.test", "/"));
    }
    upstream.wait_for_heads(2);
    clients[2].send(get("a.test", "/"));
    // Made to wait: there is no third connection.
    gate.open();
    let statuses: Vec<u16> = clients.iter_mut().map(|c| c.response().status).collect();
    assert_eq!(statuses, [200, 200, 200]);
    assert!(upstream.connections() <= 2, "{}", upstream.connections());
}

#[test]
fn a_backend_that_keeps_failing_is_ejected() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.a]\nbackends = [\"{dead}\", \"{}\"]\nmax-failures = 2\nfail-timeout = \"1h\"\n[[routes]]\npool = \"a\"",
            alive.address()
        ))
        .start();
    let mut client = proxy.client();
    for _ in 0..100 {
        assert_eq!(client.ask(get("a.test", "/")).text(), "alive");
    }
    let stats = proxy.stats();
    assert_eq!(
        stats["backends"][dead.to_string()]["failures"],
        2,
        "one worker, two failures, then no more"
    );
    assert_eq!(stats["backends"][dead.to_string()]["healthy"], false);
}
