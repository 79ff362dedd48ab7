//! Whether a canary is to be withdrawn.

use crate::config::Rollout;
use crate::policy::LEAST_JUDGED;
use crate::stats::HistogramSnapshot;

/// So many standard errors a difference must be beyond the margin: a canary is not withdrawn for
/// bad luck.
const CONFIDENCE: f64 = 3.0;
/// The same where many are looked at, so that chance has a choice.
const CONFIDENCE_OF_MANY: f64 = 4.0;
/// With fewer requests of a control group there is nothing to compare with.
const LEAST_CONTROL: u64 = 5;
/// Where there is nothing to compare with (all requests are the canary's), this share of failures
/// is too much.
const BAD_ALONE: f64 = 0.5;
/// `max-faults` is meant for a canary's first thousand requests; after that faults are held against
/// their number.
const FIRST_REQUESTS: u64 = 1_000;
/// A quantile needs so many times `min-requests`, on both sides.
const LATENCY_SAMPLE: u64 = 5;
/// Requests of the control group that are faster than what is compared with ...
const NEARLY_ALL: f64 = 0.95;
/// ... of which so many more of the canary's may be slower.
const SLOW: f64 = 0.05;
/// What no client notices, in microseconds.
const UNNOTICED: u64 = 500;

/// What was counted for one of the two generations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arm {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: u64,
}

/// What a canary is judged by.
#[derive(Debug, Clone, Default)]
pub struct Score {
    /// The candidate's requests.
    pub canary: Arm,
    /// Of those that failed, those that the candidate failed or answered itself.
    pub own_failures: u64,
    /// Of the candidate's requests those that count alone: of each client only so many.
    pub weighed: Arm,
    /// Calls of the candidate that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Of these, those whose answer was used. They are not held against the candidate, because
    /// clients know which requests take long: what it takes is compared with what the active
    /// generation takes.
    pub late: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls for which there was no instance, because none could be built.
    pub unbuilt: u64,
    /// Calls under way, one a worker at most: their faults may be counted and turn out to be
    /// shared.
    pub faults_in_question: u64,
    /// Calls among these on which the active generation failed as well.
    pub shared_faults: u64,
    /// What is compared, by route.
    pub routes: Vec<RouteScore>,
}

/// What is compared of one route.
#[derive(Debug, Clone, Default)]
pub struct RouteScore {
    /// Its host and path.
    pub name: String,
    /// The candidate's requests.
    pub canary: Arm,
    /// The active generation's.
    pub control: Arm,
    /// The time to the head of the response in microseconds, of the candidate's.
    pub canary_times: HistogramSnapshot,
    /// Of the active generation's.
    pub control_times: HistogramSnapshot,
}

/// Why this canary is to be withdrawn, if it is.
pub fn judge(score: &Score, rules: &Rollout) -> Option<String> {
    let least = rules.min_requests.max(LEAST_JUDGED);
    let control: u64 = score
        .routes
        .iter()
        .map(|route| route.control.requests)
        .sum();
    faulty(score, rules)
        .or_else(|| {
            if control < LEAST_CONTROL {
                failing_alone(score, least)
            } else {
                failing(score, rules, least)
            }
        })
        .or_else(|| {
            score
                .routes
                .iter()
                .find_map(|route| slow(route, rules, least))
        })
}

fn faulty(score: &Score, rules: &Rollout) -> Option<String> {
    let Score {
        canary,
        traps,
        invalid,
        unbuilt,
        shared_faults,
        faults_in_question,
        ..
    } = *score;
    let deadlines = score.deadlines.saturating_sub(score.late);
    let faults =
        (traps + deadlines + invalid + unbuilt).saturating_sub(shared_faults + faults_in_question);
    let allowed = rules
        .max_faults
        .saturating_mul(canary.requests.max(FIRST_REQUESTS))
        / FIRST_REQUESTS;
    (faults > 0 && faults >= allowed).then(|| {
        format!(
            "{faults} faults ({traps} traps, {deadlines} missed deadlines, {invalid} invalid answers, {unbuilt} calls without \
             an instance) in {} requests",
            canary.requests
        )
    })
}

/// There is no control group: one client must not be taken for all, unless it is the candidate
/// itself that refuses everything.
fn failing_alone(score: &Score, least: u64) -> Option<String> {
    let Score {
        canary,
        own_failures,
        weighed,
        ..
    } = *score;
    let certain = weighed.share() - CONFIDENCE * weighed.variance().sqrt();
    let mostly = weighed.requests >= least && certain > BAD_ALONE;
    let refuses_all = canary.requests >= least && own_failures == canary.requests;
    (mostly || refuses_all).then(|| {
        let all = if mostly { weighed } else { canary };
        format!(
            "{:.1} % of its {} requests failed, and there is no control group",
            all.share() * 100.0,
            all.requests
        )
    })
}

/// Compared route by route: as a mean over all routes, in which one whose backends are down weighs
/// nothing because it fails on both sides, and each route by itself, so that a small one is not
/// lost among the others.
fn failing(score: &Score, rules: &Rollout, least: u64) -> Option<String> {
    let pairs = || {
        score
            .routes
            .iter()
            .map(|route| (route.canary, route.control))
    };
    if let Some([canary, control]) = worse_on_average(pairs(), least, rules.failure_margin) {
        return Some(failures(canary, control, ""));
    }
    let worse = score.routes.iter().find(|route| {
        route.canary.requests >= least
            && route.control.requests >= least
            && route
                .canary
                .is_worse(route.control, rules.failure_margin, CONFIDENCE_OF_MANY)
    })?;
    Some(failures(
        worse.canary,
        worse.control,
        &format!(" to {}", worse.name),
    ))
}

