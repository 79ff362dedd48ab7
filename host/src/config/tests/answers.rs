//! `redirect` and `respond`: how they are written, and mistakes in them.

use super::*;

fn route(rest: &str) -> String {
    format!("[[routes]]\n{rest}")
}

#[test]
fn a_route_that_answers_needs_no_pool_and_asks_no_policies() {
    let config = load(&route("redirect = \"https://a.test{path}\""));
    let [route] = &config.routes[..] else {
        panic!()
    };
    assert_eq!(
        (&*route.traffic.targets, &*route.policies),
        (&[][..], &[][..])
    );
    assert!(config.policies.is_empty() && config.pools.is_empty());
    let Some(RouteAnswer::Redirect(redirect)) = &route.answer else {
        panic!()
    };
    assert_eq!((redirect.status, redirect.keeps_query), (308, true));
}

#[test]
fn wrong_answers_are_errors() {
    for (line, key, words) in [
        ("redirect = \"a\"", "redirect", "begin it with"),
        ("redirect = {}", "redirect", "has no `to`"),
        (
            "redirect = { to = \"/a\", status = 200 }",
            "redirect.status",
            "is not a redirect",
        ),
        (
            "redirect = { to = \"/a\", query = 1 }",
            "redirect.query",
            "unknown key",
        ),
        ("respond = \"a\"", "respond", "a table"),
        (
            "respond = 403",
            "respond",
            "write for example { status = 403 }",
        ),
        ("respond = { status = 101 }", "respond.status", "200 to 599"),
        (
            "respond = { status = 204, body = \"a\" }",
            "respond",
            "can't have",
        ),
        (
            "respond = { body = \"a\", file = \"b\" }",
            "respond.file",
            "can't be read",
        ),
        (
            "respond = { status = 302 }",
            "respond",
            "without `location`",
        ),
        (
            "respond = { headers = { Date = \"now\" } }",
            "respond.headers.Date",
            "the time",
        ),
        (
            "respond = { headers = { content-type = [\"a/b\", \"a/c\"] } }",
            "respond.headers",
            "more than one",
        ),
        (
            "respond = { file = \"/dev/zero\" }",
            "respond.file",
            "not a regular file",
        ),
        (
            "respond = { headers = { content-length = 1 } }",
            "respond.headers.content-length",
            "can't",
        ),
        (
            "respond = { headers = { a = \"b\\r\\nc: d\" } }",
            "respond.headers.a",
            "control",
        ),
        (
            "respond = { headers = { \"a b\" = 1 } }",
            "respond.headers.\"a b\"",
            "not the name",
        ),
        (
            "redirect = \"/a\"\nrespond = {}",
            "redirect",
            "one answer too many",
        ),
        (
            "redirect = \"/a\"\npool = \"b\"",
            "redirect",
            "one answer too many",
        ),
        (
            "redirect = \"/a\"\npolicies = []",
            "redirect",
            "remove `policies`",
        ),
        (
            "path = { exact = \"/a\" }\nredirect = \"/b{rest}\"",
            "redirect",
            "has {rest}",
        ),
    ] {
        let found = errors(&route(line));
        let first = found.first().unwrap_or_else(|| panic!("{line}"));
        assert!(
            first.to_string().contains(&format!("`routes.{key}`")),
            "{line}: {first}"
        );
        assert!(first.message.contains(words), "{line}: {first}");
    }
}
