//! Which route is found.

mod conditions;
mod rewrite;

use super::*;
use crate::config::{Conditions, PathMatch, RetryPolicy, Traffic};
use crate::upstream::Registry;

fn table(routes: &[(HostPattern, &str)]) -> RouteTable {
    let routes: Vec<Route> = routes
        .iter()
        .enumerate()
        .map(|(pool, (host, path))| {
            let traffic = Traffic::to(pool, RetryPolicy::default());
            route(host.clone(), path, traffic)
        })
        .collect();
    RouteTable::new(&routes, &pools(routes.len()), &[], Vec::new())
}

fn route(host: HostPattern, path: &str, traffic: Traffic) -> Route {
    let prefix = match path {
        "/" => path,
        path => path.trim_end_matches('/'),
    };
    Route {
        host,
        path: PathMatch::Prefix(prefix.to_owned()),
        conditions: Conditions::default(),
        traffic,
        answer: None,
        edits: Default::default(),
        policies: vec![],
        rights: Default::default(),
        preserve_header_case: false,
        upgrade: vec![],
        compress: None,
        layer4: None,
    }
}

fn pools(count: usize) -> Vec<PoolId> {
    let names: Vec<String> = (0..count).map(|n| n.to_string()).collect();
    Registry::new(1).pools(names.iter().map(String::as_str))
}

fn exact(host: &str) -> HostPattern {
    HostPattern::Exact(host.to_owned())
}

fn suffix(suffix: &str) -> HostPattern {
    HostPattern::Suffix(suffix.to_owned())
}

#[test]
fn routes_that_say_the_same_share_it() {
    let route = |host: &str, pool, body| {
        let mut traffic = Traffic::to(pool, RetryPolicy::default());
        traffic.body_bytes = body;
        route(exact(host), "/", traffic)
    };
    let routes = [
        route("a", 0, None),
        route("b", 0, None),
        route("c", 1, None),
        route("d", 0, Some(1)),
    ];
    let table = RouteTable::new(&routes, &pools(2), &[], Vec::new());
    let rules = ["a", "b", "c", "d"].map(|host| find(&table, host, "/").unwrap());
    assert_eq!(rules.map(|rule| rule.number), [0, 1, 2, 3]);
    let shared = rules.map(|rule| std::ptr::eq::<Handling>(&**rule, &**rules[0]));
    assert_eq!(shared, [true, true, false, false]);
}

#[test]
fn exact_then_longest_suffix_then_any_and_the_longest_prefix_within() {
    let t = table(&[
        (exact("a.example"), "/"),
        (exact("a.example"), "/x/"),
        (exact("a.example"), "/x/y"),
        (suffix(".example"), "/"),
        (suffix(".b.example"), "/"),
        (HostPattern::Any, "/"),
        (exact("only.example"), "/here"),
    ]);
    for (host, path, pool) in [
        ("a.example", "/", 0),
        ("a.example", "/x", 1),
        ("a.example", "/xy", 0),
        ("a.example", "/x/y/z", 2),
        ("a.example", "/x;v=1", 1),
        ("a.example", "/%78/y", 2),
        ("a.example", "/x%2Fy", 0),
        ("c.example", "/", 3),
        ("c.b.example", "/", 4),
        ("b.example", "/", 3),
        ("example", "/", 5),
        ("", "*", 5),
        ("only.example", "/here", 6),
        ("only.example", "/elsewhere", 3),
    ] {
        assert_eq!(
            find(&t, host, path).map(|r| r.targets[0].pool.number()),
            Some(pool),
            "{host}{path}"
        );
    }
}

#[test]
fn no_route() {
    let t = table(&[(exact("a.example"), "/x")]);
    assert_eq!(find(&t, "b.example", "/x"), None);
    assert_eq!(find(&t, "a.example", "/"), None);
}

fn asked(host: &str, target: &str) -> RequestHead {
    let mut head = RequestHead {
        host: host.to_owned(),
        ..RequestHead::default()
    };
    head.set_target(target);
    head
}

fn find<'t>(table: &'t RouteTable, host: &str, target: &str) -> Option<&'t Rule> {
    rule(table.find(&asked(host, target))?)
}

fn rule(action: &Action) -> Option<&Rule> {
    match action {
        Action::Forward(rule) => Some(rule),
        Action::Answer(_) => None,
    }
}

fn sure(table: &RouteTable, path: &str) -> bool {
    let notes = path::normalise(path, &mut String::new());
    assert!(notes.is_ambiguous(), "{path}");
    let head = asked("a.example", path);
    let rule = table.find(&head).unwrap();
    table.sureness(rule, &head, path, notes) != Sureness::Neither
}

