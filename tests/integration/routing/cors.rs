//! `cors` of a route: preflights, and answers that scripts of other origins may read.

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{Request, Response, TestProxy, TestUpstream, refusing_address, response};

const ALLOW: &str = "access-control-allow-origin";

/// A route with these keys in front of a backend that has an opinion of its own.
fn proxy(keys: &str) -> (TestUpstream, TestProxy) {
    let fields = [
        ("Vary", "accept-encoding"),
        ("Access-Control-Allow-Origin", "https://backend.test"),
        ("Access-Control-Allow-Credentials", "true"),
    ];
    let backend = TestUpstream::answering(response("200 OK", &fields, "ok"));
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.p]\nbackends = [\"{}\"]\n[[routes]]\npool = \"p\"\npolicies = []\n{keys}\n",
            backend.address()
        ))
        .start();
    (backend, proxy)
}

fn asked(method: &str, path: &str, fields: &[(&str, &str)]) -> Vec<u8> {
    let request = Request::new(method, path).host("api.test");
    let request = fields
        .iter()
        .fold(request, |r, (name, value)| r.field(name, value));
    request.bytes()
}

fn varies(answer: &Response) -> Vec<String> {
    answer.head.values("vary")
}

#[test]
fn an_answer_names_the_origin_that_may_read_it_and_no_other() {
    let (backend, proxy) = proxy(
        "request-headers = { remove = [\"origin\"] }\n\
         cors = { origins = [\"https://a.test\", \"https://*.b.test\"], credentials = true, \
         expose = [\"x-total\", \"x-page\"] }",
    );
    let mut client = proxy.client();
    for origin in ["https://a.test", "https://x.y.b.test"] {
        let answer = client.ask(asked("GET", "/", &[("Origin", origin)]));
        assert_eq!(answer.value(ALLOW).as_deref(), Some(origin));
        assert_eq!(
            answer.value("access-control-allow-credentials").as_deref(),
            Some("true")
        );
        assert_eq!(
            answer.value("access-control-expose-headers").as_deref(),
            Some("x-total, x-page")
        );
        assert_eq!(varies(&answer), ["accept-encoding", "origin"]);
    }
    let others: [&[(&str, &str)]; 5] = [
        &[],
        &[("Origin", "null")],
        &[("Origin", "https://a.test.evil")],
        &[("Origin", "https://b.test")],
        &[("Origin", "https://a.test"), ("Origin", "https://a.test")],
    ];
    for fields in others {
        let answer = client.ask(asked("GET", "/", fields));
        assert_eq!(
            (answer.status, answer.value(ALLOW)),
            (200, None),
            "{fields:?}"
        );
        assert!(!answer.head.has("access-control-allow-credentials"));
        assert_eq!(varies(&answer), ["accept-encoding", "origin"], "{fields:?}");
    }
    assert!(
        backend
            .received()
            .iter()
            .all(|r| r.value("origin").is_none())
    );
}

