//! The families of policies, their trials and their stores.

use std::fmt;

use prometheus_client::registry::Unit;

use super::Snapshot;
use super::families::{Families, HOOK_BOUNDS, Labels, MICROSECONDS, NANOSECONDS};
use crate::admin::control::OnTrial;
use crate::admin::report::{Policy, PolicyStore};

impl Snapshot {
    pub(super) fn policies(&self, out: &mut Families<'_>) -> fmt::Result {
        self.running(out)?;
        self.hooks(out)?;
        self.faults(out)?;
        self.suspensions(out)?;
        self.trials(out)?;
        self.decisions(out)?;
        self.instances(out)?;
        self.counters(out)?;
        self.stores(out)
    }

    fn each(&self, value: fn(&Policy) -> u64) -> impl Iterator<Item = (Labels<'_, 1>, u64)> {
        let policies = self.0.policies.iter();
        policies.map(move |(name, p)| ([("policy", name.as_str())], value(p)))
    }

    fn running(&self, out: &mut Families<'_>) -> fmt::Result {
        let policies = &self.0.policies;
        let running = policies
            .iter()
            .filter_map(|(name, p)| Some((name.as_str(), p.status.as_ref()?)));
        let info = running.clone().map(|(name, s)| {
            [
                ("policy", name),
                ("digest", &s.digest),
                ("source", &s.source),
            ]
        });
        out.info("policy", "What runs under a policy's name", info)?;
        let generations = running.map(|(name, s)| ([("policy", name)], s.generation));
        out.gauge(
            "policy_generation",
            "The generation's number, which grows with each deployment",
            None,
            generations,
        )
    }

    fn hooks(&self, out: &mut Families<'_>) -> fmt::Result {
        let policies = &self.0.policies;
        let hooks = policies.iter().flat_map(|(name, p)| {
            p.call_time_by_hook
                .iter()
                .map(move |(hook, times)| ([("policy", name.as_str()), ("hook", *hook)], &times.0))
        });
        let hooks = hooks.filter(|(_, times)| times.count > 0);
        out.histogram(
            "policy_hook_duration",
            "Time of a hook's calls",
            HOOK_BOUNDS,
            NANOSECONDS,
            hooks,
        )
    }

    fn faults(&self, out: &mut Families<'_>) -> fmt::Result {
        out.counter(
            "policy_traps",
            "Calls that trapped",
            None,
            self.each(|p| p.traps),
        )?;
        out.counter(
            "policy_deadlines_missed",
            "Calls that missed their deadline",
            None,
            self.each(|p| p.deadlines),
        )?;
        out.counter(
            "policy_invalid_answers",
            "Invalid answers",
            None,
            self.each(|p| p.invalid),
        )?;
        out.counter(
            "policy_refusals",
            "Requests that a policy answered itself",
            None,
            self.each(|p| p.refusals),
        )
    }

    fn suspensions(&self, out: &mut Families<'_>) -> fmt::Result {
        let failure_mode_uses = self.each(|p| p.failure_mode_uses);
        out.counter(
            "policy_failure_mode_uses",
            "Requests handled by the failure mode",
            None,
            failure_mode_uses,
        )?;
        out.counter(
            "policy_suspensions",
            "How often a worker suspended the policy",
            None,
            self.each(|p| p.suspensions),
        )?;
        out.counter(
            "policy_client_pauses",
            "How often a client was paused",
            None,
            self.each(|p| p.client_pauses),
        )?;
        out.counter(
            "policy_paused_calls",
            "Calls skipped because their client was paused",
            None,
            self.each(|p| p.paused_calls),
        )?;
        out.counter(
            "policy_completions_dropped",
            "Requests of which the policy did not hear what became of them",
            None,
            self.each(|p| p.completions_dropped),
        )?;
        out.seconds_counter(
            "policy_fault",
            "The time that faults cost the workers",
            MICROSECONDS,
            self.each(|p| p.fault_microseconds),
        )?;
        let suspended = self.each(|p| p.status.as_ref().map_or(0, |s| s.suspended_by_workers));
        out.gauge(
            "policy_suspended_by_workers",
            "Workers that have suspended the policy",
            None,
            suspended,
        )
    }

