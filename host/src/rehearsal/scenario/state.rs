//! How a scenario says that a backend is.

use super::request::nanoseconds;
use super::values;
use crate::document::{Findings, Node, Section};
use crate::rehearsal::facts::BackendState;
use crate::rehearsal::harness::PoolSetup;
use crate::units::parse_duration;
use crate::upstream::BackendHealth;

/// The most facts about backends that a table may set: a short label may match many backends, and
/// each counts.
const MAX_FACTS: usize = 100_000;

/// The parts of a backend's state that the file sets.
#[derive(Debug, Clone, Default)]
pub(super) struct State {
    in_flight: Option<u32>,
    latency: Option<u64>,
    healthy: Option<bool>,
    failures: Option<u32>,
    health: Option<BackendHealth>,
    elsewhere: Option<u32>,
    queued: Option<u32>,
}

impl State {
    /// Takes the keys of a backend's state.
    pub(super) fn take(section: &mut Section, findings: &mut Findings) -> Self {
        let mut count = |key| {
            section
                .take(key)
                .and_then(|n| n.integer(findings, 0..=u32::MAX))
                .map(|n| n.value)
        };
        Self {
            in_flight: count("in-flight"),
            failures: count("consecutive-failures"),
            elsewhere: count("in-flight-elsewhere"),
            queued: count("queued"),
            health: section
                .take("state")
                .and_then(|n| n.parsed(findings, health))
                .map(|state| state.value),
            healthy: section.take("healthy").and_then(|n| n.boolean(findings)),
            latency: section
                .take("latency")
                .and_then(|n| n.parsed_scalar(findings, parse_duration))
                .map(|d| nanoseconds(d.value) / 1_000),
        }
    }

    /// Makes a state of it.
    pub(super) fn apply(&self, state: &mut BackendState) {
        state.in_flight = self.in_flight.unwrap_or(state.in_flight);
        state.latency_microseconds = self.latency.unwrap_or(state.latency_microseconds);
        state.healthy = self.healthy.unwrap_or(state.healthy);
        state.consecutive_failures = self.failures.unwrap_or(state.consecutive_failures);
        state.in_flight_elsewhere = self.elsewhere.unwrap_or(state.in_flight_elsewhere);
        state.queued = self.queued.unwrap_or(state.queued);
        // What is only said to be unhealthy is ejected, and the other way round.
        let of = |healthy| match healthy {
            true => BackendHealth::Healthy,
            false => BackendHealth::Ejected,
        };
        if let Some(health) = self.health.or_else(|| self.healthy.map(of)) {
            state.state = health;
            let usable = matches!(health, BackendHealth::Healthy | BackendHealth::Degraded);
            state.healthy = self.healthy.unwrap_or(usable);
        }
    }
}

fn health(written: &str) -> Result<BackendHealth, String> {
    let named = BackendHealth::ALL.into_iter().find(|s| s.name() == written);
    named.ok_or_else(|| {
        let names = BackendHealth::ALL.map(|s| format!("{:?}", s.name()));
        format!(
            "{written:?} is not a state; write one of {}",
            names.join(", ")
        )
    })
}

/// By backend, how it is.
pub(super) fn facts(node: Node, pool: &PoolSetup, findings: &mut Findings) -> Vec<(u32, State)> {
    let mut facts = Vec::new();
    for (written, node) in node
        .section(findings)
        .map(Section::into_entries)
        .unwrap_or_default()
    {
        let place = node.place.clone();
        if findings.are_plenty() {
            break;
        }
        let Some(backends) = findings.accept(&place, values::named(&written, pool)) else {
            continue;
        };
        let Some(mut section) = node.section(findings) else {
            continue;
        };
        let state = State::take(&mut section, findings);
        section.finish(findings);
        facts.extend(backends.into_iter().map(|backend| (backend, state.clone())));
        if facts.len() > MAX_FACTS {
            findings.error(
                &place,
                format!("sets more than {MAX_FACTS} facts, with those before it; write fewer"),
            );
            break;
        }
    }
    facts
}
