//! The record of one request.

use std::net::{IpAddr, Ipv4Addr};
use std::rc::Rc;
use std::time::{Duration, Instant};

use crate::stats::WorkerShard;
use crate::upstream::{FailedAttempt, RequestFailure, WorkerEndpoint};

/// What became of one request.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// When the request's head had arrived.
    pub began: Instant,
    /// From then to the end of the response; zero until [`Self::end`].
    pub took: Duration,
    /// The client as the forwarding fields name it. Unspecified if they were not read, because the
    /// request was refused before.
    pub client: IpAddr,
    /// The status of the answer, also if the client did not take it; 0 if there was none.
    pub status: u16,
    /// Why the proxy or a policy answered, or why the request could not be completed.
    pub reason: Option<String>,
    /// Whether the answer is a policy's own, or there because a policy failed.
    pub of_policy: bool,
    /// The last backend tried.
    pub backend: Option<Rc<WorkerEndpoint>>,
    /// Its position in the pool.
    pub position: u32,
    /// How many were tried.
    pub attempts: u32,
    /// Those that failed.
    pub failed: Vec<FailedAttempt>,
    /// Why the request has not ended with the whole response of a backend.
    pub failure: Option<RequestFailure>,
    /// The body of the request had arrived as a whole, and was passed on.
    pub passed_whole: bool,
    /// Bytes of the response's body that were passed on.
    pub response_bytes: u64,
    /// The answer broke off.
    pub broken: bool,
    /// Another attempt would have been made, had the retry budget allowed it.
    pub over_budget: bool,
    /// Whether a second backend was asked beside the first.
    pub hedge: Hedge,
    /// What a client of the forward proxy has asked for.
    pub asked: Option<Box<Asked>>,
    /// What only the log says of it, if it will.
    pub logged: Option<Box<Logged>>,
}

/// What only the log says of a request.
#[derive(Debug, Clone, Default)]
pub struct Logged {
    /// The route; empty if none has taken it.
    pub route: String,
    /// The pool.
    pub pool: String,
    /// Bytes of the request's body that were passed on.
    pub request_bytes: u64,
    /// The policies that were asked, if their times were to be kept.
    pub policies: Vec<PolicyTime>,
    /// How long the backend took from the whole request to the head of its answer.
    pub upstream: Option<Duration>,
}

/// What the calls of one policy took for one request.
#[derive(Debug, Clone)]
pub struct PolicyTime {
    /// The policy.
    pub name: Box<str>,
    /// Of all its calls.
    pub took: Duration,
}

/// What a client of the forward proxy has asked for.
#[derive(Debug, Clone, Default)]
pub struct Asked {
    /// The user that it is; `None` if clients don't say.
    pub user: Option<String>,
    /// The port of the destination; 0 if it is not known.
    pub port: u16,
    /// Bytes of the bodies that were passed on from and to the client; `None` if it is a tunnel, or
    /// was refused.
    pub bytes: Option<(u64, u64)>,
}

impl Asked {
    /// What a user asks for, of which nothing else is known yet.
    pub fn by(user: String) -> Self {
        Self {
            user: Some(user),
            ..Self::default()
        }
    }
}

/// What became of a second attempt beside the first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Hedge {
    /// There was none.
    #[default]
    None,
    /// The first one answered, or neither.
    Lost,
    /// The second one answered.
    Won,
}

impl Hedge {
    /// As the access log says it.
    pub(super) fn as_str(self) -> Option<&'static str> {
        match self {
            Self::None => None,
            Self::Lost => Some("lost"),
            Self::Won => Some("won"),
        }
    }
}

impl Outcome {
    /// That of a request whose head has arrived now.
    pub fn begin() -> Self {
        Self {
            began: Instant::now(),
            took: Duration::ZERO,
            client: Ipv4Addr::UNSPECIFIED.into(),
            status: 0,
            reason: None,
            of_policy: false,
            backend: None,
            position: 0,
            attempts: 0,
            failed: Vec::new(),
            failure: None,
            passed_whole: false,
            response_bytes: 0,
            broken: false,
            over_budget: false,
            hedge: Hedge::None,
            asked: None,
            logged: None,
        }
    }

    /// Notes that something else than a backend's response is sent, and why.
    pub fn answered(&mut self, status: u16, reason: Option<String>) {
        self.status = status;
        self.reason = reason;
    }

    /// The request of this client has ended now.
    pub fn end(&mut self, client: IpAddr) {
        self.took = self.began.elapsed();
        self.client = client;
    }

    /// How long the request took.
    pub fn microseconds(&self) -> u64 {
        u64::try_from(self.took.as_micros()).unwrap_or(u64::MAX)
    }

    /// Whether the client got an error or a part of the response, whoever is to blame.
    pub fn has_failed(&self) -> bool {
        self.status >= 500 || self.broken
    }

    /// Counts the request in the statistics of its worker.
    pub fn count(&self, shard: &WorkerShard) {
        shard.request_microseconds.record(self.microseconds());
        let status = usize::from(self.status).wrapping_sub(100);
        match shard.by_status.get(status) {
            Some(count) => count.increment(),
            None => shard.unanswered.increment(),
        }
    }
}
