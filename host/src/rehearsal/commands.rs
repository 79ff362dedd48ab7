//! Runs each command, and prints its result.

use std::path::Path;
use std::time::Instant;

use super::bench::{self, PLAIN};
use super::harness::Harness;
use super::inspect::inspect;
use super::manner::{Manner, Outcome, pretty, print, settings, write};
use super::options::{Bench, Command, Component, Inspect, Test};
use super::run::play;
use super::scenario::{self, ScenarioFile};
use super::source::Source;
use super::{RehearsalError, junit, measured, replay, report};
use crate::ground;
use crate::policy::EngineOptions;
use crate::text::plain;

/// Runs the command, without a proxy.
pub fn execute(command: &Command, manner: Manner) -> Result<Outcome, RehearsalError> {
    match command {
        Command::Inspect(asked) => show_inspection(asked, manner),
        #[cfg(feature = "authoring")]
        Command::Pack(asked) => super::pack::write_packed(asked),
        Command::Test(asked) => run_tests(asked, manner),
        Command::Bench(asked) => measure(asked, manner),
        Command::Replay(asked) => replay::replay(asked, manner),
        Command::Diff(asked) => replay::diff(asked, manner),
    }
}

fn show_inspection(asked: &Inspect, manner: Manner) -> Result<Outcome, RehearsalError> {
    let source = open(&asked.component)?;
    let settings = asked.settings.as_deref().map(settings).transpose()?;
    let found = inspect(source, settings)?;
    match manner.json {
        true => print(&pretty(&found.json()))?,
        false => print(&found.text())?,
    }
    Ok(if found.refused.is_none() {
        Outcome::Fine
    } else {
        Outcome::Failed
    })
}

fn open(component: &Component) -> Result<Source, RehearsalError> {
    let source = Source::open(&component.file, component.compiling)?;
    Ok(source.kept_in(component.cache.clone()))
}

fn run_tests(asked: &Test, manner: Manner) -> Result<Outcome, RehearsalError> {
    let outcome = test(asked, manner);
    if let (Err(error), Some(path)) = (&outcome, &asked.junit)
        && !matches!(error, RehearsalError::Write { .. })
    {
        // Or the build server reads what an earlier run has left there.
        write(
            path,
            junit::unplayed(&asked.scenarios, &error.to_string()).as_bytes(),
        )?;
    }
    outcome
}

fn test(asked: &Test, manner: Manner) -> Result<Outcome, RehearsalError> {
    let start = Instant::now();
    let source = open(&asked.component)?;
    let files: Vec<ScenarioFile> = asked
        .scenarios
        .iter()
        .map(|path| scenario::read(path))
        .collect::<Result<_, _>>()?;
    let all: usize = files.iter().map(|file| file.scenarios.len()).sum();
    let mut harness = Harness::with_given_time(source, EngineOptions::default())?;
    let mut progress = Progress::new(manner);
    let mut played = Vec::with_capacity(files.len());
    for file in &files {
        played.push(play(&mut harness, file, asked.filter.as_deref(), |name| {
            progress.show(name)
        })?);
    }
    progress.clear();
    let run: usize = played.iter().map(|file| file.scenarios.len()).sum();
    if let (0, Some(filter)) = (run, &asked.filter) {
        return Err(RehearsalError::NothingLeft {
            count: all,
            filter: filter.clone(),
        });
    }
    if let Some(path) = &asked.junit {
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

fn measure(asked: &Bench, manner: Manner) -> Result<Outcome, RehearsalError> {
    let source = open(&asked.component)?;
    let settings = asked.settings.as_deref().map(settings).transpose()?;
    let file = match &asked.scenarios {
        Some(path) => scenario::read(path)?,
        None => scenario::parse("a plain request", PLAIN)?,
    };
    let mut progress = Progress::new(manner);
    let measured = bench::bench(&source, &file, settings, asked.seconds, |what| {
        progress.show(what)
    });
    progress.clear();
    let measured = measured?;
    match manner.json {
        true => print(&pretty(&measured::json(&measured)))?,
        false => print(&measured::text(&measured))?,
    }
    Ok(Outcome::Fine)
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
