//! What the control side offers to this room.

use std::fmt::Write as _;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::{Serialize, Serializer};

use crate::stats::Stats;

/// The control side as `admin` sees it; implemented by `app`. Every call may come at any time and from any thread of
/// the control runtime.
pub trait Control: Send + Sync + 'static {
    /// All counters.
    fn stats(&self) -> &Stats;

    /// The policies that run, in any order.
    fn policies(&self) -> Vec<PolicyStatus>;

    /// Loads this component in place of the named policy's, and publishes it to all workers once it is proven:
    /// compiled, linked, configured and told the backends. On an error nothing has changed. `admin` makes one such call
    /// at a time, of at most 64 MiB, and awaits each to its end whether or not its client still waits.
    fn replace_policy<'a>(&'a self, name: &'a str, component: Vec<u8>) -> ReplaceFuture<'a>;

    /// Whether clients should be sent here.
    fn readiness(&self) -> Readiness;
}

/// The future of [`Control::replace_policy`].
pub type ReplaceFuture<'a> = Pin<Box<dyn Future<Output = Result<PolicyStatus, ReplaceError>> + Send + 'a>>;

/// One policy as it runs now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PolicyStatus {
    /// The operator's name for it.
    pub name: String,
    /// Grows with each replacement.
    pub generation: u64,
    /// Of the component: SHA-256 in hexadecimal.
    pub digest: String,
    /// Where the component came from, in words: `built-in random`, a path, or `PUT`.
    pub source: String,
    /// The hooks that it exports, by their names in [`crate::stats::HOOKS`], and `configuration` and `topology`.
    pub hooks: Vec<String>,
    /// `worker` or `request`.
    pub isolation: String,
    /// `random`, `next` or a status.
    pub on_failure: String,
    /// The longest that a hook may run.
    #[serde(rename = "deadline_microseconds", serialize_with = "microseconds")]
    pub deadline: Duration,
    /// The most linear memory that an instance may have.
    pub memory_limit_bytes: u64,
    /// The component's size.
    pub size_bytes: u64,
    /// When this generation was published.
    #[serde(serialize_with = "rfc3339")]
    pub loaded_at: SystemTime,
    /// Why the latest attempt to replace it was refused (by `PUT` or a changed file); `None` if that succeeded.
    pub last_error: Option<String>,
}

/// Why a policy was not replaced. Nothing has changed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReplaceError {
    /// No policy has this name.
    #[error("no policy is named {0:?}; GET /policies lists those that run")]
    Unknown(String),
    /// The component was refused: the reason, as a sentence.
    #[error("{0}")]
    Refused(String),
    /// The policy is being replaced by someone else.
    #[error("policy {0:?} is being replaced already; try again when that is done")]
    Busy(String),
    /// The process is not in a state to do so: the reason, as a sentence.
    #[error("{0}")]
    Unavailable(String),
}

/// Whether clients should be sent here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Readiness {
    /// The listeners are not open yet.
    Starting,
    /// Requests are served.
    Ready,
    /// The listeners are closed; what is in flight is being finished.
    Draining,
}

fn microseconds<S: Serializer>(duration: &Duration, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_u64(duration.as_micros().try_into().unwrap_or(u64::MAX))
}

fn rfc3339<S: Serializer>(time: &SystemTime, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&timestamp(*time))
}

/// RFC 3339 in UTC, to the second.
pub(super) fn timestamp(time: SystemTime) -> String {
    let mut text = String::new();
    // The formatter reports clocks outside the years 1970 to 9999 as an error.
    if write!(text, "{}", humantime::format_rfc3339_seconds(time.max(UNIX_EPOCH))).is_err() {
        return "unknown".to_owned();
    }
    text
}
