//! Results for people.

use std::fmt::Write as _;

use super::super::columns::columns;
use super::difference::Differences;
use super::log::Heard;
use super::replayer::Replayer;
use super::tally::{Hidden, Sample, Tally};
use crate::document::brief;
use crate::policy::Hook;
use crate::text::plain;
use crate::units::{nanoseconds, percent};

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
    if tally.is_recorded_one {
        out.line("this component is the one that was recorded");
    }
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
    out.hidden(&tally.hidden, tally.differing());
    out.costs(tally);
    out.line("");
    out.decisions(tally);
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
    for (name, is_recorded) in ["old", "new"].iter().zip(differences.are_recorded) {
        if is_recorded {
            out.line(&format!("{name} is the component that was recorded"));
        }
    }
    out.passed_over(heard, differences.not_asked);
    out.hooks_apart(old, new, heard);
    let (calls, differing) = (differences.calls(), differences.differing());
    out.not_compared(&differences.hidden, calls);
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
        .map(|over| format!(" in {}", nanoseconds(over)))
        .unwrap_or_default();
    format!("{} calls of {} requests{over}", heard.calls, heard.requests)
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

    /// That decisions may differ only because values were not recorded.
    fn hidden(&mut self, hidden: &Hidden, differing: u64) {
        if hidden.calls == 0 {
            return;
        }
        let names: Vec<&str> = hidden.names.iter().map(String::as_str).collect();
        self.line(&format!(
            "{} of the {differing} that differ may differ by the redaction: the policy read hashes \
             in place of the values of {}\n",
            hidden.calls,
            names.join(", ")
        ));
    }

    /// That both read the same hashes where a live request has values.
    fn not_compared(&mut self, hidden: &Hidden, calls: u64) {
        if hidden.calls == 0 {
            return;
        }
        let names: Vec<&str> = hidden.names.iter().map(String::as_str).collect();
        self.line(&format!(
            "in {} of {calls} calls both read hashes in place of the values of {}, which are not \
             recorded: what they would decide by these is not compared",
            hidden.calls,
            names.join(", ")
        ));
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

    /// By hook: calls, times and, where they were counted, instructions.
    fn costs(&mut self, tally: &Tally) {
        let mut heading = vec!["hook", "calls", "same", "mean", "p50", "p90", "p99", "max"];
        if tally.hooks.values().any(|of| of.fuel.is_some()) {
            heading.extend(["instructions: least", "mean", "most"]);
        }
        let mut rows = vec![heading.into_iter().map(str::to_owned).collect::<Vec<_>>()];
        for (hook, of) in &tally.hooks {
            let times = &of.times;
            let mut row = vec![
                hook.name().to_owned(),
                of.calls.to_string(),
                of.agreed.to_string(),
                nanoseconds(times.mean()),
            ];
            row.extend([0.5, 0.9, 0.99].map(|share| nanoseconds(times.quantile(share))));
            row.push(nanoseconds(times.max));
            if let Some(fuel) = of.fuel {
                let mean = fuel.sum / of.calls.max(1);
                row.extend([fuel.least, mean, fuel.most].map(|n| n.to_string()));
            }
            rows.push(row);
        }
        columns(&rows).for_each(|line| self.line(&line));
    }

    /// By hook, how often each decision was made; then how often each backend was selected.
    fn decisions(&mut self, tally: &Tally) {
        for (hook, of) in &tally.hooks {
            self.counts(
                &format!("{} decided", hook.name()),
                of.decisions.iter().map(|(kind, n)| (kind.clone(), *n)),
            );
        }
        if !tally.backends.is_empty() {
            self.counts(
                "selected",
                tally
                    .backends
                    .iter()
                    .map(|(backend, n)| (backend.clone(), *n)),
            );
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
        let width = one.len().max(other.len());
        for sample in samples {
            self.line(&format!(
                "  line {}, {}: {}",
                sample.line,
                sample.hook.name(),
                sample.request
            ));
            self.line(&format!("    {one:<width$}  {}", sample.one));
            self.line(&format!("    {other:<width$}  {}", sample.other));
            for change in &sample.changes {
                self.line(&format!("    {}", change.name));
                self.line(&format!("      {one:<width$}  {}", change.one));
                self.line(&format!("      {other:<width$}  {}", change.other));
            }
        }
    }
}