    /// The counts of a trial start again with each generation, so the generation is a label.
    fn trials(&self, out: &mut Families<'_>) -> fmt::Result {
        let trials: Vec<_> = self
            .0
            .policies
            .iter()
            .filter_map(|(name, p)| Some((name, p.status.as_ref()?.on_trial.as_ref()?)))
            .collect();
        let generations: Vec<String> = trials
            .iter()
            .map(|(_, t)| t.generation.to_string())
            .collect();
        let each = |value: fn(&OnTrial) -> u64| {
            trials
                .iter()
                .zip(&generations)
                .map(move |((name, t), generation)| {
                    (
                        [
                            ("policy", name.as_str()),
                            ("mode", t.mode),
                            ("generation", generation.as_str()),
                        ],
                        value(t),
                    )
                })
        };
        out.counter(
            "policy_trial_requests",
            "Requests that a candidate decided or saw",
            None,
            each(|t| t.requests),
        )?;
        out.counter(
            "policy_trial_failed",
            "Requests of a canary that failed",
            None,
            each(|t| t.failed),
        )?;
        out.counter(
            "policy_trial_faults",
            "Calls of a candidate that failed",
            None,
            each(|t| t.faults),
        )?;
        out.counter(
            "policy_trial_compared",
            "Decisions of a shadow that were compared",
            None,
            each(|t| t.compared),
        )?;
        out.counter(
            "policy_trial_agreed",
            "Decisions of a shadow that were the same",
            None,
            each(|t| t.agreed),
        )
    }

    fn decisions(&self, out: &mut Families<'_>) -> fmt::Result {
        let policies = &self.0.policies;
        let decisions = policies.iter().flat_map(|(name, p)| {
            p.decisions.iter().flat_map(move |(pool, backends)| {
                let labels = move |b| {
                    [
                        ("policy", name.as_str()),
                        ("pool", pool.as_str()),
                        ("backend", b),
                    ]
                };
                backends
                    .iter()
                    .map(move |(backend, n)| (labels(backend.as_str()), *n))
            })
        });
        out.counter(
            "policy_decisions",
            "Selections of a backend",
            None,
            decisions.filter(|(_, n)| *n > 0),
        )
    }

    fn instances(&self, out: &mut Families<'_>) -> fmt::Result {
        out.gauge(
            "policy_instances",
            "Instances that workers have",
            None,
            self.each(|p| p.instances),
        )?;
        out.counter(
            "policy_instances_built",
            "Instances built",
            None,
            self.each(|p| p.instances_built),
        )?;
        out.counter(
            "policy_log_lines_dropped",
            "Log lines of the policy dropped by the rate limit",
            None,
            self.each(|p| p.log_lines_dropped),
        )?;
        let (now, peak) = (
            self.each(|p| p.memory.now_bytes),
            self.each(|p| p.memory.peak_instance_bytes),
        );
        out.gauge(
            "policy_memory",
            "Memory of all live instances, tables and globals included",
            Some(&Unit::Bytes),
            now,
        )?;
        out.gauge(
            "policy_instance_memory_peak",
            "The largest memory that one instance has had",
            Some(&Unit::Bytes),
            peak,
        )
    }

    fn counters(&self, out: &mut Families<'_>) -> fmt::Result {
        let policies = &self.0.policies;
        let own = policies.iter().flat_map(|(name, p)| {
            p.counters.iter().map(move |(counter, n)| {
                (
                    [("policy", name.as_str()), ("counter", counter.as_str())],
                    *n,
                )
            })
        });
        out.counter("policy_counts", "The policy's own counters", None, own)
    }

    fn stores(&self, out: &mut Families<'_>) -> fmt::Result {
        let each = |value: fn(&PolicyStore) -> u64| {
            let stores = self
                .0
                .policies
                .iter()
                .filter_map(|(name, p)| Some((name, p.store.as_ref()?)));
            stores.map(move |(name, store)| ([("policy", name.as_str())], value(store)))
        };
        out.counter(
            "policy_store_operations",
            "Calls of the policy's store",
            None,
            each(|s| s.operations),
        )?;
        out.counter(
            "policy_store_refused",
            "Calls of the store that were refused",
            None,
            each(|s| s.refused),
        )?;
        out.counter(
            "policy_store_evictions",
            "Entries evicted to make room",
            None,
            each(|s| s.evictions),
        )?;
        out.counter(
            "policy_store_expirations",
            "Entries that expired",
            None,
            each(|s| s.expirations),
        )?;
        out.gauge(
            "policy_store_entries",
            "Entries in the policy's store",
            None,
            each(|s| s.entries),
        )?;
        out.gauge(
            "policy_store_size",
            "Bytes in the store: keys, values and a constant for each entry",
            Some(&Unit::Bytes),
            each(|s| s.bytes),
        )
    }
}
