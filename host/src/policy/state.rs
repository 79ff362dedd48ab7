//! What belongs to one instance: the data of its store.

use std::mem;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use rand::SeedableRng;
use rand::rngs::SmallRng;
use wasmtime::ResourceLimiter;

use super::answer::RoutePools;
use super::deadline::Deadline;
use super::edits::EditBudget;
use super::lines::{Asked, Lines};
use super::store::{Answer, Call, Store};
use super::tape::{Clock, Tape};
use super::wasi_context::Wasi;
use crate::config::TargetRights;
use crate::message::{ByRoute, Checkpoint, Fields, RequestHead};
use crate::stats::{PolicyShard, PolicyStats};
use crate::upstream::{BackendFacts, FailedAttempt};

/// Elements of all tables of an instance together: a JavaScript engine needs some ten thousand.
const MAX_TABLE_ELEMENTS: usize = 200_000;
/// What an element takes.
const TABLE_ELEMENT: u64 = 8;
/// Core instances of one policy: a component of a dynamic language links a few dozen.
const MAX_CORE_INSTANCES: usize = 256;
/// Tables of one policy.
const MAX_TABLES: usize = 256;
/// Linear memories of one policy.
const MAX_MEMORIES: usize = 64;

/// The data of an instance's store.
pub(super) struct State {
    /// The call that is under way.
    pub context: CallContext,
    /// When that call has taken too long.
    pub deadline: Deadline,
    /// The limits of the instance.
    pub limits: Limits,
    /// Its log; shared with its standard output, if it has one.
    pub lines: Arc<Mutex<Lines>>,
    /// The hook that it is in, for its lines.
    pub asked: Arc<Asked>,
    /// Its own generator, so that no instance waits for another.
    pub rng: SmallRng,
    /// The worker's facts; none while it is set up.
    pub facts: Option<Arc<dyn BackendFacts>>,
    /// Its policy's counters.
    pub counters: Counters,
    /// Its policy's store.
    pub store: Arc<Store>,
    /// Where the monotonic clock counts from.
    pub epoch: Instant,
    /// The draws, clock readings and store answers that replace real ones, in a call or during
    /// setup.
    pub tape: Option<Box<Tape>>,
    /// Only for components that import WASI.
    pub wasi: Option<Box<Wasi>>,
}

impl State {
    /// For an instance that is built now, counting in `shard` until a worker adopts it.
    pub(super) fn new(
        policy: &Arc<str>,
        limits: Limits,
        stats: &Arc<PolicyStats>,
        shard: &Arc<PolicyShard>,
        store: &Arc<Store>,
        epoch: Instant,
    ) -> Self {
        let asked = Arc::new(Asked::default());
        Self {
            context: CallContext::default(),
            deadline: Deadline::default(),
            limits,
            lines: Arc::new(Mutex::new(Lines::new(
                Arc::clone(policy),
                Arc::clone(&asked),
                Arc::clone(shard),
            ))),
            asked,
            rng: SmallRng::from_rng(&mut rand::rng()),
            facts: None,
            counters: Counters {
                stats: Arc::clone(stats),
                shard: Arc::clone(shard),
                defined: 0,
            },
            store: Arc::clone(store),
            epoch,
            tape: None,
            wasi: None,
        }
    }

    /// A moment as the monotonic clock shows it.
    pub(super) fn nanoseconds(&self, moment: Instant) -> u64 {
        let since = moment.saturating_duration_since(self.epoch);
        u64::try_from(since.as_nanos()).unwrap_or(u64::MAX)
    }

    /// The result when a guest reads a clock that shows `now`.
    pub(super) fn reading(&mut self, clock: Clock, now: u64) -> u64 {
        match &mut self.tape {
            None => now,
            Some(tape) => tape.read(clock, now),
        }
    }

    /// Does a call of the store; in a comparison only the active generation's are done.
    pub(super) fn stored(&mut self, call: Call) -> Answer {
        match &mut self.tape {
            None => call.run(&self.store),
            Some(tape) => tape.stored(call, &self.store),
        }
    }

    /// Puts a tape into an instance that is about to be asked.
    pub(super) fn insert(&mut self, mut tape: Box<Tape>) {
        self.rng = tape.begin(self.epoch, &self.lines);
        self.tape = Some(tape);
    }

