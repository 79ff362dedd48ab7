//! What has been changed of a pool beside the configuration.

use std::collections::BTreeMap;

use crate::config::Backend;

/// What brought a backend, or an edit. Of several edits the last of these counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Origin {
    /// `backends` of the pool.
    #[default]
    Configuration,
    /// The file of the pool.
    File,
    /// The admin API.
    Api,
}

/// What one origin has changed of one pool.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Overlay {
    /// After those of the configuration.
    pub added: Vec<Backend>,
    /// By the address as it was written, or as it was resolved.
    pub edits: BTreeMap<String, Edit>,
}

/// What has been changed of a backend.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Edit {
    /// In the place of the configured weight.
    pub weight: Option<u32>,
    /// In the place of the state that an earlier origin gave it.
    pub state: Option<AdminState>,
}

/// What an operator has said of an endpoint.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum AdminState {
    /// It gets requests.
    #[default]
    Up,
    /// It gets no new requests; those under way go on.
    Draining,
    /// The same, because it is out of order.
    Down,
}

impl Origin {
    /// As statistics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Configuration => "configuration",
            Self::File => "file",
            Self::Api => "api",
        }
    }
}

impl AdminState {
    /// As statistics write it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Up => "up",
            Self::Draining => "draining",
            Self::Down => "down",
        }
    }
}

impl Overlay {
    /// Whether it changes nothing.
    pub fn is_empty(&self) -> bool {
        self.added.is_empty() && self.edits.is_empty()
    }
}

impl Edit {
    pub(super) fn overlaid_by(self, later: &Self) -> Self {
        Self {
            weight: later.weight.or(self.weight),
            state: later.state.or(self.state),
        }
    }
}
