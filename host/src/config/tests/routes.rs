//! Mistakes in routes, and warnings.

use super::*;

#[test]
fn a_route_asks_64_policies_at_most() {
    let text = |count: usize| {
        let names: Vec<_> = (0..count).map(|n| format!("\"p{n}\"")).collect();
        let sections: Vec<_> = (0..count)
            .map(|n| format!("[policies.p{n}]\nbuiltin = \"random\""))
            .collect();
        let (names, sections) = (names.join(", "), sections.join("\n"));
        format!(
            "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\npolicies = [{names}]\n\
                {sections}"
        )
    };
    assert_eq!(load(&text(64)).routes[0].policies.len(), 64);
    assert_error(&text(65), 5, "routes.policies", "can have 64");
    assert_eq!(errors(&text(100)).len(), 1, "it is said once");
}

#[test]
fn a_route_allows_the_protocols_that_it_lists_and_websocket_by_default() {
    let upgrade = |line: &str| {
        let text = format!("[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\n{line}");
        load(&text).routes[0].upgrade.join(" ")
    };
    assert_eq!(upgrade(""), "websocket");
    assert_eq!(upgrade("upgrade = []"), "");
    assert_eq!(upgrade("upgrade = \"Foo/2\""), "foo/2");
    assert_eq!(
        upgrade("upgrade = [\"websocket\", \"tcp\"]"),
        "websocket tcp"
    );
    let short = load("[hosts]\n\"*\" = \"b\"");
    assert_eq!(short.routes[0].upgrade, ["websocket"]);
    for (wrong, why) in [
        ("a b", "not the name of a protocol"),
        ("", "not the name of a protocol"),
        ("foo/1/2", "not the name of a protocol"),
        ("h2c", "carries requests"),
        ("HTTP/2.0", "carries requests"),
        ("TLS/1.0", "carries requests"),
    ] {
        let text = format!(
            "[pools.p]\nbackends = \"b\"\n[[routes]]\npool = \"p\"\nupgrade = [\"{wrong}\"]"
        );
        assert_error(&text, 5, "routes.upgrade", why);
    }
}

#[test]
fn wrong_hosts_and_routes_are_errors() {
    let route = |rest: &str| format!("[pools.a]\nbackends = \"b\"\n[[routes]]\n{rest}");
    let cases = [
        ("pool = \"b\"", 4, "routes.pool", "or one of: a"),
        ("host = \"x\"", 3, "routes", "has no `pool`"),
        ("pool = \"a\"\nhost = []", 5, "routes.host", "is empty"),
        (
            "pool = \"a\"\nhost = \"a b\"",
            5,
            "routes.host",
            "not a host",
        ),
        (
            "pool = \"a\"\nhost = \"www.*.com\"",
            5,
            "routes.host",
            "write the star alone",
        ),
        (
            "pool = \"a\"\nhost = \".a.com\"",
            5,
            "routes.host",
            "\"*.a.com\"",
        ),
        ("pool = \"a\"\nhost = \"http://a\"", 5, "routes.host", "URL"),
        (
            "pool = \"a\"\nhost = \"münchen.de\"",
            5,
            "routes.host",
            "xn--",
        ),
        (
            "pool = \"a\"\npath = \"api\"",
            5,
            "routes.path",
            "begin it with `/`",
        ),
        ("pool = \"a\"\npath = \"/a?b\"", 5, "routes.path", "query"),
        (
            "pool = \"a\"\npath = \"/a b\"",
            5,
            "routes.path",
            "percent-encode",
        ),
        ("pool = \"a\"\npath = \"/a/../b\"", 5, "routes.path", "`..`"),
        (
            "pool = \"a\"\npath = \"/a/%2E./b\"",
            5,
            "routes.path",
            "`..`",
        ),
        (
            "pool = \"a\"\npolicies = [\"ghost\"]",
            5,
            "routes.policies",
            "header-router",
        ),
        (
            "pool = \"a\"\npolicies = [\"random\", \"random\"]",
            5,
            "routes.policies",
            "twice",
        ),
        (
            "pool = \"a\"\npolicies = \"random\"",
            5,
            "routes.policies",
            "list",
        ),
    ];
    for (rest, line, key, words) in cases {
        assert_error(&route(rest), line, key, words);
    }
}

