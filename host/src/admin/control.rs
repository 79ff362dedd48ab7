//! The interface to the control side.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use serde::{Serialize, Serializer};

use super::backends::{BackendsChange, BackendsFuture, PoolStatus};
use super::names::NameStatus;
use super::reload::{ReloadFuture, ReloadStatus, ReopenFuture};
use super::routes::RouteStatus;
use super::times::{rfc3339, rfc3339_of};
use super::upgrade::UpgradeFuture;
use crate::observe::tap::Tap;
use crate::policy::Stickiness;
use crate::rollout::{Event, GenerationEntry, State, TrialReport};
use crate::stats::Stats;

/// The control side as `admin` sees it; implemented by `app`. Calls may come at any time and from
/// any thread of the control runtime. A change runs to its end even if its client leaves; a change
/// that fails changes nothing.
pub trait Control: Send + Sync + 'static {
    /// All counters.
    fn stats(&self) -> &Stats;

    /// The policies that run, in any order.
    fn policies(&self) -> Vec<PolicyStatus>;

    /// The certificates of the listeners.
    fn certificates(&self) -> Vec<CertificateStatus>;

    /// The names of backends.
    fn names(&self) -> Vec<NameStatus>;

    /// One policy with its generations, its history and its trial.
    fn policy(&self, name: &str) -> Option<PolicyDetails>;

    /// Loads this component under the policy's name, and publishes it to all workers once it is
    /// compiled, linked, configured and has received the backends. `admin` makes one such call for
    /// a policy at a time, with at most 64 MiB. `source` says where it came from.
    fn deploy<'a>(
        &'a self,
        name: &'a str,
        component: Vec<u8>,
        source: String,
        how: Deployment,
    ) -> ChangeFuture<'a>;

    /// Applies a change that needs no new component.
    fn change<'a>(&'a self, name: &'a str, change: Change) -> ChangeFuture<'a>;

    /// A token that lets requests be explained for `valid_for`.
    fn issue_explain_token(&self, valid_for: Duration) -> String;

    /// Whether load balancers should send clients here.
    fn readiness(&self) -> Readiness;

    /// Sentences about problems that the operator should look at although requests are served.
    fn notes(&self) -> Vec<String>;

    /// Reads the configuration again and publishes it as a whole, or, for a check, only says what
    /// would change.
    fn reload(&self, check: bool) -> ReloadFuture<'_>;

    /// Has the access log and the recording opened anew, and waits for that, within limits. What
    /// could not be is a sentence each.
    fn reopen(&self) -> ReopenFuture<'_>;

    /// How reloads have gone so far.
    fn reload_status(&self) -> ReloadStatus;

    /// Has another process of the program take this one's place, from this file if it is another
    /// one.
    fn upgrade(&self, binary: Option<PathBuf>) -> UpgradeFuture<'_>;

    /// The pools that run, with their endpoints.
    fn pools(&self) -> Vec<PoolStatus>;

    /// Changes the backends of a pool beside the configuration, publishes that, and waits for all
    /// workers to follow.
    fn change_backends<'a>(&'a self, pool: &'a str, change: BackendsChange) -> BackendsFuture<'a>;

    /// The routes that run, in the order of the configuration.
    fn routes(&self) -> Vec<RouteStatus>;

    /// Where requests are sampled.
    fn tap(&self) -> &Tap;

    /// The configuration that runs, without secrets.
    fn config(&self) -> serde_json::Value;
}

/// The future of a change.
pub type ChangeFuture<'a> =
    Pin<Box<dyn Future<Output = Result<PolicyDetails, ChangeError>> + Send + 'a>>;

/// The role in which a component is deployed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Deployment {
    /// Decides all requests from now on.
    Active,
    /// Sees this share of the requests; its answers are compared and discarded.
    Shadow {
        /// 0 to 100.
        percent: f64,
    },
    /// Decides this share of the requests.
    Canary {
        /// 0 to 100.
        percent: f64,
        /// How the share is chosen.
        by: Stickiness,
    },
}

/// A change that needs no new component.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Change {
    /// The generation on trial decides all requests.
    Promote {
        /// The expected generation; `None` accepts any.
        generation: Option<u64>,
    },
    /// The canary is withdrawn; without one, the previous generation decides again.
    RollBack {
        /// The generation that is expected to go; `None` accepts any.
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
        /// How the share is chosen; `None` keeps the canary's way.
        by: Option<Stickiness>,
    },
}

/// One policy as it runs now.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyStatus {
    /// The operator's name for it.
    pub name: String,
    /// The state of the active generation; without one, of the newest.
    pub state: State,
    /// The active generation; without one, the newest. Grows with each deployment.
    pub generation: u64,
    /// The component's digest: `sha256:` and hexadecimal digits.
    pub digest: String,
    /// Where the component came from, in words: `built-in random`, a path, or `PUT`.
    pub source: String,
    /// The hooks that it exports, by name ([`crate::policy::Hook`]), and `configuration` and
    /// `topology`.
    pub hooks: Vec<String>,
    /// `worker` or `request`.
    pub isolation: String,
    /// `random`, `next` or a status.
    pub on_failure: String,
    /// How requests are answered while no generation is active: `on_failure` if the configuration
    /// sets it, else 503.
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
    /// Workers that have suspended it, because faults of many clients cost too much.
    pub suspended_by_workers: u64,
    /// The calls of all its generations, and those that failed.
    pub counts: CallCounts,
    /// The last call that failed; `None` if none has.
    pub last_fault: Option<FaultStatus>,
    /// The generation on trial.
    pub on_trial: Option<OnTrial>,
    /// Why the last deployment failed (refused, or withdrawn automatically); `None` if it did not.
    pub last_error: Option<String>,
}

