//! Exact paths, expressions and conditions.

use std::path::Path;

use super::*;
use crate::config::Config;

/// A table of routes for any host, each of these lines.
fn written(routes: &[&str]) -> RouteTable {
    let mut text = "[pools]\np = { backends = \"b\" }\n".to_owned();
    for route in routes {
        text.push_str(&format!(
            "[[routes]]\npool = \"p\"\npolicies = []\n{route}\n"
        ));
    }
    let config = Config::from_toml(&text, Path::new("")).unwrap_or_else(|e| panic!("{e}"));
    RouteTable::new(&config.routes, &pools(1), &[], Vec::new())
}

/// The number of the route that is found for a request of this method with these fields.
fn number(table: &RouteTable, method: &str, target: &str, fields: &[(&str, &str)]) -> Option<u32> {
    let mut head = asked("a.example", target);
    head.method = method.parse().unwrap();
    for (name, value) in fields {
        head.fields.append(name.as_bytes(), value.as_bytes());
    }
    rule(table.find(&head)?).map(|rule| rule.number)
}

#[test]
fn exact_paths_then_expressions_in_order_then_the_longest_prefix() {
    let table = written(&[
        "path = \"/\"",
        "path = \"/a/b\"",
        "path = { regex = '\\.png$' }",
        "path = { regex = '^/a/@' }",
        "path = { exact = \"/a\" }",
        "path = { exact = \"/a/b.png\" }",
        "path = { regex = '^/a/b/.*\\.png$' }",
        "path = { exact = \"/d/\" }",
        "path = { exact = \"/@me\" }",
    ]);
    for (target, route) in [
        ("/a", 4),
        ("/%61", 4),
        ("/x/../a", 4),
        ("//a", 4),
        ("/a?b=/a/b.png", 4),
        ("/a/", 0),
        ("/A", 0),
        ("/a/b.png", 5),
        ("/a/b/c.png", 2),
        ("/a/b/c.jpg", 1),
        ("/c.PNG", 0),
        ("/c.png?", 2),
        ("/c?d=.png", 0),
        ("/c%2Epng", 2),
        ("/a/@x", 3),
        ("/a/%40x", 3),
        ("/d/", 7),
        ("/d//", 7),
        ("/d", 0),
        ("/d/e", 0),
        ("/%40me", 8),
        ("/@me", 8),
    ] {
        assert_eq!(number(&table, "GET", target, &[]), Some(route), "{target}");
    }
}

#[test]
fn of_one_path_the_routes_with_more_conditions_are_asked_first() {
    let table = written(&[
        "path = \"/a\"",
        "path = \"/a\"\nmethods = \"POST\"",
        "path = \"/a\"\nmethods = \"POST\"\nheaders = { x-beta = 1 }",
        "path = \"/a\"\nheaders = { x-beta = 1 }",
        "path = \"/a/b\"\nmethods = [\"GET\", \"HEAD\"]",
    ]);
    let beta: &[(&str, &str)] = &[("x-beta", "1")];
    for (method, target, fields, route) in [
        ("GET", "/a", &[][..], Some(0)),
        ("post", "/a", &[], Some(0)),
        ("POST", "/a", &[], Some(1)),
        ("POST", "/a", beta, Some(2)),
        ("GET", "/a", beta, Some(3)),
        ("GET", "/a/b", beta, Some(4)),
        ("POST", "/a/b", beta, Some(2)),
        ("GET", "/", beta, None),
    ] {
        assert_eq!(
            number(&table, method, target, fields),
            route,
            "{method} {target}"
        );
    }
}

#[test]
fn conditions_of_fields_hold_if_one_value_is_so() {
    let table = written(&[
        "headers = { x-exact = \"a\" }",
        "headers = { X-Prefix = { prefix = \"2.\" } }",
        "headers = { cookie = { regex = '(^|; )canary=on(;|$)' } }",
        "headers = { x-there = { present = true } }",
        "methods = \"PUT\"\nheaders = { x-away = { present = false } }",
    ]);
    for (fields, route) in [
        (&[("x-exact", "a")][..], Some(0)),
        (&[("x-exact", "b"), ("x-exact", "a")], Some(0)),
        (&[("x-exact", "a, b")], None),
        (&[("x-exact", "A")], None),
        (&[("x-exact", "")], None),
        (&[("x-prefix", "2.17")], Some(1)),
        (&[("x-prefix", "2")], None),
        (&[("cookie", "a=b; canary=on")], Some(2)),
        (&[("cookie", "a=canary=on")], None),
        (&[("cookie", "canary=on\u{e4}")], None),
        (&[("x-there", "")], Some(3)),
    ] {
        assert_eq!(number(&table, "GET", "/", fields), route, "{fields:?}");
    }
    assert_eq!(number(&table, "PUT", "/", &[]), Some(4));
    assert_eq!(number(&table, "PUT", "/", &[("x-away", "")]), None);
}

