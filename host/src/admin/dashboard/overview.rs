//! How the whole process is, and what an operator should look at.

use maud::{Markup, html};

use super::chart::{rate, time, times, traffic};
use super::parts::{Shown, Tone, state};
use crate::admin::control::Readiness;
use crate::admin::live::Picture;
use crate::admin::readiness::unready;
use crate::admin::times::timestamp;
use crate::units::{counted, duration, microseconds, number};

pub(super) fn overview(shown: &Shown<'_>) -> Markup {
    let picture = shown.moment.picture;
    let (totals, requests) = (&picture.totals, shown.moment.requests());
    let tiles = [
        ("requests a second", rate(requests.now.per_second)),
        ("5xx a second", rate(requests.now.errors_per_second)),
        ("time, median", time(requests.now.p50, microseconds)),
        ("time, 99 %", time(requests.now.p99, microseconds)),
        ("requests under way", number(totals.active)),
        ("client connections", number(totals.connections)),
        ("requests so far", number(totals.requests)),
        ("retries so far", number(totals.retries)),
    ];
    html! {
        p {
            (readiness(&picture.readiness))
            " \u{b7} up " (duration(picture.up)) " \u{b7} configuration of "
            (timestamp(picture.reload.since)) " \u{b7} as of " (timestamp(picture.taken))
        }
        @let problems = problems(picture);
        @if !problems.is_empty() {
            div.problems {
                h3 { "Look at this" }
                ul { @for problem in &problems { li { (problem) } } }
            }
        }
        dl.tiles { @for (name, value) in &tiles { div { dt { (name) } dd { (value) } } } }
        dl.tiles.charts {
            div {
                dt { "requests, 5xx dashed" }
                dd { (traffic(requests, "requests")) }
            }
            div {
                dt { "time, median, 99 % dashed" }
                dd { (times(requests, "requests", microseconds)) }
            }
        }
    }
}

fn readiness(readiness: &Readiness) -> Markup {
    match unready(readiness) {
        None => state(Tone::Good, "ready"),
        Some(sentence) => state(Tone::Bad, &sentence),
    }
}

/// Sentences.
fn problems(picture: &Picture) -> Vec<String> {
    let mut all = picture.notes.clone();
    if let Some(first) = picture.reload.errors.first() {
        all.push(format!("The last reload was refused: {first}"));
    }
    for pool in &picture.pools {
        if let Some(refused) = pool.file.as_ref().and_then(|file| file.refused.as_ref()) {
            all.push(format!("Pool {}: {refused}", pool.name));
        }
        let unwell = |e: &&crate::admin::live::EndpointPicture| {
            matches!(e.state, "ejected" | "down" | "failing" | "degraded")
        };
        match (pool.usable(), pool.endpoints.iter().filter(unwell).count()) {
            (0, _) => all.push(format!("Pool {} has no endpoint that works.", pool.name)),
            (_, 0) => {}
            (_, n) => all.push(format!(
                "Pool {}: {} of {} unwell.",
                pool.name,
                n,
                counted(pool.endpoints.len() as u64, "endpoint")
            )),
        }
    }
    for policy in &picture.policies {
        let status = &policy.details.status;
        if status.suspended_by_workers > 0 {
            let by = counted(status.suspended_by_workers, "worker");
            all.push(format!("Policy {} is suspended by {by}.", status.name));
        }
        if let Some(error) = &status.last_error {
            all.push(format!("Policy {}, last deployment: {error}", status.name));
        }
    }
    let more = all.len().saturating_sub(MOST_PROBLEMS);
    if more > 0 {
        all.truncate(MOST_PROBLEMS);
        all.push(format!("{} more like these.", number(more as u64)));
    }
    all
}

/// Beyond that a list helps nobody.
const MOST_PROBLEMS: usize = 20;