/// How often a policy was called, and how often that failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct CallCounts {
    /// Hook calls.
    pub calls: u64,
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Answers that were not valid.
    pub invalid: u64,
    /// Calls without an instance, because none could be built.
    pub unbuilt: u64,
}

/// A call that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FaultStatus {
    /// When.
    #[serde(serialize_with = "rfc3339_of")]
    pub time: SystemTime,
    /// Of which generation.
    pub generation: u64,
    /// What went wrong, with what the policy wrote before.
    pub message: String,
}

/// One certificate of a listener as it is served now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CertificateStatus {
    /// The listener's address.
    pub listener: String,
    /// The file that it was read from; empty for one that was made in memory.
    pub file: String,
    /// The names and addresses that it is for.
    pub names: Vec<String>,
    /// When it expires.
    #[serde(serialize_with = "rfc3339_of")]
    pub expires: SystemTime,
    /// How often its files have changed and could not be used.
    pub reload_failures: u64,
    /// Why they can't be used as they are now, or why there is no newer one by ACME, as a sentence.
    pub refused: Option<String>,
    /// How its orders go; `None` for one that is not ordered by ACME.
    pub acme: Option<OrderStatus>,
}

/// How the orders of a certificate by ACME go.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct OrderStatus {
    /// Whether one was issued; else a self-signed one is served.
    pub issued: bool,
    /// Orders since the start that ended with a certificate.
    pub completed: u64,
    /// Orders since the start that did not.
    pub failed: u64,
    /// When the next one begins.
    #[serde(serialize_with = "rfc3339_of")]
    pub next: SystemTime,
}

impl CertificateStatus {
    /// The first of its names, which stands for it in labels.
    pub(super) fn name(&self) -> &str {
        self.names.first().map_or("", String::as_str)
    }

    /// When it expires, in seconds since 1970.
    pub(super) fn expires_unix(&self) -> u64 {
        unix(self.expires)
    }
}

impl OrderStatus {
    /// When the next one begins, in seconds since 1970.
    pub(super) fn next_unix(&self) -> u64 {
        unix(self.next)
    }
}

fn unix(time: SystemTime) -> u64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs())
}

/// A generation on trial, in brief.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct OnTrial {
    /// `shadow` or `canary`.
    pub mode: &'static str,
    /// The candidate's number.
    pub generation: u64,
    /// The digest of its component.
    pub digest: String,
    /// The share of the requests, in percent.
    pub percent: f64,
    /// Requests that it decided, or, as a shadow, saw.
    pub requests: u64,
    /// A canary's requests that failed.
    pub failed: u64,
    /// Calls that trapped, missed their deadline, gave an invalid answer or had no instance.
    pub faults: u64,
    /// Decisions of a shadow that were compared.
    pub compared: u64,
    /// Of these, those that were the same.
    pub agreed: u64,
}

/// One policy with its history.
#[derive(Debug, Clone, Serialize)]
pub struct PolicyDetails {
    /// Its present state.
    #[serde(flatten)]
    pub status: PolicyStatus,
    /// Whether what is deployed decides after a restart, too: there is a `state-dir`.
    pub survives_restart: bool,
    /// The generation that a rollback restores.
    pub former_generation: Option<u64>,
    /// The report on the trial.
    pub trial: Option<TrialReport>,
    /// Newest first.
    pub generations: Vec<GenerationEntry>,
    /// All events, newest first.
    pub history: Vec<Event>,
}

/// Why a change was refused. A refused change changes nothing.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChangeError {
    /// No policy has this name.
    #[error("no policy is named {0:?}; GET /policies lists those that run")]
    Unknown(String),
    /// The component was refused: the reason, as a sentence.
    #[error("{0}")]
    Refused(String),
    /// Another deployment of the policy is under way.
    #[error("another deployment of policy {0:?} is under way; try again when it has finished")]
    Busy(String),
    /// The present state does not allow it: the reason, as a sentence.
    #[error("{0}")]
    NotNow(String),
    /// The process can't do it now: the reason, as a sentence.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether load balancers should send clients here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// The listeners are not open yet.
    Starting,
    /// Requests are served, but these policies are still being loaded.
    Loading(Vec<String>),
    /// Requests are served, but these policies were refused and have no other generation.
    Refused(Vec<String>),
    /// These workers hang, and their clients get no answer.
    Hanging(Vec<usize>),
    /// Requests are served.
    Ready,
    /// A part of the process has failed (a sentence says which); the process drains and ends.
    Failed(String),
    /// Requests are served, and the listeners are about to close.
    Leaving,
    /// The listeners are closed; requests in flight are being finished.
    Draining,
}

fn microseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_micros().try_into().unwrap_or(u64::MAX))
}
