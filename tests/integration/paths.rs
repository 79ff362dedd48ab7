//! Paths in disguise: what routes, policies and backends take a path for.

use crate::fixtures::{Request, TestProxy, TestUpstream, get};

/// A backend for `/admin`, one for `/public`, and one for all other paths; each answers by its own
/// name.
struct Guarded {
    proxy: TestProxy,
    backends: Vec<TestUpstream>,
}

fn guarded(paths: &str) -> Guarded {
    let backends: Vec<TestUpstream> = ["admin", "public", "rest"]
        .iter()
        .map(|n| TestUpstream::named(n))
        .collect();
    let mut tables = String::new();
    for (backend, (name, path)) in
        backends
            .iter()
            .zip([("admin", "/%61dmin"), ("public", "/public/"), ("rest", "/")])
    {
        let address = backend.address();
        tables.push_str(&format!(
            "[pools.{name}]\nbackends = [\"{address}\"]\n[[routes]]\nhost = \"a.test\"\npath = \"{path}\"\npool = \"{name}\"\n"
        ));
    }
    let proxy = TestProxy::builder()
        .tables(&format!("{tables}[paths]\n{paths}"))
        .start();
    Guarded { proxy, backends }
}

impl Guarded {
    /// The target of the last request that this backend got.
    fn target(&self, backend: usize) -> String {
        self.backends[backend]
            .received()
            .last()
            .unwrap()
            .target()
            .to_owned()
    }
}

/// Spellings of `/admin/x` that every server takes for it.
const SPELLINGS: [&str; 13] = [
    "/admin/x",
    "/%61dmin/x",
    "/%61%64%6D%69%6e/x",
    "//admin/x",
    "///admin//x",
    "/x//../admin/x",
    "/x/%2e%2E/admin/x",
    "/x/.%2E/admin/x",
    "/x/%2E./admin/x",
    "/./admin/x",
    "/%2E/admin/./x",
    "/../admin/x",
    "/admin/y/../x",
];

/// Paths that some servers take for `/admin` or for something in it, and others don't.
const AMBIGUOUS: [&str; 19] = [
    "/%2e%2f%2fg/admin",
    "/x/..%2fadmin",
    "/x%2F..%2Fadmin",
    "/public/..%2Fadmin",
    "/x/..\\admin",
    "/x/..%5cadmin",
    "/x\\..\\admin",
    "/x/..;/admin",
    "/x/%2e%2e;a=b/admin",
    "/x;/../admin%00",
    "/admin%00.png",
    "/%2561dmin",
    "/x/%252e%252e/admin",
    "/x/..%c0%afadmin",
    "/%2fadmin",
    "/admin%2f..%2f..//../x",
    "/\\\\g/admin",
    "/\\g/admin",
    "/%5C/g/admin",
];

/// Paths that have another route for servers that resolve dots before they merge slashes, that take
/// what follows two slashes for an authority, or that look for a rule before they resolve anything.
const UNUSUAL: [&str; 19] = [
    // An authority that stands behind dot segments, or behind another one.
    "/.//g/admin",
    "/%2e//g/admin",
    "/x/..//g/admin",
    "/.;//g/admin",
    "//g//h/admin",
    "/admin//../x",
    "/admin//./../x",
    "/admin/a//../../x",
    "/%61dmin//%2e%2E/x",
    "//g/admin",
    "///g/admin/x",
    "//user@g:80/%61dmin",
    "/admin/../x",
    "/admin/%2e%2e/x",
    "//admin/../x",
    "/admin/../public/x",
    "/public/../admin/x",
    "//g/admin//../x",
    "//g/admin/../x",
];

#[test]
fn a_guard_is_not_passed_by_another_spelling() {
    let g = guarded("");
    let mut client = g.proxy.client();
    for path in SPELLINGS {
        assert_eq!(client.ask(get("a.test", path)).text(), "admin", "{path}");
        // What some servers read as a path of the route above is sent in normal form.
        let is_one = ["/x/", "//", "/../"]
            .iter()
            .any(|way| path.starts_with(way));
        let sent = if is_one { "/admin/x" } else { path };
        assert_eq!(g.target(0), sent, "{path}");
        let absolute = format!("http://a.test{path}?a=//b/../%61");
        assert_eq!(
            client.ask(get("a.test", &absolute)).text(),
            "admin",
            "{absolute}"
        );
        assert_eq!(
            g.target(0),
            format!("{sent}?a=//b/../%61"),
            "the query is nobody's business"
        );
    }
    for (path, backend) in [
        ("/administration", "rest"),
        ("/Admin", "rest"),
        ("/x/admin", "rest"),
        ("/admin;v=1", "admin"),
    ] {
        assert_eq!(client.ask(get("a.test", path)).text(), backend, "{path}");
    }
    let star = client.ask(Request::new("OPTIONS", "*").host("a.test").bytes());
    assert_eq!(star.text(), "rest");
}

