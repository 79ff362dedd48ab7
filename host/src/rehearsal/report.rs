//! Results as text.

use std::fmt::Write as _;
use std::time::Duration;

use serde_json::{Value, json};

use super::judge::Difference;
use super::run::{Failure, Played};
use super::shown::shown_level;
use crate::policy::LogLine;
use crate::text::plain;
use crate::units::nanoseconds;

/// The whole report: a line for each scenario, and its failures below.
pub(super) fn text(all: &[Played], left_out: usize, took: Duration) -> String {
    let mut text = String::new();
    let (mut passed, mut failed) = (0, 0);
    for file in all.iter().filter(|file| !file.scenarios.is_empty()) {
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}", plain(&file.name));
        for scenario in &file.scenarios {
            if scenario.failures.is_empty() {
                passed += 1;
                let _ = writeln!(text, "  ok      {}", plain(&scenario.name));
                continue;
            }
            failed += 1;
            let _ = writeln!(
                text,
                "  FAILED  {} (line {})",
                plain(&scenario.name),
                scenario.line
            );
            scenario
                .failures
                .iter()
                .for_each(|failure| text.push_str(&self::failure(failure, "            ")));
        }
        text.push('\n');
    }
    let left_out = if left_out > 0 {
        format!(", {left_out} left out")
    } else {
        String::new()
    };
    let _ = writeln!(
        text,
        "{passed} passed, {failed} failed{left_out}, in {}",
        nanoseconds(took.as_nanos() as u64)
    );
    text
}

/// The same for scripts.
pub(super) fn json(all: &[Played], left_out: usize, took: Duration) -> Value {
    let difference =
        |d: &Difference| json!({ "what": d.what, "expected": d.expected, "actual": d.actual });
    let failure = |f: &Failure| {
        let differences: Vec<Value> = f.differences.iter().map(difference).collect();
        let step = (!f.step.is_empty()).then_some(&f.step);
        let wrote = |l: &LogLine| json!({ "level": shown_level(l.level), "text": l.text });
        json!({
            "step": step,
            "line": f.line,
            "run": f.run,
            "differences": differences,
            "wrote": f.wrote.iter().map(wrote).collect::<Vec<_>>(),
        })
    };
    let scenarios = || {
        all.iter()
            .flat_map(|file| file.scenarios.iter().map(move |scenario| (file, scenario)))
    };
    let failed = scenarios()
        .filter(|(_, scenario)| !scenario.failures.is_empty())
        .count();
    let told = scenarios().map(|(file, scenario)| {
        json!({
            "file": file.name,
            "line": scenario.line,
            "name": scenario.name,
            "passed": scenario.failures.is_empty(),
            "seconds": scenario.took.as_secs_f64(),
            "failures": scenario.failures.iter().map(failure).collect::<Vec<_>>(),
        })
    });
    let told: Vec<Value> = told.collect();
    json!({
        "passed": told.len() - failed,
        "failed": failed,
        "left_out": left_out,
        "seconds": took.as_secs_f64(),
        "scenarios": told,
    })
}

/// The failure of a step.
pub(super) fn failure(failure: &Failure, indent: &str) -> String {
    let mut text = String::new();
    let mut place = Vec::new();
    if !failure.step.is_empty() {
        place.push(format!("{} (line {})", plain(&failure.step), failure.line));
    }
    place.extend(failure.run.map(|run| format!("run {run}")));
    if !place.is_empty() {
        let _ = writeln!(text, "{indent}{}", place.join(", "));
    }
    for difference in &failure.differences {
        let _ = writeln!(text, "{indent}{}", plain(&difference.what));
        let _ = writeln!(text, "{indent}  expected  {}", plain(&difference.expected));
        let _ = writeln!(text, "{indent}  actual    {}", plain(&difference.actual));
    }
    if !failure.wrote.is_empty() {
        let _ = writeln!(text, "{indent}the policy wrote");
    }
    for line in &failure.wrote {
        let level = shown_level(line.level);
        let _ = writeln!(text, "{indent}  {level:<8}  {}", plain(&line.text));
    }
    text
}
