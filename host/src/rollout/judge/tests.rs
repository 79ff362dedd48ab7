use proptest::prelude::*;

use super::*;
use crate::stats::Histogram;

const RULES: Rollout = Rollout {
    max_faults: 3,
    failure_margin: 0.05,
    min_requests: 20,
    latency_margin: 0.5,
};

fn arm((requests, failed): (u64, u64)) -> Arm {
    Arm { requests, failed }
}

fn route(name: &str, canary: (u64, u64), control: (u64, u64)) -> RouteScore {
    RouteScore {
        name: name.to_owned(),
        canary: arm(canary),
        control: arm(control),
        ..RouteScore::default()
    }
}

fn of(routes: Vec<RouteScore>) -> Score {
    let sum = |of: fn(&RouteScore) -> u64| routes.iter().map(of).sum();
    let canary = Arm {
        requests: sum(|r| r.canary.requests),
        failed: sum(|r| r.canary.failed),
    };
    Score {
        canary,
        weighed: canary,
        routes,
        ..Score::default()
    }
}

fn score(canary: (u64, u64), control: (u64, u64)) -> Score {
    of(vec![route("a/", canary, control)])
}

fn withdrawn(canary: (u64, u64), control: (u64, u64)) -> bool {
    judge(&score(canary, control), &RULES).is_some()
}

#[test]
fn faults_withdraw_at_once_and_few_among_many_do_not() {
    let with = |traps, requests| Score {
        traps,
        ..score((requests, 0), (1000, 0))
    };
    assert_eq!(judge(&with(2, 10), &RULES), None);
    assert!(judge(&with(3, 10), &RULES).is_some_and(|r| r.contains("3 traps")));
    assert!(judge(&with(3, 1000), &RULES).is_some());
    // In proportion beyond the first thousand: 3 of 1,333 are 3.999, which is 3 as well.
    assert!(judge(&with(3, 1333), &RULES).is_some());
    assert_eq!(judge(&with(3, 1334), &RULES), None);
    assert_eq!(judge(&with(29, 10_000), &RULES), None);
    assert!(judge(&with(30, 10_000), &RULES).is_some());
    assert_eq!(judge(&with(0, 0), &RULES), None);
    let one = Rollout {
        max_faults: 1,
        ..RULES
    };
    assert_eq!(judge(&with(0, 10), &one), None);
    assert!(judge(&with(1, 10), &one).is_some());
}

#[test]
fn all_kinds_of_faults_add_up_and_shared_ones_do_not_count() {
    let faults = Score {
        traps: 1,
        deadlines: 1,
        invalid: 1,
        unbuilt: 1,
        ..score((10, 0), (10, 0))
    };
    let four = Rollout {
        max_faults: 4,
        ..RULES
    };
    assert!(judge(&faults, &four).is_some_and(|r| r.contains("1 call without an instance")));
    assert_eq!(
        judge(
            &faults,
            &Rollout {
                max_faults: 5,
                ..RULES
            }
        ),
        None
    );
    assert_eq!(
        judge(
            &Score {
                shared_faults: 1,
                ..faults.clone()
            },
            &four
        ),
        None
    );
    assert_eq!(
        judge(
            &Score {
                late: 1,
                ..faults.clone()
            },
            &four
        ),
        None,
        "its answer was used"
    );
    assert_eq!(
        judge(
            &Score {
                shared_faults: 9,
                ..faults
            },
            &four
        ),
        None,
        "the counts of two workers need not match"
    );
}

#[test]
fn failures_count_beyond_margin_and_chance() {
    assert!(!withdrawn((19, 19), (100, 0)), "too few to judge");
    assert!(withdrawn((20, 20), (100, 0)));
    assert!(
        !withdrawn((20, 1), (1000, 0)),
        "one of twenty may be bad luck"
    );
    assert!(!withdrawn((1000, 540), (1000, 500)), "within the margin");
    assert!(!withdrawn((1000, 0), (1000, 500)), "better is no reason");
    // The very borders: margin 5 %, three standard errors.
    assert!(!withdrawn((20, 7), (1000, 0)) && withdrawn((20, 8), (1000, 0)));
    assert!(!withdrawn((1000, 616), (1000, 500)) && withdrawn((1000, 617), (1000, 500)));
    assert!(!withdrawn((1000, 75), (1000, 0)) && withdrawn((1000, 76), (1000, 0)));
    assert!(
        judge(
            &score((1000, 76), (1000, 0)),
            &Rollout {
                failure_margin: 0.06,
                ..RULES
            }
        )
        .is_none()
    );
}

#[test]
fn alone_only_a_canary_that_mostly_fails_goes() {
    assert!(!withdrawn((1000, 547), (0, 0)) && withdrawn((1000, 548), (0, 0)));
    assert!(!withdrawn((20, 15), (0, 0)) && withdrawn((20, 16), (0, 0)));
    assert!(!withdrawn((19, 19), (0, 0)));
    assert!(
        withdrawn((20, 20), (4, 0)) && withdrawn((20, 20), (5, 0)),
        "a small control group counts as none"
    );
    assert!(!withdrawn((1000, 500), (4, 0)) && withdrawn((1000, 500), (5, 0)));
    // Sixty failures of one client are four.
    let one_client = Score {
        weighed: arm((4, 4)),
        ..score((60, 60), (0, 0))
    };
    assert_eq!(judge(&one_client, &RULES), None);
    assert_eq!(
        judge(
            &Score {
                own_failures: 59,
                ..one_client.clone()
            },
            &RULES
        ),
        None
    );
    assert!(
        judge(
            &Score {
                own_failures: 60,
                ..one_client
            },
            &RULES
        )
        .is_some(),
        "it refuses everything itself"
    );
    assert_eq!(
        judge(
            &Score {
                own_failures: 19,
                ..score((19, 19), (0, 0))
            },
            &RULES
        ),
        None
    );
}

