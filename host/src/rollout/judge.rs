//! Whether a canary is to be withdrawn.

use crate::config::Rollout;
use crate::policy::LEAST_JUDGED;
use crate::stats::HistogramSnapshot;
use crate::units::counted;

/// By how many standard errors a difference must exceed the margin, so that bad luck alone does not
/// withdraw a canary.
const CONFIDENCE: f64 = 3.0;
/// The same where many routes are compared, because one of many exceeds a bound by chance.
const CONFIDENCE_OF_MANY: f64 = 4.0;
/// With fewer requests in the control group there is nothing to compare with.
const LEAST_CONTROL: u64 = 5;
/// Without a control group (the canary gets all requests), a larger share of failures than this
/// withdraws the canary.
const BAD_ALONE: f64 = 0.5;
/// `max-faults` applies to a canary's first thousand requests; after that the limit grows with
/// their number.
const FIRST_REQUESTS: u64 = 1_000;
/// A quantile needs this many times `min-requests`, on both sides.
const LATENCY_SAMPLE: u64 = 5;
/// The quantile of the control group's times that the canary's times are compared with ...
const NEARLY_ALL: f64 = 0.95;
/// ... and the share by which more of the canary's requests may be slower.
const SLOW: f64 = 0.05;
/// A delay that no client notices, in microseconds.
const UNNOTICED: u64 = 500;

/// The counts of one of the two generations.
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
    /// Failed requests that the candidate failed or answered itself.
    pub own_failures: u64,
    /// The candidate's requests that count without a control group: a limited number per client.
    pub weighed: Arm,
    /// Calls of the candidate that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Of these, those whose answer was still used. They don't count as faults, because a client
    /// can choose requests that take long: the candidate's times are compared with the active
    /// generation's instead.
    pub late: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls without an instance, because none could be built.
    pub unbuilt: u64,
    /// Calls under way, at most one per worker, whose faults may be counted already and turn out to
    /// be shared.
    pub faults_in_question: u64,
    /// Calls among these on which the active generation failed as well.
    pub shared_faults: u64,
    /// The compared counts, by route.
    pub routes: Vec<RouteScore>,
}

/// The compared counts of one route.
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

/// The reason to withdraw this canary, if there is one.
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
            "{} ({}, {}, {}, {} without an instance) in {}",
            counted(faults, "fault"),
            counted(traps, "trap"),
            counted(deadlines, "missed deadline"),
            counted(invalid, "invalid answer"),
            counted(unbuilt, "call"),
            counted(canary.requests, "request")
        )
    })
}

/// Without a control group: one client's failures must not stand for all, unless the candidate
/// itself refuses everything.
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
            "{:.1} % of its {} failed, and there is no control group",
            all.share() * 100.0,
            counted(all.requests, "request")
        )
    })
}

/// Compares route by route: as a mean over all routes, where a route whose backends are down does
/// not matter because it fails on both sides; and each route alone, so that a small one is not lost
/// among the others.
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
        "{:.1} % of its {} requests{to} failed; the control group: {:.1} % of {}",
        canary.share() * 100.0,
        canary.requests,
        control.share() * 100.0,
        control.requests
    )
}

/// The sums of both sides over the routes on which both have requests, if the difference exceeds
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
        // The weights that give the mean of the differences the least variance (Mantel and
        // Haenszel).
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

/// Whether many more of the canary's requests than of the control group's take longer than the
/// control group's 95th percentile plus the margin. A few slow requests, or a few slow clients,
/// change nothing.
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
            "{:.1} % of its {} requests to {} took longer than {:.1} ms; \
             the control group: {:.1} % of {}",
            canary.share() * 100.0,
            canary.requests,
            route.name,
            bound as f64 / 1_000.0,
            control.share() * 100.0,
            control.requests
        )
    })
}

impl Arm {
    fn share(self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// The variance of the share, smoothed so that a few requests without a failure don't count as
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
mod tests;
