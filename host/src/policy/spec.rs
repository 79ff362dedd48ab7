//! The options of an engine, and of loading a policy.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use super::compiling::Compiler;
use super::tape::Script;
use crate::config::{CompileLimits, Isolation, OnFailure, StoreLimits};

/// How an engine is made.
#[derive(Debug, Clone, Default)]
pub struct EngineOptions {
    /// How many workers there are: each gets a warm instance of each policy.
    pub workers: usize,
    /// How many instances of small components may live at once; chosen by the number of workers if
    /// `None`.
    pub instances: Option<u32>,
    /// Where compiled components are kept on disk, if they are.
    pub cache: Option<PathBuf>,
    /// Where components are compiled.
    pub compiler: Compiler,
    /// Whether instructions are counted ([`PolicyHandle::fuel`](super::PolicyHandle::fuel)), which
    /// makes everything slower.
    pub fuel: bool,
    /// The nanoseconds that stores follow in place of the time, for a policy that is asked offline.
    pub store_clock: Option<Arc<AtomicU64>>,
    /// The moment from which policies' monotonic clock counts; now if `None`. Another one only
    /// where stores come from an engine before this one.
    pub clock_began: Option<Instant>,
}

/// A policy to be loaded.
#[derive(Debug, Clone)]
pub struct PolicySpec {
    /// The operator's name for it.
    pub name: String,
    /// The component.
    pub component: Arc<[u8]>,
    /// Given to `configure` as JSON.
    pub settings: serde_json::Value,
    /// The longest that a hook may run.
    pub deadline: Duration,
    /// The most linear memory that an instance may have, in bytes.
    pub memory: u64,
    /// What compiling it may take.
    pub compiling: CompileLimits,
    /// What becomes of a request when the policy fails.
    pub on_failure: OnFailure,
    /// Scripted draws and readings while an instance is set up, for a policy that runs offline;
    /// real ones if `None`.
    pub setup: Option<Script>,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// What its store may hold; decided when a policy of this name is first loaded.
    pub store: StoreLimits,
    /// Whether it is loaded as a shadow, whose instances must not change the store while they are
    /// set up.
    pub shadow: bool,
    /// Where the component comes from, for messages: a path, or `built-in`.
    pub source: String,
}

impl PolicySpec {
    /// Whether there are settings at all.
    pub(super) fn has_settings(&self) -> bool {
        let is_empty = self.settings.as_object().is_some_and(|s| s.is_empty());
        !self.settings.is_null() && !is_empty
    }

    /// The settings as `configure` reads them.
    pub(super) fn settings_json(&self) -> String {
        match self.settings.is_null() {
            true => "{}".to_owned(),
            false => self.settings.to_string(),
        }
    }
}

/// A pool of a policy's routes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PoolSpec {
    /// What `select` calls it.
    pub id: u32,
    /// The operator's name for it.
    pub name: String,
    /// Its backends; the index is a backend's name in every call.
    pub backends: Vec<BackendSpec>,
}

/// A backend of such a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendSpec {
    /// IP address and port.
    pub address: String,
    /// The operator's weight.
    pub weight: u32,
    /// Free labels.
    pub labels: Vec<(String, String)>,
}
