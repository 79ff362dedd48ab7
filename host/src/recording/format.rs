//! The format: one JSON object per line. A reader ignores unknown keys; a change that older readers
//! would misunderstand gets another [`FORMAT`]. Before 0.1.0 is published there are no older
//! readers.

use std::net::IpAddr;

use serde::{Deserialize, Serialize};

use super::connection::Tls;
use super::ways::{Destination, MayEdit, Target};
use crate::policy::{Hook, LocalSource, Octets, Recorded};
use crate::upstream::{BackendHealth, Completion};

/// The version of the format that is written, and the only one that is read.
pub const FORMAT: u32 = 1;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Line {
    /// The pools and policies of the following requests that name it; each file begins with one.
    Lineup(Lineup),
    /// A request that has ended.
    Request(Box<Request>),
}

/// The pools and the policies of one moment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Lineup {
    /// [`FORMAT`]
    pub format: u32,
    /// The version of the proxy.
    pub waypost: String,
    /// Its number, which requests name.
    pub lineup: u64,
    /// When it was first recorded, in milliseconds since 1970.
    pub time: u64,
    /// How many workers there are.
    pub workers: usize,
    /// The share of the requests that is recorded, 0 to 1.
    pub sample: f64,
    /// Fields whose values are replaced by a hash.
    pub redact: Vec<String>,
    /// Whether the query's values are replaced too.
    pub redact_query: bool,
    /// Whether clients' addresses are replaced.
    pub redact_client: bool,
    /// The pools.
    pub pools: Vec<Pool>,
    /// The policies that are recorded.
    pub policies: Vec<Policy>,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pool {
    /// Its id in `select`.
    pub id: u32,
    /// The operator's name for it.
    pub name: String,
    /// Its backends by index.
    pub backends: Vec<Backend>,
}

/// A backend.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backend {
    /// IP address and port.
    pub address: String,
    /// The operator's weight.
    pub weight: u32,
    /// The operator's labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub labels: Vec<(String, String)>,
}

/// A policy.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Policy {
    /// The operator's name for it.
    pub name: String,
    /// What `configure` was given.
    pub settings: serde_json::Value,
    /// The pools that it serves, by id.
    pub pools: Vec<u32>,
    /// The longest that a hook may run.
    pub deadline_microseconds: u64,
    /// The most memory that an instance may have.
    pub memory_bytes: u64,
    /// How long an instance lives.
    pub isolation: Isolation,
    /// The most entries of its store.
    pub store_entries: usize,
    /// The most bytes of its store.
    pub store_bytes: u64,
    /// The active generation; `None` if none is loaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub active: Option<Loaded>,
    /// The generation on trial.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trial: Option<Trial>,
}

/// How long an instance lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Isolation {
    /// As long as the worker and the generation.
    Worker,
    /// A request.
    Request,
}

/// A generation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Loaded {
    /// Its number.
    pub generation: u64,
    /// `sha256:` and the component's digest.
    pub digest: String,
}

/// A generation on trial.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Trial {
    /// [`Role::Canary`] or [`Role::Shadow`].
    pub role: Role,
    /// Its number.
    pub generation: u64,
    /// `sha256:` and the component's digest.
    pub digest: String,
}

/// A request and its outcome.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// The lineup that decided it.
    pub lineup: u64,
    /// When its head had arrived, in milliseconds since 1970.
    pub time: u64,
    /// The worker that served it.
    pub worker: usize,
    /// The method.
    pub method: String,
    /// `http` or `https`.
    pub scheme: String,
    /// The host, normalised.
    pub host: String,
    /// The path as it was received.
    pub path: String,
    /// The query without its `?`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The client's address.
    pub client: IpAddr,
    /// The version of HTTP in which the client sent it, such as `HTTP/2`. Empty in recordings of
    /// before it was recorded.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub protocol: String,
    /// The TLS session of its connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// Until when its client waits, in nanoseconds of the monotonic clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deadline: Option<u64>,
    /// The pool of its route.
    pub pool: u32,
    /// Those that a policy may choose, in the order of the configuration, if there are several.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub pools: Vec<u32>,
    /// The header fields before the first call.
    pub fields: Vec<Field>,
    /// The calls of policies, in order.
    pub calls: Vec<Call>,
    /// The status that the client was sent; 0 if none was.
    pub status: u16,
}

/// A header field: its name in lower case, and its value.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Field(pub String, pub Octets);

