//! `pools`, `mirror`, `timeouts` and `body-bytes` of a route.

use super::*;

const POOLS: &str = "[pools.a]\nbackends = \"a\"\nattempts = 3\n[pools.b]\nbackends = \"b\"\n";

fn text(keys: &str) -> String {
    format!("{POOLS}[timeouts]\nsend = \"7s\"\n[[routes]]\n{keys}")
}

fn traffic(keys: &str) -> Traffic {
    load(&text(keys)).routes[0].traffic.clone()
}

#[test]
fn pools_have_weights_and_retries_of_their_own() {
    let seen = |keys: &str| -> Vec<(usize, u32, u32)> {
        let targets = traffic(keys).targets;
        let each = targets.iter();
        each.map(|to| (to.pool, to.weight, to.retry.attempts))
            .collect()
    };
    let default = RetryPolicy::default().attempts;
    assert_eq!(seen("pool = \"b\""), [(1, 1, default)]);
    assert_eq!(seen("pools = [\"b\", \"a\"]"), [(1, 1, default), (0, 1, 3)]);
    let weighted = "pools = [{ pool = \"a\", weight = 0 }, { pool = \"b\", weight = 9 }]";
    assert_eq!(seen(weighted), [(0, 0, 3), (1, 9, default)]);
    let of_route = format!("{weighted}\nretry = {{ attempts = 5 }}");
    assert_eq!(seen(&of_route), [(0, 0, 5), (1, 9, 5)]);
}

#[test]
fn a_mirror_is_a_pool_with_bounds() {
    let all = Mirror {
        pool: 1,
        millionths: 1_000_000,
        at_most: 64,
        body: 64 << 10,
    };
    let one = traffic("pool = \"a\"\nmirror = \"b\"").mirror;
    assert_eq!(one.as_ref(), Some(&all));
    let keys = "pool = \"a\"\n\
                mirror = { pool = \"b\", share = 0.25, at-most = 3, body = \"1KiB\" }";
    let some = Mirror {
        millionths: 250_000,
        at_most: 3,
        body: 1024,
        ..all
    };
    assert_eq!(traffic(keys).mirror, Some(some));
    let config = load(&text("pool = \"a\"\nmirror = \"b\""));
    assert_eq!(config.warnings, [""; 0], "a route leads to both pools");
    assert!(config.pools[1].is_mirror && !config.pools[0].is_mirror);
}

#[test]
fn time_outs_of_a_route_are_over_those_of_all() {
    let keys = "pool = \"a\"\ntimeouts = { response = \"2s\", tunnel-idle = \"3s\" }";
    let expected = Timeouts {
        response: Duration::from_secs(2),
        tunnel_idle: Duration::from_secs(3),
        send: Duration::from_secs(7),
        ..Timeouts::default()
    };
    assert_eq!(traffic(keys).timeouts.as_deref(), Some(&expected));
    let same = traffic("pool = \"a\"\ntimeouts = { send = \"7s\" }");
    assert_eq!(same.timeouts, None);
    assert_eq!(traffic("pool = \"a\"").timeouts, None);
    assert_eq!(traffic("pool = \"a\"").body_bytes, None);
    let bounded = traffic("pool = \"a\"\nbody-bytes = \"1KiB\"");
    assert_eq!(bounded.body_bytes, Some(1024));
}

#[test]
fn wrong_traffic_is_an_error() {
    for (keys, line, key, words) in [
        ("pools = []", 9, "routes.pools", "is empty"),
        ("pools = [\"c\"]", 9, "routes.pools", "no pool \"c\""),
        ("pools = [\"a\", \"a\"]", 9, "routes.pools", "listed twice"),
        ("pools = \"a\"", 9, "routes.pools", "a list"),
        (
            "pools = [{ weight = 1 }]",
            9,
            "routes.pools",
            "has no `pool`",
        ),
        (
            "pools = [{ pool = \"a\", weight = 0 }]",
            9,
            "routes.pools",
            "no pool with a weight",
        ),
        (
            "pools = [{ pool = \"a\", weight = -1 }]",
            9,
            "routes.pools.weight",
            "0 to 1000000",
        ),
        (
            "pool = \"a\"\npools = [\"b\"]",
            10,
            "routes.pools",
            "beside `pool`",
        ),
        (
            "pool = \"a\"\nmirror = \"c\"",
            10,
            "routes.mirror",
            "no pool \"c\"",
        ),
        (
            "pool = \"a\"\nmirror = {}",
            10,
            "routes.mirror",
            "has no `pool`",
        ),
        (
            "pool = \"a\"\nmirror = { pool = \"b\", share = 2 }",
            10,
            "routes.mirror.share",
            "0 to 1",
        ),
        (
            "pool = \"a\"\nmirror = { pool = \"b\", at-most = 0 }",
            10,
            "routes.mirror.at-most",
            "1 to",
        ),
        (
            "pool = \"a\"\ntimeouts = { response = \"0s\" }",
            10,
            "routes.timeouts.response",
            "out of range",
        ),
        (
            "pool = \"a\"\ntimeouts = { drain = \"1s\" }",
            10,
            "routes.timeouts.drain",
            "unknown key",
        ),
        (
            "pool = \"a\"\nbody-bytes = -1",
            10,
            "routes.body-bytes",
            "-1",
        ),
        (
            "respond = { status = 204 }\nbody-bytes = 1",
            9,
            "routes.respond",
            "`body-bytes` would do nothing",
        ),
        (
            "respond = { status = 204 }\npools = [\"a\"]",
            9,
            "routes.respond",
            "one answer too many",
        ),
    ] {
        assert_error(&text(keys), line, key, words);
    }
}

#[test]
fn what_is_hardly_meant_is_a_warning() {
    for (keys, key, words) in [
        ("mirror = \"a\"", "routes.mirror", "twice"),
        (
            "mirror = { pool = \"b\", share = 0 }",
            "routes.mirror.share",
            "no request",
        ),
        (
            "upgrade = []\ntimeouts = { tunnel-idle = \"1s\" }",
            "routes.timeouts.tunnel-idle",
            "no `upgrade`",
        ),
        (
            "retry = { try-timeout = \"2s\" }\ntimeouts = { response = \"1s\" }",
            "routes.retry.try-timeout",
            "after 1s",
        ),
    ] {
        let all = load(&text(&format!("pools = [\"a\", \"b\"]\n{keys}"))).warnings;
        let of_key = |warning: &str| warning.contains(&format!("`{key}`"));
        let found: Vec<_> = all.iter().filter(|warning| of_key(warning)).collect();
        assert!(found.len() == 1 && found[0].contains(words), "{all:#?}");
    }
}
