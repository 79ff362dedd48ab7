//! `waypost policy replay` and `diff`: what a component would have decided in place of a recorded
//! one.
//!
//! `log` reads one policy's calls from a recording, `replayer` asks a component (`loaded`) about
//! each (`message`), `compare` says what differs, `tally` counts, `text` and `json` show it.
//! However long the recording is, only counts and a few samples are kept.

mod compare;
mod difference;
mod json;
mod loaded;
mod log;
mod message;
mod progress;
mod replayer;
mod tally;
mod text;

use std::path::Path;

use super::RehearsalError;
use super::manner::{Manner, Outcome, print, settings};
use super::source::Source;
use crate::cli::{Diff, Rehearsed, Replay};
use compare::{Verdict, edits_differing};
use difference::Differences;
use loaded::Overrides;
use log::{Log, Next};
use progress::Progress;
use replayer::Replayer;
use tally::Tally;

/// Asks one component.
pub(super) fn replay(flags: &Replay, manner: Manner) -> Result<Outcome, RehearsalError> {
    let (shown, outcome) = replayed(flags, manner)?;
    print(&shown)?;
    Ok(outcome)
}

/// The same, with the text to print.
pub(super) fn replayed(
    flags: &Replay,
    manner: Manner,
) -> Result<(String, Outcome), RehearsalError> {
    let Rehearsed { recording, common } = &flags.rehearsed;
    let mut replayer = replayer(&flags.file, common)?;
    let mut log = Log::open(recording, common.policy.as_deref(), common.lenient)?;
    let mut progress = Progress::new(manner.terminal);
    let mut tally = Tally::new(common.samples);
    loop {
        let recorded = match log.next()? {
            Next::End => break,
            Next::RequestEnds(worker) => {
                replayer.end_request(worker);
                continue;
            }
            Next::Call(recorded) => recorded,
        };
        if recorded.call.answer.is_missing() {
            tally.not_asked += 1;
            continue;
        }
        let played = replayer.ask(&recorded)?;
        tally.add(&recorded, &played, Verdict::of_replay(&recorded, &played));
        progress.show(&log);
    }
    progress.clear();
    let heard = log.finish()?;
    tally.hooks_missing = heard
        .hooks
        .iter()
        .copied()
        .filter(|hook| !replayer.has(*hook))
        .collect();
    let shown = match manner.is_json(common.format) {
        true => json::replay(&replayer, &heard, &tally),
        false => text::replay(&replayer, &heard, &tally),
    };
    let differs = flags.expect_same && tally.differing() > 0;
    Ok((
        shown,
        if differs || tally.faults() > 0 {
            Outcome::Failed
        } else {
            Outcome::Fine
        },
    ))
}

/// Makes the same calls to two components, and compares their answers.
pub(super) fn diff(flags: &Diff, manner: Manner) -> Result<Outcome, RehearsalError> {
    let Rehearsed { recording, common } = &flags.rehearsed;
    let mut old = replayer(&flags.old, common)?;
    let mut new = replayer(&flags.new, common)?;
    let mut log = Log::open(recording, common.policy.as_deref(), common.lenient)?;
    let mut progress = Progress::new(manner.terminal);
    let mut differences = Differences::new(common.samples);
    loop {
        let recorded = match log.next()? {
            Next::End => break,
            Next::RequestEnds(worker) => {
                old.end_request(worker);
                new.end_request(worker);
                continue;
            }
            Next::Call(recorded) => recorded,
        };
        if recorded.call.answer.is_missing() {
            differences.not_asked += 1;
            continue;
        }
        // An exit code of 1 says that they differ, and not that one of them is none.
        let [one, other] = [&mut old, &mut new]
            .map(|replayer| replayer.ask(&recorded).map_err(RehearsalError::unusable));
        let (one, other) = (one?, other?);
        let edits = edits_differing(&one.fields, &other.fields, &[]);
        differences.add(&recorded, &one, &other, edits);
        progress.show(&log);
    }
    progress.clear();
    let heard = log.finish()?;
    let shown = match manner.is_json(common.format) {
        true => json::diff(&old, &new, &heard, &differences),
        false => text::diff(&old, &new, &heard, &differences),
    };
    print(&shown)?;
    Ok(if differences.differing() > 0 {
        Outcome::Failed
    } else {
        Outcome::Fine
    })
}

fn replayer(file: &Path, common: &crate::cli::Playing) -> Result<Replayer, RehearsalError> {
    let source = Source::open(file, common.compiling.limits())?;
    let settings = common.settings.as_deref().map(settings).transpose()?;
    let overrides = Overrides {
        settings,
        deadline: common.deadline,
        memory: common.memory,
    };
    Replayer::new(source, overrides, common.fuel)
}