    /// Takes the tape out of an instance that was asked.
    pub(super) fn eject(&mut self) -> Option<Box<Tape>> {
        let mut tape = self.tape.take()?;
        tape.end(&self.lines);
        Some(tape)
    }

    /// From now on the instance belongs to a worker.
    pub(super) fn adopt(&mut self, facts: &Arc<dyn BackendFacts>, shard: &Arc<PolicyShard>) {
        self.facts = Some(Arc::clone(facts));
        self.counters.shard = Arc::clone(shard);
        self.lines
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .count_in(Arc::clone(shard));
        self.limits.count_in(Arc::clone(shard));
    }
}

/// One call: the data that the guest may read and edit, moved in for the time of the call.
#[derive(Default)]
pub(super) struct CallContext {
    /// The request.
    pub request: RequestHead,
    /// The response's fields, in `edit-response`.
    pub response: Fields,
    /// Whether `headers` means the response's fields.
    pub edits_response: bool,
    /// The pool whose backends the facts are about.
    pub pool: Option<u32>,
    /// The pools that the request may go to, if there are several; kept between calls for its room
    /// only.
    pub pools: Vec<u32>,
    /// What the call may edit of the request's target.
    pub rights: TargetRights,
    /// What the route had decided before the first edit of the target.
    pub undo_target: Option<Option<Box<ByRoute>>>,
    /// The attempts at the request that failed, in `select` and `completed`; kept between calls for
    /// its room only.
    pub failed: Vec<FailedAttempt>,
    /// The edits that the call may still make.
    pub budget: EditBudget,
    /// The fields before the first edit.
    pub undo: Option<Checkpoint>,
}

impl CallContext {
    /// The fields behind the resource `headers`.
    pub(super) fn headers(&self) -> &Fields {
        if self.edits_response {
            &self.response
        } else {
            &self.request.fields
        }
    }

    /// The same, so that those of this name can be edited; can be undone from here on.
    pub(super) fn headers_for_edit(&mut self, name: &[u8]) -> &mut Fields {
        let fields = if self.edits_response {
            &mut self.response
        } else {
            &mut self.request.fields
        };
        self.undo.get_or_insert_with(|| fields.checkpoint());
        fields.note_edit(name);
        fields
    }

    /// Takes the message for a call about this pool.
    pub(super) fn begin(
        &mut self,
        request: &mut RequestHead,
        response: Option<&mut Fields>,
        pools: RoutePools<'_>,
    ) {
        mem::swap(&mut self.request, request);
        self.edits_response = response.is_some();
        if let Some(fields) = response {
            mem::swap(&mut self.response, fields);
        }
        self.pool = Some(pools.chosen);
        if !pools.all.is_empty() {
            self.pools.extend_from_slice(pools.all);
        }
        self.budget = EditBudget::default();
    }

    /// Gives the message back, with the edits of the call or without.
    pub(super) fn end(
        &mut self,
        request: &mut RequestHead,
        response: Option<&mut Fields>,
        keep_edits: bool,
    ) {
        if let Some(before) = self.undo.take()
            && !keep_edits
        {
            let fields = if self.edits_response {
                &mut self.response
            } else {
                &mut self.request.fields
            };
            fields.restore(before);
        }
        if let Some(before) = self.undo_target.take()
            && !keep_edits
        {
            self.request.by_route = before;
        }
        self.pool = None;
        self.pools.clear();
        self.rights = TargetRights::default();
        self.failed.clear();
        mem::swap(&mut self.request, request);
        if let Some(fields) = response {
            mem::swap(&mut self.response, fields);
        }
    }
}

/// A policy's own counters as one instance sees them.
pub(super) struct Counters {
    /// Holds the names.
    pub stats: Arc<PolicyStats>,
    /// Holds the values.
    pub shard: Arc<PolicyShard>,
    /// A bit for each number that this instance was given.
    pub defined: u64,
}

/// The memory that an instance uses and may use: linear memories, tables and all else together.
pub(super) struct Limits {
    limit: u64,
    bytes: u64,
    /// The last growth that was allowed, in case that the system then refuses it.
    last_growth: u64,
    /// The request that exceeded the limit.
    pub denied: Option<u64>,
    table_elements: usize,
    counted_in: Option<Arc<PolicyShard>>,
}

