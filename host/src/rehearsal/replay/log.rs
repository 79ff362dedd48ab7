//! One policy's calls in a recording, one by one, each with all that was known when it was made.

use std::collections::{BTreeSet, HashMap, VecDeque};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::super::RehearsalError;
use crate::document::brief;
use crate::policy::Hook;
use crate::recording::{
    Call, Fact, Field, Line, Lineup, Next as Read, Policy, Reader, Request, Role,
};

/// Lineups that are remembered: more generations are not at work at a time.
const LINEUPS: usize = 1024;
/// Bytes of their lines; beyond that, still the last few are remembered.
const LINEUP_BYTES: usize = 64 << 20;
const LAST_FEW: usize = 2;
/// The most skipped lines that are reported.
const TOLD: usize = 10;

/// A recording as it is read.
pub(super) struct Log {
    path: PathBuf,
    reader: Reader,
    lenient: bool,
    policy: Option<String>,
    lineups: HashMap<u64, Arc<Lineup>>,
    /// Their numbers, the oldest first, and the bytes of their lines.
    lengths: VecDeque<(u64, usize)>,
    /// The current request, and its next call.
    request: Option<(Box<Request>, usize)>,
    lineup: Option<Arc<Lineup>>,
    /// The request's fields before the call that comes.
    fields: Vec<Field>,
    facts: Vec<Fact>,
    heard: Heard,
}

/// The contents of a recording.
#[derive(Debug, Default)]
pub(super) struct Heard {
    /// The policy that was asked for.
    pub policy: String,
    /// Requests of which it decided something.
    pub requests: u64,
    /// Its calls.
    pub calls: u64,
    /// The hooks that were asked.
    pub hooks: BTreeSet<Hook>,
    /// Lines that could not be read.
    pub passed_over: u64,
    /// The first of them, and why.
    pub why: Vec<(u64, String)>,
    /// When the first and the last request came, in milliseconds since 1970.
    pub time: Option<(u64, u64)>,
}

/// What comes next.
pub(super) enum Next<'a> {
    Call(RecordedCall<'a>),
    /// The request that this worker served has no more calls.
    RequestEnds(usize),
    End,
}

/// A call that was recorded.
pub(super) struct RecordedCall<'a> {
    pub lineup: &'a Arc<Lineup>,
    pub request: &'a Request,
    pub call: &'a Call,
    /// The request's fields before it.
    pub fields: &'a [Field],
    /// The facts about the pool's backends.
    pub facts: &'a [Fact],
    /// The line of the file.
    pub line: u64,
}

impl RecordedCall<'_> {
    /// The pool that the request was to go to then.
    pub(super) fn pool(&self) -> u32 {
        self.call.pool.unwrap_or(self.request.pool)
    }

    /// The digest of the component that was called.
    pub(super) fn component(&self) -> Option<&str> {
        let Call {
            policy, generation, ..
        } = self.call;
        let known = self.lineup.policies.iter().find(|p| p.name == *policy)?;
        let active = known.active.iter().map(|l| (l.generation, &l.digest));
        let trial = known.trial.iter().map(|t| (t.generation, &t.digest));
        let called = active.chain(trial).find(|(number, _)| number == generation);
        called.map(|(_, digest)| digest.as_str())
    }
}

impl Log {
    pub(super) fn open(
        path: &Path,
        policy: Option<&str>,
        lenient: bool,
    ) -> Result<Self, RehearsalError> {
        Ok(Self {
            path: path.to_owned(),
            reader: Reader::open(path, lenient)?,
            lenient,
            policy: policy.map(str::to_owned),
            lineups: HashMap::new(),
            lengths: VecDeque::new(),
            request: None,
            lineup: None,
            fields: Vec::new(),
            facts: Vec::new(),
            heard: Heard::default(),
        })
    }

    /// How much of the file has been read, and how much there is.
    pub(super) fn progress(&self) -> (u64, u64) {
        self.reader.progress()
    }

    /// Calls so far.
    pub(super) fn calls(&self) -> u64 {
        self.heard.calls
    }

