//! The parts of the admin listener's answers that are shown. Missing members get a default and new
//! ones are ignored, because the proxy may have another version than this command.

use std::collections::BTreeMap;

use serde::Deserialize;

/// `GET /policies`
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Policies {
    pub policies: Vec<Status>,
}

/// One policy as it runs now.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Status {
    pub name: String,
    pub state: String,
    pub generation: u64,
    #[serde(default)]
    pub digest: String,
    #[serde(default)]
    pub source: String,
    #[serde(default)]
    pub hooks: Vec<String>,
    #[serde(default)]
    pub isolation: String,
    #[serde(default)]
    pub on_failure: String,
    #[serde(default)]
    pub while_absent: Option<String>,
    #[serde(default)]
    pub deadline_microseconds: u64,
    #[serde(default)]
    pub memory_limit_bytes: u64,
    #[serde(default)]
    pub size_bytes: u64,
    #[serde(default)]
    pub loaded_at: Option<String>,
    #[serde(default)]
    pub suspended_by_workers: u64,
    #[serde(default)]
    pub counts: Option<Counts>,
    #[serde(default)]
    pub last_fault: Option<Fault>,
    #[serde(default)]
    pub on_trial: Option<OnTrial>,
    #[serde(default)]
    pub last_error: Option<String>,
}

/// How often a policy was called; an older proxy does not say it.
#[derive(Debug, Clone, Copy, Default, Deserialize)]
pub(super) struct Counts {
    pub calls: u64,
    #[serde(flatten)]
    pub faults: Faults,
}

/// The last call that failed.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Fault {
    pub time: String,
    pub generation: u64,
    pub message: String,
}

/// A generation on trial, in brief.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct OnTrial {
    pub mode: String,
    pub generation: u64,
    #[serde(default)]
    pub percent: f64,
}

/// One policy with its history: the answer to `GET /policies/NAME` and to every change.
#[derive(Debug, Clone, Default, Deserialize)]
pub(super) struct Details {
    #[serde(flatten)]
    pub status: Status,
    #[serde(default)]
    pub survives_restart: Option<bool>,
    #[serde(default)]
    pub former_generation: Option<u64>,
    #[serde(default)]
    pub trial: Option<Trial>,
    #[serde(default)]
    pub generations: Vec<Entry>,
    /// Newest first.
    #[serde(default)]
    pub history: Vec<Event>,
}

/// The report on a trial.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Trial {
    pub mode: String,
    pub generation: u64,
    pub digest: String,
    pub exports: Option<Vec<String>>,
    pub began: String,
    pub percent: f64,
    pub by: String,
    pub faults: Faults,
    pub suspended_by_workers: u64,
    pub requests_compared: Option<u64>,
    pub hooks: BTreeMap<String, Hook>,
    pub samples: Vec<Sample>,
    pub canary: Option<Arm>,
    pub control: Option<Arm>,
}

/// The candidate's faults.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Faults {
    pub traps: u64,
    pub deadlines: u64,
    pub invalid: u64,
    pub unbuilt: u64,
}

/// One hook's comparison.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Hook {
    pub compared: u64,
    pub agreed: u64,
    pub active_time: Timing,
    pub shadow_time: Timing,
}

/// How long calls took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Timing {
    pub mean_nanoseconds: u64,
    pub p99_nanoseconds: u64,
}

/// One decision that differed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Sample {
    pub time: String,
    pub hook: String,
    pub client: String,
    pub method: String,
    pub host: String,
    pub path: String,
    pub active: String,
    pub shadow: String,
}

/// One group of requests.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Arm {
    pub requests: u64,
    pub failed: u64,
    pub given_up: u64,
    pub p50_microseconds: u64,
    pub p99_microseconds: u64,
}

/// One generation in the history.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Entry {
    pub generation: u64,
    pub digest: String,
    pub source: String,
    pub state: String,
    pub since: String,
}

/// Something that happened to a generation.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(super) struct Event {
    pub time: String,
    pub generation: u64,
    pub state: String,
    pub reason: String,
}

/// `POST /explain`
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Token {
    pub token: String,
    pub request_field: String,
    pub response_field: String,
    pub valid_seconds: u64,
}

/// `POST /upgrade`
#[derive(Debug, Deserialize)]
pub(super) struct Upgraded {
    pub pid: u32,
    pub binary: String,
}

