//! `retry`, `retry-buffer`, `request-buffering` and `hedge`.

use super::*;

const POOL: &str = "[pools.a]\nbackends = \"b\"\n";

/// The policy of the only route, whose pool and itself have these keys.
fn policy(pool: &str, route: &str) -> RetryPolicy {
    let text = format!("{POOL}{pool}\n[[routes]]\npool = \"a\"\n{route}");
    load(&text).routes[0].traffic.targets[0].retry.clone()
}

#[test]
fn a_route_changes_single_keys_of_its_pools_policy() {
    let default = RetryPolicy::default();
    assert_eq!(policy("", ""), default);
    assert!(default.repeats_status(503) && default.on.timeout && !default.looks_at_grpc());
    for status in [200, 404, 500, 502, 504, 599, 600, 999] {
        assert!(!default.repeats_status(status), "{status}");
    }
    let pool = "attempts = 3\nretry-buffer = \"1KiB\"\nhedge = { after = \"p95\" }\n\
                retry = { on = [502, \"grpc-unavailable\"], back-off = \"1ms\", \
                budget = { share = 0.5 } }";
    let of_pool = policy(pool, "");
    assert_eq!((of_pool.attempts, of_pool.buffer), (3, 1024));
    assert_eq!(of_pool.hedge, Some(HedgeAfter::Percentile(95)));
    assert_eq!(of_pool.back_off_most, Duration::from_millis(10));
    assert_eq!((of_pool.budget.thousandths, of_pool.budget.least), (500, 3));
    assert!(of_pool.repeats_status(502) && !of_pool.repeats_status(503));
    assert!(of_pool.repeats_grpc(b"14") && !of_pool.repeats_grpc(b"8"));
    for code in ["", "x", "-1", "46", "99999999999"] {
        assert!(!of_pool.repeats_grpc(code.as_bytes()), "{code}");
    }
    let route = "retry = { attempts = 1, try-timeout = \"2s\", budget = { least = 0 } }\n\
                 hedge = false\nrequest-buffering = true";
    let expected = RetryPolicy {
        attempts: 1,
        try_timeout: Some(Duration::from_secs(2)),
        budget: RetryBudget {
            thousandths: 500,
            least: 0,
        },
        hedge: None,
        buffering: 1 << 20,
        ..of_pool
    };
    assert_eq!(policy(pool, route), expected);
    let hedge = policy("hedge = { after = \"30ms\", at-most = 1 }", "").hedge;
    assert_eq!(hedge, Some(HedgeAfter::Time(Duration::from_millis(30))));
    assert_eq!(
        policy("hedge = { after = \"p50\" }", "hedge = { at-most = 0 }").hedge,
        None
    );
    assert_eq!(
        policy("hedge = { after = \"p50\", at-most = 0 }", "").hedge,
        None
    );
    assert!(!policy("retry = { on = [] }", "").on.connect);
}

#[test]
fn wrong_policies_are_errors() {
    for (keys, key, words) in [
        ("retry = 3", "retry", "a table"),
        ("retry = { attempts = 0 }", "retry.attempts", "1 to 100"),
        ("retry = { on = [\"5xx\"] }", "retry.on", "\"connect\""),
        ("retry = { on = [200] }", "retry.on", "400 to 599"),
        ("retry = { on = [\"503\"] }", "retry.on", "without quotes"),
        (
            "retry = { try-timeout = \"0s\" }",
            "retry.try-timeout",
            "out of range",
        ),
        (
            "retry = { back-off = \"2m\" }",
            "retry.back-off",
            "out of range",
        ),
        (
            "retry = { back-off = { base = \"2ms\", most = \"1ms\" } }",
            "retry.back-off.most",
            "less than `base`",
        ),
        (
            "retry = { budget = { share = 20 } }",
            "retry.budget.share",
            "0 to 1",
        ),
        ("retry-buffer = \"1GiB\"", "retry-buffer", "out of range"),
        (
            "request-buffering = \"0\"",
            "request-buffering",
            "out of range",
        ),
        ("hedge = true", "hedge", "when"),
        ("hedge = {}", "hedge", "has no `after`"),
        ("hedge = { after = \"p5\" }", "hedge.after", "p50"),
        ("hedge = { after = \"0s\" }", "hedge.after", "out of range"),
        (
            "hedge = { after = \"p95\", at-most = 2 }",
            "hedge.at-most",
            "0 to 1",
        ),
    ] {
        let text = format!("{POOL}{keys}");
        assert_error(&text, 3, &format!("pools.a.{key}"), words);
    }
    let twice = format!("{POOL}retry = {{ attempts = 2 }}\nattempts = 3");
    assert_error(&twice, 4, "pools.a.attempts", "`retry` as well");
}
