//! How a trial goes: the sums of what the workers counted.

use std::collections::BTreeMap;
use std::sync::atomic::{Ordering, fence};
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::judge::{Arm, RouteScore, Score};
use crate::policy::{Hook, Mode, Stickiness, Trial, WHOLE};
use crate::stats::{ArmShard, Counter, Histogram, HistogramSnapshot, PolicyShard, TrialShard};

/// A trial at one moment.
#[derive(Debug, Clone, Serialize)]
pub struct TrialReport {
    /// `shadow` or `canary`.
    pub mode: &'static str,
    /// The candidate.
    pub generation: u64,
    /// Of its component.
    pub digest: String,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub began: SystemTime,
    /// The share of the requests, in percent.
    pub percent: f64,
    /// What a request's generation is chosen by: `client` or `request`.
    pub by: &'static str,
    /// What went wrong with the candidate.
    pub faults: FaultReport,
    /// Workers that do not ask it for now, because faults of many clients cost too much.
    pub suspended_by_workers: u64,
    /// A shadow's comparison: requests that it was to see.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_compared: Option<u64>,
    /// A shadow's comparison, by hook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<&'static str, HookReport>,
    /// Decisions that differed: the first and the latest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<SampleReport>,
    /// Requests that a canary decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<ArmReport>,
    /// Requests that could have been the canary's and were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<ArmReport>,
    /// What the verdict on a canary compares, by route: of each client only so many requests where
    /// clients stay with their generation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteReport>,
    /// Calls of the candidate, over all hooks.
    pub call_time: Timing,
}

/// What is compared of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteReport {
    /// Its host and path.
    pub route: String,
    /// Requests that the candidate decided.
    pub canary_requests: u64,
    /// Of these, those that failed.
    pub canary_failed: u64,
    /// Half of them were answered faster: the time to the head of the response.
    pub canary_p50_microseconds: u64,
    /// Requests that the active generation decided.
    pub control_requests: u64,
    /// Of these, those that failed.
    pub control_failed: u64,
    /// Half of them were answered faster.
    pub control_p50_microseconds: u64,
}

/// What went wrong.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls for which there was no instance, because none could be built.
    pub unbuilt: u64,
    /// Calls among these on which the active generation failed as well, so that they are not held
    /// against the candidate.
    pub shared: u64,
}

/// One hook's comparison.
#[derive(Debug, Clone, Serialize)]
pub struct HookReport {
    /// Decisions that were compared.
    pub compared: u64,
    /// Decisions that were the same.
    pub agreed: u64,
    /// The share that agreed, 0 to 1.
    pub agreement: f64,
    /// What the active generation took.
    pub active_time: Timing,
    /// What the shadow took.
    pub shadow_time: Timing,
}

/// How long calls took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// How many there were.
    pub calls: u64,
    /// The mean.
    pub mean_nanoseconds: u64,
    /// Half were faster.
    pub p50_nanoseconds: u64,
    /// One in a hundred was slower.
    pub p99_nanoseconds: u64,
}

/// One decision that differed.
#[derive(Debug, Clone, Serialize)]
pub struct SampleReport {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The hook.
    pub hook: &'static str,
    /// The client's address.
    pub client: String,
    /// The request's method.
    pub method: String,
    /// The request's host.
    pub host: String,
    /// The request's path, without its query.
    pub path: String,
    /// What the active generation decided.
    pub active: String,
    /// What the candidate would have decided.
    pub shadow: String,
}

/// One group of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct ArmReport {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, those answered with a status from 500 on, or whose answer broke off.
    pub failed: u64,
    /// Of these, those that the candidate began and the active generation finished, because the
    /// candidate failed.
    pub given_up: u64,
    /// Half were answered faster.
    pub p50_microseconds: u64,
    /// One in a hundred was answered slower.
    pub p99_microseconds: u64,
}

