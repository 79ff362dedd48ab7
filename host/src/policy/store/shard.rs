//! One part of a store: its entries, found by hash, each with its time and a mark of its use.
//!
//! All memory is reserved when the shard is made, so that no call grows a table while others wait.
//! Entries lie densely in `slots`, in chains by hash. To make room, expired entries are evicted
//! first (by a heap of times, of which each call looks at a few), and then entries by second
//! chance: a hand walks round the slots, evicts the first entry that was not used since it last
//! passed, and looks at a bounded number of them.

use std::sync::Arc;

use super::bounds::{Bounds, StoreError};
use super::due::{Due, DueHeap, NOT_DUE};
use super::entry::{Content, Kind, NEVER, Name, Slot, cost};
use crate::stats::StoreShard;

/// No slot follows in the chain. Slots are written with one added, so that an empty table is zeros,
/// which cost no memory yet.
const END: u32 = 0;
/// Entries that a write looks at because they may be due: more than it can add.
const DUE_A_WRITE: usize = 2;
/// Entries that are looked at, each way, to find one to evict. If the hand meets only used ones, it
/// evicts the next anyway.
const LOOKS: usize = 32;

/// A part of a store. All times are nanoseconds of the store's clock.
#[derive(Debug, Clone)]
#[repr(align(64))]
pub(super) struct Shard {
    chains: Box<[u32]>,
    slots: Vec<Slot>,
    due: DueHeap,
    hand: usize,
    bytes: u64,
    bounds: Bounds,
    counters: Arc<StoreShard>,
}

impl Shard {
    /// An empty one.
    pub(in crate::policy) fn new(bounds: Bounds, counters: Arc<StoreShard>) -> Self {
        Self {
            chains: vec![END; bounds.entries.next_power_of_two()].into(),
            slots: Vec::with_capacity(bounds.entries),
            due: DueHeap::with_capacity(bounds.entries),
            hand: 0,
            bytes: 0,
            bounds,
            counters,
        }
    }

    /// Copies of all entries: key, content, and when their time is up.
    pub(in crate::policy) fn entries(&self) -> Vec<(Box<str>, Content, u64)> {
        let entry = |slot: &Slot| (slot.key.clone(), slot.content.clone(), slot.expires);
        self.slots.iter().map(entry).collect()
    }

    /// Counts a call.
    pub(in crate::policy) fn called(&mut self) {
        self.counters.operations.increment();
    }

    /// Counts a call that is refused.
    pub(in crate::policy) fn refuse(&mut self, error: StoreError) -> StoreError {
        self.counters.refused.increment();
        error
    }

    /// Copies the value into `into`.
    pub(in crate::policy) fn get(&mut self, name: Name<'_>, now: u64, into: &mut Vec<u8>) -> bool {
        match self.find(name, now).map(|at| &mut self.slots[at]) {
            Some(Slot {
                content: Content::Value(value),
                used,
                ..
            }) => {
                *used = true;
                into.extend_from_slice(value);
                true
            }
            _ => false,
        }
    }

    /// The value of the counter.
    pub(in crate::policy) fn counter(&mut self, name: Name<'_>, now: u64) -> Option<i64> {
        match self.find(name, now).map(|at| &mut self.slots[at]) {
            Some(Slot {
                content: Content::Counter(count),
                used,
                ..
            }) => {
                *used = true;
                Some(*count)
            }
            _ => None,
        }
    }

    /// Removes the entry, if there is one.
    pub(in crate::policy) fn remove(&mut self, name: Name<'_>, now: u64) -> bool {
        let found = self.find(name, now);
        if let Some(at) = found {
            self.take_out(at);
        }
        found.is_some()
    }

    /// Whether the value now is this one.
    pub(in crate::policy) fn holds(
        &mut self,
        name: Name<'_>,
        now: u64,
        expected: Option<&[u8]>,
    ) -> bool {
        let value = self
            .find(name, now)
            .and_then(|at| match &self.slots[at].content {
                Content::Value(value) => Some(&**value),
                Content::Counter(_) => None,
            });
        value == expected
    }

    /// Stores a value until `expires`. It fits: the store has checked that.
    pub(in crate::policy) fn set(
        &mut self,
        hash: u64,
        key: Box<str>,
        value: Box<[u8]>,
        expires: u64,
        now: u64,
    ) {
        self.drop_due(now, DUE_A_WRITE);
        let name = Name {
            kind: Kind::Value,
            key: &key,
            hash,
        };
        match self.find(name, now) {
            Some(at)
                if self.bytes - self.slots[at].content.len() + value.len() as u64
                    <= self.bounds.bytes =>
            {
                let slot = &mut self.slots[at];
                self.bytes = self.bytes - slot.content.len() + value.len() as u64;
                slot.content = Content::Value(value);
                slot.used = true;
                self.set_expiry(at, expires);
                self.show();
            }
            found => {
                if let Some(at) = found {
                    self.take_out(at);
                }
                self.make_room(cost(key.len(), value.len()), now);
                self.insert(hash, key, Content::Value(value), expires);
            }
        }
    }

