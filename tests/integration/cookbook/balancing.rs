//! Policies that choose by what the backends are.

use std::net::SocketAddr;

use super::{Kitchen, proxy, request};
use crate::fixtures::{TestUpstream, refusing_address};

#[test]
fn weighted_gives_exact_shares() {
    let settings = "label = \"size\"\nweights = { large = 5, small = 1, off = 0 }";
    let labels = [
        "{ size = \"large\" }",
        "{ size = \"small\" }",
        "{ size = \"small\" }",
        "{ size = \"off\" }",
    ];
    let kitchen = Kitchen::new("weighted", settings, &labels);
    let turns: String = (0..14).map(|_| kitchen.served("/", &[])).collect();
    assert_eq!(
        turns, "00102000010200",
        "five of seven, never five in a row"
    );
}

#[test]
fn least_loaded_zone_stays_at_home_while_it_can() {
    let labels = ["{ zone = \"b\" }", "{ zone = \"a\" }"];
    let kitchen = Kitchen::new("least-loaded-zone", "zone = \"a\"", &labels);
    for _ in 0..10 {
        assert_eq!(kitchen.served("/", &[]), "1");
    }
    assert_eq!((kitchen.counted("home"), kitchen.counted("away")), (10, 0));

    let (away, (_held, dead)) = (TestUpstream::named("away"), refusing_address());
    let backends = [
        (away.address(), "{ zone = \"b\" }"),
        (dead, "{ zone = \"a\" }"),
    ];
    let proxy = proxy("least-loaded-zone", "zone = \"a\"", &backends);
    assert_eq!(proxy.get("a.test", "/").text(), "away");
}

#[test]
fn tenant_shard_keeps_tenants_apart() {
    let settings = "tenant = \"path\"\nrequired = true\nexceptions = { acme = \"own\" }";
    let kitchen = Kitchen::new(
        "tenant-shard",
        settings,
        &["{}", "{}", "{}", "{ name = \"own\" }"],
    );
    let mut used = std::collections::BTreeSet::new();
    // That one of three has none: 3 * (2/3)^60, once in 10^10 runs.
    for tenant in 0..60 {
        let path = format!("/tenant-{tenant}/orders?page=1");
        let home = kitchen.served(&path, &[]);
        assert_eq!(kitchen.served(&path, &[]), home);
        used.insert(home);
    }
    assert_eq!(used.into_iter().collect::<String>(), "012");
    assert_eq!(kitchen.served("/acme", &[]), "3");
    assert_eq!(kitchen.ask("/", &[]).status, 400);
}

#[test]
fn retry_aware_tries_another_zone_and_then_gives_up() {
    let alive = TestUpstream::named("alive");
    let (a, b) = ("{ zone = \"a\" }", "{ zone = \"b\" }");
    // So many that whoever does not look at zones would take two of them, one after the other.
    let dead: Vec<_> = (0..12).map(|_| refusing_address()).collect();
    let mut backends: Vec<_> = dead.iter().map(|(_, address)| (*address, a)).collect();
    backends.push((alive.address(), b));
    let elsewhere = proxy("retry-aware", "attempts = 2", &backends);
    for _ in 0..10 {
        assert_eq!(elsewhere.ask(request("/", &[])).text(), "alive");
    }
    let failed =
        |(_, address): &(_, SocketAddr)| elsewhere.stat(&format!("/backends/{address}/failures"));
    let failures: u64 = dead.iter().map(failed).sum();
    assert!(failures > 0, "no request was in need of a second attempt");
    assert_eq!(elsewhere.stat("/policies/it/counters/elsewhere"), failures);

    let ending = proxy(
        "retry-aware",
        "attempts = 1\nretry-after = 9",
        &[(dead[0].1, a), (dead[1].1, b)],
    );
    let answer = ending.ask(request("/", &[]));
    assert_eq!(
        (answer.status, answer.value("retry-after").as_deref()),
        (503, Some("9"))
    );
    assert_eq!(ending.stat("/policies/it/counters/given_up"), 1);
}