/// Sums up. Counters go on being written meanwhile.
pub fn report(trial: &Trial) -> TrialReport {
    let score = Score::of(trial);
    let shards = &trial.shards;
    let canary = matches!(trial.mode, Mode::Canary(_));
    let calls = add_up(shards.iter().flat_map(|s| &s.candidate.hook_nanoseconds));
    let samples = trial.samples().into_iter().map(|s| SampleReport {
        time: s.time,
        hook: s.hook.name(),
        client: s.client.to_string(),
        method: s.method,
        host: s.host,
        path: s.path,
        active: s.active,
        shadow: s.shadow,
    });
    TrialReport {
        mode: if canary { "canary" } else { "shadow" },
        generation: trial.generation.number(),
        digest: trial.generation.digest().to_owned(),
        began: trial.began,
        percent: f64::from(trial.share()) * 100.0 / f64::from(WHOLE),
        by: if trial.mode == Mode::Canary(Stickiness::Client) {
            "client"
        } else {
            "request"
        },
        faults: FaultReport {
            traps: score.traps,
            deadlines: score.deadlines,
            invalid: score.invalid,
            unbuilt: score.unbuilt,
            shared: score.shared_faults,
        },
        suspended_by_workers: shards.iter().filter(|s| s.candidate.is_suspended()).count() as u64,
        requests_compared: (!canary).then(|| shards.iter().map(|s| s.shadowed.value()).sum()),
        hooks: Hook::ALL
            .into_iter()
            .filter_map(|hook| Some((hook.name(), HookReport::of(shards, hook)?)))
            .collect(),
        samples: samples.collect(),
        canary: canary.then(|| arm(shards, |s| &s.canary)),
        control: canary.then(|| arm(shards, |s| &s.control)),
        routes: score.routes.iter().map(RouteReport::of).collect(),
        call_time: Timing::of(&calls),
    }
}

impl RouteReport {
    fn of(route: &RouteScore) -> Self {
        Self {
            route: route.name.clone(),
            canary_requests: route.canary.requests,
            canary_failed: route.canary.failed,
            canary_p50_microseconds: route.canary_times.quantile(0.5),
            control_requests: route.control.requests,
            control_failed: route.control.failed,
            control_p50_microseconds: route.control_times.quantile(0.5),
        }
    }
}

impl Score {
    /// What was counted so far.
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
            // A shadow fails nobody's request, but its faults are held against those that it saw.
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
            // After the deadlines, of which it is a part.
            late: fault(|s| &s.late),
            faults_in_question: in_question(shards),
            shared_faults: sum(|s| &s.shared_faults),
            routes: by_route(shards, routes),
        }
    }
}

/// Read after the faults and before those that are shared: a fault that was counted is then one of
/// the former, or settled.
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

impl HookReport {
    /// `None` if the hook was not compared.
    fn of<S: AsRef<TrialShard>>(shards: &[S], hook: Hook) -> Option<Self> {
        let all = || shards.iter().map(|s| &s.as_ref().compared[hook.index()]);
        let compared: u64 = all().map(|c| c.decisions.value()).sum();
        // One that is counted between the two sums is not held against the agreement.
        let agreed = all().map(|c| c.agreed.value()).sum::<u64>().min(compared);
        (compared > 0).then(|| Self {
            compared,
            agreed,
            agreement: agreed as f64 / compared as f64,
            active_time: Timing::of(&add_up(all().map(|c| &c.active_nanoseconds))),
            shadow_time: Timing::of(&add_up(all().map(|c| &c.shadow_nanoseconds))),
        })
    }
}

impl Timing {
    fn of(calls: &HistogramSnapshot) -> Self {
        Self {
            calls: calls.count,
            mean_nanoseconds: calls.mean(),
            p50_nanoseconds: calls.quantile(0.5),
            p99_nanoseconds: calls.quantile(0.99),
        }
    }
}

fn arm<S: AsRef<TrialShard>>(shards: &[S], of: fn(&TrialShard) -> &ArmShard) -> ArmReport {
    let all = || shards.iter().map(|s| of(s.as_ref()));
    let times = add_up(all().map(|a| &a.microseconds));
    ArmReport {
        requests: all().map(|a| a.requests.value()).sum(),
        failed: all().map(|a| a.failed.value()).sum(),
        given_up: all().map(|a| a.given_up.value()).sum(),
        p50_microseconds: times.quantile(0.5),
        p99_microseconds: times.quantile(0.99),
    }
}

fn add_up<'a>(histograms: impl Iterator<Item = &'a Histogram>) -> HistogramSnapshot {
    let mut sum = HistogramSnapshot::default();
    histograms.for_each(|h| sum.add(h));
    sum
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = (*time).max(SystemTime::UNIX_EPOCH);
    serializer.serialize_str(&humantime::format_rfc3339_millis(time).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Rollout;
    use crate::rollout::judge;

    #[test]
    fn everything_that_workers_count_is_in_the_score() {
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
            assert_eq!(verdict(), None, "one was the request's doing");
            of(&shards[1].candidate).add(1);
            shards[0].in_question.increment();
            assert_eq!(verdict(), None, "one may be");
            shards[0].in_question.decrement();
            assert!(verdict().is_some(), "it was not");
        }
    }
}
