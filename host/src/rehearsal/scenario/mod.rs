//! A scenario file: requests, their surroundings, and the expected decisions. docs/scenarios.md
//! describes its keys.

mod completion;
mod connection;
mod expect;
mod file;
mod request;
mod room;
mod state;
mod step;
mod values;
mod ways;

#[cfg(test)]
mod tests;

use std::net::IpAddr;

use ipnet::IpNet;
use tracing::Level;

use super::decisions::{Question, Response, Ways};
use super::facts::BackendState;
use super::harness::Setup;
use crate::message::RequestHead;
use crate::policy::{Hook, Script};
use crate::upstream::{Completion, FailedAttempt};

pub(super) use file::{default_setup, parse, read};
pub(super) use ways::ExpectedWay;

/// A scenario file.
#[derive(Debug)]
pub(super) struct ScenarioFile {
    /// As it was named.
    pub name: String,
    /// In the order written; at least one.
    pub scenarios: Vec<Scenario>,
}

/// Steps that share an instance and a store.
#[derive(Debug)]
pub(super) struct Scenario {
    /// Its name.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// The setup of the policy.
    pub setup: Setup,
    /// The policy's draws and clock readings during setup.
    pub setup_script: Script,
    /// The expected text of the policy's refusal, if a refusal is expected.
    pub refused: Option<String>,
    /// In order; none if the policy is to be refused.
    pub steps: Vec<Step>,
}

/// One request.
#[derive(Debug, Clone)]
pub(super) struct Step {
    /// Its name, or its number.
    pub name: String,
    /// Where it begins.
    pub line: usize,
    /// Without the client, if that is a network.
    pub head: RequestHead,
    /// The client, or whose addresses are taken in turn.
    pub clients: IpNet,
    /// The pool's id.
    pub pool: u32,
    /// Where else it may go.
    pub ways: Ways,
    /// Which attempt it is.
    pub attempt: u32,
    /// Those that failed.
    pub failed: Vec<FailedAttempt>,
    /// The backend's response.
    pub response: Response,
    /// What becomes of it; `None` if no policy is to hear of it.
    pub completion: Option<Completion>,
    /// Requests in the queue of the pool.
    pub pool_queue: u32,
    /// How long the client still waits, in nanoseconds, if it says so.
    pub left: Option<u64>,
    /// The first draws; the others come from the seed.
    pub random: Vec<u64>,
    /// Of the first run; it grows by one with each.
    pub seed: u64,
    /// Nanoseconds.
    pub monotonic: u64,
    /// Milliseconds since 1970.
    pub unix: u64,
    /// How the backends are.
    pub states: Vec<BackendState>,
    /// Entries that are put into the store before the step.
    pub store: Stored,
    /// How often it is asked.
    pub repeat: u32,
    /// The expectations.
    pub expect: Expect,
}

/// Entries of a store.
#[derive(Debug, Clone, Default)]
pub(super) struct Stored {
    /// Values; `None` is for one that is not there.
    pub values: Vec<(String, Option<Vec<u8>>)>,
    /// Counters.
    pub counters: Vec<(String, i64)>,
}

/// The expectations of a step. Parts that are left out are not checked, except for answers and
/// faults, which always are.
#[derive(Debug, Clone, Default)]
pub(super) struct Expect {
    /// One of these.
    pub backend: Option<Vec<Pick>>,
    /// An answer in place of a backend.
    pub answer: Option<Answer>,
    /// Fields of the request after it was edited.
    pub request: Vec<Field>,
    /// Fields of the response after it was edited.
    pub response: Vec<Field>,
    /// Where the request goes.
    pub way: ExpectedWay,
    /// A verdict, as text.
    pub range: Option<String>,
    /// The policy's counters, since the scenario began.
    pub counters: Vec<(String, u64)>,
    /// The expected entries of the store after the step.
    pub store: Stored,
    /// The expected log lines.
    pub log: ExpectedLog,
    /// The expected log lines of the setup.
    pub setup_log: ExpectedLog,
    /// Hooks that fail; no other may.
    pub faults: Vec<ExpectedFault>,
    /// The expected text of the policy's refusal.
    pub refused: Option<String>,
    /// How often each is picked, as shares of all runs.
    pub share: Vec<(Pick, f64, f64)>,
}

/// An expected result of a selection.
#[derive(Debug, Clone)]
pub(super) struct Pick {
    /// As it was written.
    pub written: String,
    /// What that means.
    pub meant: Meant,
}

