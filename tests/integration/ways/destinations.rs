//! A policy decides about destinations of the forward proxy.

use std::net::SocketAddr;

use super::finding;
use crate::fixtures::{
    Builder, Request, TestProxy, TestUpstream, eventually, guest, refusing_address,
};
use crate::forward_proxy::users::{SECRET, basic};
use crate::forward_proxy::{
    THIS_MACHINE, assert_open, client, connect_with, refused, tunnel, with_forward,
};

/// A forward proxy whose policy has these rules: `HOST:PORT ACTION`.
fn deciding(rules: &[String], lines: &str) -> Builder {
    let settings = format!("settings = {{ rules = {rules:?} }}");
    let lines = format!("{THIS_MACHINE}\npolicies = [\"finder\"]\n{lines}");
    with_forward(finding(&settings), &lines)
}

/// A GET of the forward proxy for this address.
fn get(proxy: &TestProxy, to: &str) -> (u16, String) {
    let request = Request::new("GET", &format!("http://{to}/path?q")).host(to);
    let answer = client(proxy).ask(request.bytes());
    (answer.status, answer.text())
}

fn rule(of: SocketAddr, action: &str) -> String {
    format!("{of} {action}")
}

#[test]
fn a_policy_refuses_destinations_of_tunnels_and_of_requests() {
    let [open, closed] = ["open", "closed"].map(TestUpstream::named);
    let proxy = deciding(&[rule(closed.address(), "refuse=451")], "").start();
    let to_closed = closed.address().to_string();
    assert_eq!(refused(&proxy, &to_closed), (451, "refused".to_owned()));
    assert_eq!(get(&proxy, &to_closed), (451, "refused".to_owned()));
    assert_eq!(
        get(&proxy, &open.address().to_string()),
        (200, "open".to_owned())
    );
    let mut client = tunnel(&proxy, open.address());
    let through = client.ask(Request::new("GET", "/").host("a").bytes());
    assert_eq!(through.text(), "open");
    assert_eq!(closed.connections(), 0);
    assert_eq!(proxy.stat("/policies/finder/calls_by_hook/destination"), 4);
    proxy.wait_for_stat("/forward/refused/policy", 2);
}

#[test]
fn a_policy_sees_who_asks_for_what() {
    let backend = TestUpstream::named("backend");
    let at = backend.address();
    let pool = format!("[pools.inner]\nbackends = [\"{at}\"]\n");
    let rules = [rule(at, "tell"), "b.test:8443 tell".to_owned()];
    let proxy = deciding(&rules, "pools = [\"inner\"]")
        .tables(&pool)
        .start();
    let told = |method: &str, to: &str| {
        format!(
            "{method} {to} user=none client=127.0.0.1 protocol=1.1 tls=false pool=4294967295 \
             pools=inner"
        )
    };
    assert_eq!(
        get(&proxy, &at.to_string()),
        (403, told("GET", &at.to_string()))
    );
    let (status, text) = refused(&proxy, "B.test.:8443");
    assert_eq!((status, text), (403, told("CONNECT", "b.test:8443")));
}

#[test]
fn a_pool_takes_the_place_of_a_destination() {
    let inner = TestUpstream::echo();
    let (_socket, dead) = refusing_address();
    // The first has nobody behind it, so that the second is tried.
    let pool = format!(
        "[pools.inner]\nbackends = [\"{dead}\", \"{}\"]\n",
        inner.address()
    );
    let rules = [
        "outside.test:80 pool=inner".to_owned(),
        "outside.test:443 pool=inner".to_owned(),
        "10.0.0.1:80 index=0".to_owned(),
        "outside.test:81 index=1".to_owned(),
    ];
    let proxy = deciding(&rules, "pools = [\"inner\"]")
        .tables(&pool)
        .start();
    assert_eq!(get(&proxy, "outside.test").0, 200);
    let got = inner.only_request();
    assert_eq!(
        (got.target(), got.value("host").as_deref()),
        ("/path?q", Some("outside.test"))
    );
    // The rules of the proxy are not asked: it is the operator's pool.
    assert_eq!(get(&proxy, "10.0.0.1").0, 200);
    for _ in 0..4 {
        let mut client = client(&proxy);
        client.send(connect_with("outside.test:443", ""));
        assert_open(&mut client);
        let through = client.ask(Request::new("GET", "/through").host("a").bytes());
        assert_eq!(through.status, 200);
    }
    // An index of no pool is a fault, and the rules decide.
    let (status, _) = get(&proxy, "outside.test:81");
    assert_ne!(status, 200);
    assert_eq!(proxy.stat("/policies/finder/invalid"), 1);
}

