//! The host for tests says where requests go as the real one does.

#![allow(clippy::unwrap_used, reason = "a test ends by a panic")]

use std::panic::{AssertUnwindSafe, catch_unwind};

use waypost_policy::{
    TargetError,
    prelude::*,
    testing::{self, Host, Part, TestTarget},
};

/// Sends tenants to their pools, and marks responses that no backend has made.
#[derive(Default)]
struct Ways {
    names: Pools<String>,
    edits: Vec<Result<(), TargetError>>,
}

impl Topology for Ways {
    fn backends_changed(&mut self, pool: &Pool, _backends: &[Backend]) {
        self.names.keep(pool.id, pool.name.clone());
    }
}

impl Ways {
    fn named(&self, request: &Request, name: &str) -> PoolDecision {
        let is_named = |pool| self.names.at(pool).is_some_and(|known| known == name);
        request.pool_index(is_named).into()
    }
}

impl Route for Ways {
    fn route(&mut self, request: &Request) -> PoolDecision {
        match request.header_text("x-tenant").as_deref() {
            None => PoolDecision::Pass,
            Some("far") => PoolDecision::Pool(2),
            Some("refused") => Response::new(403).into(),
            Some("invalid") => Response::new(101).into(),
            Some(tenant) => self.named(request, tenant),
        }
    }
}

impl EditTarget for Ways {
    fn edit_target(&mut self, request: &Request, target: &mut Target) -> Result<(), Response> {
        let before = (target.path(), target.query(), target.host());
        self.edits.clear();
        for value in request.header_values("x-path") {
            let path = String::from_utf8(value).unwrap();
            self.edits.push(target.set_path(&path));
        }
        for value in request.header_values("x-host") {
            let host = String::from_utf8(value).unwrap();
            self.edits.push(target.set_host(&host));
        }
        match request.header_text("x-query").as_deref() {
            None => {}
            Some("none") => self.edits.push(target.set_query(None)),
            Some(query) => self.edits.push(target.set_query(Some(query))),
        }
        match before {
            (path, Some(query), host) if path == "/refused" => {
                Err(Response::new(409).text(format!("{host} {query}")))
            }
            _ => Ok(()),
        }
    }
}

impl DecideDestination for Ways {
    fn decide_destination(&mut self, request: &Request, destination: &Destination) -> PoolDecision {
        assert_eq!(request.pool(), u32::MAX, "none is chosen yet");
        assert!(!facts::healthy(0), "there are no backends");
        match (
            &*request.host(),
            destination.port,
            destination.user.as_deref(),
        ) {
            ("inner.test", 443, Some("ann")) => self.named(request, "inner"),
            ("inner.test", _, _) => Response::new(403).into(),
            ("far.test", _, _) => PoolDecision::Pool(0),
            _ => PoolDecision::Pass,
        }
    }
}

impl EditLocalResponse for Ways {
    fn edit_local_response(
        &mut self,
        request: &Request,
        status: u16,
        source: ResponseSource,
        headers: &mut Headers,
    ) {
        let told = format!("{} {status} {source:?}", request.path());
        headers.set("x-local", told).unwrap();
        headers.set("content-length", "0").unwrap_err();
    }
}

waypost_policy::export!(Ways: Topology, Route, EditTarget, DecideDestination, EditLocalResponse);

fn panics(call: impl FnOnce()) -> String {
    let payload = catch_unwind(AssertUnwindSafe(call)).unwrap_err();
    payload
        .downcast_ref::<String>()
        .cloned()
        .unwrap_or_default()
}

#[test]
fn a_pool_is_an_index_into_those_of_the_route() {
    let host = Host::new();
    let [_, blue, green] = ["other", "blue", "green"].map(|name| host.pool(name, []));
    let mut ways = host.load::<Ways>("{}").unwrap();
    let mut route = |tenant: &str| {
        let request = testing::get("/").field("x-tenant", tenant);
        ways.route(&request.pools([&blue, &green]))
    };
    assert_eq!(route("green"), PoolDecision::Pool(1));
    assert_eq!(route("blue"), PoolDecision::Pool(0));
    assert_eq!(route("other"), PoolDecision::Pass, "not of this route");
    assert_eq!(route("refused"), Response::new(403).into());
    assert!(panics(|| drop(route("far"))).contains("pool 2 of 2 pools"));
    assert!(panics(|| drop(route("invalid"))).contains("status 101"));
    assert_eq!(ways.route(&testing::get("/")), PoolDecision::Pass);
    let alone = testing::get("/").field("x-tenant", "green").pool(&green);
    assert_eq!(
        ways.route(&alone),
        PoolDecision::Pool(0),
        "the pool of the route"
    );
}