#[test]
fn a_preflight_is_answered_by_the_proxy_whatever_the_methods_of_the_route() {
    let (backend, proxy) = proxy(
        "methods = [\"PUT\", \"DELETE\"]\nresponse-headers = { set = { x-hsts = \"1\" } }\n\
         cors = { origins = [\"https://a.test\"], headers = [\"X-Token\"], max-age = \"10m\" }",
    );
    let fields: [(&str, &str); 3] = [
        ("Origin", "https://a.test"),
        ("Access-Control-Request-Method", "PUT"),
        ("Access-Control-Request-Headers", "x-token"),
    ];
    let mut client = proxy.client();
    let answer = client.ask(asked("OPTIONS", "/", &fields));
    assert_eq!((answer.status, answer.value("content-length")), (204, None));
    for (name, value) in [
        (ALLOW, "https://a.test"),
        ("access-control-allow-methods", "PUT, DELETE"),
        ("access-control-allow-headers", "x-token"),
        ("access-control-max-age", "600"),
        ("x-hsts", "1"),
    ] {
        assert_eq!(answer.value(name).as_deref(), Some(value), "{name}");
    }
    assert!(
        varies(&answer).contains(&"origin".to_owned()),
        "{:?}",
        varies(&answer)
    );
    assert!(!answer.head.has("access-control-allow-credentials"));
    connected(&proxy, async |client| {
        let mut preflight = request("OPTIONS", "api.test", "/");
        for (name, value) in fields {
            let name: http::HeaderName = name.parse().unwrap();
            preflight.headers_mut().insert(name, value.parse().unwrap());
        }
        let answer = client.ask(preflight, b"").await.unwrap();
        assert_eq!(answer.status, 204);
        assert_eq!(answer.fields["access-control-allow-methods"], "PUT, DELETE");
    });
    let other = [("Origin", "https://evil.test"), fields[1]];
    let other = client.ask(asked("OPTIONS", "/", &other));
    assert_eq!((other.status, other.value(ALLOW)), (204, None));
    assert!(!other.head.has("access-control-allow-methods"));
    // Not asked for by a script, or for what the route does not take.
    client
        .ask(asked("OPTIONS", "/", &fields[..1]))
        .assert_refusal(404);
    let get = [fields[0], ("Access-Control-Request-Method", "GET")];
    client.ask(asked("OPTIONS", "/", &get)).assert_refusal(404);
    assert!(backend.received().is_empty());
    proxy.logged(&["OPTIONS", "204", "127.0.0.1"]);
}

#[test]
fn a_star_is_the_same_for_all_and_what_is_asked_for_is_allowed() {
    let (_backend, proxy) =
        proxy("cors = { origins = \"*\", methods = \"*\", headers = \"*\", expose = \"*\" }");
    let mut client = proxy.client();
    let any: [&[(&str, &str)]; 2] = [&[], &[("Origin", "https://x.test")]];
    for fields in any {
        let answer = client.ask(asked("GET", "/", fields));
        assert_eq!(answer.value(ALLOW).as_deref(), Some("*"));
        assert_eq!(
            answer.value("access-control-expose-headers").as_deref(),
            Some("*")
        );
        assert_eq!(varies(&answer), ["accept-encoding"]);
    }
    let answer = client.ask(asked(
        "OPTIONS",
        "/",
        &[
            ("Origin", "https://x.test"),
            ("Access-Control-Request-Method", "PURGE"),
            ("Access-Control-Request-Headers", "authorization,x-a"),
            // What is no name is not repeated.
            ("Access-Control-Request-Headers", "x-b, a b, <x>"),
        ],
    ));
    assert_eq!(
        answer.value("access-control-allow-methods").as_deref(),
        Some("PURGE")
    );
    assert_eq!(
        answer.value("access-control-allow-headers").as_deref(),
        Some("authorization, x-a, x-b")
    );
    assert_eq!(
        varies(&answer),
        [
            "access-control-request-method",
            "access-control-request-headers"
        ]
    );
}

#[test]
fn what_the_proxy_answers_itself_may_be_read_as_well() {
    let cors = "cors = { origins = [\"https://a.test\"] }";
    let (_none, none) = refusing_address();
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.none]\nbackends = [\"{none}\"]\n[[routes]]\npool = \"none\"\npolicies = []\n{cors}\n\
             [[routes]]\npath = \"/to\"\nredirect = \"/x\"\n{cors}\n\
             [[routes]]\npath = \"/fixed\"\nrespond = {{ status = 429 }}\n{cors}\n"
        ))
        .start();
    let mut client = proxy.client();
    for (path, status) in [
        ("/", 502),
        ("/to", 308),
        ("/fixed", 429),
        ("/x/..%2fto", 400),
    ] {
        let answer = client.ask(asked("GET", path, &[("Origin", "https://a.test")]));
        let allowed = answer.value(ALLOW);
        assert_eq!(
            (answer.status, allowed.as_deref()),
            (status, Some("https://a.test"))
        );
        assert_eq!(varies(&answer), ["origin"], "{path}");
        let without = client.ask(asked("GET", path, &[]));
        assert_eq!(
            (varies(&without), without.value(ALLOW)),
            (vec!["origin".to_owned()], None)
        );
    }
}
