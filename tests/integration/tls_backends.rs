//! Backends behind TLS: whom the proxy trusts, what it shows of itself, and which protocol both
//! sides agree to.

use std::sync::Arc;

use h2::server::Builder;
use tokio_rustls::TlsAcceptor;

use crate::fixtures::{
    Authority, KeyAndCertificate, Request, Scratch, StreamBackend, TestProxy, TlsBackend,
    eventually, refusing_address, waypost,
};

const H2: &[u8] = b"h2";
const HTTP11: &[u8] = b"http/1.1";

/// A proxy with one pool of these backends, and these files beside its configuration.
fn proxy(backends: &str, keys: &str, files: &[(&str, &str)]) -> TestProxy {
    let builder = TestProxy::builder().tables(&format!(
        "[pools.all]\nbackends = [{backends}]\nmax-failures = 0\n{keys}\n[[routes]]\n\
         pool = \"all\"\npolicies = [\"random\"]\n[policies.random]\ndeadline = \"2s\""
    ));
    let with_file = |builder: crate::fixtures::Builder, (name, content): &(&str, &str)| {
        builder.file(name, content)
    };
    files.iter().fold(builder, with_file).start()
}

fn post(path: &str, body: &[u8]) -> Vec<u8> {
    Request::new("POST", path).host("a.test").body(body).bytes()
}

/// A backend with a certificate of this authority for localhost.
fn localhost(authority: &Authority) -> TlsBackend {
    TlsBackend::start(Authority::server(
        &authority.sign(&["localhost"]),
        &[HTTP11],
    ))
}

fn at(backend: &TlsBackend) -> String {
    format!("\"https://localhost:{}\"", backend.port())
}

const CA: &str = "tls = { ca = \"ca.pem\" }";

#[test]
fn a_backend_that_proves_its_name_is_spoken_to_on_one_connection_after_the_other() {
    let authority = Authority::new();
    let backend = localhost(&authority);
    let proxy = proxy(&at(&backend), CA, &[("ca.pem", &authority.pem)]);
    for n in 0..5 {
        let body = format!("body {n}");
        assert_eq!(proxy.ask(post("/", body.as_bytes())).text(), body);
    }
    assert_eq!(backend.handshakes(), (1, 0, 0), "the connection is kept");
    let body: Vec<u8> = (0..3_000_000u32)
        .map(|n| (n * 11 + n / 253) as u8)
        .collect();
    assert!(proxy.ask(post("/", &body)).body == body);
    // A session that was closed is resumed.
    for _ in 0..3 {
        assert_eq!(proxy.ask(post("/last", b"x")).text(), "x");
    }
    let (full, resumed, failed) = backend.handshakes();
    assert!(
        full == 1 && resumed > 0 && failed == 0,
        "{full} {resumed} {failed}"
    );
}

#[test]
fn a_backend_that_does_not_prove_its_name_gets_no_request_and_the_log_says_why() {
    let (authority, foreign) = (Authority::new(), Authority::new());
    for (certificate, words) in [
        (authority.sign(&["other.test"]), "not for this name"),
        (foreign.sign(&["localhost"]), "not from an authority"),
        (authority.sign_until(&["localhost"], 2020), "has expired"),
    ] {
        let backend = TlsBackend::start(Authority::server(&certificate, &[]));
        let proxy = proxy(&at(&backend), CA, &[("ca.pem", &authority.pem)]);
        let answer = proxy.ask(post("/", b"secret"));
        assert_eq!(answer.status, 502, "{words}");
        let said = proxy
            .stderr
            .find(|line| line.contains(words).then(|| line.to_owned()));
        let said = said.unwrap_or_else(|| panic!("{words}: {}", proxy.stderr.text()));
        assert!(said.contains("localhost"), "{said}");
        let address = backend.address().to_string();
        let stats = proxy.stats();
        let failures = stats["backends"][&address]["handshake_failures"].as_u64();
        assert!(failures > Some(0), "{stats:#}");
        let metrics = proxy.admin(Request::new("GET", "/metrics"));
        let line = format!("waypost_backend_handshake_failures_total{{backend=\"{address}\"}}");
        assert!(metrics.text().contains(&line), "{}", metrics.text());
        assert_eq!(backend.handshakes().0, 0);
    }
}