impl Limits {
    /// For an instance that may have this much memory, of which `beside` is taken by its globals
    /// and the like.
    pub(super) fn new(memory: u64, beside: u64) -> Self {
        Self {
            limit: memory,
            bytes: beside,
            last_growth: 0,
            denied: None,
            table_elements: 0,
            counted_in: None,
        }
    }

    /// The memory that the instance takes now.
    pub(super) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The instance is on its way out, and another thread may be the one to drop it.
    pub(super) fn count_no_more(&mut self) {
        if let Some(shard) = self.counted_in.take() {
            shard.instances.decrement();
            shard
                .memory
                .set(shard.memory.value().saturating_sub(self.bytes));
        }
    }

    fn grow(&mut self, growth: u64) -> bool {
        self.last_growth = 0;
        let total = self.bytes.saturating_add(growth);
        if total > self.limit {
            self.denied = Some(total);
            return false;
        }
        self.bytes = total;
        self.last_growth = growth;
        if let Some(shard) = &self.counted_in {
            shard.memory.set(shard.memory.value() + growth);
        }
        self.note_peak();
        true
    }

    /// The system refused memory within the limit.
    fn not_grown(&mut self) {
        self.bytes -= self.last_growth;
        if let Some(shard) = &self.counted_in {
            shard
                .memory
                .set(shard.memory.value().saturating_sub(self.last_growth));
        }
        self.last_growth = 0;
    }

    /// From now on here, and nowhere else.
    fn count_in(&mut self, shard: Arc<PolicyShard>) {
        self.count_no_more();
        shard.instances.increment();
        shard.memory.set(shard.memory.value() + self.bytes);
        self.counted_in = Some(shard);
        self.note_peak();
    }

    fn note_peak(&self) {
        if let Some(shard) = &self.counted_in
            && shard.memory_peak.value() < self.bytes
        {
            shard.memory_peak.set(self.bytes);
        }
    }
}

impl Drop for Limits {
    fn drop(&mut self) {
        self.count_no_more();
    }
}

impl ResourceLimiter for Limits {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        Ok(self.grow(desired.saturating_sub(current) as u64))
    }

    fn memory_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.not_grown();
        Ok(())
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        _maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let growth = desired.saturating_sub(current);
        let total = self.table_elements.saturating_add(growth);
        if total > MAX_TABLE_ELEMENTS || !self.grow(growth as u64 * TABLE_ELEMENT) {
            self.last_growth = 0;
            return Ok(false);
        }
        self.table_elements = total;
        Ok(true)
    }

    fn table_grow_failed(&mut self, _error: wasmtime::Error) -> wasmtime::Result<()> {
        self.table_elements -= usize::try_from(self.last_growth / TABLE_ELEMENT).unwrap_or(0);
        self.not_grown();
        Ok(())
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES
    }

    fn tables(&self) -> usize {
        MAX_TABLES
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memories_tables_and_what_is_beside_them_share_one_limit() {
        let mut limits = Limits::new(1_000_000, 100_000);
        assert!(limits.memory_growing(0, 400_000, None).unwrap());
        assert!(limits.memory_growing(0, 400_000, None).unwrap());
        assert_eq!((limits.bytes(), limits.denied), (900_000, None));
        assert!(limits.table_growing(0, 12_000, None).unwrap());
        assert!(!limits.table_growing(12_000, 13_000, None).unwrap());
        assert_eq!((limits.bytes(), limits.denied), (996_000, Some(1_004_000)));
        limits.table_growing(12_000, 12_500, None).unwrap();
        limits
            .table_grow_failed(wasmtime::Error::msg("no"))
            .unwrap();
        assert_eq!((limits.bytes(), limits.table_elements), (996_000, 12_000));
        let shard: Arc<PolicyShard> = Arc::default();
        limits.count_in(Arc::clone(&shard));
        assert_eq!(
            (shard.memory.value(), shard.instances.value()),
            (996_000, 1)
        );
        limits.count_no_more();
        drop(limits);
        assert_eq!((shard.memory.value(), shard.instances.value()), (0, 0));
    }
}
