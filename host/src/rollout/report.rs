//! The report on a trial: the sums of the workers' counters.

use std::collections::BTreeMap;
use std::time::SystemTime;

use serde::{Serialize, Serializer};

use super::judge::{RouteScore, Score};
use crate::policy::{Hook, Mode, Stickiness, Trial, WHOLE};
use crate::stats::{ArmShard, HistogramSnapshot, TrialShard};

/// A trial at one moment, as the admin API shows it.
#[derive(Debug, Clone, Serialize)]
pub struct TrialReport {
    /// `shadow` or `canary`.
    pub mode: &'static str,
    /// The candidate's number.
    pub generation: u64,
    /// The digest of its component.
    pub digest: String,
    /// The hooks that the candidate exports.
    pub exports: Vec<&'static str>,
    /// When the trial began.
    #[serde(serialize_with = "rfc3339")]
    pub began: SystemTime,
    /// The share of the requests, in percent.
    pub percent: f64,
    /// How a request's generation is chosen: by `client` or by `request`.
    pub by: &'static str,
    /// The candidate's faults.
    pub faults: FaultReport,
    /// Workers that have suspended it, because faults of many clients cost too much.
    pub suspended_by_workers: u64,
    /// A shadow's comparison: requests sent to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_compared: Option<u64>,
    /// A shadow's comparison, by hook.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub hooks: BTreeMap<&'static str, HookReport>,
    /// Decisions that differed: the first ones and the latest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub samples: Vec<SampleReport>,
    /// Requests that a canary decided.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub canary: Option<ArmReport>,
    /// Requests that could have gone to the canary and did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub control: Option<ArmReport>,
    /// What the verdict on a canary compares, by route: a limited number of requests per client
    /// where clients stay with their generation.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub routes: Vec<RouteReport>,
    /// Calls of the candidate, over all hooks.
    pub call_time: Timing,
}

/// The compared counts of one route.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RouteReport {
    /// Its host and path.
    pub route: String,
    /// Requests that the candidate decided.
    pub canary_requests: u64,
    /// Of these, those that failed.
    pub canary_failed: u64,
    /// The median time to the head of the response.
    pub canary_p50_microseconds: u64,
    /// Requests that the active generation decided.
    pub control_requests: u64,
    /// Of these, those that failed.
    pub control_failed: u64,
    /// The median time to the head of the response.
    pub control_p50_microseconds: u64,
}

/// The faults of a candidate.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct FaultReport {
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls without an instance, because none could be built.
    pub unbuilt: u64,
    /// Calls among these on which the active generation failed too. They don't count against the
    /// candidate.
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
    /// How long the active generation took.
    pub active_time: Timing,
    /// How long the shadow took.
    pub shadow_time: Timing,
}

/// How long calls took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Timing {
    /// Number of calls.
    pub calls: u64,
    /// Mean time.
    pub mean_nanoseconds: u64,
    /// Median.
    pub p50_nanoseconds: u64,
    /// 99th percentile.
    pub p99_nanoseconds: u64,
}

/// One decision that differed.
#[derive(Debug, Clone, Serialize)]
pub struct SampleReport {
    /// When it happened.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The hook's name.
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
    /// Median time to the response head.
    pub p50_microseconds: u64,
    /// 99th percentile of that time.
    pub p99_microseconds: u64,
}

/// Sums up the counters, which the workers go on writing meanwhile.
pub fn report(trial: &Trial) -> TrialReport {
    let score = Score::of(trial);
    let shards = &trial.shards;
    let canary = matches!(trial.mode, Mode::Canary(_));
    let calls = HistogramSnapshot::of(shards.iter().flat_map(|s| &s.candidate.hook_nanoseconds));
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
        exports: trial.generation.hooks().names().collect(),
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
    pub(super) fn of(route: &RouteScore) -> Self {
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

impl HookReport {
    /// `None` if the hook was not compared.
    fn of<S: AsRef<TrialShard>>(shards: &[S], hook: Hook) -> Option<Self> {
        let all = || shards.iter().map(|s| &s.as_ref().compared[hook.index()]);
        let compared: u64 = all().map(|c| c.decisions.value()).sum();
        // A decision counted between the two sums must not push the agreement above 1.
        let agreed = all().map(|c| c.agreed.value()).sum::<u64>().min(compared);
        (compared > 0).then(|| Self {
            compared,
            agreed,
            agreement: agreed as f64 / compared as f64,
            active_time: Timing::of(&HistogramSnapshot::of(all().map(|c| &c.active_nanoseconds))),
            shadow_time: Timing::of(&HistogramSnapshot::of(all().map(|c| &c.shadow_nanoseconds))),
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
    let times = HistogramSnapshot::of(all().map(|a| &a.microseconds));
    ArmReport {
        requests: all().map(|a| a.requests.value()).sum(),
        failed: all().map(|a| a.failed.value()).sum(),
        given_up: all().map(|a| a.given_up.value()).sum(),
        p50_microseconds: times.quantile(0.5),
        p99_microseconds: times.quantile(0.99),
    }
}

/// RFC 3339 in UTC, to the millisecond.
pub(super) fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    let time = (*time).max(SystemTime::UNIX_EPOCH);
    serializer.serialize_str(&humantime::format_rfc3339_millis(time).to_string())
}
