//! One loaded policy: immutable, shared by all workers, with a warm instance for each.

mod warm;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

use super::answer::{Fault, FaultKind};
use super::beside::Beside;
use super::builder::Rebuild;
use super::contract::Hooks;
use super::deadline::{Allowance, thread_time};
use super::instance::{Instance, InstanceSpec};
use super::lines::LogLine;
use super::lists::Lists;
use super::places::Reservation;
use super::store::Store;
use crate::config::{Isolation, OnFailure};
use crate::ground;
use crate::stats::PolicyShard;

/// An instance that takes no longer to build than this is rebuilt on the worker that lost it.
pub(super) const INLINE_BUILD: Duration = Duration::from_micros(500);
/// The longest build on a worker for `isolation = "request"`; after a longer one, builds pause for
/// a while.
pub(super) const INLINE_LIMIT: Duration = Duration::from_millis(10);
/// The same for an instance that takes the place of a lost one.
const REBUILD_LIMIT: Duration = Duration::from_millis(3);
/// An instance with more memory than this is dropped off the workers: giving the memory back takes
/// some 50 µs for each MiB.
const LARGE: u64 = 4 << 20;
/// After a build failed, the next is not tried before this.
const RETRY_AFTER: Duration = Duration::from_millis(500);

/// A policy as it was loaded: the component, its settings, their names.
pub struct Generation {
    pub(super) spec: InstanceSpec,
    pub(super) number: u64,
    pub(super) digest: String,
    pub(super) size: usize,
    pub(super) on_failure: OnFailure,
    pub(super) isolation: Isolation,
    pub(super) loaded_at: SystemTime,
    /// For each call.
    pub(super) deadline: Allowance,
    /// The least time that an instance took to receive its lists when the policy was loaded.
    pub(super) telling: Duration,
    /// The least CPU time that an instance took to build when the policy was loaded.
    pub(super) build_time: Duration,
    /// The same of the latest that a builder built, in nanoseconds: a guest can take its time later
    /// than at first.
    pub(super) latest_build: AtomicU64,
    pub(super) slots: Vec<Mutex<Slot>>,
    /// Whether a worker has lost an instance. From then on one that is slow to build has a
    /// successor waiting.
    pub(super) failed_before: AtomicBool,
    /// Its places in the pool.
    pub(super) _places: Option<Reservation>,
    /// Keeps the deadlines ticking and the builder thread alive.
    pub(super) beside: Arc<Beside>,
}

/// Where a worker finds its instance.
pub(super) enum Slot {
    /// It was taken, or there is none to be taken.
    Empty,
    /// A builder thread works on it, or will.
    Building,
    /// Here it is.
    Ready(Box<Instance>),
    /// The last build failed.
    Failed { until: Instant, message: String },
}

impl Generation {
    /// The policy's name.
    pub fn name(&self) -> &str {
        &self.spec.policy
    }

    /// The number that `load` was given.
    pub fn number(&self) -> u64 {
        self.number
    }

    /// `sha256:` and the digest of the component, in hexadecimal.
    pub fn digest(&self) -> &str {
        &self.digest
    }

    /// Whether the other one is made of the same component and the same settings.
    pub fn is_alike(&self, other: &Self) -> bool {
        self.digest == other.digest && self.spec.settings == other.spec.settings
    }

    /// The component's size in bytes.
    pub fn size(&self) -> usize {
        self.size
    }

    /// The hooks that the component exports.
    pub fn hooks(&self) -> Hooks {
        self.spec.compiled.exports.hooks()
    }

    /// What becomes of a request when the policy fails.
    pub fn on_failure(&self) -> OnFailure {
        self.on_failure
    }

    /// How long an instance lives.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// When it was loaded.
    pub fn loaded_at(&self) -> SystemTime {
        self.loaded_at
    }

    /// Whether its engine counts instructions.
    pub(super) fn counts_fuel(&self) -> bool {
        self.spec.fuel
    }

