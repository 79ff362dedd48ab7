//! A generation on trial.

use maud::{Markup, html};

use super::parts::Column::{Number, Text};
use super::parts::{Column, Tone, state, table};
use crate::admin::times::timestamp;
use crate::rollout::{ArmReport, FaultReport, HookReport, SampleReport, TrialReport};
use crate::units::{counted, microseconds, nanoseconds, number, percent};

const ARMS: [Column; 6] = [
    Text("decided by"),
    Number("requests"),
    Number("failed"),
    Number("given up"),
    Number("median"),
    Number("99 %"),
];
const SAMPLE: [Column; 5] = [
    Text("time"),
    Text("hook"),
    Text("request"),
    Text("active"),
    Text("candidate"),
];
/// Decisions that differed.
const SAMPLES: usize = 5;

pub(super) fn trial(policy: &str, report: &TrialReport) -> Markup {
    let faults = sum(&report.faults);
    html! {
        div.trial {
            h4 { "On trial: generation " (report.generation) ", a " (report.mode) }
            p {
                (verdict(report, faults))
                span.reason {
                    "since " (timestamp(report.began)) ", " (report.percent) " % of the requests, "
                    "chosen by " (report.by) ". " (counted(faults, "fault")) ": "
                    (report.faults.traps) " traps, " (report.faults.deadlines) " deadlines, "
                    (report.faults.invalid) " invalid answers, " (report.faults.unbuilt)
                    " without an instance; the active generation failed too on "
                    (report.faults.shared) ". A call takes "
                    (nanoseconds(report.call_time.p50_nanoseconds)) " at the median, "
                    (nanoseconds(report.call_time.p99_nanoseconds)) " for 99 %."
                }
            }
            @if !report.hooks.is_empty() { (agreement(policy, report)) }
            @if let (Some(canary), Some(control)) = (&report.canary, &report.control) {
                (table(
                    &format!("Requests of the trial of {policy}"),
                    &ARMS,
                    &[arm("candidate", canary), arm("active generation", control)],
                ))
            }
            @if !report.samples.is_empty() {
                (table(
                    &format!("Decisions of {policy} that differed"),
                    &SAMPLE,
                    &report.samples.iter().rev().take(SAMPLES).map(sample).collect::<Vec<_>>(),
                ))
            }
        }
    }
}

fn sum(faults: &FaultReport) -> u64 {
    faults.traps + faults.deadlines + faults.invalid + faults.unbuilt
}

/// A canary beside the active generation.
fn beside(canary: &ArmReport, control: &ArmReport) -> (Tone, String) {
    if canary.requests == 0 {
        return (Tone::Quiet, "it has decided no request yet".to_owned());
    }
    let failed = percent(canary.failed, canary.requests);
    if control.requests == 0 {
        let tone = match canary.failed {
            0 => Tone::Quiet,
            _ => Tone::Warn,
        };
        let none = "the active generation has had none to compare with";
        return (tone, format!("{failed} of its requests failed; {none}"));
    }
    let tone = match share(canary) > share(control) {
        true => Tone::Warn,
        false => Tone::Good,
    };
    let others = percent(control.failed, control.requests);
    let words = format!("{failed} of its requests failed, {others} of the active generation's");
    (tone, words)
}

/// What can be said of it so far. Whether a canary is withdrawn is for the rules of `[rollout]`,
/// and its last word is in the history.
fn verdict(report: &TrialReport, faults: u64) -> Markup {
    let compared: u64 = report.hooks.values().map(|hook| hook.compared).sum();
    let agreed: u64 = report.hooks.values().map(|hook| hook.agreed).sum();
    if report.suspended_by_workers > 0 {
        let by = counted(report.suspended_by_workers, "worker");
        return state(Tone::Bad, &format!("suspended by {by}"));
    }
    if faults > report.faults.shared {
        return state(
            Tone::Bad,
            &counted(faults - report.faults.shared, "fault of its own"),
        );
    }
    match (&report.canary, &report.control) {
        (Some(canary), Some(control)) => {
            let (tone, words) = beside(canary, control);
            state(tone, &words)
        }
        _ if compared == 0 => state(Tone::Quiet, "nothing was compared yet"),
        _ => {
            let words = format!("{} of its decisions agree", percent(agreed, compared));
            state(
                if agreed < compared {
                    Tone::Warn
                } else {
                    Tone::Good
                },
                &words,
            )
        }
    }
}

fn share(arm: &ArmReport) -> f64 {
    arm.failed as f64 / (arm.requests as f64).max(1.0)
}

fn agreement(policy: &str, report: &TrialReport) -> Markup {
    let row = |(hook, r): (&&str, &HookReport)| {
        html! {
            tr {
                th scope="row" { (hook) }
                td { (number(r.compared)) }
                td { (number(r.agreed)) }
                td { (percent(r.agreed, r.compared)) }
                td { (nanoseconds(r.active_time.p50_nanoseconds)) }
                td { (nanoseconds(r.shadow_time.p50_nanoseconds)) }
            }
        }
    };
    let rows: Vec<Markup> = report.hooks.iter().map(row).collect();
    let head = [
        Text("hook"),
        Number("compared"),
        Number("agreed"),
        Number("agreement"),
        Number("active, median"),
        Number("candidate, median"),
    ];
    table(
        &format!("Agreement of the candidate of {policy}"),
        &head,
        &rows,
    )
}

fn arm(name: &str, arm: &ArmReport) -> Markup {
    html! {
        tr {
            th scope="row" { (name) }
            td { (number(arm.requests)) }
            td { (number(arm.failed)) }
            td { (number(arm.given_up)) }
            td { (microseconds(arm.p50_microseconds)) }
            td { (microseconds(arm.p99_microseconds)) }
        }
    }
}

fn sample(sample: &SampleReport) -> Markup {
    html! {
        tr {
            th scope="row" { (timestamp(sample.time)) }
            td.text { (sample.hook) }
            td.text { (sample.method) " " (sample.host) (sample.path) " from " (sample.client) }
            td.text { (sample.active) }
            td.text { (sample.shadow) }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_canary_is_compared_only_with_requests_that_there_were() {
        let arm = |requests, failed| ArmReport {
            requests,
            failed,
            ..ArmReport::default()
        };
        for (canary, control, tone, words) in [
            (arm(0, 0), arm(9, 9), Tone::Quiet, "no request yet"),
            (arm(9, 0), arm(0, 0), Tone::Quiet, "none to compare with"),
            (arm(9, 1), arm(0, 0), Tone::Warn, "none to compare with"),
            (arm(9, 0), arm(9, 0), Tone::Good, "0.00 % of the active"),
            (
                arm(9, 9),
                arm(9, 1),
                Tone::Warn,
                "100 % of its requests failed",
            ),
        ] {
            let (said, sentence) = beside(&canary, &control);
            assert_eq!(said, tone, "{sentence}");
            assert!(sentence.contains(words), "{sentence}");
        }
    }
}
