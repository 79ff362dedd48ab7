//! Whether a canary is to be withdrawn.

use crate::config::Rollout;

/// So many standard errors a difference must be beyond the margin: a canary is not withdrawn for bad luck.
const CONFIDENCE: f64 = 3.0;
/// Where there is nothing to compare with (all requests are the canary's), this share of failures is too much.
const BAD_ALONE: f64 = 0.5;
/// `max-faults` is meant for a canary's first thousand requests; after that faults are held against their number.
const FIRST_REQUESTS: u64 = 1_000;

/// What was counted for one of the two generations.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Arm {
    /// Requests that were answered.
    pub requests: u64,
    /// Of these, those answered with a status from 500 on.
    pub failed: u64,
}

/// What a canary is judged by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Score {
    /// The candidate's requests.
    pub canary: Arm,
    /// The active generation's.
    pub control: Arm,
    /// Calls of the candidate that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls for which there was no instance, because none could be built.
    pub unbuilt: u64,
}

/// Why this canary is to be withdrawn, if it is.
pub fn judge(score: &Score, rules: &Rollout) -> Option<String> {
    let Score { canary, control, traps, deadlines, invalid, unbuilt } = *score;
    let faults = traps + deadlines + invalid + unbuilt;
    let allowed = rules.max_faults.saturating_mul(canary.requests.max(FIRST_REQUESTS)) / FIRST_REQUESTS;
    if faults > 0 && faults >= allowed {
        return Some(format!(
            "{faults} faults ({traps} traps, {deadlines} missed deadlines, {invalid} invalid answers, {unbuilt} calls without \
             an instance) in {} requests",
            canary.requests
        ));
    }
    if canary.requests < rules.min_requests {
        return None;
    }
    if control.requests == 0 {
        let certain = canary.share() - CONFIDENCE * canary.variance().sqrt();
        return (certain > BAD_ALONE).then(|| {
            format!(
                "{:.1} % of its {} requests failed, and there is no control group",
                canary.share() * 100.0,
                canary.requests
            )
        });
    }
    let difference = canary.share() - control.share();
    let error = (canary.variance() + control.variance()).sqrt();
    (difference - rules.failure_margin > CONFIDENCE * error).then(|| {
        format!(
            "{:.1} % of its {} requests failed, of the control group's {} it is {:.1} %",
            canary.share() * 100.0,
            canary.requests,
            control.requests,
            control.share() * 100.0
        )
    })
}

impl Arm {
    fn share(self) -> f64 {
        self.failed as f64 / self.requests.max(1) as f64
    }

    /// Of the share; smoothed, so that a few requests without a failure are not taken for certainty.
    fn variance(self) -> f64 {
        let n = self.requests as f64 + 2.0;
        let p = (self.failed as f64 + 1.0) / n;
        p * (1.0 - p) / n
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RULES: Rollout = Rollout { max_faults: 3, failure_margin: 0.05, min_requests: 20 };

    fn score(canary: (u64, u64), control: (u64, u64)) -> Score {
        let arm = |(requests, failed)| Arm { requests, failed };
        Score { canary: arm(canary), control: arm(control), ..Score::default() }
    }

    #[test]
    fn faults_withdraw_at_once_and_few_among_many_do_not() {
        let with = |traps, requests| Score { traps, ..score((requests, 0), (1000, 0)) };
        assert_eq!(judge(&with(2, 10), &RULES), None);
        assert!(judge(&with(3, 10), &RULES).is_some_and(|r| r.contains("3 traps")));
        assert!(judge(&with(3, 1000), &RULES).is_some());
        assert_eq!(judge(&with(29, 10_000), &RULES), None);
        assert!(judge(&with(30, 10_000), &RULES).is_some());
        assert_eq!(judge(&with(0, 0), &RULES), None);
    }

    #[test]
    fn failures_count_beyond_margin_and_chance() {
        assert_eq!(judge(&score((19, 19), (100, 0)), &RULES), None, "too few to tell");
        assert!(judge(&score((20, 20), (100, 0)), &RULES).is_some());
        assert_eq!(judge(&score((20, 1), (1000, 0)), &RULES), None, "one of twenty may be bad luck");
        assert_eq!(judge(&score((1000, 540), (1000, 500)), &RULES), None, "within the margin");
        assert!(judge(&score((1000, 660), (1000, 500)), &RULES).is_some());
        assert_eq!(judge(&score((1000, 0), (1000, 500)), &RULES), None, "better is no reason");
        assert_eq!(judge(&score((1000, 500), (0, 0)), &RULES), None, "nothing to compare with");
        assert!(judge(&score((1000, 1000), (0, 0)), &RULES).is_some(), "whatever it is compared with");
    }
}
