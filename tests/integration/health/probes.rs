//! Active probes.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};

use bytes::Bytes;
use http::{HeaderMap, Response};

use crate::fixtures::{
    Authority, Client, Request, StreamBackend, TestProxy, TestUpstream, TlsBackend, eventually,
    refusing_address, response,
};

fn proxy(backends: &[SocketAddr], keys: &str) -> TestProxy {
    TestProxy::builder().tables(&tables(backends, keys)).start()
}

fn tables(backends: &[SocketAddr], keys: &str) -> String {
    let list: Vec<String> = backends.iter().map(|b| format!("\"{b}\"")).collect();
    let list = list.join(", ");
    format!(
        "[pools.a]\nbackends = [{list}]\n{keys}\n[[routes]]\npool = \"a\"\npolicies = [\"random\"]\n\
         [policies.random]\nbuiltin = \"random\"\ndeadline = \"2s\""
    )
}

fn backend(proxy: &TestProxy, of: SocketAddr) -> serde_json::Value {
    proxy.stats()["backends"][of.to_string()].clone()
}

#[track_caller]
fn wait_for(proxy: &TestProxy, of: SocketAddr, state: &str) {
    eventually(state, || {
        (backend(proxy, of)["state"] == state).then_some(())
    });
}

/// Answers `/health` with whatever is asked for by a switch, and all else with `well`.
fn probed(bad: &'static [u8]) -> (TestUpstream, Arc<AtomicBool>) {
    let is_well = Arc::new(AtomicBool::new(false));
    let switch = Arc::clone(&is_well);
    let upstream = TestUpstream::replying(move |request| {
        match request.target().starts_with("/health") && !switch.load(SeqCst) {
            true => bad.to_vec(),
            false => response("200 OK", &[], "all is well here"),
        }
    });
    (upstream, is_well)
}

#[test]
fn a_backend_whose_probes_fail_gets_no_requests_until_they_succeed() {
    let cases: [(&[u8], &str); 3] = [
        (
            b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n",
            "with the status 503",
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nill!",
            "has no \"is well\"",
        ),
        (b"nonsense\r\n\r\n", "is not HTTP/1.1"),
    ];
    for (bad, reason) in cases {
        let ((ill, is_well), alive) = (probed(bad), TestUpstream::named("is well"));
        let keys = "[pools.a.health]\npath = \"/health?deep=1\"\nhost = \"probe.test\"\n\
                    body = \"is well\"\ninterval = \"20ms\"\nhealthy = 2\nunhealthy = 2";
        let proxy = proxy(&[ill.address(), alive.address()], keys);
        wait_for(&proxy, ill.address(), "down");
        let shown = backend(&proxy, ill.address())["reason"].clone();
        assert!(shown.as_str().unwrap().contains(reason), "{shown}");
        for _ in 0..20 {
            assert_eq!(proxy.get("a.test", "/").text(), "is well");
        }
        let probe = ill.received().remove(0);
        assert_eq!(probe.target(), "/health?deep=1");
        assert_eq!(probe.value("host").as_deref(), Some("probe.test"));
        let name = probe.value("user-agent").unwrap();
        assert!(name.starts_with("waypost/"), "{name}");
        is_well.store(true, SeqCst);
        wait_for(&proxy, ill.address(), "healthy");
        eventually("it is used", || {
            (proxy.get("a.test", "/").text() == "all is well here").then_some(())
        });
        let backend = backend(&proxy, ill.address());
        assert!(backend["probes"].as_u64() >= Some(3), "{backend:#}");
        assert!(backend["failed_probes"].as_u64() >= Some(1), "{backend:#}");
        assert_eq!(backend["failures"], 0, "probes are no requests");
    }
}

