//! The workers' counts of a trial, summed up for the verdict.

use std::collections::BTreeMap;
use std::sync::atomic::{Ordering, fence};

use super::judge::{Arm, RouteScore, Score};
use crate::policy::Trial;
use crate::stats::{Counter, PolicyShard, TrialShard};

impl Score {
    /// The counts so far.
    pub fn of(trial: &Trial) -> Self {
        Self::sum(&trial.shards, &trial.routes)
    }

    fn sum<S: AsRef<TrialShard>>(shards: &[S], routes: &[String]) -> Self {
        let sum = |of: fn(&TrialShard) -> &Counter| {
            shards.iter().map(|s| of(s.as_ref()).value()).sum::<u64>()
        };
        let fault = |of: fn(&PolicyShard) -> &Counter| {
            shards
                .iter()
                .map(|s| of(&s.as_ref().candidate).value())
                .sum()
        };
        Self {
            // A shadow fails no request, but its faults are judged by the number it saw.
            canary: Arm {
                requests: sum(|s| &s.canary.requests) + sum(|s| &s.shadowed),
                failed: sum(|s| &s.canary.failed),
            },
            own_failures: sum(|s| &s.canary.own_failures),
            weighed: Arm {
                requests: sum(|s| &s.canary.weighed),
                failed: sum(|s| &s.canary.weighed_failed),
            },
            traps: fault(|s| &s.traps),
            deadlines: fault(|s| &s.deadlines),
            invalid: fault(|s| &s.invalid),
            unbuilt: fault(|s| &s.unbuilt),
            // Read after the deadlines, of which it is a part.
            late: fault(|s| &s.late),
            faults_in_question: in_question(shards),
            shared_faults: sum(|s| &s.shared_faults),
            routes: by_route(shards, routes),
        }
    }
}

/// Read after the faults and before the shared ones: a counted fault is then in question or
/// settled.
fn in_question<S: AsRef<TrialShard>>(shards: &[S]) -> u64 {
    fence(Ordering::Acquire);
    let in_question = shards.iter().map(|s| s.as_ref().in_question.value()).sum();
    fence(Ordering::Acquire);
    in_question
}

fn by_route<S: AsRef<TrialShard>>(shards: &[S], names: &[String]) -> Vec<RouteScore> {
    let mut routes: BTreeMap<usize, RouteScore> = BTreeMap::new();
    for (number, arms) in shards
        .iter()
        .flat_map(|shard| shard.as_ref().judged.counted())
    {
        let route = routes.entry(number).or_default();
        for (sum, times, arm) in [
            (&mut route.canary, &mut route.canary_times, &arms.canary),
            (&mut route.control, &mut route.control_times, &arms.control),
        ] {
            sum.requests += arm.requests.value();
            sum.failed += arm.failed.value();
            times.add(&arm.microseconds);
        }
    }
    let named = |(number, route)| RouteScore {
        name: names.get(number).cloned().unwrap_or_default(),
        ..route
    };
    routes.into_iter().map(named).collect()
}

#[cfg(test)]
mod tests {
    use super::super::judge::judge;
    use super::super::report::RouteReport;
    use super::*;
    use crate::config::Rollout;

    #[test]
    fn every_counter_of_the_workers_is_in_the_score() {
        let shards: [std::sync::Arc<TrialShard>; 2] = Default::default();
        for shard in &shards {
            let counters = [
                &shard.canary.requests,
                &shard.shadowed,
                &shard.canary.failed,
                &shard.canary.own_failures,
                &shard.canary.weighed,
                &shard.canary.weighed_failed,
                &shard.candidate.traps,
                &shard.candidate.deadlines,
                &shard.candidate.invalid,
                &shard.candidate.unbuilt,
                &shard.shared_faults,
                &shard.candidate.late,
            ];
            counters
                .iter()
                .zip(1..)
                .for_each(|(counter, n)| counter.add(n));
            let arms = shard.judged.route(1);
            [(&arms.canary, 20), (&arms.control, 30)]
                .iter()
                .for_each(|(arm, n)| {
                    arm.requests.add(*n);
                    arm.failed.add(n / 10);
                    arm.microseconds.record(*n);
                });
        }
        shards[0].judged.route(2).canary.requests.add(5);
        let names = ["a/", "b/", "c/"].map(str::to_owned);
        let score = Score::sum(&shards, &names);
        assert_eq!(
            (score.canary, score.own_failures),
            (
                Arm {
                    requests: 6,
                    failed: 6
                },
                8
            )
        );
        assert_eq!(
            score.weighed,
            Arm {
                requests: 10,
                failed: 12
            }
        );
        assert_eq!(
            (score.traps, score.deadlines, score.invalid, score.unbuilt),
            (14, 16, 18, 20)
        );
        assert_eq!((score.shared_faults, score.late), (22, 24));
        let [b, c] = &score.routes[..] else {
            panic!("{:?}", score.routes)
        };
        assert_eq!(
            (b.name.as_str(), b.canary, b.control),
            (
                "b/",
                Arm {
                    requests: 40,
                    failed: 4
                },
                Arm {
                    requests: 60,
                    failed: 6
                }
            )
        );
        assert_eq!((b.canary_times.sum, b.control_times.count), (40, 2));
        assert_eq!((c.name.as_str(), c.canary.requests), ("c/", 5));
        assert_eq!(RouteReport::of(b).control_requests, 60);
    }

    #[test]
    fn each_kind_of_fault_withdraws_a_canary() {
        for of in [
            (|s: &PolicyShard| &s.traps) as fn(&PolicyShard) -> &Counter,
            |s| &s.deadlines,
            |s| &s.invalid,
            |s| &s.unbuilt,
        ] {
            let shards: [std::sync::Arc<TrialShard>; 2] = Default::default();
            let verdict = || judge(&Score::sum(&shards, &[]), &Rollout::default());
            of(&shards[0].candidate).add(1);
            of(&shards[1].candidate).add(1);
            assert_eq!(verdict(), None);
            of(&shards[1].candidate).add(1);
            assert!(verdict().is_some_and(|reason| reason.contains("3 faults")));
            shards[0].shared_faults.increment();
            assert_eq!(verdict(), None, "the request caused one of them");
            of(&shards[1].candidate).add(1);
            shards[0].in_question.increment();
            assert_eq!(verdict(), None, "the request may have caused one of them");
            shards[0].in_question.decrement();
            assert!(verdict().is_some(), "the request did not cause it");
        }
    }
}
