//! What a route asks of a request: how it is written, and mistakes in it.

use super::*;

/// A file with these keys of a route from line 5 on.
fn route(rest: &str) -> String {
    format!("[pools.a]\nbackends = \"b\"\n[[routes]]\npool = \"a\"\n{rest}")
}

#[test]
fn a_route_has_a_name_that_says_its_conditions() {
    let name = |rest: &str| load(&route(rest)).routes[0].to_string();
    assert_eq!(name(""), "*/");
    assert_eq!(name("path = { prefix = \"/a/\" }"), "*/a");
    assert_eq!(
        name("host = \"b.test\"\npath = { exact = \"/a/\" }"),
        "b.test=/a/"
    );
    assert_eq!(
        name(
            "path = { regex = '^/(a|b)$' }\nmethods = [\"GET\", \"HEAD\", \"GET\"]\n\
             headers = { X-A = 1, b = { present = false } }\n\
             query = { v = { prefix = \"2\" }, w = { present = true }, x = { regex = \"y\" } }"
        ),
        "*~^/(a|b)$ [GET|HEAD x-a=1 b! ?v=2* ?w ?x~y]"
    );
}

#[test]
fn wrong_conditions_are_errors() {
    let long = format!("path = {{ regex = '{}' }}", "a".repeat(1025));
    for (line, key, words) in [
        ("path = {}", "path", "is empty"),
        ("path = { exact = \"a\" }", "path.exact", "begin it with"),
        (
            "path = { exact = \"/a\", prefix = \"/b\" }",
            "path",
            "more than one",
        ),
        (
            "path = { regexp = \"/a\" }",
            "path.regexp",
            "did you mean `regex`",
        ),
        ("path = { regex = \"\" }", "path.regex", "is empty"),
        ("path = { regex = '(' }", "path.regex", "unclosed group"),
        ("path = { regex = '(?=a)' }", "path.regex", "look-around"),
        (
            "path = { regex = '(a{1000}){1000}' }",
            "path.regex",
            "64 KiB",
        ),
        (long.as_str(), "path.regex", "has 1025 bytes"),
        ("methods = []", "methods", "is empty"),
        ("methods = \"get\"", "methods", "write \"GET\""),
        ("methods = [\"G ET\"]", "methods", "not a method"),
        ("methods = \"TRACE\"", "methods", "before routes"),
        (
            "headers = { \"a b\" = \"1\" }",
            "headers.\"a b\"",
            "not the name",
        ),
        (
            "headers = { host = \"a\" }",
            "headers.host",
            "the key `host`",
        ),
        (
            "headers = { connection = \"a\" }",
            "headers.connection",
            "can't be a condition",
        ),
        (
            "headers = { x-forwarded-for = \"a\" }",
            "headers.x-forwarded-for",
            "can't be",
        ),
        (
            "headers = { x-real_ip = \"a\" }",
            "headers.x-real_ip",
            "can't be",
        ),
        (
            "headers = { a = \" b\" }",
            "headers.a",
            "spaces at its ends",
        ),
        (
            "headers = { a = \"b\\n\" }",
            "headers.a",
            "control characters",
        ),
        ("headers = { a = true }", "headers.a", "a string"),
        (
            "headers = { a = { prefix = \"\" } }",
            "headers.a.prefix",
            "present = true",
        ),
        ("headers = { a = {} }", "headers.a", "is empty"),
        (
            "headers = { a = { present = true, exact = \"b\" } }",
            "headers.a",
            "more than one",
        ),
        ("headers = { a = \"b\", A = \"c\" }", "headers.A", "twice"),
        ("query = \"a=b\"", "query", "a table"),
        (
            "query = { a = { regex = '[' } }",
            "query.a.regex",
            "not a regular expression",
        ),
    ] {
        assert_error(&route(line), 5, &format!("routes.{key}"), words);
    }
}

#[test]
fn a_route_to_which_no_request_comes_is_an_error() {
    let two =
        |first: &str, second: &str| format!("{}\n[[routes]]\npool = \"a\"\n{second}", route(first));
    for (first, second) in [
        ("methods = [\"GET\", \"HEAD\"]", "methods = \"GET\""),
        (
            "headers = { a = { present = true } }",
            "headers = { a = \"1\" }",
        ),
        (
            "headers = { a = { prefix = \"2\" } }",
            "headers = { a = \"2.1\" }",
        ),
        (
            "headers = { a = { regex = '^2' } }",
            "headers = { a = \"2.1\" }",
        ),
        (
            "query = { a = { prefix = \"2\" } }",
            "query = { a = { prefix = \"2.\" } }",
        ),
    ] {
        assert_error(
            &two(first, second),
            6,
            "routes",
            "the one at waypost.toml, line 3,",
        );
        assert!(errors(&two(second, first)).is_empty(), "{first}");
    }
    assert_error(
        &two("methods = \"GET\"", "methods = \"GET\""),
        6,
        "routes",
        "already",
    );
    for (first, second) in [
        ("", "methods = \"GET\""),
        ("methods = \"GET\"", ""),
        (
            "headers = { a = { present = true } }",
            "headers = { a = { present = false } }",
        ),
        ("headers = { a = \"1\" }", "query = { a = \"1\" }"),
        ("path = \"/a\"", "path = { exact = \"/a\" }"),
    ] {
        assert!(errors(&two(first, second)).is_empty(), "{first}, {second}");
    }
}
