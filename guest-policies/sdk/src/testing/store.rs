//! The store in a test: nothing goes but what expires, or what the test takes away.

use std::collections::BTreeMap;

use crate::StoreError;

const MAX_KEY: usize = 256;
const MAX_VALUE: usize = 4 * 1024;
/// What an entry counts for beside the bytes of its key and its value.
const ENTRY_BYTES: usize = 128;

/// Values and counters, each with the moment at which it goes.
#[derive(Debug, Default)]
pub(super) struct Store {
    values: BTreeMap<String, (Vec<u8>, u64)>,
    counters: BTreeMap<String, (i64, u64)>,
    /// The most bytes of one entry, if the test sets a bound.
    pub most: Option<usize>,
}

impl Store {
    pub fn value(&self, key: &str, now: u64) -> Option<&[u8]> {
        self.values
            .get(key)
            .filter(|(_, end)| *end > now)
            .map(|(value, _)| value.as_slice())
    }

    pub fn set(
        &mut self,
        key: &str,
        value: &[u8],
        milliseconds: u64,
        now: u64,
    ) -> Result<(), StoreError> {
        self.check(key, value.len())?;
        self.values
            .insert(key.to_owned(), (value.to_vec(), end(milliseconds, now)));
        Ok(())
    }

    pub fn remove(&mut self, key: &str, now: u64) -> bool {
        self.values.remove(key).is_some_and(|(_, end)| end > now)
    }

    /// Makes another number of a counter, which begins at 0.
    pub fn count(
        &mut self,
        key: &str,
        step: impl FnOnce(i64) -> i64,
        milliseconds: u64,
        now: u64,
    ) -> Result<i64, StoreError> {
        self.check(key, 0)?;
        let fresh = (0, end(milliseconds, now));
        let entry = self.counters.entry(key.to_owned()).or_insert(fresh);
        if entry.1 <= now {
            *entry = fresh;
        }
        entry.0 = step(entry.0);
        Ok(entry.0)
    }

    pub fn counter(&self, key: &str, now: u64) -> Option<i64> {
        self.counters
            .get(key)
            .filter(|(_, end)| *end > now)
            .map(|(value, _)| *value)
    }

    /// Takes a value and a counter away before their time.
    pub fn forget(&mut self, key: &str) {
        self.values.remove(key);
        self.counters.remove(key);
    }

    pub fn check(&self, key: &str, value: usize) -> Result<(), StoreError> {
        if key.len() > MAX_KEY {
            Err(StoreError::KeyTooLong)
        } else if value > MAX_VALUE {
            Err(StoreError::ValueTooLong)
        } else if self
            .most
            .is_some_and(|most| key.len() + value + ENTRY_BYTES > most)
        {
            Err(StoreError::NoRoom)
        } else {
            Ok(())
        }
    }
}

fn end(milliseconds: u64, now: u64) -> u64 {
    if milliseconds == 0 {
        u64::MAX
    } else {
        now.saturating_add(milliseconds.saturating_mul(1_000_000))
    }
}
