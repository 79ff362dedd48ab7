//! Routes that answer themselves: redirects and fixed responses, by both protocols.

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{Request, TestProxy, TestUpstream, get};

const ROUTES: &str = r#"
[[routes]]
host = "old.test"
redirect = "https://new.test{path}"
[[routes]]
host = "old.test"
path = "/docs"
redirect = { to = "/manual{rest}", status = 301 }
[[routes]]
host = "old.test"
path = "/to"
redirect = { to = "{scheme}://{host}/{rest}", status = 307 }
[[routes]]
host = "old.test"
path = { exact = "/login" }
redirect = "https://login.test/?next={path}"
[[routes]]
host = "old.test"
path = { exact = "/bare" }
redirect = "https://new.test?"
[[routes]]
host = "old.test"
path = "/closed"
respond = { status = 403, body = "closed\n", headers = { cache-control = "no-store", x-why = ["a", "b"] } }
[[routes]]
host = "old.test"
path = { exact = "/robots.txt" }
respond = { file = "robots.txt" }
[[routes]]
host = "old.test"
path = { exact = "/empty" }
methods = "GET"
respond = { status = 204 }
"#;

fn proxy() -> TestProxy {
    TestProxy::builder()
        .file("robots.txt", b"User-agent: *\n")
        .tables(ROUTES)
        .start()
}

#[test]
fn a_redirect_keeps_path_and_query_and_never_leads_to_a_host_of_the_client() {
    let proxy = proxy();
    let cases = [
        ("/", 308, "https://new.test/"),
        ("/a/b?c=d&e", 308, "https://new.test/a/b?c=d&e"),
        ("/a?", 308, "https://new.test/a?"),
        ("//evil.test/a", 308, "https://new.test/evil.test/a"),
        ("/\\evil.test", 308, "https://new.test/%5Cevil.test"),
        ("/@evil.test", 308, "https://new.test/@evil.test"),
        ("/%40evil.test", 308, "https://new.test/%40evil.test"),
        ("/docs", 301, "/manual"),
        ("/docs/a%2Fb?c", 301, "/manual/a%2Fb?c"),
        ("/x/../docs/%61", 301, "/manual/a"),
        ("/to//evil.test", 307, "http://old.test/evil.test"),
        ("/to", 307, "http://old.test/"),
        ("/login", 308, "https://login.test/?next=/login"),
        ("/login?a=b", 308, "https://login.test/?next=/login"),
        ("/bare?a=b", 308, "https://new.test/"),
    ];
    let mut client = proxy.client();
    for (target, status, location) in cases {
        let response = client.ask(get("old.test", target));
        assert_eq!(response.status, status, "{target}");
        assert_eq!(
            response.value("location").as_deref(),
            Some(location),
            "{target}"
        );
        assert_eq!(
            response.value("content-length").as_deref(),
            Some("0"),
            "{target}"
        );
    }
    connected(&proxy, async |client| {
        for (target, status, location) in cases.into_iter().filter(|c| !c.0.contains('\\')) {
            let answer = client.get("old.test", target).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{target}");
            assert_eq!(answer.fields["location"], location, "{target}");
        }
    });
    proxy.logged(&["308", "/a/b"]);
}

#[test]
fn a_fixed_response_has_its_status_fields_and_body() {
    let proxy = proxy();
    let mut client = proxy.client();
    let closed = client.ask(
        Request::new("POST", "/closed/x")
            .host("old.test")
            .body("1234")
            .bytes(),
    );
    assert_eq!((closed.status, closed.text()), (403, "closed\n".to_owned()));
    assert_eq!(closed.value("cache-control").as_deref(), Some("no-store"));
    assert_eq!(closed.head.values("x-why"), ["a", "b"]);
    assert_eq!(
        closed.value("content-type").as_deref(),
        Some("text/plain; charset=utf-8")
    );
    assert!(closed.value("date").is_some() && !closed.closes());
    let robots = client.ask(get("old.test", "/robots.txt"));
    assert_eq!(
        (robots.status, robots.text()),
        (200, "User-agent: *\n".to_owned())
    );
    client.send(Request::new("HEAD", "/robots.txt").host("old.test").bytes());
    let head = client.response_to("HEAD");
    assert_eq!(head.value("content-length").as_deref(), Some("14"));
    let empty = client.ask(get("old.test", "/empty"));
    assert_eq!((empty.status, empty.value("content-length")), (204, None));
    connected(&proxy, async |client| {
        let closed = client
            .ask(request("POST", "old.test", "/closed"), b"1234")
            .await
            .unwrap();
        assert_eq!(
            (closed.status.as_u16(), &*closed.body),
            (403, &b"closed\n"[..])
        );
        assert_eq!(closed.fields.get_all("x-why").iter().count(), 2);
    });
}

#[test]
fn a_route_that_answers_is_not_passed_by_another_reading_of_its_path() {
    let upstream = TestUpstream::named("open");
    let proxy = TestProxy::builder()
        .host("a.test", &[upstream.address()])
        .tables("[[routes]]\nhost = \"a.test\"\npath = \"/admin\"\nrespond = { status = 403 }\n")
        .start();
    let mut client = proxy.client();
    for path in ["/admin", "/%61dmin/x", "//admin", "/x/../admin"] {
        assert_eq!(client.ask(get("a.test", path)).status, 403, "{path}");
    }
    for path in ["/x/..%2fadmin", "/x/..%5cadmin", "/admin//../x"] {
        client.ask(get("a.test", path)).assert_refusal(400);
    }
    assert_eq!(client.ask(get("a.test", "/x")).text(), "open");
    assert_eq!(upstream.received().len(), 1);
}

#[test]
fn the_configuration_that_runs_says_which_routes_answer() {
    let proxy = proxy();
    let shown = proxy.admin(Request::new("GET", "/config"));
    let shown: serde_json::Value = serde_json::from_slice(&shown.body).unwrap();
    let routes = shown["routes"].as_array().unwrap();
    let of = |name: &str| routes.iter().find(|route| route["route"] == name).unwrap();
    assert_eq!(of("old.test/docs")["answer"], "redirect 301");
    assert_eq!(of("old.test=/empty [GET]")["answer"], "respond 204");
    assert!(of("old.test/")["pool"].is_null());
}

/// Some servers take what follows two slashes for a host, and serve `/secret`.
#[test]
fn a_guard_above_is_not_passed_by_two_slashes() {
    let upstream = TestUpstream::named("open");
    let tables = format!(
        "[pools.open]\nbackends = [\"{}\"]\n[[routes]]\nrespond = {{ status = 401 }}\n\
         [[routes]]\npath = \"/open\"\npool = \"open\"\npolicies = []\n",
        upstream.address()
    );
    let proxy = TestProxy::builder().tables(&tables).start();
    for (asked, sent) in [
        ("/open/secret", "/open/secret"),
        (
            "/open//secret/../a%20b?c=//d",
            "/open//secret/../a%20b?c=//d",
        ),
        ("//open/secret?a", "/open/secret?a"),
        ("///open//secret", "/open/secret"),
        ("/x//../open/y", "/open/y"),
        ("/.//open/secret", "/open/secret"),
        ("/open/..//open/secret", "/open/secret"),
    ] {
        let before = upstream.received().len();
        assert_eq!(proxy.get("a.test", asked).status, 200, "{asked}");
        assert_eq!(upstream.received()[before].target(), sent, "{asked}");
    }
    assert_eq!(proxy.get("a.test", "/secret").status, 401);
}
