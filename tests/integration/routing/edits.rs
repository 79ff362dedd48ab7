//! What a route changes of requests and answers, by both protocols and on both sides.

use crate::fixtures::http2::{connected, request};
use crate::fixtures::{
    Request, StreamBackend, TestProxy, TestUpstream, get, guest, refusing_address, response,
};
use crate::reload::{edit, editable, reload};
use crate::upgrades::{asking, echo, taking};

/// A route with these keys in front of this backend.
pub(super) fn routed(backend: &TestUpstream, keys: &str) -> String {
    format!(
        "[pools.p]\nbackends = [\"{}\"]\n[[routes]]\npool = \"p\"\npolicies = []\n{keys}\n",
        backend.address()
    )
}

pub(super) fn in_front_of(backend: &TestUpstream, keys: &str) -> TestProxy {
    TestProxy::builder().tables(&routed(backend, keys)).start()
}

#[test]
fn a_backend_gets_the_path_without_the_prefix_and_the_log_the_clients() {
    let backend = TestUpstream::named("ok");
    let proxy = in_front_of(&backend, "path = \"/api\"\nstrip-prefix = true");
    let mut client = proxy.client();
    for (asked, sent) in [
        ("/api", "/"),
        ("/api/x?y=1", "/x?y=1"),
        ("/%61pi//x/./%79", "/x/y"),
        ("//api/x", "/x"),
    ] {
        let before = backend.received().len();
        assert_eq!(client.ask(get("a.test", asked)).text(), "ok", "{asked}");
        let received = backend.received().remove(before);
        assert_eq!(received.target(), sent, "{asked}");
        assert_eq!(
            received.value("x-forwarded-prefix").as_deref(),
            Some("/api")
        );
    }
    proxy.logged(&["/api/x?y=1"]);
    for path in ["/api/..%2fx", "/api/..;/x"] {
        client.ask(get("a.test", path)).assert_refusal(400);
    }
    connected(&proxy, async |client| {
        let answer = client.get("a.test", "/api/by/h2?y").await.unwrap();
        assert_eq!(answer.body, b"ok");
    });
    assert_eq!(backend.received().last().unwrap().target(), "/by/h2?y");
}

#[test]
fn a_rewrite_cannot_be_left_by_what_some_server_reads_as_a_way_up() {
    let backend = TestUpstream::named("ok");
    let proxy = in_front_of(&backend, "rewrite = \"/jail{path}\"");
    let mut client = proxy.client();
    for path in [
        "/..%2fadmin",
        "/..%5Cadmin",
        "/a/..;/..;/admin",
        "/..%252fadmin",
    ] {
        client.ask(get("a.test", path)).assert_refusal(400);
    }
    assert_eq!(client.ask(get("a.test", "/../../x")).status, 200);
    let options = Request::new("OPTIONS", "*").host("a.test").bytes();
    assert_eq!(client.ask(options).status, 200);
    let received = backend.received();
    let sent: Vec<&str> = received.iter().map(|received| received.target()).collect();
    assert_eq!(sent, ["/jail/x", "*"]);
}

#[test]
fn every_attempt_gets_the_rewritten_path_and_host() {
    let failing = TestUpstream::answering(response("503 Unavailable", &[], "no"));
    let good = TestUpstream::named("ok");
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.p]\nbackends = [\"{}\", \"{}\"]\nmax-failures = 0\n\
             retry = {{ on = [503], attempts = 3 }}\n\
             [[routes]]\npool = \"p\"\npolicies = []\npath = {{ regex = '^/u/(\\w+)$' }}\n\
             rewrite = \"/users?name={{1}}\"\nhost-rewrite = {{ backend = true }}\n",
            failing.address(),
            good.address()
        ))
        .start();
    for _ in 0..24 {
        assert_eq!(proxy.get("a.test", "/u/joe?x=1").text(), "ok");
    }
    assert!(!failing.received().is_empty());
    for backend in [failing, good] {
        for received in backend.received() {
            assert_eq!(received.target(), "/users?name=joe");
            let own = backend.address().to_string();
            assert_eq!(received.value("host"), Some(own));
            assert_eq!(
                received.value("x-forwarded-host").as_deref(),
                Some("a.test")
            );
            let forwarded = received.value("forwarded").unwrap();
            assert!(forwarded.contains("host=a.test"), "{forwarded}");
        }
    }
}

