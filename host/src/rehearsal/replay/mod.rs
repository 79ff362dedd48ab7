//! `waypost policy replay` and `diff`: what a component would have decided in place of a recorded
//! one.
//!
//! `log` reads one policy's calls from a recording, `replayer` asks a component (`loaded`) about
//! each (`message`), `compare` says what differs, `changes` with which values, `tally` counts,
//! `text` and `json` show it.
//! However long the recording is, only counts and a few samples are kept.

mod changes;
mod compare;
mod decided;
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
use super::options::{Diff, Playback, Replay};
use super::source::Source;
use crate::policy::digest;
use compare::{Verdict, edits_differing, parts_apart};
use difference::Differences;
use loaded::Overrides;
use log::{Log, Next};
use progress::Progress;
use replayer::Replayer;
use tally::Tally;

/// Asks one component.
pub(super) fn replay(asked: &Replay, manner: Manner) -> Result<Outcome, RehearsalError> {
    let (shown, outcome) = replayed(asked, manner)?;
    print(&shown)?;
    Ok(outcome)
}

/// The same, with the text to print.
pub(super) fn replayed(
    asked: &Replay,
    manner: Manner,
) -> Result<(String, Outcome), RehearsalError> {
    let playback = &asked.playback;
    let mut replayer = replayer(&asked.file, None, playback)?;
    let mut log = Log::open(
        &playback.recording,
        playback.policy.as_deref(),
        playback.lenient,
    )?;
    let mut progress = Progress::new(manner.terminal);
    let mut tally = Tally::new(playback.samples);
    let digest = digest(&replayer.source.bytes);
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
        tally.is_recorded_one &= recorded.component() == Some(digest.as_str());
        tally.add(&recorded, &played, Verdict::of_replay(&recorded, &played));
        progress.show(&log);
    }
    progress.clear();
    let heard = log.finish()?;
    tally.is_recorded_one &= tally.calls() > 0;
    tally.hooks_missing = heard
        .hooks
        .iter()
        .copied()
        .filter(|hook| !replayer.has(*hook))
        .collect();
    let shown = match manner.json {
        true => json::replay(&replayer, &heard, &tally),
        false => text::replay(&replayer, &heard, &tally),
    };
    let differs = asked.expect_same && tally.differing() > 0;
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
pub(super) fn diff(asked: &Diff, manner: Manner) -> Result<Outcome, RehearsalError> {
    let playback = &asked.playback;
    let mut old = replayer(&asked.old, asked.old_settings.as_deref(), playback)?;
    let mut new = replayer(&asked.new, asked.new_settings.as_deref(), playback)?;
    let mut log = Log::open(
        &playback.recording,
        playback.policy.as_deref(),
        playback.lenient,
    )?;
    let mut progress = Progress::new(manner.terminal);
    let mut differences = Differences::new(playback.samples);
    let digests = [&old, &new].map(|replayer| digest(&replayer.source.bytes));
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
        for (is_recorded, digest) in differences.are_recorded.iter_mut().zip(&digests) {
            *is_recorded &= recorded.component() == Some(digest.as_str());
        }
        // An exit code of 1 says that they differ, and not that one of them is none.
        let [one, other] = [&mut old, &mut new]
            .map(|replayer| replayer.ask(&recorded).map_err(RehearsalError::unusable));
        let (one, other) = (one?, other?);
        let mut edits = edits_differing(&one.fields, &other.fields, &[]);
        edits.extend(parts_apart(one.target.as_ref(), other.target.as_ref()));
        differences.add(&recorded, &one, &other, edits);
        progress.show(&log);
    }
    progress.clear();
    if differences.calls() == 0 {
        differences.are_recorded = [false; 2];
    }
    let heard = log.finish()?;
    let shown = match manner.json {
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

/// `own` are settings for this component only.
fn replayer(
    file: &Path,
    own: Option<&str>,
    playback: &Playback,
) -> Result<Replayer, RehearsalError> {
    let source = Source::open(file, playback.compiling)?.kept_in(playback.cache.clone());
    let settings = own
        .or(playback.settings.as_deref())
        .map(settings)
        .transpose()?;
    let overrides = Overrides {
        settings,
        deadline: playback.deadline,
        memory: playback.memory,
    };
    Replayer::new(source, overrides, playback.fuel)
}
