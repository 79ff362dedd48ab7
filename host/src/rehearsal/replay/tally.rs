//! Counts of a replay, and the first few differences.

use std::collections::{BTreeMap, BTreeSet};

use super::super::times::Times;
use super::changes::{Change, changes};
use super::compare::Verdict;
use super::decided::{self, Decided};
use super::log::RecordedCall;
use super::replayer::Played;
use crate::policy::Hook;
use crate::recording::{Answer, Lineup};
use crate::text;

/// Kinds of decisions that are counted separately; further kinds are counted together.
const KINDS: usize = 1000;
/// Names of redacted fields that are told.
const HIDDEN_NAMES: usize = 20;
/// The kind of all others.
const OTHERS: &str = "others";

/// What came of a replay.
pub(super) struct Tally {
    pub hooks: BTreeMap<Hook, OfHook>,
    /// Selections by pool and backend.
    pub backends: BTreeMap<String, u64>,
    /// By kind.
    pub faults: BTreeMap<String, Faults>,
    pub samples: Vec<Sample>,
    most: usize,
    /// Calls that were not made when they were recorded: there was no instance.
    pub not_asked: u64,
    /// Hooks that were recorded and that the component has not.
    pub hooks_missing: Vec<Hook>,
    pub hidden: Hidden,
    /// Whether each call was recorded of this component.
    pub is_recorded_one: bool,
}

/// Of one hook.
#[derive(Default)]
pub(super) struct OfHook {
    pub calls: u64,
    pub agreed: u64,
    /// Calls by decision.
    pub decisions: BTreeMap<String, u64>,
    pub times: Times,
    pub fuel: Option<Fuel>,
}

/// Instructions.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fuel {
    pub least: u64,
    pub sum: u64,
    pub most: u64,
}

/// Of one kind.
#[derive(Debug)]
pub(super) struct Faults {
    pub count: u64,
    /// The first message, and the line of the recording.
    pub message: String,
    pub line: u64,
}

/// A call on which there was a difference.
#[derive(Debug)]
pub(super) struct Sample {
    pub line: u64,
    pub hook: Hook,
    /// Method, host, path and client.
    pub request: String,
    pub one: String,
    pub other: String,
    /// Fields that were left otherwise.
    pub edits: Vec<String>,
    /// What differs, with its values.
    pub changes: Vec<Change>,
}

/// Calls that had redacted values: of a replay those that were decided otherwise, of a comparison
/// all.
#[derive(Debug, Default)]
pub(super) struct Hidden {
    pub calls: u64,
    /// The fields.
    pub names: BTreeSet<String>,
}

impl Hidden {
    /// Counts a call if a value of its request is not recorded.
    pub(super) fn add(&mut self, recorded: &RecordedCall<'_>) {
        let mut names = decided::hidden(recorded).peekable();
        self.calls += u64::from(names.peek().is_some());
        for name in names {
            if self.names.len() < HIDDEN_NAMES && !self.names.contains(name) {
                self.names.insert(name.to_owned());
            }
        }
    }
}

impl Tally {
    pub(super) fn new(samples: usize) -> Self {
        Self {
            hooks: BTreeMap::new(),
            backends: BTreeMap::new(),
            faults: BTreeMap::new(),
            samples: Vec::new(),
            most: samples,
            not_asked: 0,
            hooks_missing: Vec::new(),
            hidden: Hidden::default(),
            is_recorded_one: true,
        }
    }

    pub(super) fn add(&mut self, recorded: &RecordedCall<'_>, played: &Played, verdict: Verdict) {
        let of = self.hooks.entry(recorded.call.hook).or_default();
        of.calls += 1;
        of.agreed += u64::from(verdict.agrees());
        of.times.record(played.took);
        of.fuel = played.fuel.map(|fuel| match of.fuel {
            None => Fuel {
                least: fuel,
                sum: fuel,
                most: fuel,
            },
            Some(so_far) => Fuel {
                least: so_far.least.min(fuel),
                sum: so_far.sum.saturating_add(fuel),
                most: so_far.most.max(fuel),
            },
        });
        count(&mut of.decisions, kind(&played.answer));
        if let Answer::Backend(backend) = played.answer {
            count(
                &mut self.backends,
                backend_name(recorded.lineup, recorded.pool(), backend),
            );
        }
        if let Answer::Fault { kind, message } = &played.answer {
            let first = || Faults {
                count: 0,
                message: message.clone(),
                line: recorded.line,
            };
            self.faults.entry(kind.clone()).or_insert_with(first).count += 1;
        }
        if verdict.agrees() {
            return;
        }
        self.hidden.add(recorded);
        if self.samples.len() < self.most {
            let (one, other) = (Decided::recorded(recorded), Decided::from(played));
            self.samples
                .push(Sample::new(recorded, one, other, verdict.edits));
        }
    }

