//! What hooks are asked and answer, in the host's own words.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::upstream::FailedAttempt;

/// Which attempt a selection is for.
#[derive(Debug, Clone, Copy)]
pub struct Attempt<'a> {
    /// 1 for the first.
    pub number: u32,
    /// Those that failed so far.
    pub failed: &'a [FailedAttempt],
}

/// The answer of `selection.select`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Selected {
    /// This backend; the index is within the pool.
    Backend(u32),
    /// The next policy of the route, or the host, chooses.
    NoChoice,
    /// The client gets this.
    Answer(Reply),
}

/// The answer of `routing.route` and of `destination.decide`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Routed {
    /// The pool at this position of [`RoutePools::all`].
    Pool(u32),
    /// The next policy, or the host, chooses.
    NoChoice,
    /// The client gets this.
    Answer(Reply),
}

/// The number of no pool, as policies read it.
pub const NO_POOL: u32 = u32::MAX;

/// The pools that a request may go to, by their numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RoutePools<'a> {
    /// The one that it is meant to go to now.
    pub chosen: u32,
    /// Those that a policy may choose, in the order of the configuration; empty if there is no
    /// other than the chosen one.
    pub all: &'a [u32],
}

impl RoutePools<'_> {
    /// How many there are to choose from.
    pub fn count(self) -> usize {
        match self.all.len() {
            0 => usize::from(self.chosen != NO_POOL),
            several => several,
        }
    }
}

impl From<u32> for RoutePools<'_> {
    /// The only pool.
    fn from(chosen: u32) -> Self {
        Self { chosen, all: &[] }
    }
}

/// What has made a response that is not a backend's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum LocalSource {
    /// The proxy.
    #[default]
    Proxy,
    /// A policy.
    Policy,
}

/// The answer of the header hooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Edited {
    /// The fields are as the policy wants them.
    Done,
    /// The client gets this.
    Answer(Reply),
}

/// The answer of `completion.completed`: it has heard.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Heard;

/// The answer of `range.check`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RangeVerdict {
    /// Not about byte ranges.
    Untouched,
    /// Byte ranges were asked for in a way that is to be ignored.
    Ignore,
    /// These; at least one.
    Ranges(Vec<ByteRange>),
    /// The client gets this.
    Answer(Reply),
}

/// One byte range (RFC 9110 section 14.1.2).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ByteRange {
    /// From the first to the last byte, both included; first <= last.
    FromTo(u64, u64),
    /// From here to the end.
    From(u64),
    /// The last bytes, this many.
    Suffix(u64),
}

/// A response that a policy made, validated: status 200 to 599, no field that the host owns.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// Header fields: lower-case name and value.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: Vec<u8>,
}

/// A policy that did not answer. The request goes on by the policy's failure mode.
#[derive(Debug, Clone)]
pub struct Fault {
    /// What kind.
    pub kind: FaultKind,
    /// For the log: one line, with the guest function where symbols exist.
    pub message: String,
}

/// The kinds of [`Fault`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// The guest trapped.
    Trap,
    /// The deadline passed.
    Deadline,
    /// The answer was not valid.
    Invalid,
    /// A new instance is being built off this worker.
    Rebuilding,
    /// No instance: it can't be built.
    Unavailable,
    /// The hook is suspended: faults of many clients cost too much.
    Suspended,
    /// This client is paused: its faults cost too much.
    Paused,
}

impl FaultKind {
    /// Whether the policy was not asked at all.
    pub fn is_absence(self) -> bool {
        match self {
            Self::Trap | Self::Deadline | Self::Invalid => false,
            Self::Rebuilding | Self::Unavailable | Self::Suspended | Self::Paused => true,
        }
    }
}

impl fmt::Display for Selected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Backend(index) => write!(f, "backend {index}"),
            Self::NoChoice => f.write_str("no choice"),
            Self::Answer(reply) => reply.fmt(f),
        }
    }
}

impl fmt::Display for Routed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pool(index) => write!(f, "pool {index}"),
            Self::NoChoice => f.write_str("no choice"),
            Self::Answer(reply) => reply.fmt(f),
        }
    }
}

impl fmt::Display for Edited {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Done => f.write_str("done"),
            Self::Answer(reply) => reply.fmt(f),
        }
    }
}

impl fmt::Display for Heard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("done")
    }
}

impl fmt::Display for RangeVerdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Untouched => f.write_str("untouched"),
            Self::Ignore => f.write_str("ignore"),
            Self::Ranges(ranges) => ranges
                .iter()
                .enumerate()
                .try_for_each(|(i, r)| write!(f, "{}{r}", if i > 0 { "," } else { "bytes=" })),
            Self::Answer(reply) => reply.fmt(f),
        }
    }
}

impl fmt::Display for ByteRange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::FromTo(first, last) => write!(f, "{first}-{last}"),
            Self::From(first) => write!(f, "{first}-"),
            Self::Suffix(length) => write!(f, "-{length}"),
        }
    }
}

impl fmt::Display for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "answer {} of {} bytes", self.status, self.body.len())
    }
}

impl fmt::Display for FaultKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Trap => "trap",
            Self::Deadline => "missed deadline",
            Self::Invalid => "invalid answer",
            Self::Rebuilding => "being rebuilt",
            Self::Unavailable => "unavailable",
            Self::Suspended => "suspended",
            Self::Paused => "client is paused",
        })
    }
}