/// A call of a hook.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// The policy.
    pub policy: String,
    /// Its generation.
    pub generation: u64,
    /// The generation's role.
    pub role: Role,
    /// The hook.
    pub hook: Hook,
    /// In `selection`: which attempt it is for; 1 is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub attempt: Option<u32>,
    /// In `selection` and `completion`: the attempts that failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed: Vec<FailedAttempt>,
    /// In `response-headers` and `local-response`: the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub response: Option<Response>,
    /// In `local-response`: what has made the response.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source: Option<LocalSource>,
    /// In `destination`: what is asked for beside the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub destination: Option<Destination>,
    /// The pool, where a policy has chosen another one than the request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pool: Option<u32>,
    /// In `request-target`: what the backend is asked for before the call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<Target>,
    /// In `request-target`: what the route lets its policies edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub may_edit: Option<MayEdit>,
    /// In `request-target`: what the backend is asked for after the call, if it changed that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited_target: Option<Target>,
    /// In `completion`: what became of the request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion: Option<Completion>,
    /// The requests in the queue of the pool.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub pool_queue: u32,
    /// The request's fields, if they differ from those that the line has so far.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sees: Option<Vec<Field>>,
    /// The facts about the pool's backends by index, if they differ from those of the call before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub facts: Option<Vec<Fact>>,
    /// The random draws, clock readings and store answers; a shadow has those of the call before
    /// it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tape: Option<Recorded>,
    /// What it answered.
    pub answer: Answer,
    /// The fields after the call, if it changed them: the response's where there is one, else the
    /// request's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub edited: Option<Vec<Field>>,
    /// How long it took.
    pub nanoseconds: u64,
}

/// The role of a generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// It decides.
    Active,
    /// Decides some of the requests; if it fails, the active generation decides.
    Canary,
    /// Called after the active generation; its answer is discarded.
    Shadow,
}

/// An attempt that failed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailedAttempt {
    /// The backend's index.
    pub backend: u32,
    /// `connect`, `connect-timeout`, `closed` or `other`.
    pub failure: String,
}

/// A backend's response.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Response {
    /// Its status.
    pub status: u16,
    /// The backend's index; 4294967295 if no backend has made it.
    pub backend: u32,
    /// Its fields before the call.
    pub fields: Vec<Field>,
}

/// The facts about a backend: requests in flight, latency in microseconds, whether it is healthy,
/// failures in a row; and, which older recordings don't have, its state, the requests in flight on
/// all workers and those in its queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact(
    pub u32,
    pub u64,
    pub bool,
    pub u32,
    #[serde(default)] pub Option<BackendHealth>,
    #[serde(default)] pub u32,
    #[serde(default)] pub u32,
);

/// What a hook answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// `selection`: this backend.
    Backend(u32),
    /// `routing` and `destination`: the pool at this position of the request's `pools`.
    Pool(u32),
    /// `selection`, `routing` and `destination`: none.
    NoChoice,
    /// Hooks that edit: continue. `completion`: it has heard.
    Done,
    /// `range`: not about byte ranges.
    Untouched,
    /// `range`: ignore the header.
    Ignore,
    /// `range`: these ranges, such as `0-99`, `5-` and `-3`.
    Ranges(Vec<String>),
    /// The client gets this.
    Reply(Reply),
    /// It did not answer.
    Fault {
        /// `trap`, `deadline`, `invalid`, `rebuilding`, `unavailable`, `suspended` or `paused`; in
        /// the last four cases it was not called.
        kind: String,
        /// In words.
        message: String,
    },
}

/// A policy's own answer to the client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reply {
    /// Its status.
    pub status: u16,
    /// Its fields.
    pub fields: Vec<Field>,
    /// Its body.
    pub body: Octets,
}

impl Request {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let target = self.path.len() + self.query.as_ref().map_or(0, String::len);
        size_of::<Self>()
            + target
            + self.tls.as_ref().map_or(0, Tls::weight)
            + list(&self.fields)
            + self.calls.iter().map(Call::weight).sum::<usize>()
    }
}

impl Call {
    /// About how many bytes of memory it takes.
    pub fn weight(&self) -> usize {
        let lists = [
            self.sees.as_deref(),
            self.edited.as_deref(),
            self.response.as_ref().map(|r| r.fields.as_slice()),
        ];
        let reply = if let Answer::Reply(reply) = &self.answer {
            list(&reply.fields) + reply.body.0.len()
        } else {
            0
        };
        let facts = self
            .facts
            .as_ref()
            .map_or(0, |facts| facts.len() * size_of::<Fact>());
        let tape = self.tape.as_ref().map_or(0, Recorded::weight);
        let targets = self.target.iter().chain(&self.edited_target);
        size_of::<Self>()
            + lists.into_iter().flatten().map(list).sum::<usize>()
            + reply
            + facts
            + tape
            + targets.map(Target::weight).sum::<usize>()
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "what serde calls")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

fn list(fields: &[Field]) -> usize {
    fields
        .iter()
        .map(|f| size_of::<Field>() + f.0.len() + f.1.0.len())
        .sum()
}

impl Answer {
    /// Whether the policy was not called.
    pub fn is_missing(&self) -> bool {
        match self {
            Self::Fault { kind, .. } => matches!(
                kind.as_str(),
                "rebuilding" | "unavailable" | "suspended" | "paused"
            ),
            _ => false,
        }
    }
}
