//! `waypost policy replay` and `diff`: what a component would have decided where another one did,
//! by a recording.
//!
//! `log` reads a recording and tells one policy's calls one by one, `player` asks a component about
//! them, `compare` tells what differs, `tally` counts, `text` and `json` show it. However long the
//! recording is, only counts and a few samples are kept.

mod compare;
mod difference;
mod json;
mod log;
mod player;
mod progress;
mod tally;
mod text;

use std::path::Path;

use super::RehearsalError;
use super::commands::{Manner, Outcome, print, settings};
use super::source::Source;
use crate::cli::{Diff, Rehearsed, Replay};
use compare::{Verdict, edits_differing};
use difference::Differences;
use log::{Log, Next};
use player::Player;
use progress::Progress;
use tally::Tally;

/// Asks one component.
pub(super) fn replay(flags: &Replay, manner: Manner) -> Result<Outcome, RehearsalError> {
    let (shown, outcome) = replayed(flags, manner)?;
    print(&shown)?;
    Ok(outcome)
}

/// The same, with what is to be printed.
pub(super) fn replayed(
    flags: &Replay,
    manner: Manner,
) -> Result<(String, Outcome), RehearsalError> {
    let Rehearsed { recording, common } = &flags.rehearsed;
    let mut player = player(&flags.file, common)?;
    let mut log = Log::open(recording, common.policy.as_deref(), common.lenient)?;
    let mut progress = Progress::new(manner.terminal);
    let mut tally = Tally::new(common.samples);
    loop {
        let cue = match log.next()? {
            Next::End => break,
            Next::RequestEnds(worker) => {
                player.end_request(worker);
                continue;
            }
            Next::Cue(cue) => cue,
        };
        if cue.call.answer.is_missing() {
            tally.not_asked += 1;
            continue;
        }
        let played = player.ask(&cue)?;
        tally.add(&cue, &played, Verdict::of_replay(&cue, &played));
        progress.show(&log);
    }
    progress.clear();
    let heard = log.finish()?;
    tally.hooks_missing = heard
        .hooks
        .iter()
        .copied()
        .filter(|hook| !player.has(*hook))
        .collect();
    let shown = match manner.is_json(common.format) {
        true => json::replay(&player, &heard, &tally),
        false => text::replay(&player, &heard, &tally),
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

/// Asks two components, and compares what they say.
pub(super) fn diff(flags: &Diff, manner: Manner) -> Result<Outcome, RehearsalError> {
    let Rehearsed { recording, common } = &flags.rehearsed;
    let mut old = player(&flags.old, common)?;
    let mut new = player(&flags.new, common)?;
    let mut log = Log::open(recording, common.policy.as_deref(), common.lenient)?;
    let mut progress = Progress::new(manner.terminal);
    let mut differences = Differences::new(common.samples);
    loop {
        let cue = match log.next()? {
            Next::End => break,
            Next::RequestEnds(worker) => {
                old.end_request(worker);
                new.end_request(worker);
                continue;
            }
            Next::Cue(cue) => cue,
        };
        if cue.call.answer.is_missing() {
            differences.not_asked += 1;
            continue;
        }
        // An exit code of 1 says that they differ, and not that one of them is none.
        let [one, other] =
            [&mut old, &mut new].map(|player| player.ask(&cue).map_err(RehearsalError::unusable));
        let (one, other) = (one?, other?);
        let edits = edits_differing(&one.fields, &other.fields, &[]);
        differences.add(&cue, &one, &other, edits);
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

fn player(file: &Path, common: &crate::cli::Playing) -> Result<Player, RehearsalError> {
    let source = Source::open(file, common.compiling.limits())?;
    let settings = common.settings.as_deref().map(settings).transpose()?;
    Player::new(
        source,
        settings,
        common.deadline,
        common.memory,
        common.fuel,
    )
}
