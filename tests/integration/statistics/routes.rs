//! What is counted of routes.

use std::fmt::Write as _;

use serde_json::Value;

use crate::fixtures::{Request, TestProxy, TestUpstream, eventually, refusing_address};
use crate::reload::{edit, editable, reload};

/// What is counted of this route, once it had this many requests.
#[track_caller]
fn route(proxy: &TestProxy, name: &str, requests: u64) -> Value {
    eventually(name, || {
        let stats = proxy.stats();
        let found = stats["routes"].get(name)?.clone();
        (found["requests"] == requests).then_some(found)
    })
}

#[test]
fn routes_have_counts_that_stay_over_a_reload() {
    let upstream = TestUpstream::named("a");
    let (_held, dead) = refusing_address();
    let proxy = editable(
        TestProxy::builder()
            .host("a.test", &[upstream.address()])
            .host("dead.test", &[dead])
            .tables(
                "[[routes]]\nhost = \"a.test\"\npath = \"/old\"\nmethods = [\"GET\"]\n\
                 redirect = { to = \"/new\", status = 301 }\n",
            ),
    );
    let mut client = proxy.client();
    for _ in 0..3 {
        assert_eq!(client.ask(crate::fixtures::get("a.test", "/x")).status, 200);
    }
    assert_eq!(proxy.get("a.test", "/old").status, 301);
    assert_eq!(proxy.get("dead.test", "/").status, 502);
    assert_eq!(proxy.get("unknown.test", "/").status, 404);
    let all: Vec<String> = {
        let stats = proxy.stats();
        let routes = stats["routes"].as_object().unwrap();
        routes.keys().cloned().collect()
    };
    assert_eq!(all.len(), 3, "{all:?}");
    let named = |start: &str| all.iter().find(|n| n.starts_with(start)).unwrap().as_str();
    let (redirect, dead_route) = (named("a.test/old"), named("dead.test"));
    let plain = all
        .iter()
        .find(|n| n.starts_with("a.test") && *n != redirect)
        .unwrap();
    let counted = route(&proxy, plain, 3);
    assert_eq!(counted["errors"], 0, "{counted:#}");
    assert!(
        counted["last_unix"].as_u64().unwrap() > 1_600_000_000,
        "{counted:#}"
    );
    assert_eq!(route(&proxy, redirect, 1)["errors"], 0);
    let failed = eventually("the failure is counted", || {
        Some(route(&proxy, dead_route, 1)).filter(|r| r["errors"] == 1)
    });
    assert!(failed["last_unix"].is_u64());

    edit(&proxy, |text| text.replace("dead.test", "gone.test"));
    reload(&proxy);
    assert_eq!(proxy.get("a.test", "/x").status, 200);
    let stays = route(&proxy, plain, 4);
    assert_eq!(stays["errors"], 0);
    let new = dead_route.replace("dead.test", "gone.test");
    assert_eq!(
        route(&proxy, &new, 0)["last_unix"],
        0,
        "it begins at nothing"
    );
    eventually("no request holds the former configuration", || {
        proxy.stats()["routes"]
            .get(dead_route)
            .is_none()
            .then_some(())
    });

    let page = Request::new("GET", "/").field("Accept", "text/html");
    let shown = proxy.admin(page).text();
    let row = shown
        .split("row\">gone.test")
        .nth(1)
        .expect("the route has a row");
    let row = row.split("</tr>").next().unwrap();
    assert!(row.contains("never"), "{row}");
    assert!(shown.contains("requests a second"), "{shown}");
}

#[test]
fn routes_beyond_the_bound_are_counted_together() {
    let upstream = TestUpstream::named("a");
    let mut routes = format!("[pools.all]\nbackends = [\"{}\"]\n", upstream.address());
    for n in 0..=1_000 {
        let _ = writeln!(routes, "[[routes]]\nhost = \"h{n}.test\"\npool = \"all\"");
    }
    let proxy = TestProxy::builder().tables(&routes).start();
    assert_eq!(proxy.get("h999.test", "/").status, 200);
    assert_eq!(proxy.get("h1000.test", "/").status, 200);
    let others = route(&proxy, "(other)", 1);
    assert_eq!(others["errors"], 0);
    let stats = proxy.stats();
    let routes = stats["routes"].as_object().unwrap();
    assert_eq!(routes.len(), 1_001);
    let own = routes
        .iter()
        .find(|(name, _)| name.starts_with("h999.test"));
    assert_eq!(own.unwrap().1["requests"], 1);
    let page = Request::new("GET", "/?find=h1000.test").field("Accept", "text/html");
    let shown = proxy.admin(page).text();
    assert!(shown.contains("not counted by itself"), "{shown}");
    assert!(
        shown.contains("all others together had 1 requests"),
        "{shown}"
    );
}
