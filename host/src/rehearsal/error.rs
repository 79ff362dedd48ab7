//! What keeps a rehearsal from taking place.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

use crate::config::ConfigErrors;
use crate::policy::PolicyError;
use crate::recording::ReadError;
use crate::text::plain;

/// Why there is no result.
#[derive(Debug, Error)]
pub enum RehearsalError {
    /// A file that can't be read.
    #[error("can't read {}: {error}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that can't be written.
    #[error("can't write {}: {error}", path.display())]
    Write {
        /// Which; `-` is standard output.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// A file that is larger than any that is meant.
    #[error("{} has more than {limit} bytes, the limit for such a file", path.display())]
    TooLarge {
        /// Which.
        path: PathBuf,
        /// The most.
        limit: u64,
    },
    /// No built-in policy of this name.
    #[error("there is no built-in policy {name:?}; there are: {known}")]
    NoBuiltin {
        /// The requested name.
        name: String,
        /// What there is.
        known: String,
    },
    /// Mistakes in a scenario file, all of them.
    #[error("{0}")]
    Scenarios(#[from] ConfigErrors),
    /// A filter that leaves nothing.
    #[error("none of the {count} scenarios has {filter:?} in its name")]
    NothingLeft {
        /// How many there are.
        count: usize,
        /// The filter.
        filter: String,
    },
    /// Settings that are not JSON.
    #[error(
        "the settings are not a JSON object: {0}; write for example '{{\"key\": 1}}', or @ and a \
         file that holds it"
    )]
    Settings(String),
    /// A module that can't become a component.
    #[error("{}: {reason}", path.display())]
    Unpackable {
        /// The module.
        path: PathBuf,
        /// Why, and what to do.
        reason: String,
    },
    /// A recording that can't be read.
    #[error("{0}")]
    Unreadable(#[from] ReadError),
    /// A recording that can't be replayed: what is wrong, and where.
    #[error("{0}")]
    Recording(String),
    /// A component that can't be compared.
    #[error("{0}")]
    Incomparable(PolicyError),
    /// A policy that was refused.
    #[error("{0}")]
    Policy(#[from] PolicyError),
    /// Scenarios that ask nothing.
    #[error(
        "{0} has nothing to measure: each of its scenarios expects the policy to be refused; \
         add one with a request, or omit `--scenarios`"
    )]
    NothingToMeasure(String),
    /// A policy that failed while it was measured.
    #[error("the policy failed while it was measured: {0}")]
    Faulted(String),
}

impl RehearsalError {
    /// The same for commands that treat a policy only as input.
    pub(super) fn unusable(self) -> Self {
        match self {
            Self::Policy(refused) => Self::Incomparable(refused),
            other => other,
        }
    }

    /// As a terminal shows it: names and messages in it may come from a foreign file or component,
    /// and must not move the cursor.
    pub fn told(&self) -> String {
        self.to_string()
            .lines()
            .map(plain)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Whether the error is in the policy, and not in the other inputs.
    pub fn is_about_the_policy(&self) -> bool {
        match self {
            Self::Policy(PolicyError::Refused { .. })
            | Self::Faulted(_)
            | Self::Unpackable { .. } => true,
            Self::Policy(_)
            | Self::Unreadable(_)
            | Self::Recording(_)
            | Self::Incomparable(_)
            | Self::Read { .. }
            | Self::Write { .. }
            | Self::TooLarge { .. }
            | Self::NoBuiltin { .. }
            | Self::Scenarios(_)
            | Self::NothingLeft { .. }
            | Self::NothingToMeasure(_)
            | Self::Settings(_) => false,
        }
    }
}

/// The same of a policy that its author knows by this name.
pub(super) fn named(error: PolicyError, name: &str) -> PolicyError {
    match error {
        PolicyError::Refused { origin, reason, .. } => PolicyError::Refused {
            policy: name.to_owned(),
            origin,
            reason,
        },
        other => other,
    }
}