#[test]
fn files_that_change_hold_for_new_connections_and_broken_ones_for_none() {
    let authority = Authority::new();
    let backend = localhost(&authority);
    let proxy = proxy(&at(&backend), CA, &[("ca.pem", &Authority::new().pem)]);
    let status = || proxy.ask(post("/last", b"")).status;
    assert_eq!(status(), 502);
    proxy.scratch.replace("ca.pem", &authority.pem);
    eventually("the new authority is trusted", || {
        (status() == 200).then_some(())
    });
    proxy.scratch.replace("ca.pem", "nonsense");
    let readiness = || proxy.admin(Request::new("GET", "/readyz")).text();
    let note = eventually("it is said", || {
        let text = readiness();
        text.contains("notes").then_some(text)
    });
    assert!(
        note.contains("ca.pem has no certificate") && note.contains("stay in use"),
        "{note}"
    );
    assert_eq!(status(), 200);
    proxy.scratch.replace("ca.pem", &authority.pem);
    eventually("nothing is left to say", || {
        (!readiness().contains("notes")).then_some(())
    });
    proxy.stderr.says("ca.pem has no certificate");
    let log = proxy.stderr.text();
    assert_eq!(
        log.matches("ca.pem has no certificate").count(),
        1,
        "said once: {log}"
    );
}

#[test]
fn the_name_of_a_certificate_may_be_given_and_may_be_an_address() {
    let authority = Authority::new();
    let named = TlsBackend::start(Authority::server(&authority.sign(&["api.test"]), &[]));
    let keys = "tls = { ca = \"ca.pem\", server-name = \"api.test\" }";
    let files = [("ca.pem", authority.pem.as_str())];
    let by_name = proxy(&format!("\"{}\"", named.address()), keys, &files);
    assert_eq!(by_name.ask(post("/", b"x")).text(), "x");
    let addressed = TlsBackend::start(Authority::server(&authority.sign(&["127.0.0.1"]), &[]));
    let by_address = proxy(&format!("\"https://{}\"", addressed.address()), CA, &files);
    assert_eq!(by_address.ask(post("/", b"x")).text(), "x");
}

#[test]
fn an_insecure_pool_takes_any_certificate_and_warns() {
    let backend = localhost(&Authority::new());
    let proxy = proxy(&at(&backend), "tls = { insecure = true }", &[]);
    assert_eq!(proxy.ask(post("/", b"x")).text(), "x");
    let warned = proxy
        .stderr
        .find(|l| l.contains("any certificate is taken").then_some(()));
    assert!(warned.is_some(), "{}", proxy.stderr.text());
}

#[test]
fn a_backend_that_wants_a_certificate_gets_the_proxys() {
    let authority = Authority::new();
    let own = authority.sign(&["proxy.test"]);
    let server = authority.server_for_clients(&authority.sign(&["localhost"]));
    let backend = TlsBackend::start(server);
    let both = format!("{}{}", own.certificate, own.key);
    let files = [
        ("ca.pem", authority.pem.as_str()),
        ("both.pem", &both),
        ("own.pem", &own.certificate),
        ("own.key", &own.key),
    ];
    for certificate in [
        "\"both.pem\"",
        "{ certificate = \"own.pem\", key = \"own.key\" }",
    ] {
        let keys = format!("tls = {{ ca = \"ca.pem\", client-certificate = {certificate} }}");
        let proxy = proxy(&at(&backend), &keys, &files);
        assert_eq!(proxy.ask(post("/", b"x")).text(), "x");
    }
    let without = proxy(&at(&backend), CA, &files);
    assert_eq!(without.ask(post("/", b"x")).status, 502);
}

#[test]
fn a_backend_with_a_wrong_certificate_costs_no_request_if_there_is_another() {
    let authority = Authority::new();
    let (_held, dead) = refusing_address();
    let (right, wrong) = (localhost(&authority), localhost(&Authority::new()));
    let backends = format!("{}, {}, \"https://{dead}\"", at(&right), at(&wrong));
    let proxy = proxy(&backends, CA, &[("ca.pem", &authority.pem)]);
    for _ in 0..12 {
        assert_eq!(proxy.ask(post("/", b"x")).text(), "x");
    }
}

