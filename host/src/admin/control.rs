//! What the control side offers to this room.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::policy::Stickiness;
use crate::rollout::{Event, GenerationEntry, State, TrialReport};
use crate::stats::Stats;

/// The control side as `admin` sees it; implemented by `app`. Every call may come at any time and
/// from any thread of the control runtime. A change is awaited to its end whether or not its client
/// still waits; on an error nothing that runs has changed.
pub trait Control: Send + Sync + 'static {
    /// All counters.
    fn stats(&self) -> &Stats;

    /// The policies that run, in any order.
    fn policies(&self) -> Vec<PolicyStatus>;

    /// One policy with its generations, its history and its trial.
    fn policy(&self, name: &str) -> Option<PolicyDetails>;

    /// Loads this component under the policy's name, and publishes it to all workers once it is
    /// proven: compiled, linked, configured and told the backends. `admin` makes one such call for
    /// a policy at a time, of at most 64 MiB.
    fn deploy<'a>(&'a self, name: &'a str, component: Vec<u8>, how: Deployment)
    -> ChangeFuture<'a>;

    /// Changes what decides, without loading anything.
    fn change<'a>(&'a self, name: &'a str, change: Change) -> ChangeFuture<'a>;

    /// A token that lets requests be explained for so long.
    fn issue_explain_token(&self, valid_for: Duration) -> String;

    /// Whether clients should be sent here.
    fn readiness(&self) -> Readiness;

    /// What the operator should look at though requests are served, a sentence each.
    fn notes(&self) -> Vec<String>;
}

/// The future of a change.
pub type ChangeFuture<'a> =
    Pin<Box<dyn Future<Output = Result<PolicyDetails, ChangeError>> + Send + 'a>>;

/// What a component is loaded as.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deployment {
    /// It decides all requests from now on.
    Active,
    /// It is asked beside the active generation for this share of the requests, in percent, and
    /// decides nothing.
    Shadow {
        /// 0 to 100.
        percent: f64,
    },
    /// It decides this share of the requests.
    Canary {
        /// 0 to 100.
        percent: f64,
        /// Which ones.
        by: Stickiness,
    },
}

/// A change of what decides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// The generation on trial decides all requests.
    Promote {
        /// Which one is meant; `None` for whichever is on trial.
        generation: Option<u64>,
    },
    /// The canary is withdrawn; without one, the former generation decides again.
    RollBack {
        /// Which one is meant to go; `None` for whichever decides.
        generation: Option<u64>,
    },
    /// The shadow is withdrawn.
    EndShadow,
    /// The canary is withdrawn.
    EndCanary,
    /// The generation on trial decides this share of the requests.
    Canary {
        /// 0 to 100.
        percent: f64,
        /// Which ones; `None` leaves a canary's as they are.
        by: Option<Stickiness>,
    },
}

/// One policy as it runs now.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyStatus {
    /// The operator's name for it.
    pub name: String,
    /// Of the generation that decides; without one, of the newest.
    pub state: State,
    /// The generation that decides; without one, the newest. Grows with each deployment.
    pub generation: u64,
    /// Of its component: `sha256:` and the digest in hexadecimal.
    pub digest: String,
    /// Where the component came from, in words: `built-in random`, a path, or `PUT`.
    pub source: String,
    /// The hooks that it exports, by their names ([`crate::policy::Hook`]), and `configuration` and
    /// `topology`.
    pub hooks: Vec<String>,
    /// `worker` or `request`.
    pub isolation: String,
    /// `random`, `next` or a status.
    pub on_failure: String,
    /// What becomes of requests while no generation decides: `on_failure` if the operator wrote it,
    /// else 503.
    pub while_absent: String,
    /// The longest that a hook may run.
    #[serde(rename = "deadline_microseconds", serialize_with = "microseconds")]
    pub deadline: Duration,
    /// The most linear memory that an instance may have.
    pub memory_limit_bytes: u64,
    /// The component's size.
    pub size_bytes: u64,
    /// When this generation was loaded; `None` if it is not.
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: Option<SystemTime>,
    /// Workers that do not ask it for now, because faults of many clients cost too much.
    pub suspended_by_workers: u64,
    /// The generation on trial.
    pub on_trial: Option<OnTrial>,
    /// Why the latest deployment came to nothing (refused, or withdrawn by itself); `None` if it
    /// did not.
    pub last_error: Option<String>,
}

/// A generation on trial, in brief.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnTrial {
    /// `shadow` or `canary`.
    pub mode: &'static str,
    /// Its number.
    pub generation: u64,
    /// Of its component.
    pub digest: String,
    /// The share of the requests, in percent.
    pub percent: f64,
    /// Requests that it decided, or, as a shadow, saw.
    pub requests: u64,
    /// Of a canary's, those that failed.
    pub failed: u64,
    /// Calls that trapped, missed their deadline, gave no valid answer or found no instance.
    pub faults: u64,
    /// Decisions of a shadow that were compared.
    pub compared: u64,
    /// Of these, those that were the same.
    pub agreed: u64,
}

/// One policy with its past.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyDetails {
    /// As it runs now.
    #[serde(flatten)]
    pub status: PolicyStatus,
    /// The generation that a rollback goes back to.
    pub former_generation: Option<u64>,
    /// How the trial goes.
    pub trial: Option<TrialReport>,
    /// Newest first.
    pub generations: Vec<GenerationEntry>,
    /// What happened, newest first.
    pub history: Vec<Event>,
}

/// Why a change was not made. Nothing that runs has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No policy has this name.
    #[error("no policy is named {0:?}; GET /policies lists those that run")]
    Unknown(String),
    /// The component was refused: the reason, as a sentence.
    #[error("{0}")]
    Refused(String),
    /// The policy is being replaced by someone else.
    #[error("policy {0:?} is being replaced already; try again when that is done")]
    Busy(String),
    /// What runs now leaves no room for it: the reason, as a sentence.
    #[error("{0}")]
    NotNow(String),
    /// The process is not in a state to do so: the reason, as a sentence.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether clients should be sent here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The listeners are not open yet.
    Starting,
    /// Requests are served, but these policies are still being loaded.
    Loading(Vec<String>),
    /// Requests are served, but these policies were refused, and nothing decides in their place.
    Refused(Vec<String>),
    /// These workers hang, and what their clients ask is not answered.
    Hanging(Vec<usize>),
    /// Requests are served.
    Ready,
    /// A part of the process has failed, in a sentence: the others finish what is in flight, then
    /// the process ends.
    Failed(String),
    /// The listeners are closed; what is in flight is being finished.
    Draining,
}

fn microseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_micros().try_into().unwrap_or(u64::MAX))
}

fn rfc3339<S: Serializer>(time: &Option<SystemTime>, serializer: S) -> Result<S::Ok, S::Error> {
    match time {
        Some(time) => serializer.serialize_str(&timestamp(*time)),
        None => serializer.serialize_none(),
    }
}

/// RFC 3339 in UTC, to the second.
pub(super) fn timestamp(time: SystemTime) -> String {
    let mut text = String::new();
    // The formatter reports clocks outside the years 1970 to 9999 as an error.
    if write!(
        text,
        "{}",
        humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH))
    )
    .is_err()
    {
        return "unknown".to_owned();
    }
    text
}