#[test]
fn an_ambiguous_path_has_a_rule_only_if_all_readings_have_the_same() {
    let guarded = table(&[(exact("a.example"), "/"), (exact("a.example"), "/admin")]);
    let open = table(&[(exact("a.example"), "/"), (exact("b.example"), "/admin")]);
    for path in [
        "/x/..%2fadmin",
        "/x/..%5cadmin",
        "/x\\..\\admin",
        "/x/..;/admin",
        "/%2561dmin",
        "/x/..%c0%afadmin",
        "/x;/../admin%00",
        "/admin/..%2f..%2fx",
        "/%2fadmin",
        "/%2f\\;%00%c0%af",
        "/admin%2f..",
        "/admin//../x",
        "/admin/a//../../x",
        "///admin//../x",
        "//g/admin",
        "///g/admin/x",
        "//user@g:80/%61dmin",
        "/\\g/admin",
        "/\\\\g/admin",
        "/\\/g/admin",
        "/%5C%5Cg/admin",
        "/admin/../x",
        "/admin/%2e%2e/x",
        "/admin/x/../../y",
        "//admin/../x",
        "//g/admin//../x",
        "/\\g/admin//../x",
        "//g/admin/../x",
        "/x\\..\\admin\\z%5c..%5c..\\y",
        "/x%5c..%5cadmin%5cz\\..\\..%5cy",
    ] {
        assert!(!sure(&guarded, path), "{path}");
    }
    let beside = table(&[
        (exact("a.example"), "/"),
        (exact("a.example"), "/api"),
        (exact("a.example"), "/api-docs"),
    ]);
    for path in [
        "//api-docs/api/secret",
        "/api//../api-docs/x",
        "/api/../api-docs/x",
        "/api-docs/../api/x",
    ] {
        assert!(!sure(&beside, path), "{path}");
    }
    assert!(
        sure(&beside, "//api/x") && sure(&beside, "//api-docs//x") && sure(&beside, "/api/x/../y")
    );
    for path in [
        "//admin",
        "//x/y",
        "///admin/x",
        "/x//../admin",
        "/x/../admin",
        "/admin/y/../x",
        "/x//../y",
        "/../x",
        "//g/administration",
    ] {
        assert!(sure(&guarded, path), "{path}");
        assert!(sure(&open, path), "{path}");
    }
    for path in [
        "/a%2Fb/c",
        "/x;v=1/y",
        "/a%5Cb",
        "/admin;v=1",
        "/admin/a%2fb",
        "/%2fx",
    ] {
        assert!(sure(&guarded, path), "{path}");
        assert!(sure(&open, path), "{path}");
    }
    assert!(sure(&open, "/x/..%2fadmin"), "there is one rule only");
    let part = table(&[(exact("a.example"), "/only")]);
    assert!(
        !sure(&part, "/only/..%2fadmin"),
        "a reading without a rule is another one"
    );
}

/// The route above may be the guard.
#[test]
fn a_path_that_may_be_one_of_the_route_above_is_sent_in_normal_form() {
    let open = table(&[(exact("a.example"), "/"), (exact("a.example"), "/open")]);
    let part = table(&[(exact("a.example"), "/open")]);
    let sureness = |table: &RouteTable, path: &str| {
        let head = asked("a.example", path);
        let action = table.find(&head).unwrap();
        let sent = [path, head.path()];
        sent.map(|sent| table.sureness(action, &head, sent, head.path_notes))
    };
    for path in ["//open/secret", "///open/secret", "/x//../open"] {
        for table in [&open, &part] {
            let found = sureness(table, path);
            assert_eq!(found, [Sureness::NormalForm, Sureness::AsMeant], "{path}");
        }
    }
    for path in ["/open/a//b", "/open/a/../b", "/open/a%2fb"] {
        assert_eq!(sureness(&open, path)[0], Sureness::AsMeant, "{path}");
    }
}

#[test]
fn no_more_labels_are_looked_at_than_the_longest_suffix_has() {
    let t = table(&[
        (suffix(".example"), "/"),
        (suffix(".b.example"), "/"),
        (exact("a.example"), "/"),
    ]);
    assert_eq!(t.suffix_labels, 2);
    for labels in [1, 10, 100, 20_000] {
        let host = format!("{}b.example", "a.".repeat(labels));
        let start = memrchr_iter(b'.', host.as_bytes())
            .take(t.suffix_labels)
            .count();
        assert_eq!(
            (
                find(&t, &host, "/").map(|r| r.targets[0].pool.number()),
                start
            ),
            (Some(1), 2)
        );
    }
    assert_eq!(table(&[(exact("a.example"), "/")]).suffix_labels, 0);
}
