//! A policy edits what backends are asked for.

use super::{finding, request};
use crate::fixtures::{Response, TestProxy, TestUpstream};

const ALL: &str = "policies-may-edit = [\"path\", \"query\", \"host\"]\n";

fn editing(backend: &TestUpstream, lines: &str) -> TestProxy {
    finding("")
        .tables(&format!(
            "[pools.x]\nbackends = [\"{}\"]\n\
             [[routes]]\npath = \"/asked\"\npool = \"x\"\npolicies = [\"finder\"]\n{lines}\n\
             [[routes]]\npath = \"/secret\"\nrespond = {{ status = 403 }}\n",
            backend.address()
        ))
        .start()
}

/// What the policy tells of its edits.
fn told(proxy: &TestProxy, fields: &[(&str, &str)]) -> String {
    let mut all = vec![("X-Tell", "1")];
    all.extend(fields);
    let text = proxy.ask(request(&all).bytes()).text();
    let (_, edited) = text.split_once("edited=").unwrap_or(("", &text));
    edited.to_owned()
}

#[test]
fn the_backend_is_asked_for_what_the_policy_says() {
    let backend = TestUpstream::echo();
    let proxy = editing(&backend, ALL);
    let sent = |fields: &[(&str, &str)]| {
        let before = backend.received().len();
        let answer = proxy.ask(request(fields).bytes());
        assert_eq!(answer.status, 200);
        let all = backend.received();
        let got = &all[before];
        format!("{} {}", got.value("host").unwrap(), got.target())
    };
    assert_eq!(sent(&[]), "a.test /asked?for=this");
    assert_eq!(sent(&[("X-Path", "/v2/x")]), "a.test /v2/x?for=this");
    assert_eq!(sent(&[("X-Query", "a=%20b")]), "a.test /asked?a=%20b");
    assert_eq!(sent(&[("X-Query", "none")]), "a.test /asked");
    assert_eq!(
        sent(&[("X-Authority", "b.test:81")]),
        "b.test:81 /asked?for=this"
    );
    let all = [
        ("X-Path", "/one"),
        ("X-Path", "/two"),
        ("X-Query", "q"),
        ("X-Authority", "c"),
    ];
    assert_eq!(sent(&all), "c /two?q");
    // The route stays the one that the client has asked for.
    assert_eq!(sent(&[("X-Path", "/secret")]), "a.test /secret?for=this");
    assert_eq!(
        proxy.stat("/policies/finder/calls_by_hook/request-target"),
        7
    );
}

#[test]
fn only_what_the_route_allows_is_edited() {
    let backend = TestUpstream::echo();
    let edits = [("X-Path", "/x"), ("X-Query", "q"), ("X-Authority", "b")];
    let before = "a.test /asked for=this";
    let proxy = editing(&backend, "policies-may-edit = \"query\"");
    assert_eq!(
        told(&proxy, &edits),
        format!("{before}|not-allowed|ok|not-allowed")
    );
    let proxy = editing(&backend, "policies-may-edit = [\"path\", \"host\"]");
    assert_eq!(told(&proxy, &edits), format!("{before}|ok|not-allowed|ok"));
    // Where nothing is allowed, the hook is not called.
    let proxy = editing(&backend, "");
    assert_eq!(told(&proxy, &edits), "");
    assert_eq!(
        proxy.ask(request(&[("X-Target", "trap")]).bytes()).status,
        200
    );
}

#[test]
fn what_could_be_read_in_two_ways_is_refused_and_nothing_changes() {
    let backend = TestUpstream::echo();
    let proxy = editing(&backend, ALL);
    let before = "a.test /asked for=this";
    for path in [
        "x", "//x", "/a/../b", "/a%2fb", "/a;b", "/a?b", "/%61", "/a b", "*",
    ] {
        let edited = told(&proxy, &[("X-Path", path)]);
        assert_eq!(edited, format!("{before}|invalid"), "{path}");
    }
    for (field, value) in [
        ("X-Query", "a b"),
        ("X-Query", "a#b"),
        ("X-Authority", "a/b"),
        ("X-Authority", "a@b"),
    ] {
        let edited = told(&proxy, &[(field, value)]);
        assert_eq!(edited, format!("{before}|invalid"), "{value}");
    }
    assert_eq!(
        proxy.ask(request(&[("X-Path", "/a/../b")]).bytes()).status,
        200
    );
    assert_eq!(backend.only_request().target(), "/asked?for=this");
    let many = told(&proxy, &[("X-Many", "65")]);
    let (fine, too_many) = (
        many.matches("|ok").count(),
        many.matches("|too-many").count(),
    );
    assert_eq!((fine, too_many), (64, 1));
    let fits = format!("/{}", "x".repeat(7_800));
    let thrice = [("X-Path", &*fits); 3];
    assert_eq!(told(&proxy, &thrice), format!("{before}|ok|ok|ok"));
    // Longer than what every server takes.
    let long = format!("/{}", "x".repeat(7_900));
    assert_eq!(
        told(&proxy, &[("X-Path", &long)]),
        format!("{before}|invalid")
    );
}

#[test]
fn a_failed_call_changes_nothing_and_an_answer_ends_the_request() {
    let backend = TestUpstream::echo();
    let proxy = editing(&backend, ALL);
    let failing = [("X-Path", "/x"), ("X-Authority", "b"), ("X-Target", "trap")];
    assert_eq!(proxy.ask(request(&failing).bytes()).status, 200);
    let got = backend.only_request();
    assert_eq!(got.target(), "/asked?for=this");
    assert_eq!(got.value("host").as_deref(), Some("a.test"));
    let refused = proxy.ask(request(&[("X-Target", "refuse=409")]).bytes());
    assert_eq!((refused.status, backend.received().len()), (409, 1));
}

#[test]
fn a_policy_comes_after_the_changes_of_the_route() {
    let backend = TestUpstream::echo();
    let rewriting = "strip-prefix = true\nhost-rewrite = \"inner\"\n";
    let proxy = editing(&backend, &format!("{rewriting}{ALL}"));
    let before = "inner / for=this";
    assert_eq!(told(&proxy, &[]), before);
    assert_eq!(told(&proxy, &[("X-Path", "/x")]), format!("{before}|ok"));
    let ask = |fields: &[(&str, &str)]| -> Response { proxy.ask(request(fields).bytes()) };
    assert_eq!(ask(&[("X-Query", "none")]).status, 200);
    let got = backend.only_request();
    assert_eq!(
        (got.target(), got.value("host").as_deref()),
        ("/", Some("inner"))
    );
}

#[test]
fn the_log_has_what_the_client_has_asked_for() {
    let backend = TestUpstream::echo();
    let proxy = finding("")
        .access_log("requests = \"all\"")
        .tables(&format!(
            "[pools.x]\nbackends = [\"{}\"]\n\
             [[routes]]\npool = \"x\"\npolicies = [\"finder\"]\n{ALL}",
            backend.address()
        ))
        .start();
    let edits = [("X-Path", "/x"), ("X-Query", "none"), ("X-Authority", "b")];
    assert_eq!(proxy.ask(request(&edits).bytes()).status, 200);
    proxy.logged(&["/asked", "a.test"]);
    assert_eq!(backend.only_request().target(), "/x");
}
