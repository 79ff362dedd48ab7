//! The store of one policy name: values and counters that all its instances share, on all workers.
//!
//! Keys are spread over up to 16 shards, each behind a lock that is held for a fraction of a
//! microsecond: values are allocated before the lock is taken, and the work under the lock is
//! bounded or amortised constant.

mod bounds;
mod call;
mod carried;
mod due;
mod entry;
mod shard;

#[cfg(test)]
mod tests;

use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Instant;

pub use self::bounds::StoreError;
use self::bounds::{MAX_KEY, MAX_VALUE, divide};
pub(super) use self::call::{Answer, Call, Calls, Told};
pub use self::carried::StoredEntry;
pub use self::entry::ENTRY_BYTES;
use self::entry::{Kind, NEVER, Name, cost};
use self::shard::Shard;
use crate::config::StoreLimits;
use crate::stats::PolicyStats;

/// A copy of a value of this size is allocated before the lock is taken.
const COMMON_VALUE: usize = 64;

/// The store of one policy name. Nothing is allocated before its first use.
pub struct Store {
    limits: StoreLimits,
    clock: Clock,
    hasher: RandomState,
    /// Where its use is counted.
    stats: Option<Arc<PolicyStats>>,
    shards: OnceLock<Box<[Mutex<Shard>]>>,
}

/// Where time comes from; never goes back.
#[derive(Debug, Clone)]
enum Clock {
    Monotonic(Instant),
    Told(Arc<AtomicU64>),
}

impl Store {
    /// An empty store, whose use is counted in `stats.store`. Its time is the real one, or `told`
    /// in nanoseconds.
    pub fn new(
        limits: StoreLimits,
        stats: &Arc<PolicyStats>,
        told: Option<Arc<AtomicU64>>,
    ) -> Self {
        let clock = told.map_or_else(|| Clock::Monotonic(Instant::now()), Clock::Told);
        Self::with_clock(limits, Some(Arc::clone(stats)), clock)
    }

    /// What it may hold.
    pub(super) fn limits(&self) -> StoreLimits {
        self.limits
    }

    /// The value of this key.
    pub fn get(&self, key: &str) -> Option<Vec<u8>> {
        let mut value = Vec::with_capacity(COMMON_VALUE);
        let found = self
            .at(Kind::Value, key)?
            .run(|shard, name, now| shard.get(name, now, &mut value));
        found.then_some(value)
    }

    /// Stores a value that expires after this many milliseconds; 0 means never.
    pub fn set(
        &self,
        key: String,
        value: Vec<u8>,
        ttl_milliseconds: u64,
    ) -> Result<(), StoreError> {
        self.check(&key, value.len())?;
        let (key, value) = (key.into_boxed_str(), value.into_boxed_slice());
        let hash = self.hash(Kind::Value, &key);
        let now = self.clock.now();
        self.shard(hash)
            .set(hash, key, value, expiry(now, ttl_milliseconds), now);
        Ok(())
    }

    /// Removes the value of this key. Returns whether there was one.
    pub fn remove(&self, key: &str) -> bool {
        self.at(Kind::Value, key)
            .is_some_and(|call| call.run(|shard, name, now| shard.remove(name, now)))
    }

    /// Stores a value if the current one is `expected`. Returns whether it did.
    pub fn compare_and_set(
        &self,
        key: String,
        expected: Option<&[u8]>,
        value: Vec<u8>,
        ttl_milliseconds: u64,
    ) -> Result<bool, StoreError> {
        self.check(&key, value.len())?;
        let (key, value) = (key.into_boxed_str(), value.into_boxed_slice());
        let hash = self.hash(Kind::Value, &key);
        let now = self.clock.now();
        let mut shard = self.shard(hash);
        let holds = shard.holds(
            Name {
                kind: Kind::Value,
                key: &key,
                hash,
            },
            now,
            expected,
        );
        if holds {
            shard.set(hash, key, value, expiry(now, ttl_milliseconds), now);
        }
        Ok(holds)
    }

    /// Adds to a counter and returns its new value. A new one expires after this many milliseconds;
    /// 0 means never.
    pub fn increment(
        &self,
        key: String,
        by: i64,
        ttl_milliseconds: u64,
    ) -> Result<i64, StoreError> {
        self.count(key, |count| count.saturating_add(by), ttl_milliseconds)
    }

