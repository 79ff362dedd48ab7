//! Listeners of the long form: Unix sockets, protocols, redirects to HTTPS.

mod encrypted;

use std::os::unix::fs::PermissionsExt;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

use crate::fixtures::{Client, Request, Running, TestProxy, TestUpstream, command, get, waypost};

const SOCKET: &str = "[[listeners]]\naddress = \"unix:s\"\nmode = \"0600\"";

/// A proxy with a plain listener and a Unix socket.
fn with_socket(upstream: &TestUpstream, tables: &str) -> (TestProxy, PathBuf) {
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .listener("")
        .tables(&format!("{tables}\n{SOCKET}"))
        .start();
    let path = proxy.scratch.path().join("s");
    (proxy, path)
}

fn connect(path: &PathBuf) -> Client {
    Client::over(UnixStream::connect(path).unwrap())
}

#[test]
fn a_unix_socket_serves_clients_that_have_no_address() {
    let upstream = TestUpstream::named("a");
    let (proxy, path) = with_socket(&upstream, "");
    let mut client = connect(&path);
    for _ in 0..2 {
        let request = Request::new("GET", "/x").host("a.test");
        let spoofed = request.field("X-Forwarded-For", "6.6.6.6").bytes();
        assert_eq!(client.ask(spoofed).status, 200);
    }
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let received = &upstream.received()[0];
    let value = |name| received.value(name).unwrap();
    assert_eq!(value("x-forwarded-for"), "unknown");
    assert_eq!(value("forwarded"), "for=unknown;proto=http;host=a.test");
    proxy.logged(&["\"client\":\"unix:\"", "\"target\":\"/x\""]);
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_listener_without_http2_refuses_its_preface_as_another_version() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*", &[upstream.address()])
        .listener("protocols = [\"http/1.1\"]")
        .start();
    let mut client = Client::connect(proxy.address());
    let answer = client.ask(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    answer.assert_refusal(505);
    assert_eq!(upstream.received().len(), 0);
}

#[test]
fn a_client_of_a_unix_socket_is_in_no_trusted_network() {
    let upstream = TestUpstream::named("a");
    let trusted = "[forwarded]\ntrusted = [\"0.0.0.0/0\", \"::/0\"]";
    let (_proxy, path) = with_socket(&upstream, trusted);
    let request = Request::new("GET", "/").host("a.test");
    let spoofed = request.field("X-Forwarded-For", "6.6.6.6").bytes();
    assert_eq!(connect(&path).ask(spoofed).status, 200);
    let list = upstream.only_request().value("x-forwarded-for").unwrap();
    assert_eq!(list, "unknown");
}

#[test]
fn a_trusted_client_of_a_unix_socket_is_believed() {
    let upstream = TestUpstream::named("a");
    let trusted = "[forwarded]\ntrusted = [\"unix:\"]";
    let (_proxy, path) = with_socket(&upstream, trusted);
    let request = Request::new("GET", "/").host("a.test");
    let told = request.field("X-Forwarded-For", "192.0.2.7").bytes();
    assert_eq!(connect(&path).ask(told).status, 200);
    let received = upstream.only_request();
    let list = received.value("x-forwarded-for").unwrap();
    assert_eq!(list, "192.0.2.7, unknown");
}

#[test]
fn clients_of_a_unix_socket_have_no_limit_of_their_own() {
    let upstream = TestUpstream::named("a");
    let (_proxy, path) = with_socket(&upstream, "[limits]\nconnections-per-client = 1");
    let mut clients = [connect(&path), connect(&path), connect(&path)];
    for client in &mut clients {
        assert_eq!(client.ask(get("a.test", "/")).status, 200);
    }
}

#[test]
fn a_socket_file_goes_with_its_proxy_and_one_that_was_left_is_replaced() {
    let upstream = TestUpstream::named("a");
    let (mut proxy, path) = with_socket(&upstream, "");
    let config = proxy.scratch.path().join("waypost.toml");
    let config = config.to_str().unwrap();
    let second = waypost(["run", "--config", config], proxy.scratch.path());
    assert_eq!(second.code, Some(1), "{}", second.stderr);
    assert!(
        second.stderr.contains("another process is listening"),
        "{}",
        second.stderr
    );
    assert!(path.exists(), "what a second proxy finds it leaves");
    proxy.signal("TERM");
    assert_eq!(proxy.exit_code(), 0);
    assert!(!path.exists());
    // As after a crash.
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    let folder = proxy.scratch.path();
    let again = Running::start(
        command()
            .args(["run", "--config", config])
            .current_dir(folder),
    );
    again.wait_for("listening addr=unix:");
    assert_eq!(connect(&path).ask(get("a.test", "/")).status, 200);
}

#[test]
fn a_listener_serves_the_protocols_of_its_list_only() {
    let upstream = TestUpstream::named("a");
    let only = |protocol: &str| {
        TestProxy::builder()
            .host("*", &[upstream.address()])
            .listener(&format!("protocols = [\"{protocol}\"]"))
            .start()
    };
    let proxy = only("http/1.1");
    assert_eq!(proxy.get("a.test", "/").status, 200);
    let mut client = proxy.client();
    client.send(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    client.response().assert_refusal(505);
    client.assert_closed();
    let proxy = only("h2c");
    let mut client = proxy.client();
    client.send(get("a.test", "/"));
    client.assert_closed();
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn a_listener_that_redirects_answers_every_request_but_a_challenge() {
    let upstream = TestUpstream::named("a");
    for (port, shown) in [("true", ""), ("8443", ":8443")] {
        let proxy = TestProxy::builder()
            .host("*", &[upstream.address()])
            .listener(&format!("redirect-to-https = {port}"))
            .tables("[stats]\npath = \"/stats\"")
            .start();
        let mut client = proxy.client();
        for (method, target, location) in [
            ("GET", "/", "/"),
            ("GET", "/a%2f//b?c=d&e", "/a%2f//b?c=d&e"),
            ("GET", "http://b.test:81/x", "/x"),
            ("HEAD", "/stats", "/stats"),
            (
                "DELETE",
                "/.well-known/acme-challenge",
                "/.well-known/acme-challenge",
            ),
            (
                "GET",
                "/.well-known/acme-challenge/../x",
                "/.well-known/acme-challenge/../x",
            ),
            ("OPTIONS", "*", "/"),
        ] {
            let host = match target.starts_with("http") {
                true => "b.test",
                false => "a.test",
            };
            let request = Request::new(method, target).host("A.test:8080").bytes();
            let answer = client.ask(request);
            assert_eq!(answer.status, 308, "{method} {target}");
            let expected = format!("https://{host}{shown}{location}");
            assert_eq!(answer.value("location"), Some(expected));
        }
        let body = Request::new("POST", "/form").host("a.test").body("x=1");
        let answer = client.ask(body.bytes());
        assert_eq!((answer.status, answer.body.len()), (308, 0));
        proxy.logged(&["\"method\":\"POST\"", "\"status\":308"]);
        let without_host = proxy.ask(Request::new("GET", "/").old().bytes());
        without_host.assert_refusal(400);
        proxy
            .ask("CONNECT a.test:443 HTTP/1.1\r\nHost: a.test:443\r\n\r\n")
            .assert_refusal(405);
        proxy.wait_for_stat("/requests/by_status/308", 8);
        let token = client.ask(get("a.test", "/.well-known/acme-challenge/token"));
        assert_eq!((token.status, token.text().as_str()), (200, "a"));
    }
    assert_eq!(upstream.received().len(), 2);
}