    /// A moment as its instances' monotonic clock shows it.
    pub fn nanoseconds(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.spec.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The moment at which that clock shows so many nanoseconds.
    pub fn moment(&self, nanoseconds: u64) -> Option<Instant> {
        self.spec
            .epoch
            .checked_add(Duration::from_nanos(nanoseconds))
    }

    /// The store of its policy name, which other generations of the name share.
    pub fn store(&self) -> &Arc<Store> {
        &self.spec.store
    }

    /// What its first instance wrote into the log while it was set up, if that was done by a
    /// script.
    pub fn heard_at_setup(&self) -> &[LogLine] {
        self.spec.heard.get().map_or(&[], Vec::as_slice)
    }

    /// Bytes that an instance takes beside its memories and what its tables hold, about: globals,
    /// function references, imports.
    pub fn beside_memory(&self) -> u64 {
        self.spec.compiled.facts.beside_memory
    }

    /// Whether it imports WASI.
    pub fn uses_wasi(&self) -> bool {
        self.spec.compiled.wasi
    }

    /// What CPU time an instance took to build when the policy was loaded.
    pub fn build_time(&self) -> Duration {
        self.build_time
    }

    /// The charge to a client for the loss of an instance. All workers share the builders, and a
    /// client has a twentieth of each worker's time: with this weight it gets at most a tenth of a
    /// builder's thread, for any number of workers. A policy has a quarter.
    pub(super) fn rebuild_cost(&self) -> Duration {
        if self.builds_inline() {
            return self.build_time;
        }
        let latest = Duration::from_nanos(self.latest_build.load(Ordering::Relaxed));
        let workers = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.build_time
            .max(latest)
            .saturating_mul(workers.div_ceil(2))
    }

    /// The worker's shard of the statistics of the policy's name, or the shard for work beside the
    /// workers.
    pub fn shard(&self, worker: usize) -> Arc<PolicyShard> {
        let shards = &self.spec.stats.shards;
        shards
            .get(worker)
            .or(shards.last())
            .cloned()
            .unwrap_or_default()
    }

    /// An instance for a worker that has none: the warm one, or a new one that knows these lists if
    /// that is quick. Otherwise the builder thread is asked for one, and there is none for now.
    pub(super) fn instance(
        self: &Arc<Self>,
        worker: usize,
        lists: &Arc<Lists>,
        shard: &Arc<PolicyShard>,
    ) -> Result<Box<Instance>, Fault> {
        let Some(mut slot) = self.slot(worker) else {
            return Err(unavailable(format!("there is no worker {worker}")));
        };
        match std::mem::replace(&mut *slot, Slot::Empty) {
            Slot::Ready(instance) => {
                if !self.builds_inline() && self.failed_before.load(Ordering::Relaxed) {
                    *slot = self.ask_builder(worker);
                }
                Ok(instance)
            }
            Slot::Failed { until, message } if Instant::now() < until => {
                *slot = Slot::Failed {
                    until,
                    message: message.clone(),
                };
                Err(unavailable(message))
            }
            Slot::Empty | Slot::Failed { .. } if self.builds_inline() => {
                let limit = if self.isolation == Isolation::Request {
                    INLINE_LIMIT
                } else {
                    REBUILD_LIMIT
                };
                self.spec
                    .build(lists, shard, Allowance::of_thread(limit))
                    .map_err(|e| {
                        let message = e.into_message();
                        *slot = failed(message.clone());
                        unavailable(message)
                    })
            }
            Slot::Empty | Slot::Failed { .. } => {
                *slot = self.ask_builder(worker);
                Err(rebuilding())
            }
            Slot::Building => {
                *slot = Slot::Building;
                Err(rebuilding())
            }
        }
    }

    /// Keeps the fault for the policy's status.
    pub(super) fn note_fault(&self, message: &str) {
        self.spec.stats.note_fault(self.number, message);
    }

    /// Whether a worker builds its instances itself.
    fn builds_inline(&self) -> bool {
        self.isolation == Isolation::Request || self.build_time <= INLINE_BUILD
    }

    /// Reports that a worker lost its instance, so that the build of a slow one begins now.
    pub(super) fn lost(self: &Arc<Self>, worker: usize) {
        if !self.builds_inline() {
            self.failed_before.store(true, Ordering::Relaxed);
            if let Some(mut slot) = self.slot(worker)
                && matches!(*slot, Slot::Empty)
            {
                *slot = self.ask_builder(worker);
            }
        }
    }

    /// Drops an instance that a worker had, elsewhere if that takes its time.
    pub(super) fn let_go(&self, mut instance: Box<Instance>) {
        let limits = &mut instance.store.data_mut().limits;
        if limits.bytes() > LARGE {
            limits.count_no_more();
            self.beside.drop_elsewhere(instance);
        }
    }

    /// Sets whether it is a shadow: if not, its instances may change the store while they are set
    /// up. Returns the previous value.
    pub fn set_shadow(&self, shadow: bool) -> bool {
        self.spec
            .dry
            .swap(shadow, std::sync::atomic::Ordering::Relaxed)
    }

    fn ask_builder(self: &Arc<Self>, worker: usize) -> Slot {
        let generation: Arc<dyn Rebuild> = Arc::<Self>::clone(self);
        self.beside.builders.ask(
            Arc::downgrade(&generation),
            &self.spec.policy,
            worker,
            self.build_time,
        );
        Slot::Building
    }

    fn slot(&self, worker: usize) -> Option<MutexGuard<'_, Slot>> {
        Some(
            self.slots
                .get(worker)?
                .lock()
                .unwrap_or_else(PoisonError::into_inner),
        )
    }
}

impl Rebuild for Generation {
    /// On a builder thread. Returns whether it was built: it is not while another generation of the
    /// policy is being loaded.
    fn rebuild(&self, worker: usize) -> bool {
        ground::fault_point("policy-builder");
        // Also counts in the shard for work off the workers, which has one writer at a time because
        // of this.
        let Some(_one_at_a_time) = self.spec.try_setting_up() else {
            return false;
        };
        let shard = self.shard(usize::MAX);
        let used = thread_time();
        let lists = self.lists();
        let time = Allowance::on_wall(self.spec.setup);
        let built = match self.spec.build(&lists, &shard, time) {
            Ok(instance) => Slot::Ready(instance),
            Err(e) => failed(e.into_message()),
        };
        if let Some((before, now)) = used.zip(thread_time()) {
            let took = u64::try_from(now.saturating_sub(before).as_nanos()).unwrap_or(u64::MAX);
            self.latest_build.store(took, Ordering::Relaxed);
        }
        if let Some(mut slot) = self.slot(worker) {
            *slot = built;
        }
        true
    }

    /// On the builder thread, after `rebuild` has panicked: it is tried again later.
    fn rebuilding_failed(&self, worker: usize) {
        if let Some(mut slot) = self.slot(worker) {
            *slot = failed("building an instance panicked".to_owned());
        }
    }
}

impl std::fmt::Debug for Generation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Generation")
            .field("name", &self.name())
            .field("number", &self.number)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

fn failed(message: String) -> Slot {
    Slot::Failed {
        until: Instant::now() + RETRY_AFTER,
        message,
    }
}

fn rebuilding() -> Fault {
    Fault {
        kind: FaultKind::Rebuilding,
        message: "a new instance is being built".to_owned(),
    }
}

fn unavailable(message: String) -> Fault {
    Fault {
        kind: FaultKind::Unavailable,
        message,
    }
}