#[test]
fn a_tcp_probe_asks_for_a_connection_at_its_own_port() {
    let (alive, other) = (TestUpstream::named("alive"), TestUpstream::named("other"));
    let (_held, dead) = refusing_address();
    let keys = "health = { interval = \"20ms\" }";
    let tcp = proxy(&[alive.address(), dead], keys);
    wait_for(&tcp, dead, "down");
    wait_for(&tcp, alive.address(), "healthy");
    let keys = format!("health = {{ interval = \"20ms\", port = {} }}", dead.port());
    let ported = proxy(&[alive.address(), other.address()], &keys);
    wait_for(&ported, alive.address(), "down");
    wait_for(&ported, other.address(), "down");
    for _ in 0..10 {
        assert_eq!(
            ported.get("a.test", "/").status,
            200,
            "all down is as if none were"
        );
    }
}

#[test]
fn a_probe_that_takes_too_long_has_failed() {
    let silent = TestUpstream::start(|connection| {
        connection.head();
        connection.wait_for_close();
    });
    let alive = TestUpstream::named("alive");
    let keys = "health = { path = \"/\", interval = \"20ms\", timeout = \"50ms\" }";
    let proxy = proxy(&[silent.address(), alive.address()], keys);
    eventually("it is down", || {
        let backend = backend(&proxy, silent.address());
        backend["reason"]
            .as_str()
            .unwrap()
            .contains("no answer within 50ms")
            .then_some(())
    });
}

#[test]
fn a_probe_ends_an_ejection() {
    let backends = [(); 2].map(|()| {
        TestUpstream::start(|connection| {
            while let Some(request) = connection.request() {
                if request.target() != "/health" {
                    return;
                }
                connection.send(response("200 OK", &[], "well"));
            }
        })
    });
    let keys = "max-failures = 1\nfail-timeout = \"1h\"\n\
                health = { path = \"/health\", interval = \"200ms\" }";
    let addresses = [backends[0].address(), backends[1].address()];
    let proxy = proxy(&addresses, keys);
    let mut client = Client::connect_from([127, 0, 0, 9].into(), proxy.address());
    let post = Request::new("POST", "/").host("a.test").body("x");
    client.ask(post.bytes()).assert_refusal(502);
    let of = |address: &SocketAddr| backend(&proxy, *address)["ejections"] == 1;
    let ejected = *addresses.iter().find(|address| of(address)).unwrap();
    // No request has succeeded since.
    wait_for(&proxy, ejected, "failing");
}

/// Answers health checks of gRPC with this status.
fn serving(status: Arc<AtomicUsize>) -> StreamBackend {
    StreamBackend::start(move |mut call| {
        let status = Arc::clone(&status);
        async move {
            let is_check = call.request.uri().path() == "/grpc.health.v1.Health/Check";
            let body = call.request.body_mut();
            let mut message = Vec::new();
            while let Some(Ok(piece)) = body.data().await {
                message.extend_from_slice(&piece);
            }
            if !is_check {
                return call.answer_now("well");
            }
            assert_eq!(message, [0, 0, 0, 0, 5, 0x0a, 3, b'a', b'.', b'B']);
            let head = Response::builder().header("content-type", "application/grpc");
            let mut send = call
                .respond
                .send_response(head.body(()).unwrap(), false)
                .unwrap();
            let status = u8::try_from(status.load(SeqCst)).unwrap();
            let answer = Bytes::from(vec![0, 0, 0, 0, 2, 8, status]);
            send.send_data(answer, false).unwrap();
            let mut trailers = HeaderMap::new();
            trailers.insert("grpc-status", "0".parse().unwrap());
            send.send_trailers(trailers).unwrap();
        }
    })
}

#[test]
fn a_grpc_probe_asks_for_the_health_of_a_service() {
    let status = Arc::new(AtomicUsize::new(2));
    let (ill, well) = (
        serving(Arc::clone(&status)),
        serving(Arc::new(AtomicUsize::new(1))),
    );
    let keys = "protocol = \"h2c\"\n\
                health = { service = \"a.B\", interval = \"20ms\", healthy = 1, unhealthy = 1 }";
    let proxy = proxy(&[ill.address(), well.address()], keys);
    wait_for(&proxy, ill.address(), "down");
    assert_eq!(
        backend(&proxy, ill.address())["reason"],
        "it says NOT_SERVING"
    );
    wait_for(&proxy, well.address(), "healthy");
    status.store(1, SeqCst);
    wait_for(&proxy, ill.address(), "healthy");
    assert_eq!(proxy.get("a.test", "/").text(), "well");
}

