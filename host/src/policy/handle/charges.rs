//! What faults and late answers of a handle cost, and what comes of that.

use std::net::IpAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use super::super::answer::{Fault, FaultKind};
use super::super::deadline::thread_time;
use super::super::hook::Hook;
use super::super::instance::{Instance, fault};
use super::super::suspension::{BEYOND, Consequence, Refused};
use super::{PolicyHandle, charged};

/// After a call that took longer than its deadline, this many calls are measured by the thread's
/// own time, which costs a system call each. The first may only have lost its core.
const WATCHED: u32 = 4096;

impl PolicyHandle {
    /// A call that answered took longer than its deadline, or one did not long ago. The deadline is
    /// not read from the thread's time before the first tick that finds a call under way, so that a
    /// late answer is used: its time is spent.
    #[cold]
    pub(super) fn watch(&mut self, hook: Hook, client: IpAddr, used: Option<Duration>) {
        let deadline = self.deadline.thread_time();
        if self.took <= deadline {
            self.watched -= 1;
            return;
        }
        self.watched = WATCHED;
        let spent = used
            .zip(thread_time())
            .map(|(before, after)| after.saturating_sub(before));
        if let Some(spent) = spent.filter(|spent| *spent > deadline) {
            self.shard.late.increment();
            self.shard.deadlines.increment();
            self.charge(hook, client, spent);
        }
    }

    pub(super) fn show_suspended_until(&mut self, until: u64) {
        if until > 0 || self.shard.suspended_until.value() == self.suspended_until {
            self.shard.suspended_until.set(until);
        }
        self.suspended_until = until;
    }

    /// Charges a client for the cost of its call.
    #[cold]
    pub(super) fn charge(&mut self, hook: Hook, client: IpAddr, cost: Duration) {
        self.shard
            .fault_nanoseconds
            .add(u64::try_from(cost.as_nanos()).unwrap_or(u64::MAX));
        let Some(breaker) = &mut self.breaker else {
            return;
        };
        let consequence = breaker.charge(hook.index(), charged(hook, client), cost);
        let (whose, meanwhile) = match hook {
            Hook::Completion => ("its faults", "it does not hear what became of requests"),
            _ => ("faults of many clients", "requests get the failure answer"),
        };
        let (policy, worker, hook) = (self.generation.name(), self.worker, hook.name());
        match consequence {
            Consequence::None => {}
            Consequence::Pause(pause) => {
                self.shard.client_pauses.increment();
                tracing::debug!(
                    target: "policy",
                    policy,
                    worker,
                    hook,
                    %client,
                    "faults of this client cost too much; it is paused for {pause:?}"
                );
            }
            Consequence::Suspension(pause) => {
                self.shard.suspensions.increment();
                tracing::warn!(
                    target: "policy",
                    policy,
                    worker,
                    hook,
                    "{whose} cost too much; the hook is suspended for {pause:?}, and {meanwhile}"
                );
                let until = SystemTime::now()
                    .duration_since(UNIX_EPOCH)
                    .unwrap_or_default()
                    + pause;
                let until = u64::try_from(until.as_millis()).unwrap_or(u64::MAX);
                self.show_suspended_until(until.max(self.suspended_until));
            }
        }
    }

    /// A call is not made.
    #[cold]
    pub(super) fn left_alone(&self, refused: Refused) -> Fault {
        let (kind, message) = match refused {
            Refused::Suspended(time) => (
                FaultKind::Suspended,
                format!(
                    "it is suspended for {time:.0?} more: faults of many clients cost too much"
                ),
            ),
            Refused::Paused(time) => {
                self.shard.paused_calls.increment();
                (
                    FaultKind::Paused,
                    format!("this client is paused for {time:.0?} more: its faults cost too much"),
                )
            }
        };
        Fault { kind, message }
    }

    #[cold]
    pub(super) fn discard(
        &mut self,
        hook: Hook,
        client: IpAddr,
        (error, begun): (&wasmtime::Error, Instant),
        instance: Box<Instance>,
    ) -> Fault {
        let fault = fault(hook.name(), error, instance.store.data(), begun);
        // A call can't take longer by itself; the rest was another thread's time.
        let took = self
            .took
            .min(self.deadline.thread_time().saturating_add(BEYOND));
        self.charge(hook, client, took + self.generation.rebuild_cost());
        self.lost(&fault, instance);
        fault
    }

    /// An instance is not asked again.
    #[cold]
    pub(super) fn lost(&self, fault: &Fault, instance: Box<Instance>) {
        self.generation.let_go(instance);
        self.generation.note_fault(&fault.message);
        match fault.kind {
            FaultKind::Deadline => self.shard.deadlines.increment(),
            FaultKind::Invalid => self.shard.invalid.increment(),
            _ => self.shard.traps.increment(),
        }
        self.generation.lost(self.worker);
    }
}