#[test]
fn a_tunnel_by_a_pool_has_a_connection_of_its_own_and_its_place() {
    let [inner, second] = [(); 2].map(|()| TestUpstream::echo());
    let rules = [
        "a.test:80 pool=one",
        "a.test:443 pool=one",
        "b.test:443 pool=two",
    ];
    let rules = rules.map(str::to_owned);
    let at = inner.address();
    let proxy = deciding(&rules, "pools = [\"one\", \"two\"]")
        .tables(&format!(
            "[pools.one]\nbackends = [\"{at}\"]\nmax-connections = 1\nqueue-timeout = \"50ms\"\n\
             [pools.two]\nbackends = [\"{}\"]\nmax-pool-requests = 1\nqueue = 0\n",
            second.address()
        ))
        .start();
    // Leaves a connection in the pool, which has carried a request.
    assert_eq!(get(&proxy, "a.test").0, 200);
    let mut through = client(&proxy);
    through.send(connect_with("a.test:443", ""));
    assert_open(&mut through);
    let answer = through.ask(Request::new("GET", "/in-it").host("a").bytes());
    assert_eq!(answer.status, 200);
    let got = inner.received();
    let [used, own] = &got[..] else {
        panic!("{got:?}");
    };
    assert_eq!((used.target(), own.target()), ("/path?q", "/in-it"));
    assert_ne!(used.connection, own.connection);
    // The pool's only place is taken, for requests and for tunnels.
    let mut other = client(&proxy);
    let full = other.ask(connect_with("a.test:443", ""));
    assert_eq!(
        (full.status, full.value("retry-after").is_some()),
        (503, true)
    );
    // A tunnel that is open counts as no request any more.
    for _ in 0..2 {
        let mut through = client(&proxy);
        through.send(connect_with("b.test:443", ""));
        assert_open(&mut through);
    }
}

#[test]
fn an_address_has_one_spelling_for_policies() {
    let closed = TestUpstream::named("closed");
    let proxy = deciding(&[rule(closed.address(), "refuse=451")], "").start();
    let port = closed.address().port();
    for host in ["127.0.0.1", "[::ffff:127.0.0.1]", "[0:0:0:0:0:FFFF:7f00:1]"] {
        let to = format!("{host}:{port}");
        assert_eq!(refused(&proxy, &to).0, 451, "{to}");
        assert_eq!(get(&proxy, &to).0, 451, "{to}");
    }
    assert_eq!(closed.connections(), 0);
}

/// What a second policy refuses, behind one of this component that is not meant to.
fn behind(first: &str, component: &str, at: SocketAddr) -> TestProxy {
    let settings = format!("on-failure = 503\nsettings = {{ rules = [\"{at} refuse=451\"] }}");
    let lines = format!("{THIS_MACHINE}\npolicies = [\"first\", \"finder\"]");
    let builder = with_forward(finding(&settings), &lines)
        .file("first.wasm", guest(component))
        .tables(&format!(
            "[policies.first]\ncomponent = \"first.wasm\"\n{first}\n"
        ));
    builder.start()
}

#[test]
fn a_policy_that_fails_opens_no_way_past_the_next() {
    let closed = TestUpstream::named("closed");
    let at = closed.address();
    let failing = format!("settings = {{ rules = [\"{at} trap\"] }}");
    let proxy = behind(&failing, "pathfinder", at);
    assert_eq!(refused(&proxy, &at.to_string()).0, 451);
    assert_eq!(proxy.stat("/policies/first/traps"), 1);
}

#[test]
fn a_component_without_the_hook_opens_no_way() {
    let closed = TestUpstream::named("closed");
    let at = closed.address();
    let proxy = behind("", "hearer", at);
    assert_eq!(refused(&proxy, &at.to_string()).0, 503);
    proxy.logged(&["503", "first"]);
}

#[test]
fn a_policy_allows_nothing_that_the_rules_refuse() {
    let proxy = deciding(&["10.0.0.1:80 none".to_owned()], "").start();
    let (status, text) = refused(&proxy, "10.0.0.1:80");
    assert_eq!(status, 403, "{text}");
}

#[test]
fn no_answer_of_a_policy_is_taken_for_a_tunnel() {
    let proxy = deciding(&["a.test:443 refuse=200".to_owned()], "").start();
    assert_eq!(refused(&proxy, "a.test:443").0, 403);
    proxy.wait_for_stat("/forward/refused/policy", 1);
}