#[test]
fn an_http_probe_goes_by_the_protocol_of_the_pool() {
    let backends = [(); 2].map(|()| {
        StreamBackend::start(|call| async move {
            match call.request.uri().path() {
                "/health" => call.answer("all is well").await,
                _ => call.answer("served").await,
            }
        })
    });
    let addresses = [backends[0].address(), backends[1].address()];
    let keys = "protocol = \"h2c\"\n\
                health = { path = \"/health\", body = \"is well\", interval = \"20ms\" }";
    let proxy = proxy(&addresses, keys);
    eventually("both are probed", || {
        let probes = addresses.map(|a| backend(&proxy, a)["probes"].as_u64());
        (probes.iter().all(|n| *n >= Some(3))).then_some(())
    });
    for address in addresses {
        let backend = backend(&proxy, address);
        assert_eq!(
            (&backend["state"], &backend["failed_probes"]),
            (&"healthy".into(), &0.into())
        );
    }
}

#[test]
fn probes_are_secured_as_requests_are() {
    let authority = Authority::new();
    let good = TlsBackend::start(Authority::server(&authority.sign(&["localhost"]), &[]));
    let other = TlsBackend::start(Authority::server(&authority.sign(&["other.test"]), &[]));
    let backends = [&good, &other].map(|b| format!("\"https://localhost:{}\"", b.port()));
    let proxy = TestProxy::builder()
        .file("ca.pem", &authority.pem)
        .tables(&format!(
            "[pools.a]\nbackends = [{}]\ntls = {{ ca = \"ca.pem\" }}\n\
             health = {{ path = \"/\", interval = \"20ms\" }}\n\
             [[routes]]\npool = \"a\"\npolicies = []",
            backends.join(", ")
        ))
        .start();
    let of = |address: SocketAddr| backend(&proxy, address);
    wait_for(&proxy, other.address(), "down");
    let reason = of(other.address())["reason"].clone();
    assert!(reason.as_str().unwrap().contains("certificate"), "{reason}");
    eventually("three probes", || {
        (of(good.address())["probes"].as_u64() >= Some(3)).then_some(())
    });
    assert_eq!(of(good.address())["state"], "healthy");
}

#[test]
fn a_reload_keeps_what_probes_have_shown_and_ends_those_that_are_gone() {
    let (_held, dead) = refusing_address();
    let alive = TestUpstream::named("alive");
    let proxy = proxy(&[dead, alive.address()], "health = { interval = \"1h\" }");
    wait_for(&proxy, dead, "down");
    let file = proxy.scratch.path().join("waypost.toml");
    let edit = |from: &str, to: &str| {
        let text = std::fs::read_to_string(&file).unwrap();
        assert!(text.contains(from));
        std::fs::write(&file, text.replace(from, to)).unwrap();
        let answer = proxy.admin(Request::new("POST", "/reload").body(b""));
        assert_eq!(answer.status, 200, "{}", answer.text());
    };
    edit("health =", "max-failures = 7\nhealth =");
    let shown = backend(&proxy, dead);
    assert_eq!(
        (&shown["state"], &shown["probes"]),
        (&"down".into(), &1.into()),
        "{shown:#}"
    );
    edit("health = { interval = \"1h\" }", "");
    wait_for(&proxy, dead, "unproven");
}

#[test]
fn interim_answers_without_end_are_a_failed_probe() {
    let endless = TestUpstream::start(|connection| {
        connection.request();
        let many = "HTTP/1.1 100 Continue\r\n\r\n".repeat(100);
        while connection.send(&many) {}
    });
    let alive = TestUpstream::named("alive");
    let keys = "health = { path = \"/health\", timeout = \"15s\" }";
    let proxy = proxy(&[endless.address(), alive.address()], keys);
    wait_for(&proxy, endless.address(), "down");
    let shown = backend(&proxy, endless.address())["reason"].clone();
    assert!(
        shown.as_str().unwrap().contains("more than 128 KiB"),
        "{shown}"
    );
}
