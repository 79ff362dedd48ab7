//! Facts about the request in the values of fields, and redirects of backends to what only they
//! know.

use std::sync::Arc;

use super::edits::{in_front_of, routed};
use crate::fixtures::http2::{connected, request};
use crate::fixtures::tls::{Authority, client};
use crate::fixtures::{Request, TestProxy, TestUpstream, get, response};
use crate::reload::{edit, editable, reload};

#[test]
fn values_say_what_is_known_of_the_request_and_the_answer_says_the_same_number() {
    let backend = TestUpstream::named("ok");
    let proxy = in_front_of(
        &backend,
        "host = [\"a.test\", \"b.test\"]\npath = \"/api\"\nstrip-prefix = true\n\
         request-headers = { set = { x-all = \"{client} {scheme} {host} {authority} {method} {path} \
         {query} {rest}\", x-was = \"[{header.x-was}]\", x-id = \"{request-id}\" }, \
         add = { x-sni = \"{sni}\", x-cert = \"{certificate-fingerprint}\" } }\n\
         response-headers = { set = { x-id = \"{request-id}\", x-by = \"{route}={pool}\", \
         nel = '{\"report_to\":\"{host}\"}', x-literal = \"{{host}\" } }",
    );
    let mut ids = Vec::new();
    let asked = Request::new("PURGE", "/api//x%3C?q=\"<&a={y}")
        .host("A.test:81")
        .field("X-Was", "here");
    for _ in 0..2 {
        let answer = proxy.ask(asked.clone().bytes());
        assert_eq!(answer.text(), "ok");
        let sent = backend.received().pop().unwrap();
        let all = "127.0.0.1 http a.test A.test:81 PURGE /api/x%3C q=%22%3C&a=%7By%7D /x%3C";
        assert_eq!(sent.value("x-all").as_deref(), Some(all));
        assert_eq!(sent.value("x-was").as_deref(), Some("[here]"));
        // Of what is not there no field is sent.
        assert!(!sent.head.has("x-sni") && !sent.head.has("x-cert"));
        let id = sent.value("x-id").unwrap();
        assert!(id.len() == 32 && id.bytes().all(|b| b.is_ascii_hexdigit()));
        assert_eq!(answer.value("x-id"), Some(id.clone()));
        assert_eq!(answer.value("x-by").as_deref(), Some("a.test/api=p"));
        let nel = answer.value("nel");
        assert_eq!(nel.as_deref(), Some("{\"report_to\":\"a.test\"}"));
        assert_eq!(answer.value("x-literal").as_deref(), Some("{host}"));
        ids.push(id);
    }
    assert_ne!(ids[0], ids[1]);
    connected(&proxy, async |client| {
        let answer = client.ask(request("GET", "b.test", "/api"), b"");
        let fields = answer.await.unwrap().fields;
        assert_eq!(fields["x-by"], "b.test/api=p");
    });
}

#[test]
fn what_a_client_sends_ends_no_line_and_is_encoded() {
    let backend = TestUpstream::named("ok");
    let proxy = in_front_of(
        &backend,
        "path = { regex = '^/(?<name>.*)$' }\nrequest-headers = { set = { x-v = \
         \"{header.x-raw}|{name}\" } }",
    );
    let mut client = proxy.client();
    for (path, raw, sent) in [
        ("/%0d%0aa:b", "a\tb", "a%09b|%0D%0Aa:b"),
        ("/%C3%A9\"", "\u{e9}", "%C3%A9|%C3%A9%22"),
        ("/a,b;c", "", "|a,b;c"),
    ] {
        let asked = Request::new("GET", path).host("a.test").field("X-Raw", raw);
        assert_eq!(client.ask(asked.bytes()).text(), "ok", "{path}");
        let received = backend.received().pop().unwrap();
        assert_eq!(received.value("x-v").as_deref(), Some(sent), "{path}");
    }
}

#[test]
fn answers_of_the_proxy_say_it_too_and_a_reload_changes_it() {
    let proxy = editable(TestProxy::builder().tables(
        "[[routes]]\nrespond = { status = 403, headers = { x-raw = \"{client}\" } }\n\
         response-headers = { set = { x-client = \"{client}\" } }\n",
    ));
    let answer = proxy.get("a.test", "/x");
    assert_eq!(answer.value("x-client").as_deref(), Some("127.0.0.1"));
    assert_eq!(answer.value("x-raw").as_deref(), Some("{client}"));
    edit(&proxy, |body| {
        body.replace("x-client = \"{client}\"", "x-path = \"{path}\"")
    });
    reload(&proxy);
    let answer = proxy.get("a.test", "/x");
    assert_eq!(answer.value("x-path").as_deref(), Some("/x"));
    assert_eq!(answer.value("x-client"), None);
}

