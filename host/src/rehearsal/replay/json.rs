//! Results for scripts.

use serde_json::{Map, Value, json};

use super::difference::Differences;
use super::log::Heard;
use super::replayer::Replayer;
use super::tally::{Sample, Tally};
use crate::policy::Hook;
use crate::policy::digest;

/// Of a replay.
pub(super) fn replay(replayer: &Replayer, heard: &Heard, tally: &Tally) -> String {
    let hooks = tally.hooks.iter().map(|(hook, of)| {
        let times = &of.times;
        let mut told = json!({
            "calls": of.calls,
            "agreed": of.agreed,
            "decisions": of.decisions,
            "ns": {
                "mean": times.mean(),
                "p50": times.quantile(0.5),
                "p90": times.quantile(0.9),
                "p99": times.quantile(0.99),
                "max": times.max,
            },
        });
        if let Some(fuel) = of.fuel {
            let mean = fuel.sum.checked_div(of.calls);
            told["instructions"] = json!({ "min": fuel.least, "mean": mean, "max": fuel.most });
        }
        (hook.name().to_owned(), told)
    });
    let faults = tally.faults.iter().map(|(kind, faults)| {
        (
            kind.clone(),
            json!({ "count": faults.count, "first": faults.message, "line": faults.line }),
        )
    });
    let told = json!({
        "component": component(replayer),
        "recording": recording(heard),
        "calls": tally.calls(),
        "agreed": tally.calls() - tally.differing(),
        "differing": tally.differing(),
        "is_recorded_component": tally.is_recorded_one,
        "redacted": { "differing": tally.hidden.calls, "fields": tally.hidden.names },
        "not_asked": tally.not_asked,
        "hooks": hooks.collect::<Map<_, _>>(),
        "hooks_missing": names(&tally.hooks_missing),
        "backends": tally.backends,
        "faults": faults.collect::<Map<_, _>>(),
        "samples": samples(&tally.samples, ["recorded", "replayed"]),
    });
    format!("{told:#}\n")
}

/// Of a comparison.
pub(super) fn diff(
    old: &Replayer,
    new: &Replayer,
    heard: &Heard,
    differences: &Differences,
) -> String {
    let hooks = differences.hooks.iter().map(|(hook, of)| {
        let changes = of
            .changes
            .iter()
            .map(|(change, n)| json!({ "old": change.old, "new": change.new, "calls": n }));
        let told = json!({
            "calls": of.calls,
            "differing": of.differing,
            "changes": changes.collect::<Vec<_>>(),
            "fields": of.edits,
            "faults": { "old": of.faults[0], "new": of.faults[1] },
        });
        (hook.name().to_owned(), told)
    });
    let told = json!({
        "old": side(old, differences.are_recorded[0]),
        "new": side(new, differences.are_recorded[1]),
        "recording": recording(heard),
        "calls": differences.calls(),
        "differing": differences.differing(),
        "redacted": { "calls": differences.hidden.calls, "fields": differences.hidden.names },
        "not_asked": differences.not_asked,
        "hooks": hooks.collect::<Map<_, _>>(),
        "samples": samples(&differences.samples, ["old", "new"]),
    });
    format!("{told:#}\n")
}

/// One of two that are compared.
fn side(replayer: &Replayer, is_recorded: bool) -> Value {
    let mut side = component(replayer);
    side["is_recorded_component"] = is_recorded.into();
    side
}

fn component(replayer: &Replayer) -> Value {
    json!({
        "file": replayer.source.name,
        "digest": digest(&replayer.source.bytes),
        "hooks": Hook::ALL.into_iter().filter(|hook| replayer.has(*hook)).map(Hook::name).collect::<Vec<_>>(),
    })
}

fn recording(heard: &Heard) -> Value {
    let passed_over = heard
        .why
        .iter()
        .map(|(line, reason)| json!({ "line": line, "reason": reason }));
    json!({
        "policy": heard.policy,
        "requests": heard.requests,
        "calls": heard.calls,
        "first": heard.time.map(|(first, _)| first),
        "last": heard.time.map(|(_, last)| last),
        "lines_passed_over": heard.passed_over,
        "passed_over": passed_over.collect::<Vec<_>>(),
    })
}

fn samples(samples: &[Sample], [one, other]: [&str; 2]) -> Value {
    let sample = |sample: &Sample| {
        let changes = sample.changes.iter();
        let changes = changes.map(|c| json!({ "what": c.name, one: c.one, other: c.other }));
        json!({
            "line": sample.line,
            "hook": sample.hook.name(),
            "request": sample.request,
            one: sample.one,
            other: sample.other,
            "fields": sample.edits,
            "changes": changes.collect::<Vec<_>>(),
        })
    };
    samples.iter().map(sample).collect()
}

fn names(hooks: &[Hook]) -> Vec<&'static str> {
    hooks.iter().map(|hook| hook.name()).collect()
}
