//! The generations of one policy name, and what happened to them.

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

/// The state of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// Being read, compiled and set up.
    Loading,
    /// Sees live traffic; its answers are compared and discarded.
    Shadow,
    /// Decides a share of the requests.
    Canary,
    /// Decides.
    Active,
    /// Was active before, or its trial has ended.
    Retired,
    /// Was refused, or was withdrawn for failing.
    Failed,
}

/// One generation in the history.
#[derive(Debug, Clone, Serialize)]
pub struct GenerationEntry {
    /// Counted from 1 for each policy name.
    pub generation: u64,
    /// `sha256:` and the component's digest in hexadecimal.
    pub digest: String,
    /// Where its component came from, in words.
    pub source: String,
    /// The state now.
    pub state: State,
    /// When this state began.
    #[serde(serialize_with = "rfc3339")]
    pub since: SystemTime,
}

/// Something that happened to a generation.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// When it happened.
    #[serde(serialize_with = "rfc3339")]
    pub time: SystemTime,
    /// The generation's number.
    pub generation: u64,
    /// Its state from then on.
    pub state: State,
    /// Why, as a sentence.
    pub reason: String,
}

/// The reason why a change is not possible now, as a sentence.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct NotNow(pub String);

/// The generations of one policy name.
#[derive(Debug, Default)]
pub struct History {
    last_number: u64,
    active: Option<Arc<Generation>>,
    /// The generation that decided before, still compiled.
    previous: Option<Arc<Generation>>,
    trial: Option<Arc<Trial>>,
    /// Newest last.
    entries: VecDeque<GenerationEntry>,
    events: VecDeque<Event>,
    last_error: Option<String>,
}

impl History {
    /// The last number that a generation got.
    pub fn last_number(&self) -> u64 {
        self.last_number
    }

    /// The next generation gets a number above this one.
    pub fn continue_after(&mut self, number: u64) {
        self.last_number = self.last_number.max(number);
    }

    /// Enters a new generation, whose component is about to be loaded, and returns its number.
    pub fn loading(&mut self, digest: String, source: String) -> u64 {
        // No kept number is near the maximum (`StateDir::read`).
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

    /// Its component could not be loaded.
    pub fn refused(&mut self, generation: u64, reason: &str) {
        self.last_error = Some(reason.to_owned());
        self.enter(generation, State::Failed, format!("refused: {reason}"));
    }

    /// Loading has ended; a generation whose result is still unknown has failed.
    pub fn broke_off(&mut self, generation: u64) {
        if self
            .entries
            .iter()
            .any(|e| e.generation == generation && e.state == State::Loading)
        {
            self.refused(
                generation,
                "the proxy failed while it loaded this generation (see its log); deploy it again",
            );
        }
    }

    /// Notes an error that does not change which generation decides.
    pub fn note_error(&mut self, error: String) {
        self.last_error = Some(error);
    }

    /// It was loaded, but is not needed any more.
    pub fn superseded(&mut self, generation: u64, reason: &str) {
        self.enter(generation, State::Retired, reason.to_owned());
    }

    /// A loaded generation decides from now on. The one on trial is retired; the one that decided
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

    /// Puts a loaded generation on trial, in place of the current one.
    pub fn try_out(&mut self, trial: Arc<Trial>, reason: &str) -> Result<(), NotNow> {
        let number = trial.generation.number();
        if self.active.is_none() {
            let reason =
                "there is no active generation to compare it with; deploy it without a mode"
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

    /// Another process could roll back to this generation, and so can this one; false if
    /// there is another one by now.
    pub fn restore_previous(
        &mut self,
        generation: Arc<Generation>,
        digest: String,
        source: String,
    ) -> bool {
        if self.previous.is_some() {
            return false;
        }
        let number = generation.number();
        let entry = GenerationEntry {
            generation: number,
            digest,
            source,
            state: State::Retired,
            since: SystemTime::now(),
        };
        let newer = self.entries.iter().position(|e| e.generation > number);
        let at = newer.unwrap_or(self.entries.len());
        self.entries.insert(at, entry);
        self.previous = Some(generation);
        let reason = "decided before, in the process that this one replaces";
        self.event(number, State::Retired, reason.to_owned());
        true
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

    /// Exchanges the active and the previous generation.
    pub fn roll_back(&mut self) -> Result<Arc<Generation>, NotNow> {
        let none = || NotNow("there is no previous generation to roll back to".to_owned());
        let previous = self.previous.take().ok_or_else(none)?;
        let from = self.active.as_ref().map_or(0, |a| a.number());
        self.end_trial(State::Retired, "rolled back");
        self.replace_active(
            Arc::clone(&previous),
            &format!("rolled back from generation {from}"),
        );
        Ok(previous)
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

    /// The generation that was withdrawn for failing, if that was the last event and at most `ago`
    /// back.
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

    /// Records that the share of the running canary has changed.
    pub fn share_changed(&mut self, percent: f64) {
        if let Some(trial) = &self.trial {
            let (number, crowd) = (trial.generation.number(), trial.mode.crowd());
            self.event(number, State::Canary, format!("{percent} % of the {crowd}"));
        }
    }

    /// The generation that decides.
    pub fn active(&self) -> Option<&Arc<Generation>> {
        self.active.as_ref()
    }

    /// The generation that decided before.
    pub fn previous(&self) -> Option<&Arc<Generation>> {
        self.previous.as_ref()
    }

    /// The trial that runs, if there is one.
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

    /// All events, newest first.
    pub fn events(&self) -> impl Iterator<Item = &Event> {
        self.events.iter().rev()
    }

    /// Why the last deployment failed; `None` if it did not.
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
            // A component that is deployed again, by a script that runs twice, must not take the
            // place of what a rollback is for.
            if self.previous.is_none() || !old.is_alike(&generation) {
                self.previous = Some(old);
            }
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
