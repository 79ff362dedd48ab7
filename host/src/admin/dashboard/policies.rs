//! The policies as they run.

use maud::{Markup, html};

use super::chart::{chart, rate, time, times};
use super::parts::Column::{Number, Text};
use super::parts::{Shown, Tone, more, none, state, table};
use crate::admin::control::PolicyStatus;
use crate::admin::live::{PolicyPicture, Series};
use crate::admin::times::timestamp;
use crate::rollout::State;
use crate::text::brief;
use crate::units::{counted, nanoseconds, number};

/// Bytes of a fault's message.
const FAULT: usize = 120;

/// Policies of one page.
const SHOWN: usize = 50;

pub(super) fn policies(shown: &Shown<'_>) -> Markup {
    let wanted = wanted(shown);
    if wanted.is_empty() {
        return none(shown.view, "policies");
    }
    let head = [
        Text("policy"),
        Text("state"),
        Number("calls/s"),
        Number("faults/s"),
        Number("faults"),
        Text("last fault"),
        Number("CPU time"),
        Number("median"),
        Number("99 %"),
        Number("calls, faults dashed"),
        Number("CPU time"),
    ];
    let rows: Vec<Markup> = wanted.iter().take(SHOWN).map(|p| row(shown, p)).collect();
    html! {
        (table("Policies", &head, &rows))
        (more(wanted.len().saturating_sub(SHOWN), "policies"))
    }
}

/// Those that the filter lets through.
pub(super) fn wanted<'a>(shown: &Shown<'a>) -> Vec<&'a PolicyPicture> {
    let all = shown.moment.picture.policies.iter();
    let wants = |p: &&PolicyPicture| shown.view.wants([p.details.status.name.as_str()]);
    all.filter(wants).collect()
}

fn row(shown: &Shown<'_>, policy: &PolicyPicture) -> Markup {
    let status = &policy.details.status;
    let series = shown.moment.policy(&status.name);
    let (tone, word) = how(status, series);
    html! {
        tr {
            th scope="row" { (status.name) }
            td.text {
                (state(tone, &word))
                span.reason { "generation " (status.generation) ", " (status.source) }
            }
            @match series {
                Some(series) => { (numbers(policy, series)) }
                None => { @for _ in 0..9 { td { "\u{2013}" } } }
            }
        }
    }
}

fn how(status: &PolicyStatus, series: Option<&Series>) -> (Tone, String) {
    if status.suspended_by_workers > 0 {
        let by = counted(status.suspended_by_workers, "worker");
        return (Tone::Bad, format!("suspended by {by}"));
    }
    match status.state {
        State::Active if series.is_some_and(|s| s.now.errors_per_second > 0.0) => {
            (Tone::Warn, "active, with faults".to_owned())
        }
        State::Active => (Tone::Good, "active".to_owned()),
        State::Failed => (Tone::Bad, "failed".to_owned()),
        other => (Tone::Warn, other.to_string()),
    }
}

fn numbers(policy: &PolicyPicture, series: &Series) -> Markup {
    let cpu = format!("CPU time of policy {}", policy.details.status.name);
    html! {
        td { (rate(series.now.per_second)) }
        td { (rate(series.now.errors_per_second)) }
        td { (number(policy.faults)) }
        td.text {
            @match &policy.details.status.last_fault {
                Some(fault) => {
                    (brief(&fault.message, FAULT)) span.reason { (timestamp(fault.time)) }
                }
                None => { "none" }
            }
        }
        td { (cpu_time(series.now.busy)) }
        td { (time(series.now.p50, nanoseconds)) }
        td { (time(series.now.p99, nanoseconds)) }
        td {
            (chart(series, "calls in five minutes", |p| (p.per_second, p.errors_per_second))) " "
            (times(series, "calls", nanoseconds))
        }
        td { (chart(series, &format!("{cpu} in five minutes"), |p| (p.busy, 0.0))) }
    }
}

/// Nanoseconds in a second, as a share of one processor.
fn cpu_time(busy: f32) -> String {
    match busy / 1e7 {
        share if share <= 0.0 => "0 %".to_owned(),
        share if share < 0.01 => "< 0.01 %".to_owned(),
        share => format!("{share:.2} %"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_is_a_share_of_one_processor() {
        let all = [0.0, 10.0, 1e7, 2.5e9].map(cpu_time);
        assert_eq!(all, ["0 %", "< 0.01 %", "1.00 %", "250.00 %"]);
    }
}
