//! The report on a policy.

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError};

use serde::Serialize;

use super::Nanoseconds;
use crate::admin::control::PolicyStatus;
use crate::policy::Hook;
use crate::stats::{
    Counter, DecisionSums, HistogramSnapshot, PolicyShard, PolicyStats, StoreShard,
};

/// One policy name: what runs under it now, and the counts of all its generations.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Policy {
    /// What runs; `None` (its fields are left out) if nothing runs any more.
    #[serde(flatten)]
    pub status: Option<PolicyStatus>,
    /// Hook calls.
    pub calls: u64,
    /// Hook calls by hook.
    pub calls_by_hook: BTreeMap<&'static str, u64>,
    /// Calls that trapped.
    pub traps: u64,
    /// Calls that missed their deadline.
    pub deadlines: u64,
    /// Invalid answers.
    pub invalid: u64,
    /// Requests that it refused or answered itself.
    pub refusals: u64,
    /// Requests handled by its failure mode.
    pub failure_mode_uses: u64,
    /// How often a worker suspended a hook for all clients, because faults of many cost too much.
    pub suspensions: u64,
    /// How often a worker paused a client, because its faults cost too much.
    pub client_pauses: u64,
    /// Calls skipped because their client was paused.
    pub paused_calls: u64,
    /// Requests of which it did not hear what became of them: too many waited, or it could not be
    /// called.
    pub completions_dropped: u64,
    /// The time that faults cost the workers: failed calls, rebuilt instances and late answers.
    pub fault_microseconds: u64,
    /// Its selections, by pool and backend.
    pub decisions: DecisionSums,
    /// How long calls took.
    pub call_time: Nanoseconds,
    /// How long calls took, by hook.
    pub call_time_by_hook: BTreeMap<&'static str, Nanoseconds>,
    /// Linear memories, tables and globals.
    pub memory: PolicyMemory,
    /// Its store, shared by the workers; left out if it never imported `store`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store: Option<PolicyStore>,
    /// Instances that workers have now.
    pub instances: u64,
    /// Instances built.
    pub instances_built: u64,
    /// Log lines dropped by the rate limit.
    pub log_lines_dropped: u64,
    /// The policy's own counters, by name.
    pub counters: BTreeMap<String, u64>,
}

/// Memory of a policy's instances: linear memories, tables and globals.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PolicyMemory {
    /// The memory of all live instances.
    pub now_bytes: u64,
    /// The largest memory that one instance has had.
    pub peak_instance_bytes: u64,
}

/// The state that a policy's workers share.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct PolicyStore {
    /// Calls, refused ones included.
    pub operations: u64,
    /// Calls refused because a key or a value was too long, or had no room.
    pub refused: u64,
    /// Entries now.
    pub entries: u64,
    /// Their bytes: keys, values, and a constant for each.
    pub bytes: u64,
    /// Entries evicted to make room.
    pub evictions: u64,
    /// Entries that expired.
    pub expirations: u64,
}

impl Policy {
    /// All that were forgotten.
    pub(super) fn forgotten(sum: Arc<PolicyShard>) -> Self {
        Self::of(&[sum])
    }

    pub(super) fn new(counted: &PolicyStats) -> Self {
        let shards = &counted.all_shards();
        let names = counted
            .counter_names
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .clone();
        let own = |i: usize| {
            let counters = shards.iter().filter_map(|s| s.counters.0.get(i));
            counters.map(Counter::value).sum()
        };
        let counters = names.into_iter().enumerate();
        Self {
            store: counted.store.get().map(|parts| PolicyStore::new(parts)),
            counters: counters.map(|(i, name)| (name, own(i))).collect(),
            ..Self::of(shards)
        }
    }

    /// What is counted for every policy.
    fn of(shards: &[Arc<PolicyShard>]) -> Self {
        let sum = |counter: fn(&PolicyShard) -> &Counter| {
            shards.iter().map(|s| counter(s).value()).sum::<u64>()
        };
        let times = |hook: Hook| {
            HistogramSnapshot::of(shards.iter().map(|s| &s.hook_nanoseconds[hook.index()]))
        };
        let hooks: BTreeMap<&'static str, Nanoseconds> = Hook::ALL
            .into_iter()
            .map(|hook| (hook.name(), Nanoseconds(times(hook))))
            .filter(|(_, times)| times.0.count > 0)
            .collect();
        let all = HistogramSnapshot::of(shards.iter().flat_map(|s| &s.hook_nanoseconds));
        Self {
            status: None,
            calls: all.count,
            calls_by_hook: hooks
                .iter()
                .map(|(hook, times)| (*hook, times.0.count))
                .collect(),
            traps: sum(|s| &s.traps),
            deadlines: sum(|s| &s.deadlines),
            invalid: sum(|s| &s.invalid),
            refusals: sum(|s| &s.refusals),
            failure_mode_uses: sum(|s| &s.failure_mode_uses),
            suspensions: sum(|s| &s.suspensions),
            client_pauses: sum(|s| &s.client_pauses),
            paused_calls: sum(|s| &s.paused_calls),
            completions_dropped: sum(|s| &s.completions_dropped),
            fault_microseconds: sum(|s| &s.fault_nanoseconds) / 1_000,
            decisions: decisions(shards),
            call_time: Nanoseconds(all),
            call_time_by_hook: hooks,
            memory: PolicyMemory::new(shards),
            store: None,
            instances: shards.iter().map(|s| s.instances.value()).sum(),
            instances_built: sum(|s| &s.instances_built),
            log_lines_dropped: sum(|s| &s.log_lines_dropped),
            counters: BTreeMap::new(),
        }
    }
}

impl PolicyMemory {
    fn new(shards: &[Arc<PolicyShard>]) -> Self {
        Self {
            now_bytes: shards.iter().map(|s| s.memory.value()).sum(),
            peak_instance_bytes: shards
                .iter()
                .map(|s| s.memory_peak.value())
                .max()
                .unwrap_or(0),
        }
    }
}

impl PolicyStore {
    fn new<S: AsRef<StoreShard>>(parts: &[S]) -> Self {
        let sum =
            |counter: fn(&StoreShard) -> u64| parts.iter().map(|part| counter(part.as_ref())).sum();
        Self {
            operations: sum(|s| s.operations.value()),
            refused: sum(|s| s.refused.value()),
            entries: sum(|s| s.entries.value()),
            bytes: sum(|s| s.bytes.value()),
            evictions: sum(|s| s.evictions.value()),
            expirations: sum(|s| s.expirations.value()),
        }
    }
}

fn decisions(shards: &[Arc<PolicyShard>]) -> DecisionSums {
    let mut sums = DecisionSums::new();
    shards.iter().for_each(|s| s.decisions.add_to(&mut sums));
    sums
}
