//! Results for people.

use std::fmt::Write as _;

use super::super::report::time;
use super::difference::Differences;
use super::log::Heard;
use super::replayer::Replayer;
use super::tally::{Sample, Tally};
use crate::document::brief;
use crate::policy::Hook;
use crate::text::plain;

/// Rows of a table of decisions; the rest is added up.
const ROWS: usize = 20;

/// Of a replay.
pub(super) fn replay(replayer: &Replayer, heard: &Heard, tally: &Tally) -> String {
    let mut out = Text::default();
    out.line(&format!(
        "{} in place of {:?}: {}",
        replayer.source.name,
        heard.policy,
        extent(heard)
    ));
    out.passed_over(heard, tally.not_asked);
    for hook in &tally.hooks_missing {
        out.line(&format!(
            "it has no hook {}: in those calls it leaves everything as it is",
            hook.name()
        ));
    }
    let (calls, same) = (tally.calls(), tally.calls() - tally.differing());
    out.line(&format!(
        "{same} of {calls} decisions ({}) are those that were recorded\n",
        percent(same, calls)
    ));
    let fuel = tally.hooks.values().any(|of| of.fuel.is_some());
    let mut heading = vec!["hook", "calls", "same", "mean", "p50", "p90", "p99", "max"];
    heading.extend(
        fuel.then_some(["instructions: least", "mean", "most"])
            .into_iter()
            .flatten(),
    );
    let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for (hook, of) in &tally.hooks {
        let times = &of.times;
        let mut row = vec![
            hook.name().to_owned(),
            of.calls.to_string(),
            of.agreed.to_string(),
            time(times.mean()),
        ];
        row.extend([0.5, 0.9, 0.99].map(|share| time(times.quantile(share))));
        row.push(time(times.max));
        if let Some(fuel) = of.fuel {
            row.extend([fuel.least, fuel.sum / of.calls.max(1), fuel.most].map(|n| n.to_string()));
        }
        rows.push(row);
    }
    out.table(&rows);
    out.line("");
    for (hook, of) in &tally.hooks {
        out.counts(
            &format!("{} decided", hook.name()),
            of.decisions.iter().map(|(kind, n)| (kind.clone(), *n)),
        );
    }
    if !tally.backends.is_empty() {
        out.counts(
            "selected",
            tally
                .backends
                .iter()
                .map(|(backend, n)| (backend.clone(), *n)),
        );
    }
    for (kind, faults) in &tally.faults {
        out.line(&format!(
            "{} x fault {kind}, first at line {}: {}",
            faults.count, faults.line, faults.message
        ));
    }
    out.samples(&tally.samples, tally.differing(), ["recorded", "replayed"]);
    out.0
}

/// Of a comparison.
pub(super) fn diff(
    old: &Replayer,
    new: &Replayer,
    heard: &Heard,
    differences: &Differences,
) -> String {
    let mut out = Text::default();
    out.line(&format!(
        "old {}, new {}, policy {:?}: {}",
        old.source.name,
        new.source.name,
        heard.policy,
        extent(heard)
    ));
    out.passed_over(heard, differences.not_asked);
    out.hooks_apart(old, new, heard);
    let (calls, differing) = (differences.calls(), differences.differing());
    if differing == 0 {
        out.line(&format!("they decide the same in all {calls} calls"));
        return out.0;
    }
    out.line(&format!(
        "they differ in {differing} of {calls} calls ({})\n",
        percent(differing, calls)
    ));
    for (hook, of) in &differences.hooks {
        let [before, now] = of.faults;
        let faults = if before + now > 0 {
            format!(", faults: old {before}, new {now}")
        } else {
            String::new()
        };
        out.line(&format!(
            "{}: {} of {} differ{faults}",
            hook.name(),
            of.differing,
            of.calls
        ));
        let changes = of
            .changes
            .iter()
            .map(|(change, n)| (format!("{} -> {}", change.old, change.new), *n));
        out.rows(changes);
        out.rows(
            of.edits
                .iter()
                .map(|(name, n)| (format!("field {name}"), *n)),
        );
    }
    out.line("");
    out.samples(&differences.samples, differing, ["old", "new"]);
    out.0
}

fn extent(heard: &Heard) -> String {
    let over = heard
        .time
        .map(|(first, last)| last.saturating_sub(first).saturating_mul(1_000_000));
    let over = over
        .map(|over| format!(" in {}", time(over)))
        .unwrap_or_default();
    format!("{} calls of {} requests{over}", heard.calls, heard.requests)
}

