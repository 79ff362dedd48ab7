//! Routes that ask for a path, a method, fields or a query, by both protocols.

use http::header::COOKIE;

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{Request, TestProxy, TestUpstream, get};

/// A pool for each name, and these routes.
fn proxy(backends: &[TestUpstream], names: &[&str], routes: &str) -> TestProxy {
    let mut tables = String::from("[pools]\n");
    for (name, backend) in names.iter().zip(backends) {
        tables.push_str(&format!(
            "{name} = {{ backends = [\"{}\"] }}\n",
            backend.address()
        ));
    }
    TestProxy::builder().tables(&(tables + routes)).start()
}

fn named(names: &[&str]) -> Vec<TestUpstream> {
    names.iter().map(|name| TestUpstream::named(name)).collect()
}

const ROUTES: &str = r#"
[[routes]]
pool = "rest"
[[routes]]
pool = "writes"
methods = ["POST", "PUT"]
[[routes]]
pool = "beta"
headers = { x-beta = "1" }
[[routes]]
pool = "canary"
headers = { cookie = { regex = '(^|; )canary=on(;|$)' } }
query = { v = 2 }
[[routes]]
pool = "images"
path = { regex = '\.png$' }
[[routes]]
pool = "login"
path = { exact = "/login" }
"#;
/// Method, target, fields, and the pool that the request goes to.
type Case = (
    &'static str,
    &'static str,
    &'static [(&'static str, &'static str)],
    &'static str,
);
const NAMES: [&str; 6] = ["rest", "writes", "beta", "canary", "images", "login"];

#[test]
fn a_request_goes_to_the_route_whose_conditions_it_meets() {
    let backends = named(&NAMES);
    let proxy = proxy(&backends, &NAMES, ROUTES);
    let cases: [Case; 12] = [
        ("GET", "/", &[], "rest"),
        ("POST", "/", &[], "writes"),
        ("POST", "/login", &[("x-beta", "1")], "login"),
        ("GET", "/login/", &[], "rest"),
        ("GET", "/x", &[("x-beta", "1")], "beta"),
        ("GET", "/x", &[("x-beta", "0"), ("X-Beta", "1")], "beta"),
        ("GET", "/x", &[("x_beta", "1")], "rest"),
        ("GET", "/?v=2", &[("cookie", "a=b; canary=on")], "canary"),
        ("GET", "/?%76=%32", &[("cookie", "canary=on")], "canary"),
        ("GET", "/?v=2", &[("cookie", "notcanary=on")], "rest"),
        (
            "GET",
            "/a/b%2Epng?v=2",
            &[("cookie", "canary=on")],
            "images",
        ),
        ("GET", "/x?/login.png", &[], "rest"),
    ];
    let mut client = proxy.client();
    for (method, target, fields, backend) in cases {
        let mut request = Request::new(method, target).host("any.test");
        for (name, value) in fields {
            request = request.field(name, value);
        }
        assert_eq!(
            client.ask(request.bytes()).text(),
            backend,
            "{method} {target}"
        );
    }
    connected(&proxy, async |client| {
        for (method, target, fields, backend) in cases {
            let mut request = request(method, "any.test", target);
            for (name, value) in fields {
                let name: http::HeaderName = name.parse().unwrap();
                request.headers_mut().append(name, value.parse().unwrap());
            }
            let answer = client.ask(request, b"").await.unwrap();
            assert_eq!(answer.body, backend.as_bytes(), "{method} {target}");
        }
        // A client may send each cookie in a field of its own (RFC 9113 section 8.2.3).
        let mut crumbs = request("GET", "any.test", "/?v=2");
        for crumb in ["a=b", "canary=on", "c=d"] {
            crumbs.headers_mut().append(COOKIE, crumb.parse().unwrap());
        }
        assert_eq!(client.ask(crumbs, b"").await.unwrap().body, b"canary");
    });
}

#[test]
fn a_request_that_meets_no_route_s_conditions_is_a_404() {
    let backends = named(&["a"]);
    let routes = "[[routes]]\npool = \"a\"\nmethods = \"GET\"\npath = { exact = \"/a\" }\n";
    let proxy = proxy(&backends, &["a"], routes);
    let mut client = proxy.client();
    assert_eq!(client.ask(get("b.test", "/a")).text(), "a");
    client.ask(get("b.test", "/a/b")).assert_refusal(404);
    let post = Request::new("POST", "/a").host("b.test").bytes();
    let refused = client.ask(post);
    refused.assert_refusal(404);
    assert!(
        refused.text().contains("takes this request"),
        "{}",
        refused.text()
    );
    assert_eq!(backends[0].received().len(), 1);
}

#[test]
fn a_path_that_some_server_reads_as_that_of_another_route_is_refused() {
    let backends = named(&["open", "guarded"]);
    let proxy = proxy(
        &backends,
        &["open", "guarded"],
        "[[routes]]\npool = \"open\"\n[[routes]]\npool = \"guarded\"\npath = { exact = \"/admin\" }\n\
         [[routes]]\npool = \"guarded\"\npath = { regex = '^/secret/' }\n",
    );
    let mut client = proxy.client();
    for path in [
        "/x/..%2fadmin",
        "/admin;a=b",
        "/x/..%5csecret/a",
        "/secret//../b",
    ] {
        client.ask(get("a.test", path)).assert_refusal(400);
    }
    for (path, backend) in [
        ("/%61dmin", "guarded"),
        ("/x/../secret/%61", "guarded"),
        ("/b", "open"),
    ] {
        assert_eq!(client.ask(get("a.test", path)).text(), backend, "{path}");
    }
}
