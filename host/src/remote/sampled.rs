//! A sampled request as text.

use std::fmt::{self, Display, Formatter};

use serde::Deserialize;

use crate::text::place;
use crate::units::{counted, microseconds, nanoseconds};

/// A request; what is not there is empty.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Sampled {
    time: String,
    id: String,
    method: String,
    host: String,
    path: String,
    status: u16,
    reason: Option<String>,
    route: String,
    pool: String,
    backend: Option<String>,
    microseconds: u64,
    policies: Vec<Call>,
    choices: Vec<Choice>,
    attempts: Vec<Attempt>,
    left_out: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Call {
    hook: String,
    policy: String,
    generation: u64,
    role: Option<String>,
    decision: String,
    failed: bool,
    nanoseconds: u64,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Choice {
    attempt: u32,
    policy: Option<String>,
    because: String,
    candidates: u32,
    chosen: Candidate,
    others: Vec<Candidate>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Candidate {
    backend: String,
    state: String,
    in_flight: u32,
    latency_microseconds: u64,
    weight: u32,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Attempt {
    backend: String,
    status: u16,
    outcome: String,
    microseconds: u64,
}

impl Display for Sampled {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let time = self.time.get(11..23).unwrap_or(&self.time);
        let status = match self.status {
            0 => "no answer".to_owned(),
            status => status.to_string(),
        };
        let (place, took) = (
            place(&self.host, &self.path),
            microseconds(self.microseconds),
        );
        writeln!(f, "{time} {} {place}: {status}, {took}", self.method)?;
        let or_none = |name: &str| if name.is_empty() { "none" } else { name }.to_owned();
        write!(
            f,
            "  route {}, pool {}",
            or_none(&self.route),
            or_none(&self.pool)
        )?;
        let backend = self.backend.as_deref().unwrap_or_default();
        write!(f, ", backend {}", or_none(backend))?;
        if !self.id.is_empty() {
            write!(f, ", id {}", self.id)?;
        }
        writeln!(f)?;
        if let Some(reason) = &self.reason {
            writeln!(f, "  {reason}")?;
        }
        self.policies.iter().try_for_each(|call| call.fmt(f))?;
        self.choices.iter().try_for_each(|choice| choice.fmt(f))?;
        self.attempts
            .iter()
            .try_for_each(|attempt| attempt.fmt(f))?;
        match self.left_out {
            0 => Ok(()),
            more => writeln!(f, "  {more} more left out"),
        }
    }
}

impl Display for Call {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let role = self.role.as_ref().map(|role| format!(", {role}"));
        writeln!(
            f,
            "  {}: {} (generation {}{}) {}{}, {}",
            self.hook,
            self.policy,
            self.generation,
            role.unwrap_or_default(),
            if self.failed { "failed: " } else { "" },
            self.decision,
            nanoseconds(self.nanoseconds)
        )
    }
}

impl Display for Choice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let by = match &self.policy {
            Some(policy) => format!("policy {policy}"),
            None => "the host".to_owned(),
        };
        let candidates = counted(self.candidates, "candidate");
        let (attempt, chosen) = (self.attempt, &self.chosen);
        writeln!(f, "  choice {attempt}: {by} took {chosen} of {candidates}")?;
        writeln!(f, "    {}", self.because)?;
        let mut others = self.others.iter();
        others.try_for_each(|other| writeln!(f, "    not {other}"))
    }
}

impl Display for Candidate {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let latency = match self.latency_microseconds {
            0 => "not measured".to_owned(),
            time => microseconds(time),
        };
        write!(
            f,
            "{} ({}, {} in flight, latency {latency}, weight {})",
            self.backend, self.state, self.in_flight, self.weight
        )
    }
}

impl Display for Attempt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let status = match self.status {
            0 => String::new(),
            status => format!(", status {status}"),
        };
        let took = microseconds(self.microseconds);
        writeln!(
            f,
            "  attempt at {}: {}{status}, {took}",
            self.backend, self.outcome
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sample_says_what_was_chosen_and_what_was_not() {
        let sample = serde_json::json!({
            "time": "2026-11-30T21:27:54.123456Z", "method": "GET", "host": "a.test", "path": "/x",
            "status": 502, "route": "a.test/", "pool": "web", "backend": "127.0.0.1:81",
            "microseconds": 1500, "reason": "none answers",
            "policies": [{"hook": "selection", "policy": "p", "generation": 2, "role": "canary",
                "decision": "trap", "failed": true, "nanoseconds": 640}],
            "choices": [{"attempt": 1, "because": "of this", "candidates": 2,
                "chosen": {"backend": "127.0.0.1:81", "state": "healthy", "in_flight": 1,
                    "latency_microseconds": 0, "weight": 1},
                "others": [{"backend": "127.0.0.1:82", "state": "ejected", "weight": 3}]}],
            "attempts": [{"backend": "127.0.0.1:81", "outcome": "connect", "microseconds": 10}],
        });
        let shown = serde_json::from_value::<Sampled>(sample)
            .unwrap()
            .to_string();
        for part in [
            "21:27:54.123 GET a.test/x: 502, 1.5 ms",
            "route a.test/, pool web, backend 127.0.0.1:81",
            "none answers",
            "selection: p (generation 2, canary) failed: trap, 640 ns",
            "choice 1: the host took 127.0.0.1:81 (healthy, 1 in flight, latency not measured",
            "not 127.0.0.1:82 (ejected",
            "attempt at 127.0.0.1:81: connect",
        ] {
            assert!(shown.contains(part), "{part}: {shown}");
        }
    }
}