fn percent(part: u64, all: u64) -> String {
    // Rounded down: 100 % is said of all and of nothing less.
    let thousandths = (u128::from(part) * 100_000)
        .checked_div(u128::from(all))
        .unwrap_or(100_000);
    match (part == all, thousandths % 1_000) {
        (true, _) => "100 %".to_owned(),
        (false, rest) => format!("{}.{:02} %", thousandths / 1_000, rest / 10),
    }
}

/// The output text; writing to it does not fail.
#[derive(Default)]
struct Text(String);

impl Text {
    fn line(&mut self, line: &str) {
        // A line break at the end is ours, others are what some guest wrote.
        let (line, space) = line
            .strip_suffix('\n')
            .map_or((line, ""), |line| (line, "\n"));
        let _ = writeln!(self.0, "{}{space}", plain(&brief(line)));
    }

    /// The hooks that one component has and the other has not.
    fn hooks_apart(&mut self, old: &Replayer, new: &Replayer, heard: &Heard) {
        for hook in Hook::ALL {
            match (old.has(hook), new.has(hook), heard.hooks.contains(&hook)) {
                (true, false, _) => self.line(&format!("the new one has no hook {}", hook.name())),
                (false, true, true) => {
                    self.line(&format!("the old one has no hook {}", hook.name()))
                }
                (false, true, false) => self.line(&format!(
                    "the new one has the hook {}, which this recording does not contain: it is not \
                     compared",
                    hook.name()
                )),
                _ => {}
            }
        }
    }

    fn passed_over(&mut self, heard: &Heard, not_asked: u64) {
        for (line, reason) in &heard.why {
            self.line(&format!("line {line} is skipped: {reason}"));
        }
        let told = heard.why.len() as u64;
        if heard.passed_over > told {
            self.line(&format!(
                "{} more lines are skipped",
                heard.passed_over - told
            ));
        }
        if not_asked > 0 {
            self.line(&format!(
                "{not_asked} calls are left out, because the proxy had no instance for them"
            ));
        }
    }

    fn table(&mut self, rows: &[Vec<String>]) {
        let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |at: usize| {
            rows.iter()
                .filter_map(|row| row.get(at))
                .map(String::len)
                .max()
                .unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in rows {
            let cells = row
                .iter()
                .zip(&widths)
                .enumerate()
                .map(|(at, (cell, width))| match at {
                    0 => format!("{cell:<width$}"),
                    _ => format!("{cell:>width$}"),
                });
            let line = cells.collect::<Vec<_>>().join("  ");
            self.line(line.trim_end());
        }
    }

    fn counts(&mut self, what: &str, counts: impl Iterator<Item = (String, u64)>) {
        self.line(&format!("{what}:"));
        self.rows(counts);
    }

    /// The most frequent first.
    fn rows(&mut self, counts: impl Iterator<Item = (String, u64)>) {
        let mut rows: Vec<(String, u64)> = counts.collect();
        rows.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        for (what, n) in rows.iter().take(ROWS) {
            self.line(&format!("  {n:>10}  {what}"));
        }
        let rest: u64 = rows.iter().skip(ROWS).map(|(_, n)| n).sum();
        if rest > 0 {
            self.line(&format!("  {rest:>10}  others"));
        }
    }

    fn samples(&mut self, samples: &[Sample], all: u64, [one, other]: [&str; 2]) {
        if samples.is_empty() {
            return;
        }
        self.line(&format!(
            "the first {} of {all} differences:",
            samples.len()
        ));
        let width = one.len().max(other.len()).max("fields".len());
        for sample in samples {
            self.line(&format!(
                "  line {}, {}: {}",
                sample.line,
                sample.hook.name(),
                sample.request
            ));
            self.line(&format!("    {one:<width$}  {}", sample.one));
            self.line(&format!("    {other:<width$}  {}", sample.other));
            if !sample.edits.is_empty() {
                self.line(&format!(
                    "    {:<width$}  {}",
                    "fields",
                    sample.edits.join(", ")
                ));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hundred_percent_is_all() {
        assert_eq!(percent(999_999, 1_000_000), "99.99 %");
        assert_eq!(
            (
                percent(5, 5).as_str(),
                percent(0, 3).as_str(),
                percent(1, 3).as_str()
            ),
            ("100 %", "0.00 %", "33.33 %")
        );
    }
}
