//! A policy edits the responses that no backend has made.

use http::HeaderValue;

use super::{finding, request};
use crate::fixtures::{Request, Response, TestProxy, TestUpstream, http2, refusing_address};

fn marked(response: &Response, status: u16, source: &str) {
    assert_eq!(response.status, status, "{}", response.text());
    let mark = format!("{status} {source}");
    assert_eq!(response.value("x-local").as_deref(), Some(&*mark));
    assert_eq!(
        response.value("x-forbidden").as_deref(),
        Some("true"),
        "the length is the host's"
    );
}

fn proxy(backend: &TestUpstream, lines: &str) -> TestProxy {
    finding("")
        .tables(&format!(
            "[pools.x]\nbackends = [\"{}\"]\n\
             [[routes]]\npool = \"x\"\npolicies = [\"finder\"]\n{lines}\n",
            backend.address()
        ))
        .start()
}

#[test]
fn answers_of_policies_are_edited_and_those_of_backends_are_not() {
    let backend = TestUpstream::named("backend");
    let proxy = proxy(&backend, "");
    let mut client = proxy.client();
    for field in ["X-Request", "X-Select"] {
        let answer = client.ask(request(&[(field, "refuse=429")]).bytes());
        marked(&answer, 429, "policy");
        assert_eq!(answer.text(), "refused");
        assert_eq!(answer.value("x-of").as_deref(), Some("policy"));
    }
    let answer = client.ask(request(&[]).bytes());
    assert_eq!((answer.status, answer.value("x-local")), (200, None));
    assert_eq!(
        proxy.stat("/policies/finder/calls_by_hook/local-response"),
        2
    );
}

#[test]
fn refusals_of_the_proxy_are_edited_once_the_route_is_known() {
    let backend = TestUpstream::named("backend");
    let too_large = proxy(&backend, "body-bytes = 10");
    let post = Request::new("POST", "/")
        .host("a.test")
        .body("more than ten bytes");
    let answer = too_large.ask(post.bytes());
    marked(&answer, 413, "proxy");
    assert!(
        answer
            .value("x-first-type")
            .unwrap()
            .starts_with("text/plain")
    );
    // What no route takes has no policies.
    let malformed = too_large.ask("GET / HTTP/1.1\r\n\r\n");
    assert_eq!((malformed.status, malformed.value("x-local")), (400, None));

    let (_socket, address) = refusing_address();
    let unreachable = finding("")
        .tables("[limits]\nheader-count = 90\n")
        .pool_for_all(&[address], &["finder"])
        .start();
    let answer = unreachable.ask(request(&[]).bytes());
    marked(&answer, 502, "proxy");
    assert!(answer.value("proxy-status").is_some());
}

#[test]
fn a_failure_leaves_the_response_as_it_was() {
    let backend = TestUpstream::named("backend");
    let (_socket, address) = refusing_address();
    let proxy = finding("on-failure = 500")
        .pool_for_all(&[address], &["finder"])
        .start();
    drop(backend);
    let answer = proxy.ask(request(&[("X-Local", "trap")]).bytes());
    assert_eq!(answer.status, 502);
    assert!(answer.value("x-local").is_none() && answer.value("proxy-status").is_some());
    assert_eq!(proxy.stat("/policies/finder/traps"), 1);
    marked(&proxy.ask(request(&[]).bytes()), 502, "proxy");
}

#[test]
fn the_route_has_the_last_word() {
    let backend = TestUpstream::named("backend");
    let lines = "response-headers = { set = { x-local = \"route\" } }";
    let proxy = proxy(&backend, lines);
    let answer = proxy.ask(request(&[("X-Request", "refuse=401")]).bytes());
    assert_eq!(answer.status, 401);
    assert_eq!(answer.value("x-local").as_deref(), Some("route"));
}

#[test]
fn preflights_and_answers_of_routes_are_not_edited() {
    let backend = TestUpstream::named("backend");
    let proxy = proxy(
        &backend,
        "cors = { origins = \"*\" }\n[[routes]]\npath = \"/fixed\"\nrespond = { status = 404 }",
    );
    let preflight = Request::new("OPTIONS", "/")
        .host("a.test")
        .field("Origin", "http://b.test")
        .field("Access-Control-Request-Method", "PUT");
    for (asked, status) in [
        (preflight, 204),
        (Request::new("GET", "/fixed").host("a.test"), 404),
    ] {
        let answer = proxy.ask(asked.bytes());
        assert_eq!((answer.status, answer.value("x-local")), (status, None));
    }
    let calls = &proxy.stats()["policies"]["finder"]["calls_by_hook"];
    assert!(calls.get("local-response").is_none(), "{calls:#}");
}

#[test]
fn an_instance_for_each_request_sees_the_response_of_its_request() {
    let backend = TestUpstream::named("backend");
    let proxy = finding("isolation = \"request\"")
        .pool_for_all(&[backend.address()], &["finder"])
        .start();
    for _ in 0..3 {
        let answer = proxy.ask(request(&[("X-Select", "refuse=403")]).bytes());
        marked(&answer, 403, "policy");
    }
}

#[test]
fn answers_by_http2_and_to_calls_are_edited_too() {
    let backend = TestUpstream::named("backend");
    let proxy = proxy(&backend, "");
    let told = |answer: &http2::Answer, name| {
        let value = answer.fields.get(name);
        value.map(|value| value.to_str().unwrap().to_owned())
    };
    http2::connected(&proxy, async |client| {
        let mut refused = http2::get("a.test", "/");
        let say = HeaderValue::from_static("refuse=429");
        refused.headers_mut().insert("x-request", say.clone());
        let answer = client.ask(refused, b"").await.unwrap();
        assert_eq!(answer.status, 429);
        assert_eq!(told(&answer, "x-local").as_deref(), Some("429 policy"));
        assert_eq!(answer.body, b"refused");

        let mut call = http2::request("POST", "a.test", "/s/m");
        call.headers_mut().insert("x-request", say);
        let kind = HeaderValue::from_static("application/grpc");
        call.headers_mut().insert("content-type", kind);
        let answer = client.ask(call, b"").await.unwrap();
        assert_eq!((answer.status.as_u16(), &*answer.body), (200, &b""[..]));
        let status = told(&answer, "grpc-status");
        assert_eq!(status.as_deref(), Some("14"), "UNAVAILABLE");
        assert_eq!(told(&answer, "x-local").as_deref(), Some("200 policy"));
        client.assert_goes_on().await;
    });
    assert_eq!(backend.connections(), 0);
}
