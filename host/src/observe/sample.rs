//! A sampled request: what it was, and why it went where it went.

use serde::Serialize;

/// A request that has ended, for watchers. All text of clients in it is of bounded length.
#[derive(Debug, Serialize)]
pub struct Sample {
    /// When its head had arrived, RFC 3339 in UTC.
    pub time: String,
    /// What it is called.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub id: Box<str>,
    /// The method.
    pub method: Box<str>,
    /// The host that it asked for.
    pub host: Box<str>,
    /// Path and query, without the values of the query where these are left out.
    pub path: Box<str>,
    /// The version of HTTP.
    pub protocol: &'static str,
    /// The status that the client was sent; 0 if none.
    pub status: u16,
    /// Why the proxy or a policy answered, or why it could not be completed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<Box<str>>,
    /// The route; empty if none took it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub route: Box<str>,
    /// The pool; empty if none took it.
    #[serde(skip_serializing_if = "str::is_empty")]
    pub pool: Box<str>,
    /// The last backend tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backend: Option<Box<str>>,
    /// From its head to its end.
    pub microseconds: u64,
    /// The calls of policies, in order.
    pub policies: Vec<SampledCall>,
    /// The choices of a backend, in order.
    pub choices: Vec<SampledChoice>,
    /// The attempts, in the order of their beginnings.
    pub attempts: Vec<SampledAttempt>,
    /// Calls, choices and attempts beyond those that are noted.
    #[serde(skip_serializing_if = "is_zero")]
    pub left_out: u32,
}

/// A call of a policy.
#[derive(Debug, Serialize)]
pub struct SampledCall {
    /// The hook.
    pub hook: &'static str,
    /// The policy.
    pub policy: Box<str>,
    /// Its generation.
    pub generation: u64,
    /// What the generation was, if not the active one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role: Option<&'static str>,
    /// What it has decided, or the kind of its fault.
    pub decision: Box<str>,
    /// Whether that is a fault.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub failed: bool,
    /// How long it took.
    pub nanoseconds: u64,
}

/// A choice of a backend.
#[derive(Debug, Serialize)]
pub struct SampledChoice {
    /// Which attempt it is for, from 1.
    pub attempt: u32,
    /// The policy that has chosen; `None` if the host has.
    pub policy: Option<Box<str>>,
    /// By which rule.
    pub because: &'static str,
    /// The backends of the pool.
    pub candidates: u32,
    /// The one that was chosen.
    pub chosen: Candidate,
    /// The first of the others, at most 8.
    pub others: Vec<Candidate>,
}

/// A backend as it was when one was chosen.
#[derive(Debug, Serialize)]
pub struct Candidate {
    /// Its address.
    pub backend: Box<str>,
    /// What is known of its health.
    pub state: &'static str,
    /// Requests in flight on the worker that chose.
    pub in_flight: u32,
    /// How long its answers take, on average; 0 before the first.
    pub latency_microseconds: u64,
    /// Its weight.
    pub weight: u32,
}

/// An attempt at a backend.
#[derive(Debug, Serialize)]
pub struct SampledAttempt {
    /// The backend.
    pub backend: Box<str>,
    /// The status with which its answer was passed on; 0 if it was not.
    pub status: u16,
    /// `answered`, or what has failed, in a word.
    pub outcome: Box<str>,
    /// How long it took.
    pub microseconds: u64,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}
