//! The memory limit of a file: each scenario holds a copy of its pools and settings, and each step
//! a copy of its scenario's defaults, so that a small file could take more memory than there is.

use serde_json::Value;

use super::{Step, connection};
use crate::message::Fields;
use crate::rehearsal::harness::Setup;

/// Bytes of all scenarios of a file, roughly: far more than anyone writes, and still little for a
/// machine.
const ROOM: usize = 256 << 20;
/// The bytes that an item takes beside its text.
const THING: usize = 64;

/// For the scenario that is one too many.
pub(super) const SPENT: &str = "exceeds, with those before it, the limit of memory: all scenarios \
    of a file, each with its pools, settings and requests, may take 256 MiB; write smaller pools, \
    or several files";

/// How much is left.
#[derive(Debug)]
pub(super) struct Room(usize);

impl Default for Room {
    fn default() -> Self {
        Self(ROOM)
    }
}

impl Room {
    /// For the set-up of a scenario.
    pub(super) fn take_setup(&mut self, setup: &Setup) {
        let backends = setup.pools.iter().flat_map(|pool| &pool.backends);
        let label = |(name, value): &(String, String)| THING + name.len() + value.len();
        let backend = backends
            .map(|b| 2 * THING + b.address.len() + b.labels.iter().map(label).sum::<usize>());
        self.take(backend.sum::<usize>() + setup.pools.len() * THING + json(&setup.settings));
    }

    /// For a step with this many facts about its backends.
    pub(super) fn take_step(&mut self, step: &Step, facts: usize) {
        let picks = step
            .expect
            .backend
            .iter()
            .flatten()
            .chain(step.expect.share.iter().map(|(pick, ..)| pick));
        let (named, picked) =
            picks.fold((0, 0), |(count, all), pick| (count + 1, all + pick.len()));
        let lists = facts + step.states.len() + step.failed.len() + picked;
        // Each name was looked for in the whole pool, which takes time in place of room.
        let looks = (facts + step.failed.len() + named) * step.states.len();
        let fields = fields(&step.head.fields) + fields(&step.response.fields);
        let tls = step.head.tls.as_deref();
        // Each of its parts has at least a word in it.
        self.take(
            16 * THING
                + lists * THING / 2
                + looks * 4
                + fields
                + tls.map_or(0, |session| connection::weight(session, THING))
                + step.head.target.len()
                + step.head.host.len(),
        );
    }

    /// Whether it was too much.
    pub(super) fn is_spent(&self) -> bool {
        self.0 == 0
    }

    fn take(&mut self, bytes: usize) {
        self.0 = self.0.saturating_sub(bytes);
    }
}

fn fields(fields: &Fields) -> usize {
    fields
        .iter()
        .map(|(name, value)| THING / 4 + name.len() + value.len())
        .sum()
}

fn json(value: &Value) -> usize {
    let within = match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => text.len(),
        Value::Array(values) => values.iter().map(json).sum(),
        Value::Object(entries) => entries
            .iter()
            .map(|(key, value)| THING + key.len() + json(value))
            .sum(),
    };
    THING + within
}