#[test]
fn a_path_that_could_be_two_is_refused_where_they_have_different_routes() {
    let g = guarded("");
    for path in AMBIGUOUS.iter().chain(&UNUSUAL) {
        g.proxy.get("a.test", path).assert_refusal(400);
    }
    assert!(
        g.backends
            .iter()
            .all(|backend| backend.received().is_empty())
    );
    // The same constructs where every reading has the same route.
    for (path, backend) in [
        ("/projects/a%2Fb/c", "rest"),
        ("/x;v=1/y", "rest"),
        ("/admin/a%2fb", "admin"),
        ("/public/caf%C3%A9%5c", "public"),
        ("/100%2525", "rest"),
        ("//x//y", "rest"),
        ("/x/../y", "rest"),
        ("/x//../y", "rest"),
        ("//public/x", "public"),
        ("//g/publication", "rest"),
    ] {
        assert_eq!(g.proxy.get("a.test", path).text(), backend, "{path}");
    }
}

#[test]
fn strict_paths_refuse_what_servers_read_differently() {
    let g = guarded("strict = true");
    let strict = [
        "/projects/a%2Fb",
        "/a%5Cb",
        "/a\\b",
        "/a%0ab",
        "/a%7f",
        "/a%zz",
        "/a%",
        "/x/.;a/y",
        "/%E0%80%AFx",
        "/../x",
    ];
    for path in AMBIGUOUS.iter().chain(&UNUSUAL).chain(&strict) {
        let answer = g.proxy.get("a.test", path);
        answer.assert_refusal(400);
    }
    assert!(
        g.backends
            .iter()
            .all(|backend| backend.received().is_empty())
    );
    for (path, backend) in [
        ("//%61dmin/x", "admin"),
        ("/a/../caf%C3%A9;v=1", "rest"),
        ("/a%20b?%2f%00\\", "rest"),
    ] {
        assert_eq!(g.proxy.get("a.test", path).text(), backend, "{path}");
    }
}

#[test]
fn a_backend_gets_the_normal_form_where_that_is_asked_for() {
    let g = guarded("forward = \"normalised\"");
    for path in SPELLINGS {
        assert_eq!(
            g.proxy.get("a.test", &format!("{path}?q=//%61")).text(),
            "admin",
            "{path}"
        );
        assert_eq!(g.target(0), "/admin/x?q=//%61", "{path}");
    }
    g.proxy.get("a.test", "/a%2fb%c3%a9%7E");
    assert_eq!(g.target(2), "/a%2Fb%C3%A9~");
    // A backend sees neither dots nor doubled slashes.
    for path in UNUSUAL {
        assert_eq!(g.proxy.get("a.test", path).status, 200, "{path}");
        let normal = g
            .backends
            .iter()
            .filter_map(|b| b.received().last().map(|r| r.target().to_owned()));
        let mut paths =
            normal.map(|target| target.split('?').next().unwrap_or_default().to_owned());
        assert!(
            paths.all(|path| !path.contains("//") && !path.contains("..")),
            "{path}"
        );
    }
    for path in ["/x/..%2fadmin", "/\\\\g/admin", "/%5C/g/admin"] {
        g.proxy.get("a.test", path).assert_refusal(400);
    }
    g.proxy.logged(&["/x/..%2fadmin", "400"]);
}

#[test]
fn a_host_has_255_bytes_at_most() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::builder()
        .host("*.test", &[upstream.address()])
        .start();
    let longest = format!("{}test", "a.".repeat(125));
    assert_eq!(longest.len(), 254);
    assert_eq!(proxy.get(&longest, "/").text(), "a");
    assert_eq!(proxy.get(&format!("{longest}.:65535"), "/").text(), "a");
    for host in [
        "a.".repeat(126) + "test",
        "a.".repeat(15_000),
        "a".repeat(256),
    ] {
        proxy.get(&host, "/").assert_refusal(400);
        proxy
            .get(
                "a.test",
                &format!("http://{}/", &host[..host.len().min(8_000)]),
            )
            .assert_refusal(400);
    }
}

#[test]
fn thousands_of_names_in_connection_are_dropped_with_their_fields() {
    let upstream = TestUpstream::named("a");
    let proxy = TestProxy::in_front_of(&upstream);
    let many: Vec<String> = (0..4_000).map(|n| format!("x{n}")).collect();
    let mut request = Request::new("GET", "/")
        .host("a.test")
        .field("Connection", &many.join(","));
    for n in (3_950..4_000).chain([7_000]) {
        request = request.field(&format!("X{n}"), "1");
    }
    assert_eq!(proxy.ask(request.bytes()).text(), "a");
    let received = upstream.only_request();
    let kept: Vec<&str> = received
        .head
        .fields
        .iter()
        .map(|(n, _)| n.as_str())
        .filter(|n| n.starts_with("x7") || n.starts_with("x3"))
        .collect();
    assert_eq!(kept, ["x7000"]);
}