    /// Calls that were decided otherwise than recorded.
    pub(super) fn differing(&self) -> u64 {
        self.hooks.values().map(|of| of.calls - of.agreed).sum()
    }

    pub(super) fn calls(&self) -> u64 {
        self.hooks.values().map(|of| of.calls).sum()
    }

    pub(super) fn faults(&self) -> u64 {
        self.faults.values().map(|faults| faults.count).sum()
    }
}

impl Sample {
    pub(super) fn new(
        recorded: &RecordedCall<'_>,
        one: Decided<'_>,
        other: Decided<'_>,
        edits: Vec<String>,
    ) -> Self {
        let request = recorded.request;
        let query = request
            .query
            .as_ref()
            .map(|query| format!("?{query}"))
            .unwrap_or_default();
        let mut line = format!(
            "{} {}{query}, client {}",
            request.method,
            text::place(&request.host, &request.path),
            request.client
        );
        if let Some(attempt) = recorded.call.attempt.filter(|attempt| *attempt > 1) {
            line.push_str(&format!(", attempt {attempt}"));
        }
        let described = |answer: &Answer| described(answer, recorded);
        Self {
            line: recorded.line,
            hook: recorded.call.hook,
            request: line,
            one: described(one.answer),
            other: described(other.answer),
            changes: changes(one, other, &edits, &recorded.lineup.redact),
            edits,
        }
    }
}

/// Counts one of a kind.
pub(super) fn count<K: Ord + From<&'static str>>(counts: &mut BTreeMap<K, u64>, kind: K) {
    let kind = if counts.len() < KINDS || counts.contains_key(&kind) {
        kind
    } else {
        K::from(OTHERS)
    };
    *counts.entry(kind).or_default() += 1;
}

/// A decision in a few words that many share.
pub(super) fn kind(answer: &Answer) -> String {
    match answer {
        Answer::Backend(_) => "backend".to_owned(),
        Answer::Pool(_) => "pool".to_owned(),
        Answer::NoChoice => "no choice".to_owned(),
        Answer::Done => "done".to_owned(),
        Answer::Untouched => "untouched".to_owned(),
        Answer::Ignore => "ignore".to_owned(),
        Answer::Ranges(ranges) if ranges.len() == 1 => "one range".to_owned(),
        Answer::Ranges(_) => "several ranges".to_owned(),
        Answer::Reply(reply) => format!("answer {}", reply.status),
        Answer::Fault { kind, .. } => format!("fault: {kind}"),
    }
}

/// A decision in all its words.
pub(super) fn described(answer: &Answer, recorded: &RecordedCall<'_>) -> String {
    match answer {
        Answer::Backend(backend) => {
            let name = backend_name(recorded.lineup, recorded.pool(), *backend);
            format!("backend {name}")
        }
        Answer::Pool(position) => format!("pool {}", pool_name(recorded, *position)),
        Answer::Ranges(ranges) => format!("bytes={}", ranges.join(",")),
        Answer::Reply(reply) => format!("answer {} of {} bytes", reply.status, reply.body.0.len()),
        Answer::Fault { kind, message } => format!("fault: {kind}: {message}"),
        other => kind(other),
    }
}

/// The same in as many words as differ much from each other: backends and pools by their
/// names, the rest by its kind.
pub(super) fn labelled(answer: &Answer, recorded: &RecordedCall<'_>) -> String {
    match answer {
        Answer::Backend(_) | Answer::Pool(_) => described(answer, recorded),
        other => kind(other),
    }
}

/// The pool at this position of those that there were to choose from.
fn pool_name(recorded: &RecordedCall<'_>, position: u32) -> String {
    let number = recorded.request.pools.get(position as usize);
    let mut pools = recorded.lineup.pools.iter();
    let pool = number.and_then(|number| pools.find(|pool| pool.id == *number));
    pool.map_or_else(
        || position.to_string(),
        |pool| format!("{position} ({})", pool.name),
    )
}

fn backend_name(lineup: &Lineup, pool: u32, backend: u32) -> String {
    let pool = lineup.pools.get(pool as usize);
    let address = pool
        .and_then(|pool| pool.backends.get(backend as usize))
        .map(|backend| &backend.address);
    match (pool, address) {
        (Some(pool), Some(address)) => format!("{backend} ({address} of {})", pool.name),
        _ => backend.to_string(),
    }
}
