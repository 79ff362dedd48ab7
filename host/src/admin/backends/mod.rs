//! The pools and their backends as they run, and changes of them beside the configuration.

pub(super) mod calls;

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;

use serde::Serialize;

/// The future of a change of a pool's backends.
pub type BackendsFuture<'a> =
    Pin<Box<dyn Future<Output = Result<BackendsChanged, BackendsError>> + Send + 'a>>;

/// One pool as it runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PoolStatus {
    /// The operator's name for it.
    pub name: String,
    /// Its file, if it has one.
    pub file: Option<FileStatus>,
    /// In the order in which policies see them.
    pub endpoints: Vec<EndpointStatus>,
}

/// The file of a pool.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct FileStatus {
    /// Where it is.
    pub path: String,
    /// How many backends it lists, as of when it could be read last.
    pub backends: usize,
    /// How often it has changed and could not be used.
    pub failures: u64,
    /// Why it can't be used as it is now, as a sentence; the list before stays in use.
    pub refused: Option<String>,
}

/// One endpoint of a pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct EndpointStatus {
    /// Its IP address and port.
    pub address: String,
    /// Its name in the statistics of backends.
    #[serde(skip)]
    pub label: String,
    /// What brought it: `configuration`, `file` or `api`.
    pub source: &'static str,
    /// Its weight, also while it is drained.
    pub weight: u32,
    /// What an operator has said of it: `up`, `draining` or `down`.
    pub admin: &'static str,
    /// How many requests may be under way there now; left out where they are not limited.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_limit: Option<usize>,
    /// The operator's labels.
    pub labels: BTreeMap<String, String>,
}

/// A change of a pool's backends.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BackendsChange {
    /// What the admin API adds to the pool is this list, as JSON.
    Replace(String),
    /// It adds this backend too, or another in the place of the same address, with weight and
    /// labels from an object of JSON, which may be empty.
    Add(String, String),
    /// It does not add this backend any more.
    Remove(String),
    /// An operator says this of a backend.
    Say(String, Said),
    /// All of these, in this order, or none.
    All(Vec<BackendsChange>),
}

/// That there is no such pool, and which there are.
pub fn unknown_pool<'n>(name: &str, all: impl Iterator<Item = &'n str>) -> BackendsError {
    let all: Vec<&str> = all.collect();
    BackendsError::Unknown(match all.is_empty() {
        true => format!("no pool is named {name:?}; there are none"),
        false => format!("no pool is named {name:?}; there are {}", all.join(", ")),
    })
}

/// What an operator says of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Said {
    /// It gets no new requests.
    Drain,
    /// It gets requests again.
    Up,
    /// It is out of order, and gets no requests.
    Down,
    /// Its weight; `None` = as it is configured.
    Weight(Option<u32>),
}

/// What a change has come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackendsChanged {
    /// The pool as it runs now.
    pub pool: PoolStatus,
    /// Whether all workers follow it already.
    pub adopted: bool,
    /// What an operator should know, as sentences.
    pub warnings: Vec<String>,
}

/// Why a change of backends was refused. A refused change changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BackendsError {
    /// There is no such pool or backend: a sentence says what there is.
    #[error("{0}")]
    Unknown(String),
    /// Every mistake, as a sentence.
    #[error("{}", .0.join("\n"))]
    Refused(Vec<String>),
    /// The process can't do it now, as a sentence.
    #[error("{0}")]
    Unavailable(String),
}
