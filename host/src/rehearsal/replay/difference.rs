//! Where two components decide differently.

use std::collections::BTreeMap;

use super::compare::same;
use super::log::RecordedCall;
use super::replayer::Played;
use super::tally::{Hidden, Sample, count, labelled};
use crate::policy::Hook;
use crate::recording::Answer;

/// What came of asking both.
pub(super) struct Differences {
    pub hooks: BTreeMap<Hook, OfHook>,
    pub samples: Vec<Sample>,
    most: usize,
    /// Calls that were not made when they were recorded: there was no instance.
    pub not_asked: u64,
    /// Calls in which both read hashes: these may make decisions equal as well as different.
    pub hidden: Hidden,
    /// Whether the old one, and the new one, is what was recorded.
    pub are_recorded: [bool; 2],
}

/// Of one hook.
#[derive(Default)]
pub(super) struct OfHook {
    pub calls: u64,
    pub differing: u64,
    /// By what the old one and the new one decided.
    pub changes: BTreeMap<Change, u64>,
    /// Calls that left a field otherwise, by its name.
    pub edits: BTreeMap<String, u64>,
    /// Faults of the old one and of the new one.
    pub faults: [u64; 2],
}

/// From what to what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Change {
    pub old: String,
    pub new: String,
}

impl Differences {
    pub(super) fn new(samples: usize) -> Self {
        Self {
            hooks: BTreeMap::new(),
            samples: Vec::new(),
            most: samples,
            not_asked: 0,
            hidden: Hidden::default(),
            are_recorded: [true; 2],
        }
    }

    pub(super) fn add(
        &mut self,
        recorded: &RecordedCall<'_>,
        old: &Played,
        new: &Played,
        edits: Vec<String>,
    ) {
        self.hidden.add(recorded);
        let of = self.hooks.entry(recorded.call.hook).or_default();
        of.calls += 1;
        for (faults, played) in of.faults.iter_mut().zip([old, new]) {
            *faults += u64::from(matches!(played.answer, Answer::Fault { .. }));
        }
        let same = same(&old.answer, &new.answer, &[]);
        if same && edits.is_empty() {
            return;
        }
        of.differing += 1;
        if !same {
            let label = |played: &Played| labelled(&played.answer, recorded);
            count(
                &mut of.changes,
                Change {
                    old: label(old),
                    new: label(new),
                },
            );
        }
        edits
            .iter()
            .for_each(|name| count(&mut of.edits, name.clone()));
        if self.samples.len() < self.most {
            self.samples
                .push(Sample::new(recorded, old.into(), new.into(), edits));
        }
    }

    pub(super) fn calls(&self) -> u64 {
        self.hooks.values().map(|of| of.calls).sum()
    }

    /// Calls on which they differ.
    pub(super) fn differing(&self) -> u64 {
        self.hooks.values().map(|of| of.differing).sum()
    }
}

impl From<&'static str> for Change {
    fn from(both: &'static str) -> Self {
        Self {
            old: both.to_owned(),
            new: both.to_owned(),
        }
    }
}
