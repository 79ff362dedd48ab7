//! Runs scenarios.

use std::time::{Duration, Instant};

use super::RehearsalError;
use super::decisions::Decisions;
use super::harness::Harness;
use super::host::Host;
use super::judge::{Difference, is, judge, left, set_up};
use super::scenario::{Scenario, ScenarioFile, Step, Stored};
use crate::policy::{LogLine, PolicyError, Refusal};

/// Lines of a policy that are shown beside its faults: a traceback of some depth.
const SHOWN_LINES: usize = 40;

/// What became of a scenario file.
#[derive(Debug)]
pub(super) struct Played {
    /// As it was named.
    pub name: String,
    /// In order, those that were left out apart.
    pub scenarios: Vec<PlayedScenario>,
}

/// What became of a scenario.
#[derive(Debug)]
pub(super) struct PlayedScenario {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// How long it took.
    pub took: Duration,
    /// The failures; none if it passed.
    pub failures: Vec<Failure>,
}

/// A step that is not as expected.
#[derive(Debug)]
pub(super) struct Failure {
    /// Its name, if there are several.
    pub step: String,
    /// Where it begins.
    pub line: usize,
    /// The run, from 1, if there are several.
    pub run: Option<u32>,
    /// At least one.
    pub differences: Vec<Difference>,
    /// What the policy wrote in a step in which it failed: the first and the last lines.
    pub wrote: Vec<LogLine>,
}

/// Runs the scenarios whose name contains `filter`. `progress` gets each name before.
pub(super) fn play(
    harness: &mut Harness,
    file: &ScenarioFile,
    filter: Option<&str>,
    mut progress: impl FnMut(&str),
) -> Result<Played, RehearsalError> {
    let mut scenarios = Vec::new();
    for scenario in &file.scenarios {
        if filter.is_some_and(|filter| !scenario.name.contains(filter)) {
            continue;
        }
        progress(&scenario.name);
        let start = Instant::now();
        let failures = perform(harness, scenario)?;
        let (name, line) = (scenario.name.clone(), scenario.line);
        scenarios.push(PlayedScenario {
            name,
            line,
            took: start.elapsed(),
            failures,
        });
    }
    Ok(Played {
        name: file.name.clone(),
        scenarios,
    })
}

fn perform(harness: &mut Harness, scenario: &Scenario) -> Result<Vec<Failure>, RehearsalError> {
    let whole = |difference| {
        vec![Failure {
            step: String::new(),
            line: scenario.line,
            run: None,
            differences: vec![difference],
            wrote: Vec::new(),
        }]
    };
    // As if it were the first, even after other scenarios.
    harness.set_time(scenario.setup_script.monotonic.unwrap_or_default());
    let mut host = match (
        harness.host(&scenario.setup, Some(scenario.setup_script.clone())),
        &scenario.refused,
    ) {
        (Ok(host), None) => host,
        (Ok(_), Some(wanted)) => {
            return Ok(whole(Difference::new(
                "refusal",
                format!("{wanted:?}"),
                "it is accepted",
            )));
        }
        (Err(PolicyError::Refused { reason, .. }), Some(wanted)) => {
            let sentence = reason.to_string();
            return Ok(match sentence.contains(wanted.as_str()) {
                true => Vec::new(),
                false => whole(Difference::new("refusal", format!("{wanted:?}"), sentence)),
            });
        }
        (Err(PolicyError::Refused { reason, .. }), None) if depends_on_the_scenario(&reason) => {
            return Ok(whole(Difference::new(
                "refusal",
                "none",
                reason.to_string(),
            )));
        }
        (Err(error), _) => return Err(error.into()),
    };
    let mut failures = Vec::new();
    for step in &scenario.steps {
        failures.extend(take(&mut host, scenario, step));
    }
    Ok(failures)
}

/// Whether another scenario may be taken, as this one is not.
fn depends_on_the_scenario(reason: &Refusal) -> bool {
    matches!(
        reason,
        Refusal::Configure(_)
            | Refusal::Setup { .. }
            | Refusal::SetupDeadline { .. }
            | Refusal::Memory { .. }
            | Refusal::SettingsUnwanted
            | Refusal::SlowIsolation
            | Refusal::SlowBuild { .. }
    )
}

/// Does a step as often as it says. Of its runs the first that is not as expected is decisions, and
/// the shares of all.
fn take(host: &mut Host, scenario: &Scenario, step: &Step) -> Option<Failure> {
    let pools = &scenario.setup.pools;
    host.set_time(step.monotonic);
    host.facts().set_pool(step.pool, &step.states);
    host.facts().set_pool_queue(step.pool_queue);
    fill(host, &step.store);
    let mut picked = vec![0u32; step.expect.share.len()];
    let failure = |run, differences, wrote| Failure {
        step: step.name.clone(),
        line: step.line,
        run,
        differences,
        wrote,
    };
    for run in 0..step.repeat {
        let decisions = host.ask(step.question(run));
        let mut differences = judge(step, &decisions, pools);
        if run == 0 {
            differences.extend(set_up(step, host));
        }
        if run + 1 == step.repeat {
            differences.extend(left(step, host));
        }
        if !differences.is_empty() {
            let run = (step.repeat > 1).then_some(run + 1);
            return Some(failure(run, differences, beside_faults(decisions)));
        }
        for (count, (pick, ..)) in picked.iter_mut().zip(&step.expect.share) {
            *count += u32::from(is(&decisions, pick));
        }
    }
    let mut differences = Vec::new();
    for (count, (pick, least, most)) in picked.into_iter().zip(&step.expect.share) {
        let share = f64::from(count) / f64::from(step.repeat);
        if !(*least..=*most).contains(&share) {
            let expected = format!("{:.1} % to {:.1} %", least * 100.0, most * 100.0);
            let actual = format!("{:.1} % ({count} of {})", share * 100.0, step.repeat);
            differences.push(Difference::new(
                format!("share of {}", pick.written),
                expected,
                actual,
            ));
        }
    }
    (!differences.is_empty()).then(|| failure(None, differences, Vec::new()))
}

/// The first and last lines that the policy wrote, if it failed.
fn beside_faults(decisions: Decisions) -> Vec<LogLine> {
    if decisions.faults().next().is_none() {
        return Vec::new();
    }
    let mut lines = decisions.lines;
    let left_out = lines.len().saturating_sub(SHOWN_LINES);
    if left_out > 0 {
        let note = LogLine {
            level: lines[SHOWN_LINES / 2].level,
            text: format!("({left_out} lines are left out)"),
        };
        lines.splice(SHOWN_LINES / 2..SHOWN_LINES / 2 + left_out, [note]);
    }
    lines
}

/// Puts these into the store.
fn fill(host: &Host, stored: &Stored) {
    let store = host.store();
    for (key, value) in &stored.values {
        match value {
            // What does not fit is found missing where it is expected.
            Some(value) => _ = store.set(key.clone(), value.clone(), 0),
            None => _ = store.remove(key),
        }
    }
    for (key, value) in &stored.counters {
        let by = value.saturating_sub(store.counter(key).unwrap_or_default());
        _ = store.increment(key.clone(), by, 0);
    }
}