fn failures(canary: Arm, control: Arm, to: &str) -> String {
    format!(
        "{:.1} % of its {} requests{to} failed, of the control group's {} it is {:.1} %",
        canary.share() * 100.0,
        canary.requests,
        control.requests,
        control.share() * 100.0
    )
}

/// The sums of both sides over the routes that both have requests of, if the difference is beyond
/// margin and chance.
fn worse_on_average(
    pairs: impl Iterator<Item = (Arm, Arm)>,
    least: u64,
    margin: f64,
) -> Option<[Arm; 2]> {
    let (mut weights, mut difference, mut variance) = (0.0, 0.0, 0.0);
    let mut sums = [Arm::default(); 2];
    for (canary, control) in
        pairs.filter(|(canary, control)| canary.requests > 0 && control.requests > 0)
    {
        let (n, m) = (canary.requests as f64, control.requests as f64);
        // The weight of a difference of two shares that makes their mean the most certain (Mantel
        // and Haenszel).
        let weight = n * m / (n + m);
        weights += weight;
        difference += weight * (canary.share() - control.share());
        variance += weight * weight * (canary.variance() + control.variance());
        for (sum, arm) in sums.iter_mut().zip([canary, control]) {
            sum.requests += arm.requests;
            sum.failed += arm.failed;
        }
    }
    let enough = sums[0].requests >= least && sums[1].requests >= LEAST_CONTROL;
    (enough && difference - margin * weights > CONFIDENCE * variance.sqrt()).then_some(sums)
}

/// Whether many more of the canary's requests than of the control group's take longer than nearly
/// all of the control group's do, and the margin. A few slow requests change nothing, so neither do
/// a few clients.
fn slow(route: &RouteScore, rules: &Rollout, least: u64) -> Option<String> {
    let sample = least.saturating_mul(LATENCY_SAMPLE);
    if route.canary.requests < sample || route.control.requests < sample {
        return None;
    }
    let usual = route.control_times.quantile(NEARLY_ALL);
    let bound = (usual as f64 * (1.0 + rules.latency_margin)) as u64;
    let bound = bound.saturating_add(UNNOTICED);
    let slower = |times: &HistogramSnapshot| Arm {
        requests: times.count,
        failed: times.above(bound),
    };
    let (canary, control) = (slower(&route.canary_times), slower(&route.control_times));
    canary.is_worse(control, SLOW, CONFIDENCE_OF_MANY).then(|| {
        format!(
            "{:.1} % of its {} requests to {} took longer than {:.1} ms, of the control group's {} it is {:.1} %",
            canary.share() * 100.0,
            canary.requests,
            route.name,
            bound as f64 / 1_000.0,
            control.requests,
            control.share() * 100.0
        )
    })
}

impl Arm {
    fn share(self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// Of the share; smoothed, so that a few requests without a failure are not taken for
    /// certainty.
    fn variance(self) -> f64 {
        let n = self.requests as f64 + 2.0;
        let p = (self.failed as f64 + 1.0) / n;
        p * (1.0 - p) / n
    }

    fn is_worse(self, control: Self, margin: f64, confidence: f64) -> bool {
        let error = (self.variance() + control.variance()).sqrt();
        self.share() - control.share() - margin > confidence * error
    }
}

#[cfg(test)]
mod tests {
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
        assert!(judge(&faults, &four).is_some_and(|r| r.contains("1 calls without an instance")));
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
            "two workers' counts need not fit"
        );
    }

    #[test]
    fn failures_count_beyond_margin_and_chance() {
        assert!(!withdrawn((19, 19), (100, 0)), "too few to tell");
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
            "with few to compare with it is alone"
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
        // Of the canary's requests 60 % fail, of the others' 1 %: but only on a route that fails
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
        assert_eq!(judge(&unseen, &RULES), None, "nobody else has tried it");
        let few = of(vec![
            route("a/", (20, 20), (4, 0)),
            route("b/", (0, 0), (100, 0)),
        ]);
        assert_eq!(
            judge(&few, &RULES),
            None,
            "four are too few to compare with, whatever others there are elsewhere"
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
            "its border is at four standard errors"
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

    /// This many requests on each side, of which so many take this long; all others take a
    /// millisecond.
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
            "too few to tell"
        );
        // The border is that of 4 standard errors beyond 5 %.
        assert_eq!(verdict(&timed(100, (22, 10_000), (0, 0))), None);
        assert!(verdict(&timed(100, (23, 10_000), (0, 0))).is_some());
        // The bucket of a millisecond ends at 1.023 ms; with half of it and what nobody notices
        // that is 2.03 ms.
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
            // As `Trial` counts: so many in any case, or half the margin.
            let each = (min_requests / LEAST_JUDGED).clamp(1, 4);
            let bad = each.max((others as f64 * rules.failure_margin / 2.0) as u64);
            let score = score((others + bad, bad), (control, 0));
            prop_assert_eq!(judge(&score, &rules), None);
        }
    }
}
