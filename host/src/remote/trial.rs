//! A trial as text.

use std::fmt::Write as _;

use super::answers::{Arm, Faults, Hook, Timing, Trial};
use super::figures::{columns, percent, short, time};
use crate::text;
use crate::units::{counted, microseconds, nanoseconds, number};

/// The candidate: `canary generation 4 (1f3ab04c9d2e)`.
pub(super) fn trial_head(trial: &Trial) -> String {
    format!(
        "{} generation {} ({})",
        trial.mode,
        trial.generation,
        short(&trial.digest)
    )
}

/// The figures of a trial, one line each.
pub(super) fn trial_figures(trial: &Trial) -> String {
    let mut text = String::new();
    if let (Some(canary), Some(control)) = (&trial.canary, &trial.control) {
        let head = ["", "REQUESTS", "FAILED", "", "P50", "P99"]
            .map(str::to_owned)
            .to_vec();
        text.push_str(&columns(
            &[head, arm("canary", canary), arm("control", control)],
            "  ",
        ));
    }
    if let Some(compared) = trial.requests_compared {
        let _ = writeln!(text, "  {} compared", counted(compared, "request"));
        if !trial.hooks.is_empty() {
            let head = [
                "HOOK",
                "COMPARED",
                "AGREED",
                "",
                "ACTIVE MEAN",
                "P99",
                "SHADOW MEAN",
                "P99",
            ];
            let mut rows = vec![head.map(str::to_owned).to_vec()];
            rows.extend(trial.hooks.iter().map(|(name, h)| hook(name, h)));
            text.push_str(&columns(&rows, "  "));
        }
    }
    let _ = writeln!(text, "  {}", faults(trial.faults));
    if let Some(by) = suspended(trial.suspended_by_workers) {
        let _ = writeln!(
            text,
            "  suspended {by}, because faults of many clients cost too much"
        );
    }
    text
}

/// The figures of a trial in one line.
pub(super) fn trial_line(trial: &Trial) -> String {
    let mut line = format!("{} for {}: ", trial_head(trial), share(trial));
    if let (Some(canary), Some(control)) = (&trial.canary, &trial.control) {
        let arm = |a: &Arm| {
            format!(
                "{}, {} failed",
                counted(a.requests, "request"),
                number(a.failed)
            )
        };
        let _ = write!(line, "{}; control {}; ", arm(canary), arm(control));
    }
    if let Some(compared) = trial.requests_compared {
        let _ = write!(line, "{} compared; ", counted(compared, "request"));
        for (name, hook) in &trial.hooks {
            let _ = write!(line, "{name} {}; ", agreement(hook));
        }
    }
    line.push_str(&faults(trial.faults));
    if let Some(by) = suspended(trial.suspended_by_workers) {
        let _ = write!(line, "; suspended {by}");
    }
    line
}

/// The share of a trial: `5 % of the clients`.
pub(super) fn share(trial: &Trial) -> String {
    let of = if trial.by == "client" {
        "clients"
    } else {
        "requests"
    };
    format!("{} % of the {of}", trial.percent)
}

fn arm(name: &str, arm: &Arm) -> Vec<String> {
    vec![
        name.to_owned(),
        number(arm.requests),
        number(arm.failed),
        percent(arm.failed, arm.requests),
        time(arm.p50_microseconds, microseconds),
        time(arm.p99_microseconds, microseconds),
    ]
}

fn hook(name: &str, hook: &Hook) -> Vec<String> {
    let times = |t: &Timing| [t.mean_nanoseconds, t.p99_nanoseconds].map(|n| time(n, nanoseconds));
    let mut row = vec![
        name.to_owned(),
        number(hook.compared),
        number(hook.agreed),
        percent(hook.agreed, hook.compared),
    ];
    row.extend(times(&hook.active_time));
    row.extend(times(&hook.shadow_time));
    row
}

fn agreement(hook: &Hook) -> String {
    format!(
        "{} of {} agreed",
        number(hook.agreed),
        number(hook.compared)
    )
}

pub(super) fn samples(trial: &Trial) -> String {
    if trial.samples.is_empty() {
        return String::new();
    }
    let mut text = "  decisions that differed\n".to_owned();
    for sample in &trial.samples {
        let _ = writeln!(
            text,
            "    {} {}: {} {} of {}\n      active: {}\n      shadow: {}",
            sample.time,
            sample.hook,
            sample.method,
            text::place(&sample.host, &sample.path),
            sample.client,
            sample.active,
            sample.shadow
        );
    }
    text
}

pub(super) fn faults(faults: Faults) -> String {
    let Faults {
        traps,
        deadlines,
        invalid,
        unbuilt,
    } = faults;
    match faults.all() {
        0 => "no faults".to_owned(),
        all => {
            let [traps, deadlines] = [
                counted(traps, "trap"),
                counted(deadlines, "missed deadline"),
            ];
            let invalid = counted(invalid, "invalid answer");
            let unbuilt = if unbuilt > 0 {
                format!(", {unbuilt} without an instance")
            } else {
                String::new()
            };
            format!(
                "{} ({traps}, {deadlines}, {invalid}{unbuilt})",
                counted(all, "fault")
            )
        }
    }
}

pub(super) fn suspended(workers: u64) -> Option<String> {
    (workers > 0).then(|| format!("by {}", counted(workers, "worker")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trial_is_shown_in_figures() {
        let trial = serde_json::json!({
            "mode": "shadow", "generation": 4, "percent": 100.0, "by": "request",
            "requests_compared": 2000,
            "faults": { "traps": 1, "deadlines": 0, "invalid": 2 }, "suspended_by_workers": 1,
            "hooks": { "selection": { "compared": 2000, "agreed": 1000,
                "active_time": { "mean_nanoseconds": 900, "p99_nanoseconds": 2000 },
                "shadow_time": { "mean_nanoseconds": 1200, "p99_nanoseconds": 4000 } } },
        });
        let trial: Trial = serde_json::from_value(trial).unwrap();
        let figures = trial_figures(&trial);
        for part in [
            "2,000 requests compared",
            "50.00 %",
            "900 ns",
            "4.0 us",
            "3 faults (1 trap, 0 missed",
            "suspended by 1 worker",
        ] {
            assert!(figures.contains(part), "{part}: {figures}");
        }
        let line = trial_line(&trial);
        assert!(
            !line.contains('\n') && line.contains("selection 1,000 of 2,000 agreed"),
            "{line}"
        );
    }
}