/// See [`Pick`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Meant {
    /// One of these backends.
    Backends(Vec<u32>),
    /// No choice.
    Nobody,
    /// An answer of the policy.
    Answer,
}

/// An answer that is expected.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    /// Its status.
    pub status: Option<u16>,
    /// Its fields.
    pub headers: Vec<Field>,
    /// Its whole body.
    pub body: Option<Vec<u8>>,
    /// Something that is in its body.
    pub body_contains: Option<String>,
    /// The hook that gives it.
    pub hook: Option<Hook>,
}

/// A field that is expected: its values in order; none if it is not to be there.
#[derive(Debug, Clone)]
pub(super) struct Field {
    /// In lower case.
    pub name: String,
    /// All of them.
    pub values: Vec<Vec<u8>>,
}

/// The expectations of the policy's log.
#[derive(Debug, Clone, Default)]
pub(super) enum ExpectedLog {
    /// Not checked.
    #[default]
    Anything,
    /// No line at all.
    Nothing,
    /// These, in this order; there may be others.
    Lines(Vec<ExpectedLine>),
}

/// A line that is expected.
#[derive(Debug, Clone)]
pub(super) struct ExpectedLine {
    /// How much it matters, if that is looked at.
    pub level: Option<Level>,
    /// Something that it says.
    pub contains: String,
}

/// A fault that is expected.
#[derive(Debug, Clone)]
pub(super) struct ExpectedFault {
    /// `trap`, `deadline`, `invalid` or `unavailable`.
    pub kind: String,
    /// The hook that has it.
    pub hook: Option<Hook>,
    /// Something that its message says.
    pub contains: Option<String>,
}

impl Pick {
    /// How many backends it means.
    fn len(&self) -> usize {
        if let Meant::Backends(backends) = &self.meant {
            backends.len()
        } else {
            0
        }
    }
}

impl Step {
    /// The pool that its backends are of: the one that a policy is to choose, if it is.
    pub(super) fn final_pool(&self) -> usize {
        self.expect.way.pool.flatten().unwrap_or(self.pool) as usize
    }

    /// A policy's draws and clock readings during setup, if this is the first step: the time is
    /// that of the step, and the draws follow from its seed, but differ from those of its hooks.
    pub(super) fn setup_script(&self) -> Script {
        Script {
            seed: !self.seed,
            draws: Vec::new(),
            monotonic: Some(self.monotonic),
            unix: Some(self.unix),
        }
    }

    /// The request of the run with this number, from 0.
    pub(super) fn question(&self, run: u32) -> Question {
        let head = RequestHead {
            client: nth(self.clients, run),
            ..self.head.clone()
        };
        Question {
            head,
            pool: self.pool,
            ways: self.ways.clone(),
            attempt: self.attempt,
            failed: self.failed.clone(),
            response: Some(self.response.clone()),
            completion: self.completion,
            left: self.left,
            script: Script {
                seed: self.seed.wrapping_add(u64::from(run)),
                draws: self.random.clone(),
                monotonic: Some(self.monotonic),
                unix: Some(self.unix),
            },
        }
    }

    /// The request of this run, for buffers that have room for its fields.
    pub(super) fn head_without_fields(&self, run: u32) -> RequestHead {
        let Self { head, .. } = self;
        RequestHead {
            method: head.method.clone(),
            target: head.target.clone(),
            path_len: head.path_len,
            normal_path: head.normal_path.clone(),
            path_notes: head.path_notes,
            forward_normal: false,
            authority: head.authority.clone(),
            host: head.host.clone(),
            version: head.version,
            scheme: head.scheme,
            client: nth(self.clients, run),
            tls: head.tls.clone(),
            deadline: head.deadline,
            id: String::new(),
            trace: None,
            fields: Default::default(),
            upgrade: Default::default(),
            by_route: None,
        }
    }
}

/// The address with this number in a network, from its first; after the last comes the first.
fn nth(network: IpNet, number: u32) -> IpAddr {
    let host_bits = u32::from(network.max_prefix_len() - network.prefix_len());
    let offset = number
        & 1u32
            .checked_shl(host_bits)
            .map_or(u32::MAX, |size| size - 1);
    match network.network() {
        IpAddr::V4(first) => (u32::from(first) | offset).to_be_bytes().into(),
        IpAddr::V6(first) => (u128::from(first) | u128::from(offset))
            .to_be_bytes()
            .into(),
    }
}