#[test]
fn a_policy_that_fails_guards_if_it_is_to() {
    let backend = TestUpstream::named("backend");
    let at = backend.address();
    for (on_failure, status) in [("\"random\"", 200), ("503", 503)] {
        let settings = format!(
            "on-failure = {on_failure}\nsettings = {{ rules = [\"{}\"] }}",
            rule(at, "trap")
        );
        let lines = format!("{THIS_MACHINE}\npolicies = [\"finder\"]");
        let proxy = with_forward(finding(&settings), &lines).start();
        assert_eq!(get(&proxy, &at.to_string()).0, status, "{on_failure}");
        assert_eq!(proxy.stat("/policies/finder/traps"), 1);
    }
}

#[test]
fn a_policy_sees_who_has_signed_in() {
    let proxy = deciding(
        &["a.test:443 tell".to_owned()],
        "authentication = { file = \"users\" }",
    )
    .file("users", format!("ann:{SECRET}\n"))
    .start();
    let mut client = client(&proxy);
    let answer = client.ask(connect_with("a.test:443", &basic("ann", "secret")));
    assert_eq!(answer.status, 403);
    assert!(answer.text().contains("user=ann"), "{}", answer.text());
    // Who has not signed in is no policy's business.
    assert_eq!(refused(&proxy, "a.test:443").0, 407);
    assert_eq!(proxy.stat("/policies/finder/calls_by_hook/destination"), 1);
}

#[test]
fn a_reload_changes_what_policies_may_say() {
    let backend = TestUpstream::echo();
    let proxy = finding("")
        .tables(&format!(
            "[pools.a]\nbackends = [\"{0}\"]\n[pools.b]\nbackends = [\"{0}\"]\n\
             [[routes]]\npool = \"a\"\npolicies = [\"finder\"]\n",
            backend.address()
        ))
        .start();
    let told = || {
        let fields = [("X-Tell", "1"), ("X-Path", "/x"), ("X-Route", "pool=b")];
        proxy.ask(super::request(&fields).bytes()).text()
    };
    assert_eq!(told(), "pool=a of=a pools=a path=/asked edited=");
    let file = proxy.scratch.path().join("waypost.toml");
    let text = std::fs::read_to_string(file).unwrap();
    let next = text.replace(
        "pool = \"a\"\n",
        "pools = [{ pool = \"a\" }, { pool = \"b\" }]\npolicies-may-edit = \"path\"\n",
    );
    assert_ne!(text, next);
    proxy.scratch.write("waypost.toml", next);
    proxy.signal("HUP");
    let expected = "pool=b of=b pools=a,b path=/asked edited=a.test /asked for=this|ok";
    eventually("the reload", || (told() == expected).then_some(()));
    let config = proxy.admin(Request::new("GET", "/config")).text();
    assert!(config.contains("\"policies_may_edit\""), "{config}");
}

#[test]
fn a_shadow_is_compared_by_what_it_says_of_destinations() {
    let [open, closed] = ["open", "closed"].map(TestUpstream::named);
    let proxy = deciding(&[rule(closed.address(), "refuse=451")], "").start();
    // It has no such hook, and so refuses nothing.
    let put = Request::new("PUT", "/policies/finder?mode=shadow").body(guest("probe"));
    assert_eq!(proxy.admin(put).status, 200);
    assert_eq!(get(&proxy, &closed.address().to_string()).0, 451);
    assert_eq!(get(&proxy, &open.address().to_string()).0, 200);
    eventually("both are compared", || {
        let hook = &proxy.policy("finder")["trial"]["hooks"]["destination"];
        let (compared, agreed) = (hook["compared"].as_u64()?, hook["agreed"].as_u64()?);
        ((compared, agreed) == (2, 1)).then_some(())
    });
    assert_eq!(closed.connections(), 0);
}

#[test]
fn a_candidate_decides_about_the_destinations_of_its_share() {
    let backend = TestUpstream::named("backend");
    let to = backend.address().to_string();
    let proxy = deciding(&[rule(backend.address(), "refuse=451")], "").start();
    let put = |mode: &str, component: &str| {
        let put = Request::new("PUT", &format!("/policies/finder?mode={mode}"));
        assert_eq!(proxy.admin(put.body(guest(component))).status, 200);
    };
    let eventually_says = |status: u16| {
        eventually("the other one decides", || {
            (get(&proxy, &to).0 == status).then_some(())
        });
    };
    assert_eq!(get(&proxy, &to).0, 451);
    // Without the hook it opens no way.
    put("canary&percent=100", "probe");
    eventually_says(503);
    put("canary&percent=100", "pathfinder");
    eventually_says(451);
    assert_eq!(backend.connections(), 0);
}
