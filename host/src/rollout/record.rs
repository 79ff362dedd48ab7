//! The generations of one policy name.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::report::rfc3339;
use crate::policy::{Generation, Mode, Trial};

/// Generations that are remembered.
const GENERATIONS: usize = 32;
/// Events that are remembered.
const EVENTS: usize = 100;

/// What a generation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It is read, compiled and set up.
    Loading,
    /// It is asked as well, and its answers are compared and dropped.
    Shadow,
    /// It decides a share of the requests.
    Canary,
    /// It decides.
    Active,
    /// It decided once, or its trial has ended.
    Retired,
    /// It was refused, or was withdrawn for failing.
    Failed,
}

/// One generation as it is remembered.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationEntry {
    /// Its number.
    pub generation: u64,
    /// Of its component: `sha256:` and the digest in hexadecimal.
    pub digest: String,
    /// Where its component came from, in words.
    pub source: String,
    /// What it is.
    pub state: State,
    /// Since when.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
}

/// Something that happened to a generation.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The generation.
    pub generation: u64,
    /// What it was from then on.
    pub state: State,
    /// Why, as a sentence.
    pub reason: String,
}

/// A change that is not possible now: the reason, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotNow(pub String);

/// All that is known of one policy name. One change at a time.
#[derive(Debug, Default)]
pub struct Record {
    last_number: u64,
    active: Option<Arc<Generation>>,
    /// What decided before, still compiled.
    former: Option<Arc<Generation>>,
    trial: Option<Arc<Trial>>,
    /// Newest last.
    entries: VecDeque<GenerationEntry>,
    events: VecDeque<Event>,
    last_error: Option<String>,
}

impl Record {
    /// The last number that was given.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Numbers go on after this one.
    pub fn continue_after(&mut self, number: u64) {
        self.last_number = self.last_number.max(number);
    }

    /// A component is about to be loaded; the number is the new generation's.
    pub fn loading(&mut self, digest: String, source: String) -> u64 {
        // No number that was kept is near its end (`Keep::read`).
        self.last_number = self.last_number.saturating_add(1);
        let generation = self.last_number;
        if self.entries.len() >= GENERATIONS
            && let Some(over) = self
                .entries
                .iter()
                .position(|e| matches!(e.state, State::Retired | State::Failed))
        {
            self.entries.remove(over);
        }
        let since = SystemTime::now();
        let reason = format!("loading {source}");
        self.entries.push_back(GenerationEntry {
            generation,
            digest,
            source,
            state: State::Loading,
            since,
        });
        self.event(generation, State::Loading, reason);
        generation
    }

    /// It was not to be loaded.
    pub fn refused(&mut self, generation: u64, reason: &str) {
        self.last_error = Some(reason.to_owned());
        self.enter(generation, State::Failed, format!("refused: {reason}"));
    }

    /// Loading it has ended, one way or the other; if nobody said how, it has failed.
    pub fn broke_off(&mut self, generation: u64) {
        if self
            .entries
            .iter()
            .any(|e| e.generation == generation && e.state == State::Loading)
        {
            self.refused(
                generation,
                "loading it broke off by a fault of the proxy, which its log describes; deploy it again",
            );
        }
    }

    /// Something went wrong that changes nothing about what decides.
    pub fn note_error(&mut self, error: String) {
        self.last_error = Some(error);
    }

    /// It was loaded and is not needed any more.
    pub fn superseded(&mut self, generation: u64, reason: &str) {
        self.enter(generation, State::Retired, reason.to_owned());
    }

    /// A generation that was loaded decides from now on. What is on trial is retired; what decided
    /// is kept for a rollback.
    pub fn activate(&mut self, generation: Arc<Generation>, reason: &str) -> Result<(), NotNow> {
        if let Some(newer) = self
            .active
            .as_ref()
            .filter(|a| a.number() > generation.number())
        {
            let reason = format!("generation {} was deployed in the meantime", newer.number());
            self.enter(generation.number(), State::Retired, reason.clone());
            return Err(NotNow(reason));
        }
        self.end_trial(
            State::Retired,
            &format!("generation {} was deployed", generation.number()),
        );
        self.last_error = None;
        self.replace_active(generation, reason);
        Ok(())
    }

    /// A generation that was loaded goes on trial, in place of one that is.
    pub fn try_out(&mut self, trial: Arc<Trial>, reason: &str) -> Result<(), NotNow> {
        let number = trial.generation.number();
        if self.active.is_none() {
            let reason =
                "no generation is active that it could be compared with; deploy it without a mode"
                    .to_owned();
            self.enter(number, State::Retired, reason.clone());
            return Err(NotNow(reason));
        }
        if self
            .trial
            .as_ref()
            .is_none_or(|t| t.generation.number() != number)
        {
            self.end_trial(
                State::Retired,
                &format!("generation {number} is on trial now"),
            );
        }
        self.last_error = None;
        let state = match trial.mode {
            Mode::Shadow => State::Shadow,
            Mode::Canary(_) => State::Canary,
        };
        self.trial = Some(trial);
        self.enter(number, state, reason.to_owned());
        Ok(())
    }