#[test]
fn a_target_is_edited_where_the_route_allows_it() {
    let host = Host::new();
    let mut ways = host.load::<Ways>("{}").unwrap();
    let request = testing::get("/asked")
        .field("x-path", "/v2/a%20b")
        .field("x-host", "[::1]:81")
        .field("x-query", "c=%2F");
    let mut target = testing::target("/sent?q").host("a.test");
    ways.edit_target(&request, &mut target).unwrap();
    assert_eq!(target, testing::target("/v2/a%20b?c=%2F").host("[::1]:81"));

    let mut target = testing::target("/sent?q").may_edit([Part::Query]);
    ways.edit_target(&request, &mut target).unwrap();
    let refused = Err(TargetError::NotAllowed);
    assert_eq!(ways.policy().edits, [refused, refused, Ok(())]);
    assert_eq!(
        (&*target.path, target.query.as_deref()),
        ("/sent", Some("c=%2F"))
    );

    let without = testing::get("/")
        .field("x-query", "none")
        .field("x-path", "/a");
    let mut target = testing::target("/a?b");
    ways.edit_target(&without, &mut target).unwrap();
    assert_eq!(target, testing::target("/a"));
    let mut all = testing::target("*");
    ways.edit_target(&without, &mut all).unwrap();
    assert_eq!(
        ways.policy().edits,
        [refused, refused],
        "OPTIONS * has no path"
    );

    let answer = ways.edit_target(&testing::get("/"), &mut testing::target("/refused?b"));
    assert_eq!(
        answer.unwrap_err(),
        Response::new(409).text("example.com b")
    );
}

#[test]
fn a_target_that_could_be_read_in_two_ways_is_refused() {
    let host = Host::new();
    let mut ways = host.load::<Ways>("{}").unwrap();
    let mut refuses = |field: &str, value: &str| {
        let mut target: TestTarget = testing::target("/a?b");
        let request = testing::get("/").field(field, value);
        ways.edit_target(&request, &mut target).unwrap();
        assert_eq!(
            ways.policy().edits,
            [Err(TargetError::Invalid)],
            "{value:?}"
        );
        assert_eq!(target, testing::target("/a?b"), "{value:?}");
    };
    for path in [
        "",
        "a",
        "*",
        "//a",
        "/a//b",
        "/a/../b",
        "/a/./b",
        "/..",
        "/%61",
        "/a%2fb",
        "/a%2Fb",
        "/a\\b",
        "/a%5Cb",
        "/..;/a",
        "/a;b",
        "/a?b",
        "/a#b",
        "/a b",
        "/\u{e4}",
        "/%",
        "/%0",
        "/%00",
        "/%0A",
        "/%252e%252e/a",
        "/%C0%AF",
        "/a\0",
        "/%\u{e4}\u{e4}",
    ] {
        refuses("x-path", path);
    }
    for query in ["a b", "a#b", "\u{e4}", "\0"] {
        refuses("x-query", query);
    }
    for name in [
        "", "a b", "a/b", "a:b", "a:99999", "a@b", "[::1", "[x]", "a,b", "\u{e4}", "-a", "a..b",
    ] {
        refuses("x-host", name);
    }
}

#[test]
fn no_more_edits_of_a_target_than_the_host_takes() {
    let host = Host::new();
    let mut ways = host.load::<Ways>("{}").unwrap();
    let many = (0..65).fold(testing::get("/"), |request, n| {
        request.field("x-path", format!("/{n}"))
    });
    let mut target = testing::target("/");
    ways.edit_target(&many, &mut target).unwrap();
    assert_eq!(
        ways.policy().edits[63..],
        [Ok(()), Err(TargetError::TooMany)]
    );
    assert_eq!(target.path, "/63");
    // Longer than what every server takes, with the query.
    let long = format!("/{}", "x".repeat(7_890));
    let too_long = testing::get("/")
        .field("x-path", &long)
        .field("x-query", "123456789");
    let mut target = testing::target("/");
    ways.edit_target(&too_long, &mut target).unwrap();
    assert_eq!(
        target.path.len() + target.query.map_or(0, |q| q.len() + 1),
        7_891
    );
}

#[test]
fn a_destination_is_refused_left_or_sent_to_a_pool() {
    let host = Host::new();
    let inner = host.pool("inner", [Backend::new("10.0.0.1:80")]);
    let mut ways = host.load::<Ways>("{}").unwrap();
    let mut decide = |name: &str, port: u16, user: Option<&str>, with_pool: bool| {
        let request = testing::request("CONNECT", "").host(name);
        let request = request.pools(with_pool.then_some(&inner));
        let user = user.map(str::to_owned);
        ways.decide_destination(&request, Destination { port, user })
    };
    assert_eq!(
        decide("inner.test", 443, Some("ann"), true),
        PoolDecision::Pool(0)
    );
    assert_eq!(
        decide("inner.test", 443, Some("ann"), false),
        PoolDecision::Pass
    );
    assert_eq!(
        decide("inner.test", 443, None, true),
        Response::new(403).into()
    );
    assert_eq!(decide("a.test", 80, None, true), PoolDecision::Pass);
    assert!(panics(|| drop(decide("far.test", 80, None, false))).contains("pool 0 of 0"));
    let unnamed = testing::get("/");
    let port = Destination {
        port: 80,
        user: None,
    };
    assert_eq!(ways.decide_destination(&unnamed, port), PoolDecision::Pass);
}

#[test]
fn a_response_that_no_backend_has_made_is_edited() {
    let host = Host::new();
    let mut ways = host.load::<Ways>("{}").unwrap();
    let mut response = testing::response(429).field("retry-after", "1");
    ways.edit_local_response(&testing::get("/a"), ResponseSource::Policy, &mut response);
    assert_eq!(response.text("x-local"), Some("/a 429 Policy"));
    assert_eq!(response.text("retry-after"), Some("1"));
    assert_eq!(response.value("content-length"), None);
}
