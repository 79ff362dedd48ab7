//! What a benchmark measured, for people and for scripts.

use std::time::Duration;

use serde_json::{Value, json};

use super::bench::{Cost, Measured};
use super::columns::columns;
use crate::policy::Hook;
use crate::text::plain;
use crate::units::{nanoseconds, size};

pub(super) fn json(measured: &Measured) -> Value {
    let milliseconds = |d: Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
    let hooks = measured.hooks.iter().map(|(hook, cost)| {
        let (times, (least, mean, most)) = (&cost.times, cost.instructions);
        let cost = json!({
            "calls": times.count,
            "per_second": times.per_second(),
            "ns": {
                "mean": times.mean(),
                "p50": times.quantile(0.5),
                "p90": times.quantile(0.9),
                "p99": times.quantile(0.99),
                "max": times.max,
            },
            "instructions": { "min": least, "mean": mean, "max": most },
        });
        (hook.name().to_owned(), cost)
    });
    json!({
        "file": measured.file,
        "digest": measured.digest,
        "size_bytes": measured.size,
        "load_ms": { "cold": milliseconds(measured.cold), "cached": milliseconds(measured.cached) },
        "instance_bytes": measured.instance_bytes,
        "scenarios": { "measured": measured.scenarios.0, "all": measured.scenarios.1 },
        "hooks": hooks.collect::<serde_json::Map<_, _>>(),
    })
}

pub(super) fn text(measured: &Measured) -> String {
    let short = |d: Duration| nanoseconds(d.as_nanos() as u64);
    let mut text = format!(
        "{}, {}, {}\nloaded in {}, from the cache in {}; an instance takes {}\n",
        plain(&measured.file),
        size(measured.size as u64),
        measured.digest,
        short(measured.cold),
        short(measured.cached),
        size(measured.instance_bytes),
    );
    if let (some, all) = measured.scenarios
        && some < all
    {
        text += &format!(
            "{some} of {all} scenarios measured: the others have other settings, pools or limits, \
             or expect a refusal\n"
        );
    }
    text.push('\n');
    let heading = [
        "hook",
        "calls/s",
        "mean",
        "p50",
        "p90",
        "p99",
        "max",
        "instructions: least",
        "mean",
        "most",
    ];
    let mut rows = vec![heading.map(str::to_owned).to_vec()];
    rows.extend(measured.hooks.iter().map(|(hook, cost)| row(*hook, cost)));
    for line in columns(&rows) {
        text += &line;
        text.push('\n');
    }
    text
}

fn row(hook: Hook, cost: &Cost) -> Vec<String> {
    let (times, (least, mean, most)) = (&cost.times, cost.instructions);
    let quantiles = [0.5, 0.9, 0.99].map(|share| nanoseconds(times.quantile(share)));
    let mut row = vec![
        hook.name().to_owned(),
        times.per_second().to_string(),
        nanoseconds(times.mean()),
    ];
    row.extend(quantiles);
    row.push(nanoseconds(times.max));
    row.extend([least, mean, most].map(|n| n.to_string()));
    row
}
