//! Runs each command, and prints its result.

use std::path::Path;
use std::time::Instant;

use serde_json::{Value, json};

use super::bench::{self, Measured, PLAIN};
use super::harness::Harness;
use super::inspect::inspect;
use super::manner::{Manner, Outcome, pretty, print, settings, write};
use super::report::{size, time};
use super::run::play;
use super::scenario::{self, ScenarioFile};
use super::source::Source;
use super::{RehearsalError, junit, replay, report};
use crate::cli::{Bench, Inspect, Offline, Test};
use crate::ground;
use crate::policy::EngineOptions;
use crate::text::plain;

/// Runs the command, without a proxy.
pub fn execute(offline: &Offline, manner: Manner) -> Result<Outcome, RehearsalError> {
    match offline {
        Offline::Inspect(flags) => show_inspection(flags, manner),
        #[cfg(feature = "authoring")]
        Offline::Pack(flags) => super::pack::write_packed(flags),
        Offline::Test(flags) => run_tests(flags, manner),
        Offline::Bench(flags) => measure(flags, manner),
        Offline::Replay(flags) => replay::replay(flags, manner),
        Offline::Diff(flags) => replay::diff(flags, manner),
    }
}

fn show_inspection(flags: &Inspect, manner: Manner) -> Result<Outcome, RehearsalError> {
    let found = inspect(Source::open(&flags.file, flags.compiling.limits())?)?;
    match manner.is_json(flags.format) {
        true => print(&pretty(&found.json()))?,
        false => print(&found.text())?,
    }
    Ok(if found.refused.is_none() {
        Outcome::Fine
    } else {
        Outcome::Failed
    })
}

fn run_tests(flags: &Test, manner: Manner) -> Result<Outcome, RehearsalError> {
    let outcome = test(flags, manner);
    if let (Err(error), Some(path)) = (&outcome, &flags.junit)
        && !matches!(error, RehearsalError::Write { .. })
    {
        // Or the build server reads what an earlier run has left there.
        write(
            path,
            junit::unplayed(&flags.scenarios, &error.to_string()).as_bytes(),
        )?;
    }
    outcome
}

fn test(flags: &Test, manner: Manner) -> Result<Outcome, RehearsalError> {
    let start = Instant::now();
    let source = Source::open(&flags.file, flags.compiling.limits())?;
    let files: Vec<ScenarioFile> = flags
        .scenarios
        .iter()
        .map(|path| scenario::read(path))
        .collect::<Result<_, _>>()?;
    let all: usize = files.iter().map(|file| file.scenarios.len()).sum();
    let mut harness = Harness::with_given_time(source, EngineOptions::default())?;
    let mut progress = Progress::new(manner);
    let mut played = Vec::with_capacity(files.len());
    for file in &files {
        played.push(play(&mut harness, file, flags.filter.as_deref(), |name| {
            progress.show(name)
        })?);
    }
    progress.clear();
    let run: usize = played.iter().map(|file| file.scenarios.len()).sum();
    if let (0, Some(filter)) = (run, &flags.filter) {
        return Err(RehearsalError::NothingLeft {
            count: all,
            filter: filter.clone(),
        });
    }
    if let Some(path) = &flags.junit {
        write(path, junit::xml(&played).as_bytes())?;
    }
    match manner.json {
        true => print(&pretty(&report::json(&played, all - run, start.elapsed())))?,
        false => print(&report::text(&played, all - run, start.elapsed()))?,
    }
    let passed = played
        .iter()
        .flat_map(|file| &file.scenarios)
        .all(|scenario| scenario.failures.is_empty());
    Ok(if passed {
        Outcome::Fine
    } else {
        Outcome::Failed
    })
}

/// For `fuzz/`: plays a scenario file, each step so often at most, and reports it as text, as JSON
/// and for build servers.
#[doc(hidden)]
pub fn rehearse(
    harness: &mut Harness,
    scenarios: &Path,
    most: u32,
) -> Result<[String; 3], RehearsalError> {
    let mut file = scenario::read(scenarios)?;
    file.scenarios
        .iter_mut()
        .flat_map(|s| &mut s.steps)
        .for_each(|step| step.repeat = step.repeat.min(most));
    let played = [play(harness, &file, None, |_| {})?];
    let took = Default::default();
    Ok([
        report::text(&played, 0, took),
        pretty(&report::json(&played, 0, took)),
        junit::xml(&played),
    ])
}

fn measure(flags: &Bench, manner: Manner) -> Result<Outcome, RehearsalError> {
    let source = Source::open(&flags.file, flags.compiling.limits())?;
    let settings = flags.settings.as_deref().map(settings).transpose()?;
    let file = match &flags.scenarios {
        Some(path) => scenario::read(path)?,
        None => scenario::parse("a plain request", PLAIN)?,
    };
    let mut progress = Progress::new(manner);
    let measured = bench::bench(&source, &file, settings, flags.seconds, |what| {
        progress.show(what)
    });
    progress.clear();
    let measured = measured?;
    match manner.is_json(flags.format) {
        true => print(&pretty(&as_json(&measured)))?,
        false => print(&as_text(&measured))?,
    }
    Ok(Outcome::Fine)
}

fn as_json(measured: &Measured) -> Value {
    let milliseconds = |d: std::time::Duration| (d.as_secs_f64() * 1e6).round() / 1e3;
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

fn as_text(measured: &Measured) -> String {
    let short = |d: std::time::Duration| time(d.as_nanos() as u64);
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
            "{some} of {all} scenarios measured: the others are set up differently or refused\n"
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
    let mut rows = vec![heading.map(str::to_owned)];
    for (hook, cost) in &measured.hooks {
        let (times, (least, mean, most)) = (&cost.times, cost.instructions);
        let quantile = |share| time(times.quantile(share));
        rows.push([
            hook.name().to_owned(),
            times.per_second().to_string(),
            time(times.mean()),
            quantile(0.5),
            quantile(0.9),
            quantile(0.99),
            time(times.max),
            least.to_string(),
            mean.to_string(),
            most.to_string(),
        ]);
    }
    let widths: Vec<usize> = (0..heading.len())
        .map(|at| rows.iter().map(|row| row[at].len()).max().unwrap_or(0))
        .collect();
    for row in &rows {
        let cells: Vec<String> = row
            .iter()
            .zip(&widths)
            .enumerate()
            .map(|(at, (cell, width))| match at {
                0 => format!("{cell:<width$}"),
                _ => format!("{cell:>width$}"),
            })
            .collect();
        text.push_str(cells.join("  ").trim_end());
        text.push('\n');
    }
    text
}

/// A line on the terminal that shows the current step.
struct Progress {
    terminal: bool,
    shown: bool,
}

impl Progress {
    fn new(manner: Manner) -> Self {
        Self {
            terminal: manner.terminal,
            shown: false,
        }
    }

    fn show(&mut self, what: &str) {
        if self.terminal {
            self.shown = true;
            let what: String = plain(what).chars().take(70).collect();
            ground::print_aside(&format!("\r\x1b[K{what} ..."));
        }
    }

    fn clear(&mut self) {
        if std::mem::take(&mut self.shown) {
            ground::print_aside("\r\x1b[K");
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}