#[test]
fn pools_that_reach_an_address_in_different_ways_share_neither_connections_nor_health() {
    let authority = Authority::new();
    let backend = localhost(&authority);
    let port = backend.port();
    let proxy = TestProxy::builder()
        .file("ca.pem", &authority.pem)
        .tables(&format!(
            "[pools.right]\nbackends = \"https://localhost:{port}\"\n{CA}\nmax-failures = 1\n\
             [pools.wrong]\nbackends = \"https://localhost:{port}\"\nmax-failures = 1\n\
             tls = {{ ca = \"ca.pem\", server-name = \"other.test\" }}\n\
             [[routes]]\nhost = \"right.test\"\npool = \"right\"\npolicies = []\n\
             [[routes]]\nhost = \"wrong.test\"\npool = \"wrong\"\npolicies = []"
        ))
        .start();
    assert_eq!(proxy.get("right.test", "/").status, 200);
    assert_eq!(proxy.get("wrong.test", "/").status, 502);
    assert_eq!(proxy.get("right.test", "/").status, 200);
    let stats = proxy.stats();
    let labels: Vec<&String> = stats["backends"].as_object().unwrap().keys().collect();
    assert_eq!(labels.len(), 2, "{labels:?}");
    let healthy = labels
        .iter()
        .filter(|l| stats["backends"][**l]["healthy"] == true);
    assert_eq!(healthy.count(), 1, "{stats:#}");
}

/// A backend that speaks HTTP/2 over TLS.
fn multiplexed(certificate: &KeyAndCertificate, alpn: &[&[u8]]) -> StreamBackend {
    let config = Arc::new(Authority::server(certificate, alpn));
    StreamBackend::with(
        Builder::new(),
        Some(TlsAcceptor::from(config)),
        |mut call| async move {
            let scheme = call.request.uri().scheme_str().unwrap().to_owned();
            let (body, _) = call.read().await.unwrap();
            call.answer_now([scheme.into_bytes(), body].concat());
        },
    )
}

#[test]
fn http2_is_agreed_to_in_the_handshake_or_there_is_no_connection() {
    let authority = Authority::new();
    let certificate = authority.sign(&["localhost"]);
    let files = [("ca.pem", authority.pem.as_str())];
    let backend = multiplexed(&certificate, &[H2]);
    let place = format!("\"https://localhost:{}\"", backend.address().port());
    for protocol in ["h2", "auto"] {
        let keys = format!("protocol = \"{protocol}\"\n{CA}");
        let proxy = proxy(&place, &keys, &files);
        for _ in 0..3 {
            assert_eq!(proxy.ask(post("/", b" body")).text(), "https body");
        }
    }
    assert_eq!(backend.connections(), 2);
    // One that has no list of protocols speaks HTTP/1.1.
    let old = TlsBackend::start(Authority::server(&certificate, &[]));
    let never = proxy(&at(&old), &format!("protocol = \"h2\"\n{CA}"), &files);
    assert_eq!(never.ask(post("/", b"x")).status, 502);
    let said = never
        .stderr
        .find(|l| l.contains("does not agree to HTTP/2").then_some(()));
    assert!(said.is_some(), "{}", never.stderr.text());
}

#[test]
fn what_a_backend_agrees_to_is_spoken_where_either_will_do() {
    let authority = Authority::new();
    let backend = localhost(&authority);
    let files = [("ca.pem", authority.pem.as_str())];
    let proxy = proxy(&at(&backend), &format!("protocol = \"auto\"\n{CA}"), &files);
    for _ in 0..4 {
        assert_eq!(proxy.ask(post("/", b"x")).text(), "x");
    }
    assert_eq!(
        backend.handshakes(),
        (1, 0, 0),
        "the first connection is used as well"
    );
}

#[test]
fn files_that_can_not_be_used_are_errors_that_name_file_and_pool() {
    let authority = Authority::new();
    let (own, other) = (authority.sign(&["a.test"]), authority.sign(&["a.test"]));
    let scratch = Scratch::new();
    scratch.write("ca.pem", &authority.pem);
    scratch.write("text.pem", "not PEM");
    scratch.write("own.pem", &own.certificate);
    scratch.write("other.key", &other.key);
    for (tls, words) in [
        ("ca = \"none.pem\"", "none.pem can't be read: No such file"),
        ("ca = \"text.pem\"", "text.pem has no certificate"),
        ("ca = \"other.key\"", "other.key has no certificate"),
        (
            "client-certificate = \"own.pem\"",
            "own.pem has no private key",
        ),
        (
            "client-certificate = { certificate = \"own.pem\", key = \"other.key\" }",
            "own.pem does not go with the key in",
        ),
    ] {
        let text = format!(
            "[pools.api]\nbackends = \"127.0.0.1\"\ntls = {{ {tls} }}\n[[routes]]\npool = \"api\""
        );
        scratch.write("waypost.toml", text);
        for command in ["check", "run"] {
            let exit = waypost([command, "--config", "waypost.toml"], scratch.path());
            assert!(exit.code != Some(0), "{command} {tls}");
            let said = format!("{}{}", exit.stdout, exit.stderr);
            assert!(
                said.contains("pool \"api\"") && said.contains(words),
                "{said}"
            );
        }
    }
}