#[test]
fn values_say_what_the_handshake_has_shown() {
    let backend = TestUpstream::named("ok");
    let authority = Authority::new();
    let edge = authority.issue(&["edge.test"]);
    let identity = authority.identify("client 7%", &[]);
    let keys = "request-headers = { set = { x-tls = \"{scheme} {sni} {tls-version} \
                {certificate-subject}\", x-print = \"{certificate-fingerprint}\" } }";
    let proxy = TestProxy::builder()
        .listener(
            "tls = { certificates = [{ certificate = \"c.pem\", key = \"k.pem\" }], \
             client-ca = \"ca.pem\" }",
        )
        .tables(&routed(&backend, keys))
        .file("c.pem", edge.certificate)
        .file("k.pem", edge.key)
        .file("ca.pem", authority.pem())
        .start();
    let config = Arc::new(authority.client_with(&[], Some(&identity)));
    let mut client = client(proxy.address(), &config, "edge.test");
    assert_eq!(client.ask(get("edge.test", "/")).text(), "ok");
    let sent = backend.only_request();
    assert_eq!(
        sent.value("x-tls").as_deref(),
        Some("https edge.test TLSv1.3 CN=client 7%25")
    );
    assert_eq!(sent.value("x-print").unwrap().len(), 64);
}

#[test]
fn redirects_of_a_backend_to_itself_lead_back_through_the_route() {
    for (location, keys, seen) in [
        ("http://in.test:8080/x?y#z", "", "/api/x?y#z"),
        ("/x", "", "/x"),
        ("/x", "location-rewrite = \"paths\"", "/api/x"),
        ("/api/x", "location-rewrite = \"paths\"", "/api/x"),
        (
            "//evil.test/x",
            "location-rewrite = \"paths\"",
            "//evil.test/x",
        ),
        (
            "http://in.test:8080/x",
            "location-rewrite = \"off\"",
            "http://in.test:8080/x",
        ),
        ("https://other.test/x", "", "https://other.test/x"),
        ("http://in.test/x", "", "http://in.test/x"),
    ] {
        let refresh = format!("0; url={location}");
        let fields = [("Location", location), ("Refresh", &refresh)];
        let backend = TestUpstream::answering(response("302 Found", &fields, ""));
        let keys = format!(
            "path = \"/api\"\nstrip-prefix = true\nhost-rewrite = \"in.test:8080\"\n{keys}"
        );
        let proxy = in_front_of(&backend, &keys);
        let answer = proxy.get("a.test", "/api/a");
        assert_eq!(
            answer.value("location").as_deref(),
            Some(seen),
            "{location}"
        );
        let refresh = answer.value("refresh").unwrap();
        assert_eq!(refresh, format!("0; url={seen}"), "{location}");
        connected(&proxy, async |client| {
            let answer = client.get("a.test", "/api/a").await.unwrap();
            assert_eq!(answer.fields["location"], seen, "{location}");
        });
    }
}

#[test]
fn a_redirect_to_the_url_that_was_asked_for_leads_there() {
    for (method, status) in [("POST", "303 See Other"), ("GET", "302 Found")] {
        for (location, keys) in [
            ("http://in.test:8080/form", "strip-prefix = true"),
            (
                "http://in.test:8080/v2/form",
                "rewrite = \"/v2{rest}\"\nlocation-rewrite = \"paths\"",
            ),
            (
                "/v2/form",
                "rewrite = \"/v2{rest}\"\nlocation-rewrite = \"paths\"",
            ),
        ] {
            let backend = TestUpstream::answering(response(status, &[("Location", location)], ""));
            let keys = format!("path = \"/api\"\nhost-rewrite = \"in.test:8080\"\n{keys}");
            let proxy = in_front_of(&backend, &keys);
            let asked = Request::new(method, "/api/form").host("a.test");
            let answer = proxy.ask(asked.bytes());
            assert_eq!(
                answer.value("location").as_deref(),
                Some("/api/form"),
                "{method} {location}"
            );
        }
    }
}

#[test]
fn a_redirect_of_a_route_that_changes_nothing_stays() {
    let fields = [("Location", "http://a.test/x")];
    let backend = TestUpstream::answering(response("302 Found", &fields, ""));
    let proxy = in_front_of(&backend, "path = \"/api\"");
    let answer = proxy.get("a.test", "/api/a");
    assert_eq!(answer.value("location").as_deref(), Some("http://a.test/x"));
}

#[test]
fn trailers_that_a_route_removes_are_not_announced() {
    let backend = TestUpstream::answering(
        "HTTP/1.1 200 OK\r\nTrailer: X-Gone, X-Stays\r\nTransfer-Encoding: chunked\r\n\r\n\
         2\r\nok\r\n0\r\nX-Gone: 1\r\nX-Stays: 2\r\n\r\n",
    );
    let proxy = in_front_of(&backend, "response-headers = { remove = [\"x-gone\"] }");
    let asked = Request::new("GET", "/")
        .host("a.test")
        .field("TE", "trailers");
    let answer = proxy.ask(asked.field("Connection", "te").bytes());
    assert_eq!(answer.text(), "ok");
    assert_eq!(answer.value("trailer").as_deref(), Some("x-stays"));
}