    /// Subtracts from a counter and returns its new value. A new one expires after this many
    /// milliseconds; 0 means never.
    pub fn decrement(
        &self,
        key: String,
        by: u64,
        ttl_milliseconds: u64,
    ) -> Result<i64, StoreError> {
        self.count(
            key,
            |count| count.saturating_sub_unsigned(by),
            ttl_milliseconds,
        )
    }

    /// The value of a counter.
    pub fn counter(&self, key: &str) -> Option<i64> {
        self.at(Kind::Counter, key)?
            .run(|shard, name, now| shard.counter(name, now))
    }

    /// Reserves all room now, so that no request has to wait for that.
    pub fn reserve(&self) {
        self.shards();
    }

    /// Changes a counter, and returns its new value.
    fn count(
        &self,
        key: String,
        step: impl FnOnce(i64) -> i64,
        ttl_milliseconds: u64,
    ) -> Result<i64, StoreError> {
        self.check(&key, 0)?;
        let key = key.into_boxed_str();
        let hash = self.hash(Kind::Counter, &key);
        let now = self.clock.now();
        Ok(self
            .shard(hash)
            .count(hash, key, step, expiry(now, ttl_milliseconds), now))
    }

    fn with_clock(limits: StoreLimits, stats: Option<Arc<PolicyStats>>, clock: Clock) -> Self {
        Self {
            limits,
            clock,
            hasher: RandomState::new(),
            stats,
            shards: OnceLock::new(),
        }
    }

    fn shards(&self) -> &[Mutex<Shard>] {
        self.shards.get_or_init(|| {
            let (count, bounds) = divide(self.limits);
            let counters = match &self.stats {
                Some(stats) => stats
                    .store
                    .get_or_init(|| (0..count).map(|_| Arc::default()).collect())
                    .clone(),
                None => Vec::new(),
            };
            let counters = counters
                .into_iter()
                .chain(std::iter::repeat_with(Arc::default))
                .take(count);
            counters
                .map(|counters| Mutex::new(Shard::new(bounds, counters)))
                .collect()
        })
    }

    /// The shard of a name, with the call counted.
    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        let shards = self.shards();
        // Chains within the shard go by the low bits.
        let mut shard = enter(&shards[(hash >> 40) as usize % shards.len()]);
        shard.called();
        shard
    }

    fn hash(&self, kind: Kind, key: &str) -> u64 {
        self.hasher.hash_one((kind, key))
    }

    /// A call about a name; none if no entry can have it.
    fn at<'a>(&'a self, kind: Kind, key: &'a str) -> Option<Named<'a>> {
        if key.len() > MAX_KEY {
            drop(self.shard(0));
            return None;
        }
        Some(Named {
            store: self,
            name: Name {
                kind,
                key,
                hash: self.hash(kind, key),
            },
        })
    }

    fn check(&self, key: &str, value: usize) -> Result<(), StoreError> {
        let error = if key.len() > MAX_KEY {
            StoreError::KeyTooLong
        } else if value > MAX_VALUE {
            StoreError::ValueTooLong
        } else if cost(key.len(), value) > divide(self.limits).1.bytes {
            StoreError::NoRoom
        } else {
            return Ok(());
        };
        Err(self.shard(0).refuse(error))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store")
            .field("limits", &self.limits)
            .finish_non_exhaustive()
    }
}

/// A name that an entry of this store can have.
struct Named<'a> {
    store: &'a Store,
    name: Name<'a>,
}

impl Named<'_> {
    fn run<T>(self, call: impl FnOnce(&mut Shard, Name<'_>, u64) -> T) -> T {
        let now = self.store.clock.now();
        call(&mut self.store.shard(self.name.hash), self.name, now)
    }
}

impl Clock {
    fn now(&self) -> u64 {
        match self {
            Self::Monotonic(start) => u64::try_from(start.elapsed().as_nanos()).unwrap_or(NEVER),
            Self::Told(now) => now.load(Ordering::Relaxed),
        }
    }
}

/// A thread that panicked under the lock left entries that are there or not; the next call finds
/// out.
fn enter(shard: &Mutex<Shard>) -> MutexGuard<'_, Shard> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}

fn expiry(now: u64, ttl_milliseconds: u64) -> u64 {
    match ttl_milliseconds {
        0 => NEVER,
        ttl => now.saturating_add(ttl.saturating_mul(1_000_000)),
    }
}