#[test]
fn fewer_than_five_requests_are_never_judged() {
    let one = Rollout {
        min_requests: 1,
        ..RULES
    };
    assert_eq!(judge(&score((4, 4), (1000, 0)), &one), None);
    assert!(judge(&score((5, 5), (1000, 0)), &one).is_some());
    assert_eq!(
        judge(
            &Score {
                own_failures: 4,
                ..score((4, 4), (0, 0))
            },
            &one
        ),
        None
    );
}

#[test]
fn a_route_that_is_down_is_down_on_both_sides() {
    // 60 % of the canary's requests fail and 1 % of the others, but only on a route that fails
    // for all.
    let down = of(vec![
        route("down/", (600, 600), (10, 10)),
        route("a/", (400, 0), (990, 0)),
    ]);
    assert_eq!(judge(&down, &RULES), None);
    let unseen = of(vec![
        route("down/", (600, 600), (0, 0)),
        route("a/", (400, 0), (1000, 0)),
    ]);
    assert_eq!(
        judge(&unseen, &RULES),
        None,
        "there is nothing to compare with"
    );
    let few = of(vec![
        route("a/", (20, 20), (4, 0)),
        route("b/", (0, 0), (100, 0)),
    ]);
    assert_eq!(
        judge(&few, &RULES),
        None,
        "four are too few to compare with, however many other routes have"
    );
    let enough = of(vec![
        route("a/", (20, 20), (5, 0)),
        route("b/", (0, 0), (100, 0)),
    ]);
    assert!(judge(&enough, &RULES).is_some());
    let bad = of(vec![
        route("down/", (600, 600), (10, 10)),
        route("a/", (400, 60), (990, 0)),
    ]);
    assert!(judge(&bad, &RULES).is_some());
}

#[test]
fn a_small_route_is_not_lost_among_the_others() {
    let with = |failed| {
        of(vec![
            route("a/", (50_000, 0), (50_000, 0)),
            route("small/", (100, failed), (100, 0)),
        ])
    };
    assert_eq!(
        judge(&with(22), &RULES),
        None,
        "the limit is four standard errors"
    );
    assert!(judge(&with(23), &RULES).is_some_and(|reason| reason.contains("to small/")));
    let few = |canary, control| {
        of(vec![
            route("a/", (50_000, 0), (50_000, 0)),
            route("small/", canary, control),
        ])
    };
    assert_eq!(judge(&few((19, 19), (20, 0)), &RULES), None);
    assert_eq!(judge(&few((20, 20), (19, 0)), &RULES), None);
    assert!(judge(&few((20, 20), (20, 0)), &RULES).is_some());
}

/// `requests` on each side; `slow` and `control` are how many of them take how many microseconds.
/// All others take a millisecond.
fn timed(requests: u64, slow: (u64, u64), control: (u64, u64)) -> Score {
    let times = |(number, microseconds): (u64, u64)| {
        let times = Histogram::default();
        (0..requests - number).for_each(|_| times.record(1_000));
        (0..number).for_each(|_| times.record(microseconds));
        let mut sum = HistogramSnapshot::default();
        sum.add(&times);
        sum
    };
    let (canary_times, control_times) = (times(slow), times(control));
    of(vec![RouteScore {
        canary_times,
        control_times,
        ..route("a/", (requests, 0), (requests, 0))
    }])
}

#[test]
fn many_slow_requests_withdraw_and_few_do_not() {
    let verdict = |score: &Score| judge(score, &RULES);
    assert!(
        verdict(&timed(100, (100, 10_000), (0, 0)))
            .is_some_and(|reason| reason.contains("took longer than"))
    );
    assert_eq!(
        verdict(&timed(99, (99, 10_000), (0, 0))),
        None,
        "too few to judge"
    );
    // The limit is 4 standard errors beyond 5 %.
    assert_eq!(verdict(&timed(100, (22, 10_000), (0, 0))), None);
    assert!(verdict(&timed(100, (23, 10_000), (0, 0))).is_some());
    // The bucket of a millisecond ends at 1.023 ms; half of it and `UNNOTICED` more are
    // 2.03 ms.
    assert_eq!(
        verdict(&timed(100, (100, 1_900), (0, 0))),
        None,
        "within the margin"
    );
    assert!(verdict(&timed(100, (100, 2_600), (0, 0))).is_some());
    let wide = Rollout {
        latency_margin: 20.0,
        ..RULES
    };
    assert_eq!(judge(&timed(100, (100, 10_000), (0, 0)), &wide), None);
    assert!(judge(&timed(100, (100, 40_000), (0, 0)), &wide).is_some());
    // One in ten of the control group is slow as well, so that is usual.
    assert_eq!(verdict(&timed(100, (100, 10_000), (10, 10_000))), None);
    assert_eq!(
        verdict(&timed(100, (0, 0), (100, 10_000))),
        None,
        "faster is no reason"
    );
}

proptest! {
    #[test]
    fn what_one_client_may_count_never_decides(
        min_requests in 1..200u64,
        others in 0..5_000u64,
        control in 5..100_000u64,
        margin in 0..20u64,
    ) {
        let rules = Rollout { min_requests, failure_margin: margin as f64 / 100.0, ..RULES };
                    // What `Trial` counts per client: a fixed number, or half the margin.
        let each = (min_requests / LEAST_JUDGED).clamp(1, 4);
        let bad = each.max((others as f64 * rules.failure_margin / 2.0) as u64);
        let score = score((others + bad, bad), (control, 0));
        prop_assert_eq!(judge(&score, &rules), None);
    }
}