/// `POST /reload`
#[derive(Debug, Clone, Deserialize)]
pub(super) struct Reloaded {
    pub published: bool,
    pub changes: Changes,
    pub warnings: Vec<String>,
}

/// How the configuration differs from the one that ran before.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Changes {
    pub listeners: Difference,
    pub routes: Difference,
    pub pools: Difference,
    pub policies: Difference,
    pub settings: Vec<String>,
}

/// How two lists differ.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
pub(super) struct Difference {
    pub added: Vec<String>,
    pub changed: Vec<String>,
    pub removed: Vec<String>,
}

/// The outcome of a generation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Fate {
    /// On trial.
    OnTrial,
    /// Decides all requests, or did so since.
    Promoted,
    /// Neither, with the reason.
    Over(String),
}

impl Details {
    /// The outcome of this generation of this component.
    pub(super) fn fate(&self, generation: u64, digest: &str) -> Fate {
        let known = self
            .generations
            .iter()
            .any(|e| e.generation == generation && e.digest == digest);
        if !known {
            // Without a state directory, a restart begins again at generation 1.
            return Fate::Over(format!(
                "the proxy no longer knows generation {generation}; it has probably been restarted"
            ));
        }
        if self
            .trial
            .as_ref()
            .is_some_and(|t| t.generation == generation)
        {
            return Fate::OnTrial;
        }
        let mut events = self.history.iter().filter(|e| e.generation == generation);
        let last = events.next();
        if last.into_iter().chain(events).any(|e| e.state == "active") {
            return Fate::Promoted;
        }
        Fate::Over(match last {
            Some(Event { state, reason, .. }) if state == "failed" => {
                format!("generation {generation} was withdrawn: {reason}")
            }
            Some(Event { reason, .. }) => {
                format!("the trial of generation {generation} is over: {reason}")
            }
            None => format!("the trial of generation {generation} is over"),
        })
    }

    /// The newest generation of this component.
    pub(super) fn newest_of(&self, digest: &str) -> Option<u64> {
        self.generations
            .iter()
            .filter(|e| e.digest == digest)
            .map(|e| e.generation)
            .max()
    }
}

impl Faults {
    pub(super) fn all(self) -> u64 {
        self.traps + self.deadlines + self.invalid + self.unbuilt
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn details(trial: Option<u64>, events: &[(u64, &str, &str)]) -> Details {
        let entry = |generation| Entry {
            generation,
            digest: format!("d{generation}"),
            ..Entry::default()
        };
        let event = |(generation, state, reason): &(u64, &str, &str)| Event {
            generation: *generation,
            state: (*state).to_owned(),
            reason: (*reason).to_owned(),
            ..Event::default()
        };
        Details {
            trial: trial.map(|generation| Trial {
                generation,
                ..Trial::default()
            }),
            generations: (1..=4).rev().map(entry).collect(),
            history: events.iter().map(event).collect(),
            ..Details::default()
        }
    }

    #[test]
    fn what_becomes_of_a_generation_is_read_from_its_history() {
        assert_eq!(
            details(Some(3), &[(3, "canary", "5 %")]).fate(3, "d3"),
            Fate::OnTrial
        );
        let promoted = details(
            None,
            &[
                (3, "active", "promoted"),
                (2, "retired", "replaced"),
                (3, "canary", "5 %"),
            ],
        );
        assert_eq!(promoted.fate(3, "d3"), Fate::Promoted);
        let since = details(
            Some(4),
            &[
                (3, "retired", "replaced by generation 4"),
                (3, "active", "promoted"),
            ],
        );
        assert_eq!(since.fate(3, "d3"), Fate::Promoted, "and replaced since");
        let over = |events: &[_]| match details(None, events).fate(3, "d3") {
            Fate::Over(reason) => reason,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            over(&[(3, "failed", "3 faults"), (3, "canary", "")]),
            "generation 3 was withdrawn: 3 faults"
        );
        assert!(
            over(&[(3, "retired", "by the operator"), (3, "shadow", "")])
                .ends_with("over: by the operator")
        );
        assert!(over(&[]).contains("over"));
        let other = details(Some(3), &[]).fate(3, "another component");
        assert!(matches!(other, Fate::Over(reason) if reason.contains("restarted")));
    }
}