#[test]
fn a_query_is_read_as_forms_are_written() {
    let table = written(&[
        "query = { v = 2 }",
        "query = { \"a b\" = \"c&d\" }",
        "query = { debug = { present = true } }",
        "query = { lang = { prefix = \"de\" } }",
        "query = { id = { regex = '^[0-9]+$' } }",
    ]);
    for (query, route) in [
        ("v=2", Some(0)),
        ("v=1&v=2", Some(0)),
        ("x=v=2", None),
        ("V=2", None),
        ("v=%32", Some(0)),
        ("%76=2", Some(0)),
        ("v=2#", None),
        ("v=2;x", None),
        ("&&v=2&", Some(0)),
        ("v", None),
        ("a+b=c%26d", Some(1)),
        ("a%20b=c%26d", Some(1)),
        ("a%2Bb=c%26d", None),
        ("a+b=c&d", None),
        ("debug", Some(2)),
        ("debug=", Some(2)),
        ("debugger", None),
        ("lang=de-AT", Some(3)),
        ("lang=%64e", Some(3)),
        ("lang=%6", None),
        ("id=17", Some(4)),
        ("id=%31%37", Some(4)),
        ("id=17%0A", None),
        ("id=%ff", None),
        ("", None),
    ] {
        assert_eq!(
            number(&table, "GET", &format!("/?{query}"), &[]),
            route,
            "{query}"
        );
    }
    assert_eq!(number(&table, "GET", "/", &[]), None);
}

#[test]
fn another_reading_must_not_pass_an_exact_path_or_an_expression() {
    let table = written(&[
        "path = \"/\"",
        "path = { exact = \"/admin\" }",
        "path = { regex = '^/secret/' }",
    ]);
    let sure = |target: &str| {
        let head = asked("a.example", target);
        let rule = table.find(&head).unwrap();
        table.sureness(rule, &head, target, head.path_notes) != Sureness::Neither
    };
    for path in [
        "/x/..%2fadmin",
        "/admin;a=b",
        "/x/..%2fsecret/y",
        "/secret/..%2fx",
        "//g/admin",
    ] {
        assert!(!sure(path), "{path}");
    }
    for path in ["/x;a=b", "/a%2fb", "//admin/x", "/secret/a%2fb", "//admin"] {
        assert!(sure(path), "{path}");
    }
}

#[test]
fn a_preflight_has_the_method_that_it_asks_for_where_it_is_answered() {
    let cors = "cors = { origins = \"*\" }";
    let with = |keys: &str| format!("{keys}\n{cors}");
    let table = written(&[
        "path = \"/a\"",
        &with("path = \"/a\"\nmethods = [\"GET\", \"PUT\"]"),
        &with("path = \"/a\"\nmethods = \"POST\"\nheaders = { x-token = { present = true } }"),
        "path = \"/b\"\nmethods = \"PUT\"",
        &with("path = \"/c\"\nquery = { v = 1 }"),
    ]);
    let put: &[(&str, &str)] = &[("origin", "x"), ("access-control-request-method", "PUT")];
    let post: &[(&str, &str)] = &[("origin", "x"), ("access-control-request-method", "POST")];
    for (method, target, fields, route) in [
        ("OPTIONS", "/a", put, Some(1)),
        ("OPTIONS", "/a", post, Some(2)),
        ("OPTIONS", "/a", &put[..1], Some(0)),
        ("OPTIONS", "/a", &put[1..], Some(0)),
        ("GET", "/a", put, Some(1)),
        ("POST", "/a", put, Some(0)),
        ("OPTIONS", "/b", put, None),
        ("OPTIONS", "/c", put, None),
        ("OPTIONS", "/c?v=1", put, Some(4)),
    ] {
        assert_eq!(
            number(&table, method, target, fields),
            route,
            "{method} {target} {fields:?}"
        );
    }
}

#[test]
fn a_long_ambiguous_path_is_refused_only_where_its_host_has_expressions() {
    let table = written(&[
        "host = \"a.example\"\npath = { regex = '^/secret/' }",
        "host = \"*.with.example\"\npath = { regex = 'x$' }",
        "host = [\"a.example\", \"b.example\", \"a.with.example\"]",
    ]);
    let sureness = |host: &str, bytes: usize| {
        let path = format!("/a%2f{}", "b".repeat(bytes - 5));
        let head = asked(host, &path);
        let action = table.find(&head).unwrap();
        table.sureness(action, &head, &path, head.path_notes)
    };
    for host in ["a.example", "a.with.example"] {
        assert_eq!(sureness(host, 1_024), Sureness::AsMeant, "{host}");
        assert_eq!(sureness(host, 1_025), Sureness::Neither, "{host}");
    }
    assert_eq!(sureness("b.example", 8_000), Sureness::AsMeant);
}