    /// The generation on trial decides from now on.
    pub fn promote(&mut self) -> Result<Arc<Generation>, NotNow> {
        let trial = self
            .trial
            .take()
            .ok_or_else(|| NotNow("no generation is on trial; nothing to promote".to_owned()))?;
        let generation = Arc::clone(&trial.generation);
        self.replace_active(Arc::clone(&generation), "promoted");
        Ok(generation)
    }

    /// The former generation decides again; the one that decided is the former one now.
    pub fn roll_back(&mut self) -> Result<Arc<Generation>, NotNow> {
        let none = || NotNow("there is no former generation to go back to".to_owned());
        let former = self.former.take().ok_or_else(none)?;
        let from = self.active.as_ref().map_or(0, |a| a.number());
        self.end_trial(State::Retired, "rolled back");
        self.replace_active(
            Arc::clone(&former),
            &format!("rolled back from generation {from}"),
        );
        Ok(former)
    }

    /// Ends the trial.
    pub fn end_trial(&mut self, state: State, reason: &str) -> Option<Arc<Trial>> {
        let trial = self.trial.take()?;
        if state == State::Failed {
            self.last_error = Some(format!(
                "generation {} was withdrawn: {reason}",
                trial.generation.number()
            ));
        }
        self.enter(trial.generation.number(), state, reason.to_owned());
        Some(trial)
    }

    /// The generation that was withdrawn for failing, if that was the last that happened and not
    /// longer ago than this.
    pub fn withdrawn_since(&self, ago: Duration) -> Option<u64> {
        let last = self.events.back()?;
        let before = self
            .events
            .iter()
            .rev()
            .skip(1)
            .find(|e| e.generation == last.generation)?;
        let withdrawn =
            last.state == State::Failed && matches!(before.state, State::Canary | State::Shadow);
        (withdrawn && last.time.elapsed().is_ok_and(|elapsed| elapsed <= ago))
            .then_some(last.generation)
    }

    /// The share of the running canary has changed.
    pub fn share_changed(&mut self, percent: f64) {
        if let Some(number) = self.trial.as_ref().map(|t| t.generation.number()) {
            self.event(
                number,
                State::Canary,
                format!("{percent} % of the requests"),
            );
        }
    }

    /// What decides.
    pub fn active(&self) -> Option<&Arc<Generation>> {
        self.active.as_ref()
    }

    /// What decided before.
    pub fn former(&self) -> Option<&Arc<Generation>> {
        self.former.as_ref()
    }

    /// What is on trial.
    pub fn trial(&self) -> Option<&Arc<Trial>> {
        self.trial.as_ref()
    }

    /// The entry of this generation, if it is still remembered.
    pub fn entry(&self, generation: u64) -> Option<&GenerationEntry> {
        self.entries
            .iter()
            .rev()
            .find(|e| e.generation == generation)
    }

    /// The newest entry.
    pub fn newest(&self) -> Option<&GenerationEntry> {
        self.entries.back()
    }

    /// All entries, newest first.
    pub fn entries(&self) -> impl Iterator<Item = &GenerationEntry> {
        self.entries.iter().rev()
    }

    /// What happened, newest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }

    /// Why the latest deployment came to nothing; `None` if it did not.
    pub fn last_error(&self) -> Option<&str> {
        self.last_error.as_deref()
    }

    fn replace_active(&mut self, generation: Arc<Generation>, reason: &str) {
        if let Some(old) = self.active.take() {
            self.enter(
                old.number(),
                State::Retired,
                format!("replaced by generation {}", generation.number()),
            );
            self.former = Some(old);
        }
        self.enter(generation.number(), State::Active, reason.to_owned());
        self.active = Some(generation);
    }

    fn enter(&mut self, generation: u64, state: State, reason: String) {
        if let Some(entry) = self
            .entries
            .iter_mut()
            .rev()
            .find(|e| e.generation == generation)
        {
            entry.state = state;
            entry.since = SystemTime::now();
        }
        self.event(generation, state, reason);
    }

    fn event(&mut self, generation: u64, state: State, reason: String) {
        if self.events.len() >= EVENTS {
            self.events.pop_front();
        }
        self.events.push_back(Event {
            time: SystemTime::now(),
            generation,
            state,
            reason,
        });
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Loading => "loading",
            Self::Shadow => "shadow",
            Self::Canary => "canary",
            Self::Active => "active",
            Self::Retired => "retired",
            Self::Failed => "failed",
        })
    }
}

impl Serialize for State {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}