#[test]
fn a_backend_of_http2_gets_path_and_host_as_the_route_says() {
    let backend = StreamBackend::start(|call| {
        let text = format!(
            "{} {:?}",
            call.request.uri(),
            call.request.headers().get("x-a")
        );
        async move { call.answer(text).await }
    });
    let proxy = TestProxy::builder()
        .tables(&format!(
            "[pools.p]\nprotocol = \"h2c\"\nbackends = [\"{}\"]\n[[routes]]\npool = \"p\"\n\
             policies = []\npath = \"/a\"\nrewrite = \"/b{{rest}}\"\n\
             host-rewrite = \"in.test:81\"\nrequest-headers = {{ set = {{ x-a = \"{{host}}\" }} }}\n",
            backend.address()
        ))
        .start();
    let answer = proxy.get("a.test", "/a/c?d");
    assert_eq!(answer.text(), "http://in.test:81/b/c?d Some(\"a.test\")");
}

#[test]
fn fields_are_removed_set_and_added_before_policies_see_the_request() {
    let backend = TestUpstream::answering(response(
        "200 OK",
        &[("Server", "x"), ("X-Old", "1"), ("X-More", "1")],
        "ok",
    ));
    let keys = "request-headers = { remove = [\"cookie\"], \
                set = { x-probe-request = \"echo\", x-b = [\"1\", \"2\"] }, add = { X-C = \"3\" } }\n\
                response-headers = { remove = [\"server\", \"x-none\"], \
                set = { x-old = \"2\" }, add = { x-more = \"2\" } }";
    let tables = routed(&backend, keys).replace("policies = []", "policies = [\"probe\"]");
    let proxy = TestProxy::builder()
        .file("probe.wasm", guest("probe"))
        .tables(&tables)
        .tables("[policies.probe]\ncomponent = \"probe.wasm\"\ndeadline = \"1s\"")
        .start();
    let request = Request::new("GET", "/")
        .host("a.test")
        .field("Cookie", "a=b")
        .field("X-B", "0")
        .field("x-c", "0");
    let answer = proxy.ask(request.bytes());
    let received = backend.only_request();
    assert!(
        received.value("x-probe-echo").is_some(),
        "the policy saw the field"
    );
    assert_eq!(received.value("cookie"), None);
    assert_eq!(received.head.values("x-b"), ["1", "2"]);
    assert_eq!(received.head.values("x-c"), ["0", "3"]);
    assert_eq!(answer.value("server"), None);
    assert_eq!(answer.value("x-old").as_deref(), Some("2"));
    assert_eq!(answer.head.values("x-more"), ["1", "2"]);
}

#[test]
fn a_group_is_decoded_before_it_is_a_value_of_the_query() {
    let backend = TestUpstream::named("ok");
    let keys = "path = { regex = '^/users/(?<name>[^/]+)$' }\nrewrite = \"/p?of={name}\"";
    let proxy = in_front_of(&backend, keys);
    let mut client = proxy.client();
    for (asked, sent) in [
        ("/users/ann", "/p?of=ann"),
        ("/users/%C3%A9", "/p?of=%C3%A9"),
        ("/users/a%20b%3Fx%23", "/p?of=a%20b%3Fx%23"),
        ("/users/b%26of=admin", "/p?of=b%26of%3Dadmin"),
    ] {
        let before = backend.received().len();
        assert_eq!(client.ask(get("a.test", asked)).text(), "ok", "{asked}");
        assert_eq!(backend.received().remove(before).target(), sent, "{asked}");
    }
}