    /// The next call of the policy that was asked.
    pub(super) fn next(&mut self) -> Result<Next<'_>, RehearsalError> {
        loop {
            let Some((request, at)) = &mut self.request else {
                if self.read()? {
                    continue;
                }
                return Ok(Next::End);
            };
            let Some(call) = request.calls.get(*at) else {
                let worker = request.worker;
                self.request = None;
                return Ok(Next::RequestEnds(worker));
            };
            if *at > 0 {
                follow(&mut self.fields, &request.calls[*at - 1]);
            }
            *at += 1;
            if let Some(sees) = &call.sees {
                self.fields.clone_from(sees);
            }
            if let Some(facts) = &call.facts {
                self.facts.clone_from(facts);
            }
            if Some(&call.policy) == self.policy.as_ref() && call.role != Role::Shadow {
                break;
            }
        }
        let (Some((request, after)), Some(lineup)) = (&self.request, &self.lineup) else {
            return Ok(Next::End);
        };
        let call = &request.calls[*after - 1];
        self.heard.calls += 1;
        self.heard.hooks.insert(call.hook);
        let (fields, facts, line) = (&self.fields, &self.facts, self.reader.number());
        Ok(Next::Call(RecordedCall {
            lineup,
            request,
            call,
            fields,
            facts,
            line,
        }))
    }

    /// The contents of the recording, or why it had none.
    pub(super) fn finish(mut self) -> Result<Heard, RehearsalError> {
        let Some(policy) = self.policy.take() else {
            let message = format!(
                "{} contains no recording{}",
                self.path.display(),
                self.heard.why_not()
            );
            return Err(RehearsalError::Recording(message));
        };
        if self.heard.calls == 0 {
            let why_not = self.heard.why_not();
            let message = format!(
                "{} contains no call of policy {}{why_not}",
                self.path.display(),
                brief(&format!("{policy:?}"))
            );
            return Err(RehearsalError::Recording(message));
        }
        self.heard.policy = policy;
        Ok(self.heard)
    }

    /// Reads up to a request with a call of the policy; false at the end.
    fn read(&mut self) -> Result<bool, RehearsalError> {
        loop {
            match self.reader.next()? {
                Read::End => return Ok(false),
                Read::PassedOver { number, reason } => self.heard.pass_over(number, reason),
                Read::Line(Line::Lineup(lineup)) => self.take_lineup(lineup)?,
                Read::Line(Line::Request(request)) => {
                    if self.take_request(request)? {
                        return Ok(true);
                    }
                }
            }
        }
    }

    fn take_lineup(&mut self, lineup: Lineup) -> Result<(), RehearsalError> {
        let names = || {
            brief(
                &lineup
                    .policies
                    .iter()
                    .map(|p| p.name.as_str())
                    .collect::<Vec<_>>()
                    .join(", "),
            )
        };
        let in_order = lineup.pools.iter().zip(0..).all(|(pool, at)| pool.id == at);
        if !in_order {
            return self.broken("the ids of the pools are not 0, 1, 2 and so on".to_owned());
        }
        match &self.policy {
            None => match lineup.policies.as_slice() {
                [only] => self.policy = Some(only.name.clone()),
                [] => return self.broken("the recording names no policy".to_owned()),
                _ => {
                    let message = format!(
                        "{} records several policies; choose one of them with `--policy`: {}",
                        self.path.display(),
                        names()
                    );
                    return Err(RehearsalError::Recording(message));
                }
            },
            Some(name) => {
                if find(&lineup, name).is_none() {
                    let message = format!(
                        "{} does not record policy {name:?}, but: {}",
                        self.path.display(),
                        names()
                    );
                    return Err(RehearsalError::Recording(message));
                }
            }
        }
        self.lengths.retain(|(number, _)| *number != lineup.lineup);
        self.lengths
            .push_back((lineup.lineup, self.reader.length()));
        self.lineups.insert(lineup.lineup, Arc::new(lineup));
        self.forget_lineups();
        Ok(())
    }

    fn forget_lineups(&mut self) {
        let mut bytes: usize = self.lengths.iter().map(|(_, length)| length).sum();
        while self.lengths.len() > LINEUPS
            || (bytes > LINEUP_BYTES && self.lengths.len() > LAST_FEW)
        {
            let Some((oldest, length)) = self.lengths.pop_front() else {
                return;
            };
            self.lineups.remove(&oldest);
            bytes -= length;
        }
    }

    fn take_request(&mut self, request: Box<Request>) -> Result<bool, RehearsalError> {
        let Some(lineup) = self.lineups.get(&request.lineup) else {
            self.broken(format!(
                "no line before it defines lineup {}",
                request.lineup
            ))?;
            return Ok(false);
        };
        let wanted =
            |call: &Call| Some(&call.policy) == self.policy.as_ref() && call.role != Role::Shadow;
        if !request.calls.iter().any(wanted) {
            return Ok(false);
        }
        self.lineup = Some(Arc::clone(lineup));
        self.heard.requests += 1;
        let (first, last) = self.heard.time.unwrap_or((request.time, request.time));
        self.heard.time = Some((first.min(request.time), last.max(request.time)));
        self.fields.clone_from(&request.fields);
        self.facts.clear();
        self.request = Some((request, 0));
        Ok(true)
    }

    /// A line that says what can't be: passed over by the lenient.
    fn broken(&mut self, what: String) -> Result<(), RehearsalError> {
        let number = self.reader.number();
        if self.lenient {
            self.heard.pass_over(number, what);
            return Ok(());
        }
        let path = self.path.display();
        let message = format!("{path}, line {number}: {what}; `--lenient` skips such lines");
        Err(RehearsalError::Recording(message))
    }
}

impl Heard {
    fn pass_over(&mut self, number: u64, reason: String) {
        self.passed_over += 1;
        if self.why.len() < TOLD {
            self.why.push((number, reason));
        }
    }

    /// What went before, where it may be why there is nothing.
    fn why_not(&self) -> String {
        let first = self
            .why
            .first()
            .map(|(number, reason)| format!(": line {number} was skipped: {reason}"));
        first.unwrap_or_default()
    }
}

/// The policy of this name in a lineup.
pub(super) fn find<'a>(lineup: &'a Lineup, name: &str) -> Option<&'a Policy> {
    lineup.policies.iter().find(|policy| policy.name == name)
}

/// Updates the request's fields after a call.
fn follow(fields: &mut Vec<Field>, call: &Call) {
    // The fields of a response are not the request's.
    if let (None, true, Some(edited)) = (&call.response, call.role != Role::Shadow, &call.edited) {
        fields.clone_from(edited);
    }
}