#[test]
fn the_same_host_and_path_twice_is_an_error_that_names_both() {
    let text = "[hosts]\n\"a.example\" = \"b\"\n\"A.example.:80\" = \"c\"";
    assert_error(text, 3, "hosts.\"A.example.:80\"", "line 2");
    let text = "[pools.p]\nbackends = \"b\"\n[[routes]]\nhost = \"x\"\npath = \"/a\"\n\
        pool = \"p\"\n[[routes]]\nhost = \"X.\"\npath = \"/a/\"\npool = \"p\"";
    assert_error(text, 8, "routes.host", "line 4");
}

#[test]
fn all_errors_are_reported_from_top_to_bottom_and_once() {
    let text = "workers = 0\n[[routes]]\npool = \"p\"\npolicies = [\"q\"]\n[pools.p]\n\
        [policies.q]\ndeadline = \"x\"\n";
    let lines: Vec<_> = errors(text)
        .iter()
        .map(|e| match e.place {
            Place::File { line, .. } => line,
            _ => 0,
        })
        .collect();
    assert_eq!(lines, [1, 5, 6, 7]);
}

#[test]
fn a_token_opens_the_admin_listener_and_stays_out_of_debug_output() {
    let config = load("[admin]\nlisten = \"0.0.0.0:9090\"\ntoken = \"a-long-enough-token\"");
    assert!(
        config.warnings.iter().all(|w| !w.contains("token")),
        "{:?}",
        config.warnings
    );
    assert!(!format!("{config:?}").contains("a-long-enough-token"));
    assert!(load("[admin]\ntoken = \"short\"").warnings[0].contains("guessed"));
}

#[test]
fn a_probable_mistake_is_a_warning() {
    let config = load(
        "[hosts]\n\"*\" = [\"b\", \"B:80\"]\n[pools.idle]\nbackends = \"c\"\n\
            [policies.least-loaded]",
    );
    let expected = [
        "listed twice",
        "no route leads to this pool",
        "no route names this policy",
    ];
    assert_eq!(config.warnings.len(), 3, "{:?}", config.warnings);
    assert!(
        expected
            .iter()
            .zip(&config.warnings)
            .all(|(words, w)| w.contains(words)),
        "{:?}",
        config.warnings
    );
}

/// Routes that differ by one value are not compared with each other.
#[test]
fn ten_thousand_routes_of_one_host_are_checked_in_a_moment() {
    use std::fmt::Write;
    let mut text = "[pools.a]\nbackends = \"127.0.0.1:1\"\n".to_owned();
    for n in 0..10_000 {
        let _ = write!(
            text,
            "[[routes]]\nhost = \"a.test\"\npath = \"/a\"\nheaders = {{ x-tenant = \"{n}\" }}\npool = \"a\"\n"
        );
    }
    let last = "[[routes]]\nhost = \"a.test\"\npath = \"/a\"\nheaders = { x-tenant = \"5\", x-a = \"1\" }\npool = \"a\"\n";
    let beside = "[[routes]]\nhost = \"a.test\"\npath = \"/a\"\nheaders = { x-tenant = \"5\" }\nmethods = \"GET\"\npool = \"a\"\n";
    assert_eq!(load(&(text.clone() + last + beside)).routes.len(), 10_002);
}

#[test]
fn a_route_whose_path_is_wrong_is_compared_with_no_other() {
    let text = "[pools.a]\nbackends = \"127.0.0.1:1\"\n[[routes]]\npool = \"a\"\n[[routes]]\npath = \"a\"\npool = \"a\"\n";
    let found = errors(text);
    assert_eq!(found.len(), 1, "{found:?}");
}