#[test]
fn what_servers_take_for_a_field_that_is_set_or_removed_goes_too() {
    let backend = TestUpstream::named("ok");
    let keys = "request-headers = { remove = [\"x-admin\"], set = { x-tenant = \"a\" } }";
    let proxy = in_front_of(&backend, keys);
    let lines = "X_Tenant: z\r\nX.Tenant: z\r\nx_admin: 1\r\nx_other: 2\r\n";
    let request = format!("GET / HTTP/1.1\r\nHost: a.test\r\n{lines}\r\n");
    assert_eq!(proxy.client().ask(request).text(), "ok");
    let received = backend.received().remove(0);
    for gone in ["x_tenant", "x.tenant", "x_admin", "x-admin"] {
        assert_eq!(received.value(gone), None, "{gone}");
    }
    assert_eq!(received.value("x-tenant").as_deref(), Some("a"));
    assert_eq!(received.value("x_other").as_deref(), Some("2"));
}

#[test]
fn all_answers_of_a_route_have_its_fields_and_no_interim_one_does() {
    let hsts = "response-headers = { set = { strict-transport-security = \"max-age=1\" } }";
    let early = TestUpstream::answering(
        "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n\
         HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    );
    let (_none, none) = refusing_address();
    let tables = format!(
        "{}[pools.none]\nbackends = [\"{none}\"]\n[[routes]]\npath = \"/none\"\npool = \"none\"\n\
         policies = []\n{hsts}\n[[routes]]\npath = \"/to\"\nredirect = \"/x\"\n{hsts}\n\
         [[routes]]\npath = \"/fixed\"\nrespond = {{ status = 204 }}\n{hsts}\n",
        routed(&early, hsts)
    );
    let proxy = TestProxy::builder().tables(&tables).start();
    let cases = [("/", 200), ("/none", 502), ("/to", 308), ("/fixed", 204)];
    let mut client = proxy.client();
    for (path, status) in cases.into_iter().chain([("/x/..%2fto", 400)]) {
        let answer = client.ask(get("a.test", path));
        let hsts = answer.value("strict-transport-security");
        assert_eq!(
            (answer.status, hsts.as_deref()),
            (status, Some("max-age=1")),
            "{path}"
        );
        for interim in answer.interim {
            assert!(interim.has("link") && !interim.has("strict-transport-security"));
        }
    }
    connected(&proxy, async |client| {
        for (path, status) in cases {
            let answer = client.get("a.test", path).await.unwrap();
            assert_eq!(answer.status.as_u16(), status, "{path}");
            assert_eq!(
                answer.fields["strict-transport-security"], "max-age=1",
                "{path}"
            );
        }
        let put = client
            .ask(request("PUT", "a.test", "/to"), b"body")
            .await
            .unwrap();
        assert_eq!(
            put.fields
                .get_all("strict-transport-security")
                .iter()
                .count(),
            1
        );
    });
}

#[test]
fn a_change_of_protocol_has_the_fields_too() {
    let backend = taking(echo);
    let proxy = in_front_of(
        &backend,
        "path = \"/chat\"\nrewrite = \"/b{rest}\"\n\
         response-headers = { set = { x-a = \"1\" } }",
    );
    let answer = proxy.ask(asking().bytes());
    assert_eq!(
        (answer.status, answer.value("x-a").as_deref()),
        (101, Some("1"))
    );
    assert_eq!(backend.received()[0].target(), "/b");
}

#[test]
fn a_reload_changes_what_is_changed() {
    let backend = TestUpstream::named("ok");
    let keys = "path = \"/a\"\nrewrite = \"/one{rest}\"\n\
                response-headers = { set = { x-a = \"1\" } }";
    let proxy = editable(TestProxy::builder().tables(&routed(&backend, keys)));
    let ask = || {
        let answer = proxy.get("a.test", "/a/b");
        let target = backend.received().last().unwrap().target().to_owned();
        (target, answer.value("x-a"))
    };
    assert_eq!(ask(), ("/one/b".to_owned(), Some("1".to_owned())));
    let shown = proxy.admin(Request::new("GET", "/config")).text();
    assert!(
        shown.contains("rewrite /one{rest}, response-headers"),
        "{shown}"
    );
    edit(&proxy, |text| {
        text.replace("/one", "/two").replace("x-a = ", "x-b = ")
    });
    reload(&proxy);
    assert_eq!(ask(), ("/two/b".to_owned(), None));
}