    /// Replaces the value of the counter by the result of `step`; a new one starts from 0 and lives
    /// until `expires`.
    pub(in crate::policy) fn count(
        &mut self,
        hash: u64,
        key: Box<str>,
        step: impl FnOnce(i64) -> i64,
        expires: u64,
        now: u64,
    ) -> i64 {
        self.drop_due(now, DUE_A_WRITE);
        let name = Name {
            kind: Kind::Counter,
            key: &key,
            hash,
        };
        if let Some(at) = self.find(name, now)
            && let Slot {
                content: Content::Counter(count),
                used,
                ..
            } = &mut self.slots[at]
        {
            *count = step(*count);
            *used = true;
            return *count;
        }
        self.make_room(cost(key.len(), 0), now);
        let count = step(0);
        self.insert(hash, key, Content::Counter(count), expires);
        count
    }

    /// The slot of a name whose time is not up. One that is past its time goes.
    fn find(&mut self, name: Name<'_>, now: u64) -> Option<usize> {
        let mut next = self.chains[self.chain(name.hash)];
        while next != END {
            let at = next as usize - 1;
            let slot = &self.slots[at];
            if slot.hash == name.hash && slot.content.kind() == name.kind && *slot.key == *name.key
            {
                if slot.expires <= now {
                    self.expire(at);
                    return None;
                }
                return Some(at);
            }
            next = slot.next;
        }
        None
    }

    fn chain(&self, hash: u64) -> usize {
        hash as usize & (self.chains.len() - 1)
    }

    fn insert(&mut self, hash: u64, key: Box<str>, content: Content, expires: u64) {
        let at = self.slots.len();
        let chain = self.chain(hash);
        let next = std::mem::replace(&mut self.chains[chain], at as u32 + 1);
        self.bytes += cost(key.len(), content.len() as usize);
        self.slots.push(Slot {
            hash,
            key,
            content,
            expires: NEVER,
            due: NOT_DUE,
            next,
            used: false,
        });
        self.set_expiry(at, expires);
        self.show();
    }

    /// A later time is left to be noticed when the earlier one has come, so that renewing an entry
    /// costs next to nothing.
    fn set_expiry(&mut self, at: usize, expires: u64) {
        let Self { slots, due, .. } = self;
        slots[at].expires = expires;
        let place = slots[at].due;
        let moved = |slot: u32, place| slots[slot as usize].due = place;
        match due.time(place) {
            None if expires != NEVER => due.push(
                Due {
                    at: expires,
                    slot: at as u32,
                },
                moved,
            ),
            Some(_) if expires == NEVER => due.remove(place, moved),
            Some(time) if expires < time => due.set_time(place, expires, moved),
            None | Some(_) => {}
        }
    }

    /// Takes an entry out; the last one comes in its place.
    fn take_out(&mut self, at: usize) {
        self.unlink(at);
        let Self { slots, due, .. } = self;
        let place = slots[at].due;
        due.remove(place, |slot, place| slots[slot as usize].due = place);
        let last = slots.len() - 1;
        if at != last {
            *self.link_to(last) = at as u32 + 1;
            self.due.set_slot(self.slots[last].due, at as u32);
        }
        let gone = self.slots.swap_remove(at);
        self.bytes -= cost(gone.key.len(), gone.content.len() as usize);
        self.show();
    }

    fn unlink(&mut self, at: usize) {
        let next = self.slots[at].next;
        *self.link_to(at) = next;
    }

    /// The link of the chain that leads to this slot.
    fn link_to(&mut self, at: usize) -> &mut u32 {
        let wanted = at as u32 + 1;
        let chain = self.chain(self.slots[at].hash);
        let first = self.chains[chain];
        if first == wanted {
            return &mut self.chains[chain];
        }
        let mut before = first as usize - 1;
        while self.slots[before].next != wanted {
            before = self.slots[before].next as usize - 1;
        }
        &mut self.slots[before].next
    }

    fn make_room(&mut self, bytes: u64, now: u64) {
        while !self.slots.is_empty()
            && (self.slots.len() >= self.bounds.entries || self.bytes + bytes > self.bounds.bytes)
        {
            if !self.drop_due(now, LOOKS) {
                self.evict(now);
            }
        }
    }

    /// Looks at up to this many entries that may be due. Returns whether one was evicted.
    fn drop_due(&mut self, now: u64, looks: usize) -> bool {
        let mut gone = false;
        for _ in 0..looks {
            let Some(first) = self.due.first().filter(|first| first.at <= now) else {
                break;
            };
            let expires = self.slots[first.slot as usize].expires;
            if expires <= now {
                self.expire(first.slot as usize);
                gone = true;
            } else {
                let Self { slots, due, .. } = self;
                due.set_time(0, expires, |slot, place| slots[slot as usize].due = place);
            }
        }
        gone
    }

    fn expire(&mut self, at: usize) {
        self.take_out(at);
        self.counters.expirations.increment();
    }

    fn evict(&mut self, now: u64) {
        for _ in 0..LOOKS {
            // The last slot holds the newest entry; it comes in the place of the one that goes,
            // behind the hand.
            if self.hand + 1 >= self.slots.len() {
                self.hand = 0;
            }
            let slot = &mut self.slots[self.hand];
            if slot.expires <= now {
                return self.expire(self.hand);
            }
            if !slot.used {
                break;
            }
            slot.used = false;
            self.hand += 1;
        }
        if self.hand >= self.slots.len() {
            self.hand = 0;
        }
        self.take_out(self.hand);
        self.hand += 1;
        self.counters.evictions.increment();
    }

    fn show(&self) {
        self.counters.entries.set(self.slots.len() as u64);
        self.counters.bytes.set(self.bytes);
    }
}
